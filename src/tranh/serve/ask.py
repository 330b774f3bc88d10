"""One question to an HTTP server and its reply, whole or as it comes, on a connection of its own.

It knows no API. It neither follows redirects nor asks again.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import h11

from tranh.types import TranhError

PIECE = 65_536


@dataclass(frozen=True)
class Address:
    """Where a server is: ``path`` is what comes before the paths of its API."""

    host: str
    port: int
    secure: bool = False
    path: str = ""

    @classmethod
    def of(cls, url: str) -> Address:
        """Raises:
        TranhError: it is no address of HTTP.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise TranhError(f"{url!r} is no address: {error}") from error
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise TranhError(f"{url!r} is no address; it should look like http://127.0.0.1:8000")
        secure = parts.scheme == "https"
        return cls(parts.hostname, port or (443 if secure else 80), secure, parts.path.rstrip("/"))


class Reply:
    """What a server answers: ``status`` and ``headers`` (names in lower case), then its pieces."""

    def __init__(self, wire: h11.Connection, reader: asyncio.StreamReader) -> None:
        self._wire, self._reader = wire, reader
        self.status, self.headers = 0, dict[str, str]()

    async def begin(self) -> None:
        event = await self._next()
        while isinstance(event, h11.InformationalResponse):
            event = await self._next()
        if not isinstance(event, h11.Response):
            raise h11.RemoteProtocolError("the server closed the connection without a reply")
        self.status = event.status_code
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}

    async def pieces(self) -> AsyncIterator[bytes]:
        while isinstance(event := await self._next(), h11.Data):
            yield bytes(event.data)

    async def read(self) -> bytes:
        return b"".join([piece async for piece in self.pieces()])

    async def json(self) -> Any:
        """Raises:
        ValueError: it is no JSON.
        """
        return json.loads(await self.read())

    async def _next(self) -> Any:
        while (event := self._wire.next_event()) is h11.NEED_DATA:
            self._wire.receive_data(await self._reader.read(PIECE))
        return event


@asynccontextmanager
async def asked(address: Address, method: str, path: str, *, key: str = "", body: Any = None) -> AsyncIterator[Reply]:
    """Ask, and read the reply inside; the connection is closed behind it.

    Args:
        key: sent as a bearer token; body: sent as JSON.

    Raises:
        OSError: nobody answers there. h11.RemoteProtocolError: what answers speaks no HTTP, or stops in the middle.
    """
    reader, writer = await asyncio.open_connection(address.host, address.port, ssl=address.secure or None)
    try:
        data = b"" if body is None else json.dumps(body).encode()
        host = f"[{address.host}]" if ":" in address.host else address.host
        headers = [("Host", f"{host}:{address.port}"), ("Connection", "close"), ("User-Agent", "tranh")]
        headers += [("Authorization", f"Bearer {key}")] if key else []
        headers += [("Content-Type", "application/json")] if data else []
        headers += [("Content-Length", str(len(data)))] if data or method != "GET" else []
        wire = h11.Connection(h11.CLIENT)
        request = h11.Request(method=method, target=address.path + path, headers=headers)
        sent = [request, *([h11.Data(data=data)] if data else []), h11.EndOfMessage()]
        writer.write(b"".join(wire.send(event) or b"" for event in sent))
        await writer.drain()
        reply = Reply(wire, reader)
        await reply.begin()
        yield reply
    finally:
        writer.close()
