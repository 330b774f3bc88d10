"""Errors as every client of the OpenAI API reads them, whatever went wrong and wherever.

It knows no route.
"""

from __future__ import annotations

import math
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException

from tranh.engine.doors import Left
from tranh.engine.jobs import Busy
from tranh.serve.blobs import FULL, full
from tranh.serve.orders import Refused
from tranh.types import TranhError

_TEXT: dict[str, Any] = {"type": ["string", "null"]}
FAILED_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {"message": {"type": "string"}, "type": {"type": "string"}, "param": _TEXT, "code": _TEXT},
        }
    },
}
"""Every reply that is not what was asked for: ``param`` names the field at fault, ``code`` is for programs."""

_SAID = {
    400: "The request cannot be met as it is; `param` and `code` say why.",
    401: "No API key, or a wrong one.",
    403: "Asked from a page of another site, by another name than this server's, or by a link that has ended.",
    404: "There is no such thing, or it is another key's.",
    408: "The request came too slowly.",
    409: "It does not go together with what stands already.",
    413: "The body, or a picture in it, is too large.",
    422: "The Idempotency-Key was used for another order.",
    429: "Too many requests or pictures, or a full queue: see `Retry-After`.",
    500: "The server failed. It is not worth while to try again.",
    503: "Not at this moment: see `Retry-After`.",
    504: "It took longer than a call may wait.",
    507: "There is no room left to keep pictures.",
}
ANSWERS: dict[int | str, dict[str, Any]] = {
    status: {"description": said, "content": {"application/json": {"schema": FAILED_SCHEMA}}}
    for status, said in _SAID.items()
}
"""What any route may answer besides success; the schema of the API says so of all of them."""

CODES = {404: "not_found", 405: "method_not_allowed", 408: "request_timeout", 413: "request_too_large"}

FAULTS = {
    "missing": "missing_required_parameter",
    "extra_forbidden": "unknown_parameter",
    "string_too_long": "string_above_max_length",
    "unsupported_parameter": "unsupported_parameter",
}
"""Faults of pydantic, as OpenAI calls them."""


def body(message: str, type: str, code: str | None = None, param: str | None = None) -> dict[str, Any]:
    """The JSON of an error. What was sent may be repeated in it, even where it is no text (half a character)."""
    told = {"message": message, "type": type, "param": param, "code": code}
    return {"error": {k: v and v.encode("utf-8", "replace").decode() for k, v in told.items()}}


def answer(error: Refused) -> JSONResponse:
    """The reply that says it. Clients try again by themselves only where that can help."""
    headers = {}
    if error.retry_after is not None:
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after)))
    elif error.status >= 500 or error.status in (408, 409):
        headers["x-should-retry"] = "false"
    if error.status == 401:
        headers["www-authenticate"] = 'Bearer realm="tranh"'
    return JSONResponse(body(str(error), error.type, error.code, error.param), error.status, headers)


def refusal(error: TranhError) -> Refused:
    """Any fault of the user's as one that HTTP can tell."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, Busy):
        return Refused(
            str(error), status=429, type="rate_limit_error", code="rate_limit_exceeded", retry_after=error.retry_after
        )
    if isinstance(error, Left):
        return Refused(str(error), status=503, type="server_error", retry_after=5)
    return Refused(str(error), code="invalid_value", param=getattr(error, "field", None))


def invalid(error: ValidationError | RequestValidationError) -> Refused:
    """The first thing that pydantic finds fault with."""
    first: ErrorDetails = error.errors()[0]
    place = first["loc"][1:] if isinstance(error, RequestValidationError) else first["loc"]
    where = ".".join(str(one) for one in place) or None
    if first["type"] == "json_invalid":
        return Refused(f"the body is no JSON: {first.get('ctx', {}).get('error', '')}", code="invalid_json")
    if first["type"] == "extra_forbidden":
        return Refused(f"unknown parameter: {where}", code="unknown_parameter", param=where)
    said = f"{where}: {first['msg']}" if where else first["msg"]
    blamed = where or first.get("ctx", {}).get("field")  # of fields that do not go together
    return Refused(said, code=FAULTS.get(first["type"], "invalid_value"), param=blamed)


FAILED = Refused("the server failed at this request", status=500, type="server_error")


def install(app: FastAPI) -> None:
    """Answer every error of an application in this shape."""

    @app.exception_handler(TranhError)
    async def _told(request: Request, error: TranhError) -> JSONResponse:
        return answer(refusal(error))

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        kind = "server_error" if error.status_code >= 500 else "invalid_request_error"
        told = body(str(error.detail), kind, CODES.get(error.status_code))
        return JSONResponse(told, error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return answer(invalid(error))

    @app.exception_handler(ValidationError)
    async def _ours(request: Request, error: ValidationError) -> JSONResponse:
        return answer(invalid(error))

    @app.exception_handler(RecursionError)
    async def _deep(request: Request, error: RecursionError) -> JSONResponse:
        return answer(Refused("what was sent is nested too deeply", code="invalid_json"))

    @app.exception_handler(UnicodeEncodeError)
    async def _halves(request: Request, error: UnicodeEncodeError) -> JSONResponse:
        return answer(Refused("a text has half a character (a lone surrogate) in it: remove it", code="invalid_value"))

    @app.exception_handler(MemoryError)
    async def _memory(request: Request, error: MemoryError) -> JSONResponse:
        return answer(Refused("this needs more memory than there is", status=500, type="server_error"))

    @app.exception_handler(OSError)
    async def _full(request: Request, error: OSError) -> JSONResponse:
        if error.errno not in FULL:
            raise error
        return answer(full("temporary files"))  # where a form with a large file is laid while it is read
