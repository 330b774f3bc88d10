"""A server in a thread, on a free port, as people start it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from fastapi import FastAPI

from tranh.engine.doors import Doors
from tranh.engine.jobs import Engine
from tranh.serve.app import Settings, create_app
from tranh.serve.desk import Desk
from tranh.serve.limits import Patience
from tranh.serve.orders import Model
from tranh.serve.process import opened, server


@dataclass(frozen=True)
class Running:
    url: str
    desk: Desk
    patience: Patience
    app: FastAPI

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.url.removeprefix("http://").partition(":")
        return host, int(port)


@contextmanager
def running(
    models: Sequence[Model], settings: Settings | None = None, patience: Patience | None = None, **engine: int
) -> Iterator[Running]:
    settings = replace(settings or Settings(), host="127.0.0.1")
    begun = threading.Event()
    with Engine(Doors(), **engine) as work, opened("127.0.0.1", 0) as (listening, url):
        desk = Desk(models, work)
        kept = patience or Patience()
        app = create_app(desk, settings)
        kept.seen = app.state.figures.seen
        served = server(app, kept, begun.set, app.state.waiting.close)
        thread = threading.Thread(target=served.run, args=([listening],))
        thread.start()
        assert begun.wait(10)
        try:
            yield Running(url, desk, kept, app)
        finally:
            served.should_exit = True
            thread.join()
            desk.close()


def until(good: Callable[[], bool]) -> None:
    """Wait for what must come within half a minute."""
    end = time.monotonic() + 30
    while not good():
        assert time.monotonic() < end
        time.sleep(0.02)
