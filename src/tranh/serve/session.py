"""A browser's session: it tells an API key once and keeps a cookie in its place, which no script can read.

Pictures on a page cannot send a key along; a cookie they do. It knows no page.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from tranh.serve.keys import COOKIE, SESSION_SECONDS, Keys
from tranh.serve.orders import Refused

router = APIRouter(prefix="/api/session", tags=["session"])


class Entering(BaseModel):
    """An API key."""

    model_config = ConfigDict(extra="forbid", strict=True)
    key: str = Field(max_length=1000)


class Session(BaseModel):
    """Whether this server asks for keys, and whether this browser is known."""

    needed: bool
    owner: str | None


def _keys(request: Request) -> Keys:
    keys: Keys = request.app.state.keys
    return keys


def _host(request: Request) -> str:
    return request.client.host if request.client else ""


def _secure(request: Request) -> bool:
    """Does the browser speak TLS, with us or with the proxy before us? One on this machine may come without."""
    public: str = request.app.state.settings.public or ""
    plain = request.headers.get("origin", "").startswith("http:")
    return request.url.scheme == "https" or (public.startswith("https:") and not plain)


Known = Annotated[Keys, Depends(_keys)]


@router.get("", response_model=Session)
def session(request: Request, keys: Known) -> Session:
    """Does this server ask for keys, and is this browser known?"""
    if not keys.keys:
        return Session(needed=False, owner="")
    try:
        return Session(needed=True, owner=keys.enter(request.headers, _host(request)).name)
    except Refused:
        return Session(needed=True, owner=None)


@router.post("", response_model=Session)
def enter(sent: Entering, request: Request, response: Response, keys: Known) -> Session:
    """Tell an API key; a cookie stands for it from then on."""
    if not keys.keys:
        return Session(needed=False, owner="")
    key = keys.enter({"authorization": f"Bearer {sent.key}"}, _host(request))
    response.set_cookie(
        COOKIE,
        keys.session(key),
        max_age=SESSION_SECONDS,
        httponly=True,
        samesite="strict",
        secure=_secure(request),
    )
    return Session(needed=True, owner=key.name)


@router.delete("", response_model=Session)
def leave(response: Response, keys: Known) -> Session:
    """Forget this browser."""
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return Session(needed=bool(keys.keys), owner=None if keys.keys else "")
