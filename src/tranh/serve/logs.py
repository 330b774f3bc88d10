"""What the server says of itself: a line of JSON for each request and each fault, and the number a request goes by.

Prompts, pictures and query strings are in none of them. It knows no route.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
import uuid
from collections.abc import Callable, Mapping, MutableMapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

from tranh.serve.errors import FAILED, answer
from tranh.serve.guard import App, Receive, Scope, Send

REQUEST = re.compile(r"[A-Za-z0-9._:-]{1,128}")
"""Ids of requests that are taken over from whoever sent them; others are made anew."""

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

log = logging.getLogger("tranh.serve")

FIELDS = ("method", "path", "status", "ms", "owner", "client", "job")


class Lines(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (id := request_id.get()) is not None:
            told["request_id"] = id
        told |= {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
        if record.exc_info:
            told["error"] = self.formatException(record.exc_info)
        return json.dumps(told)  # in ASCII: no terminal and no reader of lines is misled by what a path holds


def install(level: int = logging.INFO, stream: TextIO | None = None) -> None:
    """Send everything that is logged in this process to standard error, as JSON."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(Lines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    log.setLevel(level)


def address(path: str) -> str:
    """A path as it is logged: no longer than anybody needs."""
    return path if len(path) <= 200 else f"{path[:199]}…"


def template(scope: Scope) -> str:
    """The path of a request with the names of its parameters in the places of their values; "none" for no route."""
    if "endpoint" not in scope:
        return "none"
    path = scope["path"]
    for name, value in scope.get("path_params", {}).items():
        if "/" in str(value):
            path = f"{path.removesuffix(str(value))}{{{name}}}"
        path = "/".join(f"{{{name}}}" if part == value else part for part in path.split("/"))
    return str(path)


class Faults:
    """The innermost ASGI application around another: what fails is told to the log, and the client that it did."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def sending(message: MutableMapping[str, Any]) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, sending)
        except Exception:
            log.exception("a request failed", extra={"path": address(scope.get("path", ""))})
            if begun:  # the connection is broken off, so that nobody takes half for the whole
                raise
            await answer(FAILED)(scope, receive, sending)


Seen = Callable[[str, str, int, float], None]
"""Is told of every request when it has ended: method, route (a template), status, seconds."""


def nobody(method: str, route: str, status: int, seconds: float) -> None:
    """Keeps no figures."""


def new_id() -> str:
    return f"req_{uuid.uuid4().hex}"


def tell_request(told: Mapping[str, Any], id: str) -> None:
    """The line of a request that came to no application."""
    token = request_id.set(id)
    log.info("request", extra=dict(told))
    request_id.reset(token)


class Requests:
    """The outermost ASGI application: numbers requests, times them and logs them.

    Where the connection was refused meanwhile, ``scope["state"]["refused"]`` is the status that was told.
    """

    def __init__(self, app: App, seen: Seen = nobody) -> None:
        self.app, self.seen = app, seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        given = next((v.decode("latin-1") for k, v in scope["headers"] if k.lower() == b"x-request-id"), "")
        state["request_id"] = id = given if REQUEST.fullmatch(given) else new_id()
        token = request_id.set(id)
        begun, status = time.perf_counter(), 0

        async def sending(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                spent = round(1000 * (time.perf_counter() - begun))
                more = {"x-request-id": id, "openai-processing-ms": str(spent), **state.get("reply_headers", {})}
                message["headers"] = [*message["headers"], *((k.encode(), v.encode()) for k, v in more.items())]
            await send(message)

        try:
            await self.app(scope, receive, sending)
        finally:
            spent, status = time.perf_counter() - begun, state.get("refused", status)
            self.seen(scope["method"], template(scope), status, spent)
            client = scope.get("client")
            told = {
                "method": scope["method"], "path": address(scope["path"]), "status": status,
                "ms": round(1000 * spent, 1), "owner": state.get("owner", ""), "client": client[0] if client else "",
            }  # fmt: skip
            log.info("request", extra=told)
            request_id.reset(token)
