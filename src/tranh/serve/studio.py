"""The studio: the page people draw with, served from the package as it lies there.

It knows neither jobs nor models: the page asks the same API as everybody else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable

from fastapi import APIRouter, Request, Response

KINDS = {
    "html": "text/html", "js": "text/javascript", "css": "text/css", "json": "application/json", "svg": "image/svg+xml",
}  # fmt: skip
HEADERS = {
    "cache-control": "no-cache",  # asked for each time, answered with 304 while it is the same
    "content-security-policy": (
        "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}
PAGE = "index.html"
router = APIRouter(include_in_schema=False)


def _lying(folder: Traversable, before: str = "") -> Iterator[tuple[str, bytes]]:
    """Every file of the page below a folder, by its name from there."""
    for one in sorted(folder.iterdir(), key=lambda one: one.name):
        if one.is_dir():
            yield from _lying(one, f"{before}{one.name}/")
        elif one.name.rpartition(".")[2] in KINDS:
            yield f"{before}{one.name}", one.read_bytes()


def _serve(route: str, name: str, content: bytes) -> None:
    tag = f'"{hashlib.sha256(content).hexdigest()[:20]}"'
    headers, kind = HEADERS | {"etag": tag}, f"{KINDS[name.rpartition('.')[2]]}; charset=utf-8"

    @router.api_route(route, methods=["GET", "HEAD"])
    def file(request: Request) -> Response:
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=kind, headers=headers)


for _name, _content in _lying(files("tranh.serve") / "studio"):
    _serve("/" if _name == PAGE else f"/studio/{_name}", _name, _content)
