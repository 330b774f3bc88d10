"""What every reply goes through: who may ask (Host, Origin), how much they may send, what the page may load.

It knows no route.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException

from tranh.serve.errors import answer
from tranh.serve.nesting import Nesting
from tranh.serve.orders import Refused

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MOST_BYTES = 8192
"""Of a request's body: a vote has about a hundred."""

MOST_HELD = 2**28
"""Bytes of bodies that are held at one moment, all requests together."""

SMALL = 2**16
"""Bytes of a body that are read however much is held."""

HEADERS = {
    "content-security-policy": (
        "default-src 'self'; img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "object-src 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


def is_loopback(host: str) -> bool:
    """Can only this machine reach the address?"""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


class Guard:
    """An ASGI application around another.

    A page of another site must not reach a server on this machine: its name for us (Host) is not ours when it has made
    its own name point here, and what it sends says where it comes from (Origin).

    A body counts as held until its reply has ended, or until a route calls ``scope["state"]["let_go"]``.

    Args:
        host: that is listened on; None where nothing listens (an application called directly).
        most: bytes of a body. most_json: bytes of one in JSON, which takes many times its size to read; paths below
            ``with_pictures`` carry pictures in theirs and may send ``most``.
        names: further names this server may be called by; where it listens to others and none are given, any.
        public: the address of a proxy before it, as browsers tell it in Origin, whatever Host the proxy sends.
    """

    def __init__(
        self,
        app: App,
        host: str | None,
        *,
        most: int = MOST_BYTES,
        most_json: int | None = None,
        with_pictures: str = "/sdapi/",
        names: Sequence[str] = (),
        public: str | None = None,
    ) -> None:
        self.app = app
        self.local = host is not None and is_loopback(host)
        self.names, self.public = {name.lower() for name in names}, public
        if public is not None and (self.local or names):
            self.names.add(_name(_place(public)))
        self.most, self.most_json, self.with_pictures = most, most_json or most, with_pictures
        self.held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun, taken, held = False, 0, 0

        def let_go() -> None:
            nonlocal held
            self.held, held = self.held - held, 0

        scope.setdefault("state", {})["let_go"] = let_go

        async def sending(message: MutableMapping[str, Any]) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                told = {name.lower() for name, _ in message["headers"]}
                more = ((k.encode(), v.encode()) for k, v in HEADERS.items())
                message["headers"] = [*message["headers"], *(one for one in more if one[0] not in told)]
            await send(message)

        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
        kind = headers.get("content-type", "").lower().partition(";")[0]  # a boundary says nothing
        most, nesting = self._most(scope["path"], kind), Nesting() if "json" in kind else None

        async def receiving() -> MutableMapping[str, Any]:
            nonlocal taken, held
            message = await receive()
            size = len(message.get("body", b""))
            taken, held, self.held = taken + size, held + size, self.held + size
            if taken > most:  # sent in pieces, without saying how much
                raise _Cut(too_large(most))
            if self.held > MOST_HELD and taken > SMALL:
                raise _Cut(FULL)
            if nesting is not None and size:
                try:
                    nesting.feed(message["body"])
                except Refused as error:
                    raise _Cut(error) from error
            return message

        try:
            self._check(scope, headers, most)
            await self.app(scope, receiving, sending)
        except Refused as error:
            await answer(error)(scope, receive, sending)
        except _Cut as cut:
            if not begun:
                await answer(cut.why)(scope, receive, sending)
        finally:
            let_go()

    def _most(self, path: str, kind: str) -> int:
        return self.most_json if "json" in kind and not path.startswith(self.with_pictures) else self.most

    def _check(self, scope: Scope, headers: dict[str, str], most: int) -> None:
        """Refuse what need not be read."""
        host, origin = headers.get("host", ""), headers.get("origin")
        name = _name(host)
        if (self.local and not is_loopback(name) and name not in self.names) or (
            not self.local and self.names and name not in self.names and not is_loopback(name)
        ):
            raise Refused(
                "this server answers to localhost only" if self.local else "this server has another name",
                status=403,
                code="wrong_host",
            )
        changes = scope["method"] not in ("GET", "HEAD")
        ours = origin is not None and (_place(origin) == host or origin == self.public)
        if origin is not None and not ours and (changes or origin != "null"):
            raise Refused("a page of another site may not ask this", status=403, code="wrong_origin")
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()) or int(length) > most:
            raise too_large(most)


class _Cut(HTTPException):
    """A body that is read no further. Frameworks let an HTTPException through; others become faults of parsing."""

    def __init__(self, why: Refused) -> None:
        super().__init__(why.status, str(why))
        self.why = why


FULL = Refused("too much is being sent at this moment", status=503, type="server_error", retry_after=5)


def too_large(most: int) -> Refused:
    return Refused(f"at most {most} bytes are read", status=413, code="request_too_large")


def _name(host: str) -> str:
    """The host of a Host header, without its port."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _place(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""
