"""The application: a desk behind HTTP.

It knows no route by itself: each topic has its router in a module of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import FastAPI

from tranh import __version__
from tranh.serve import errors, gallery, info, native, sdapi, studio
from tranh.serve.desk import Desk


@dataclass(frozen=True)
class Settings:
    """How the server behaves.

    Attributes:
        title: of the pages.
    """

    title: str = "Tranh"


def create_app(desk: Desk, settings: Settings | None = None) -> FastAPI:
    """The server's application over a desk."""
    settings = settings or Settings()
    app = FastAPI(title=settings.title, version=__version__)
    app.state.desk, app.state.settings = desk, settings
    app.state.calls = sdapi.Calls()
    errors.install(app)
    for topic in (native, gallery, info, sdapi, studio):
        app.include_router(topic.router)
    return app
