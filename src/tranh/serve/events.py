"""Server-sent events: replies that are written while things happen, and end with whoever reads them.

It knows no job. The format is that of https://html.spec.whatwg.org/multipage/server-sent-events.html.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, TypeVar

import anyio
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

KEEP_ALIVE = 10.0
"""Seconds of silence after which a comment is sent, so that nobody between takes the connection for dead."""

PAUSE = ": keep-alive\n\n"

One = TypeVar("One")


class Events(StreamingResponse):
    """A reply of events.

    Who leaves while something is sent to them leaves its source waiting at a ``yield``, where no cancellation comes:
    the source is closed here, whatever happened.
    """

    media_type = "text/event-stream"

    def __init__(self, lines: AsyncGenerator[str, None], status_code: int = 200) -> None:
        super().__init__(lines, status_code, headers={"cache-control": "no-cache", "x-accel-buffering": "no"})
        self._lines = lines

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._lines):
            await super().__call__(scope, receive, send)


def event(name: str, data: Mapping[str, Any], number: int | None = None) -> str:
    """One event; by its number a reader who comes back says what was seen."""
    told = f"event: {name}\ndata: {json.dumps(data)}\n"
    return f"{told}\n" if number is None else f"{told}id: {number}\n\n"


async def with_pauses(told: AsyncGenerator[One, None]) -> AsyncGenerator[One | None, None]:
    """The same, and None whenever nothing came for :data:`KEEP_ALIVE` seconds. What it reads is closed with it."""
    following: asyncio.Future[One] | None = None
    try:
        while True:
            if following is None:
                following = asyncio.ensure_future(anext(told))
            done, _ = await asyncio.wait({following}, timeout=KEEP_ALIVE)
            if not done:
                yield None
                continue
            try:
                one = following.result()
            except StopAsyncIteration:
                return
            following = None
            yield one
    finally:
        with anyio.CancelScope(shield=True):  # a scope that was cancelled would not let it wait
            if following is not None:
                following.cancel()
                await asyncio.wait({following})
            await told.aclose()
