"""The application: a desk behind HTTP.

It knows no route by itself: each topic has its router in a module of its own.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from fastapi import FastAPI

from tranh import __version__
from tranh.serve import errors, gallery, info, native, openai, sdapi, session, status, studio
from tranh.serve.desk import Desk
from tranh.serve.guard import Guard
from tranh.serve.keys import Entrance, Key, Keys
from tranh.serve.logs import Faults, Requests
from tranh.serve.openai.calls import Calls
from tranh.serve.openai.told import Rewrite, rewritten
from tranh.serve.signed import Signer
from tranh.serve.sources import pictures_of
from tranh.serve.status import Figures


@dataclass(frozen=True)
class Settings:
    """How the server behaves.

    Attributes:
        title: of the pages.
        host: that is listened on; None where the application is called without a network.
        names: further host names it may be called by.
        public: the address others know it by, see :func:`tranh.serve.public.read_public_url`; None for its own.
        keys: API keys; with none, everybody who reaches it is let in.
        secret: of links and sessions; another one ends them.
        seconds: a synchronous call waits at most.
        most: bytes of a body; most_json: of one in JSON.
        linger: seconds that the job of a client who is gone goes on where that client is known to come again.
        rewrite: a picture's file in another format (JPEG, WEBP) and quality (0 to 100).
    """

    title: str = "Tranh"
    host: str | None = None
    names: Sequence[str] = ()
    public: str | None = None
    keys: Sequence[Key] = ()
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    seconds: float = 600.0
    most: int = 32 * 2**20
    most_json: int = 2**20
    linger: float = 2.0
    rewrite: Rewrite = rewritten


def create_app(desk: Desk, settings: Settings | None = None) -> FastAPI:
    """The server's application over a desk."""
    settings = settings or Settings()
    app = FastAPI(
        title=settings.title,
        version=__version__,
        responses=errors.ANSWERS,
        docs_url=None,  # that page loads its scripts from elsewhere
        redoc_url=None,
    )
    signer, figures = Signer(settings.secret), Figures(desk)
    keys = Keys(settings.keys, signer, ordered=lambda owner, since: _ordered(desk, owner, since))
    app.state.desk, app.state.settings = desk, settings
    app.state.signer, app.state.figures, app.state.keys = signer, figures, keys
    app.state.calls = sdapi.Calls()
    app.state.waiting = Calls(desk, settings.linger)
    desk.on_end(figures.ended)
    errors.install(app)
    for topic in (status, session, openai, native, gallery, info, sdapi, studio):
        app.include_router(topic.router)
    app.add_middleware(Faults)  # the last one stands outermost
    app.add_middleware(Entrance, keys=keys)
    app.add_middleware(
        Guard,
        host=settings.host,
        names=settings.names,
        public=settings.public,
        most=settings.most,
        most_json=settings.most_json,
    )
    app.add_middleware(Requests, seen=figures.seen)
    return app


def _ordered(desk: Desk, owner: str, since: float) -> int:
    """Pictures an owner has ordered since a time."""
    count, cursor = 0, None
    while True:
        records, cursor = desk.jobs(owner, cursor=cursor, limit=200)
        new = [record for record in records if record.created_at >= since]
        count += sum(pictures_of(record.order) for record in new)
        if cursor is None or len(new) < len(records):
            return count
