"""A whole server from a few words: models, store, engine and application, until it is told to end.

It knows how parts are put together, and what none of them does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from tranh.engine.doors import Doors
from tranh.engine.jobs import Engine
from tranh.recipes import marks
from tranh.serve import logs
from tranh.serve.app import Settings, create_app
from tranh.serve.desk import Desk
from tranh.serve.keys import Key
from tranh.serve.limits import room
from tranh.serve.marking import Marking
from tranh.serve.models import load
from tranh.serve.process import opened, server
from tranh.serve.secret import secret
from tranh.serve.store import Store

GRACE = 1.0
"""Seconds that jobs may take to end once the last reply was sent; the others go back into the queue."""


@dataclass(frozen=True)
class Start:
    """What is started.

    Attributes:
        models: names or folders, the first is the default.
        host, port: listened on; port 0 takes a free one. names: further host names.
        keys: API keys.
        data: folder of jobs and pictures, None for the usual one; database: URL, None for SQLite there.
        active, waiting: jobs that run at once, and that may wait.
        exact: no picture depends on its company by a bit.
        public: the address that others know it by, None for its own.
    """

    models: Sequence[str]
    host: str
    port: int
    names: Sequence[str] = ()
    keys: Sequence[Key] = ()
    data: Path | None = None
    database: str | None = None
    active: int = 24
    waiting: int = 256
    exact: bool = False
    public: str | None = None


def run(start: Start, ready: Callable[[str], None]) -> None:
    """Serve until told to end.

    Args:
        ready: called with the address once connections are taken.

    Raises:
        KeyboardInterrupt: it was ended by Ctrl-C.
        TranhError: something of it cannot be had.
    """
    logs.install()
    own = marks.keys()
    with opened(start.host, start.port) as (listening, url):
        store, doors = Store(start.data, start.database), Doors(threads=torch.get_num_threads())
        torch.set_num_threads(1)  # a second team of OpenMP's threads would make both sleep between any two products
        desk = None
        try:
            models = [load(name, doors, exact=start.exact) for name in dict.fromkeys(start.models)]
            marking = Marking(own, store.album.blobs.read)
            desk = Desk(models, Engine(doors, start.active, start.waiting), store, encode=marking.encode)
            settings = Settings(
                host=start.host,
                names=start.names,
                public=start.public,
                keys=start.keys,
                secret=secret(store.folder),
                rewrite=marking.rewrite,
            )
            app = create_app(desk, settings)
            patience = replace(room(), seen=app.state.figures.seen)
            server(app, patience, lambda: ready(url), app.state.waiting.close).run_until_told(listening)
        finally:
            if desk is not None:
                desk.close(GRACE)
            else:
                doors.close()
                store.close()
