"""One picture, asked of a server under load, in each of the APIs that it may speak.

It knows neither when it is asked nor what is measured.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import h11

from tranh.serve.ask import Address, Reply, asked
from tranh.serve.stress_plan import Planned

TOLD = 200
"""Most letters kept of what a server says of an error."""


@dataclass(frozen=True)
class Target:
    """A server, and how it is asked: ``api`` is one of :data:`APIS`.

    Attributes:
        model, size: as the API takes them (a size is the side in pixels); the server's own if empty.
    """

    address: Address
    api: str = "native"
    key: str = ""
    model: str = ""
    size: str = ""


class Failed(Exception):
    """A reply that is not what was asked for; ``status`` is that of HTTP."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status, self.why = status, why


async def _native(target: Target, planned: Planned) -> None:
    """Order it, then watch until its end."""
    request = {"prompt": planned.prompt, "seed": planned.seed, "steps": planned.kind.steps}
    request |= {} if planned.kind.guidance is None else {"guidance": planned.kind.guidance}
    request |= {"size": int(target.size)} if target.size else {}
    body = {"tool": "generate", "request": request} | ({"model": target.model} if target.model else {})
    async with asked(target.address, "POST", "/api/jobs", key=target.key, body=body) as reply:
        job = f"/api/jobs/{(await _sound(reply, 202)).get('id')}"
    try:
        async with asked(target.address, "GET", f"{job}/events", key=target.key) as reply:
            if reply.status != 200:
                await _sound(reply, 200)
            seen = b""
            async for piece in reply.pieces():
                seen = seen[-16:] + piece  # the mark may be cut in two
                if b"event: end" in seen:
                    break
        async with asked(target.address, "GET", job, key=target.key) as reply:
            told = await _sound(reply, 200)
    except asyncio.CancelledError:
        await asyncio.shield(_cancel(target, job))
        raise
    if told.get("status") != "completed":
        raise Failed(200, f"{told.get('status')}: {(told.get('error') or {}).get('message', '')}")


async def _cancel(target: Target, job: str) -> None:
    """A job that nobody waits for any more is not to hold up the others."""
    with suppress(OSError, h11.RemoteProtocolError, TimeoutError):
        async with asyncio.timeout(5), asked(target.address, "POST", f"{job}/cancel", key=target.key):
            pass


async def _openai(target: Target, planned: Planned) -> None:
    body: dict[str, Any] = {"prompt": planned.prompt, "n": 1, "seed": planned.seed}
    body |= {"num_inference_steps": planned.kind.steps}
    body |= {} if planned.kind.guidance is None else {"guidance_scale": planned.kind.guidance}
    body |= {"size": f"{target.size}x{target.size}"} if target.size else {}
    body |= {"model": target.model} if target.model else {}
    async with asked(target.address, "POST", "/v1/images/generations", key=target.key, body=body) as reply:
        told = await _sound(reply, 200)
    if not told.get("data"):
        raise Failed(200, "no picture came")


APIS: Mapping[str, Callable[[Target, Planned], Awaitable[None]]] = {"native": _native, "openai": _openai}
"""By name; each returns when the picture is there, and raises :class:`Failed`, OSError or h11.RemoteProtocolError."""


async def _sound(reply: Reply, status: int) -> dict[str, Any]:
    """The JSON of a reply of that status."""
    data = await reply.read()
    if reply.status != status:
        raise Failed(reply.status, data[:TOLD].decode("utf-8", "replace"))
    try:
        told = json.loads(data)
    except ValueError as error:
        raise Failed(reply.status, f"what came is no JSON: {error}") from error
    if not isinstance(told, dict):
        raise Failed(reply.status, "what came is no JSON object")
    return told
