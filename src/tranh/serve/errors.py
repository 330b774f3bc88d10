"""Errors as every client of the OpenAI API reads them, whatever went wrong and wherever.

It knows no route.
"""

from __future__ import annotations

import math
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from tranh.engine.jobs import Busy
from tranh.serve.orders import Refused
from tranh.types import TranhError


def body(message: str, type: str, code: str | None = None, param: str | None = None) -> dict[str, Any]:
    """The JSON of an error."""
    return {"error": {"message": message, "type": type, "param": param, "code": code}}


def answer(error: Refused) -> JSONResponse:
    """The reply that says it. Clients try again by themselves only where that can help."""
    headers = {"x-should-retry": "false"} if error.status >= 500 else {}
    if error.retry_after is not None:
        headers = {"retry-after": str(max(1, math.ceil(error.retry_after)))}
    return JSONResponse(body(str(error), error.type, error.code, error.param), error.status, headers)


def refusal(error: TranhError) -> Refused:
    """Any fault of the user's as one that HTTP can tell."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, Busy):
        return Refused(
            str(error), status=429, type="rate_limit_error", code="rate_limit_exceeded", retry_after=error.retry_after
        )
    return Refused(str(error), code="invalid_value")


def install(app: FastAPI) -> None:
    """Answer every error of an application in this shape."""

    @app.exception_handler(TranhError)
    async def _told(request: Request, error: TranhError) -> JSONResponse:
        return answer(refusal(error))

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        kind = "server_error" if error.status_code >= 500 else "invalid_request_error"
        return JSONResponse(body(str(error.detail), kind), error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(one) for one in first["loc"][1:]) or None
        code = {"missing": "missing_required_parameter", "extra_forbidden": "unknown_parameter"}.get(first["type"])
        said = f"{where}: {first['msg']}" if where else first["msg"]
        return JSONResponse(body(said, "invalid_request_error", code or "invalid_value", where), 400)

    @app.exception_handler(Exception)
    async def _own(request: Request, error: Exception) -> JSONResponse:
        return answer(Refused("the server failed at this request", status=500, type="server_error"))
