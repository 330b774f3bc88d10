"""The end of a server's patience: slow clients, silent ones, and too many of them.

A protocol of uvicorn with deadlines that it does not have itself. It knows no application.
"""

from __future__ import annotations

import asyncio
import logging
import resource
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from tranh.serve.errors import answer
from tranh.serve.guard import HEADERS
from tranh.serve.logs import Seen, new_id, nobody, tell_request
from tranh.serve.orders import Refused

log = logging.getLogger(__name__)

FILES, OWN_FILES = 8192, 256
"""Files that are open at one moment, and those of them that are no connections."""

URGENT = (b"GET /healthz", b"GET /readyz")
"""How a request begins that is read before all others."""

AT_ONCE = 0.002
"""Seconds of reading in one round of the event loop."""


class Turns:
    """What comes is read in turn, a little in each round of the event loop: so whoever asks whether the server lives
    is answered soon, however many others came in the same moment."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()

    def take(self, loop: asyncio.AbstractEventLoop, read: Callable[[], None]) -> None:
        self._waiting.append(read)
        if len(self._waiting) == 1:
            loop.call_soon(self._go, loop)

    def _go(self, loop: asyncio.AbstractEventLoop) -> None:
        until = loop.time() + AT_ONCE
        try:
            while self._waiting and loop.time() < until:
                try:
                    self._waiting[0]()
                finally:
                    self._waiting.popleft()  # only now: who comes meanwhile need not call for another round
        finally:  # whatever fails, the others get their turn
            if self._waiting:
                loop.call_soon(self._go, loop)


@dataclass
class Patience:
    """How long is waited, and for how many.

    Attributes:
        head: seconds from the first byte of a request to the end of its headers.
        grace, rate: a body may take so many seconds, and one more for each ``rate`` bytes that came.
        reading: seconds a client may leave a reply unread.
        linger: seconds in which a body that nobody wants any more is thrown away, so that the reply is read first.
        connections: at one moment; each: from one address (a loopback address may take all).
        taken: connections now, by address. turns: of what came over them.
        seen: is told of what is refused here, as :class:`tranh.serve.logs.Requests` tells of all else.
    """

    head: float = 10.0
    grace: float = 20.0
    rate: float = 16 * 1024
    reading: float = 60.0
    linger: float = 1.0
    connections: int = 4096
    each: int = 256
    taken: Counter[str] = field(default_factory=Counter)
    turns: Turns = field(default_factory=Turns)
    seen: Seen = nobody

    def full(self, host: str) -> bool:
        """Is there no place for one more from an address?"""
        near = host in ("127.0.0.1", "::1", "")
        return self.taken.total() > self.connections or (not near and self.taken[host] > self.each)


def room() -> Patience:
    """The usual patience, for as many connections as this process may have files open: the limit is raised first."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < FILES <= hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, hard))
        soft = FILES
    return Patience(connections=max(16, min(Patience.connections, soft - OWN_FILES)))


def protocol(patience: Patience) -> type[H11Protocol]:
    """A protocol for ``uvicorn.Config(http=...)`` that is only so patient."""

    class Patient(_Patient):
        pass

    Patient.patience = patience
    return Patient


class _Patient(H11Protocol):
    patience: Patience

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._timer: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._begun = 0.0
        self._waits_for = ""
        self._came = 0
        self._queued = False  # did something come that is not read yet?

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._host = self.client[0] if self.client else ""
        self.patience.taken[self._host] += 1
        if self.patience.full(self._host):
            self._refuse(Refused("too many connections", status=503, type="server_error", retry_after=5))
            return
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._timer, self._unread):
            if timer is not None:
                timer.cancel()
        self.patience.taken[self._host] -= 1
        if not self.patience.taken[self._host]:
            del self.patience.taken[self._host]
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._came += len(data)
        if not self._queued and data.startswith(URGENT):
            self._read(data)
        else:
            self._queued = True
            self.transport.pause_reading()  # one message of each waits, and no more
            self.patience.turns.take(self.loop, partial(self._read_in_turn, data))

    def _read_in_turn(self, data: bytes) -> None:
        self._queued = False
        if not self.transport.is_closing():
            if not self.flow.read_paused:
                self.transport.resume_reading()
            try:
                self._read(data)
            except Exception:
                log.exception("what a client sent could not be read")
                self.transport.abort()

    def _read(self, data: bytes) -> None:
        super().data_received(data)
        self._wait()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.conn.their_state is h11.SEND_BODY and not self.transport.is_closing():
            self._arm("nothing", self.patience.linger)
        else:
            self._wait()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(self.patience.reading, self.transport.abort)

    def resume_writing(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        self._refuse(Refused(msg))

    def _wait(self) -> None:
        """Look at what the client still owes, and give it time for that."""
        if self._waits_for == "nothing":
            return
        state = self.conn.their_state
        if state is h11.SEND_BODY:
            self._arm("a body", self.patience.grace)
        elif state is h11.IDLE and (self.cycle is None or self.cycle.response_complete) and self._owes_headers():
            self._arm("headers", self.patience.head)
        else:
            self._waits_for = ""

    def _owes_headers(self) -> bool:
        """A new connection, or the beginning of a request; between two requests uvicorn's own timer counts."""
        return self.cycle is None or bool(self.conn.trailing_data[0])

    def _arm(self, waits_for: str, seconds: float) -> None:
        if self._waits_for == waits_for:
            return
        self._waits_for, self._begun, self._came = waits_for, self.loop.time(), 0
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(seconds, self._late, waits_for)

    def _late(self, waits_for: str) -> None:
        if self._waits_for != waits_for or self.transport.is_closing():
            return
        if self._queued:  # it is not the client who is slow
            self._timer = self.loop.call_later(1.0, self._late, waits_for)
            return
        if waits_for == "a body":
            left = self._begun + self.patience.grace + self._came / self.patience.rate - self.loop.time()
            if left > 0:
                self._timer = self.loop.call_later(left, self._late, waits_for)
                return
        if waits_for == "nothing":
            self.transport.close()
            return
        self._refuse(Refused(f"{waits_for} came too slowly", status=408, code="request_timeout"))

    def _refuse(self, why: Refused) -> None:
        """Say why, and hang up. Where a reply has begun, only hang up."""
        self._waits_for = "nothing"
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            under_way = self.cycle is not None and not self.cycle.response_complete
            id = self._told_of(why.status, under_way)
            reply = answer(why)
            reply.headers.update({**HEADERS, "connection": "close", "x-request-id": id})
            if self.cycle is not None:
                self.cycle.disconnected = True  # what the application still says goes nowhere
            head = h11.Response(status_code=why.status, headers=reply.raw_headers)
            try:
                for event in (head, h11.Data(data=bytes(reply.body)), h11.EndOfMessage()):
                    self.transport.write(self.conn.send(event) or b"")
            except h11.LocalProtocolError:
                pass  # a reply to HEAD has no body, and ends here
        self.transport.close()

    def _told_of(self, status: int, under_way: bool) -> str:
        """Log and count a refusal; gives the request's id. One that the application has begun with it tells itself."""
        if under_way and (known := self.scope["state"].get("request_id")):
            self.scope["state"]["refused"] = status
            return str(known)
        id = new_id()
        spent = self.loop.time() - self._begun if self._begun else 0.0
        self.patience.seen("other", "none", status, spent)
        tell_request({"status": status, "ms": round(1000 * spent, 1), "client": self._host}, id)
        return id
