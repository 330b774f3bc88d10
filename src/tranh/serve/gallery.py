"""Pictures over HTTP: those that are sent, and those that were made, one by one or as an archive.

It knows no model and no job.
"""

from __future__ import annotations

import time
import zipfile
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import UploadFile

from tranh.recipes.marks import settings_of
from tranh.serve import uploads
from tranh.serve.desk import Desk
from tranh.serve.keys import From
from tranh.serve.names import file_name, file_names
from tranh.serve.native import AtDesk, Limit, Page
from tranh.serve.orders import Picture, Refused
from tranh.serve.replies import Deleted, ImageList, ImageReply, UploadReply

router = APIRouter(prefix="/api", tags=["images"])

FOREVER = "private, max-age=31536000, immutable"
"""What is behind an address never changes; it may be deleted."""

IfNoneMatch = Annotated[str | None, Header(description="ETags that are known; the reply is then 304")]
BINARY: dict[str, Any] = {"schema": {"type": "string", "contentMediaType": "application/octet-stream"}}
FILE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/png": {}, "image/webp": {}, "image/gif": {}}, "description": "the file"},
    304: {"description": "it is the file that is known already"},
}
SENT = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"file": {"type": "string", "contentMediaType": "application/octet-stream"}},
                    "required": ["file"],
                }
            },
            "application/octet-stream": BINARY,
        },
    }
}


@router.post("/uploads", status_code=201, openapi_extra=SENT)
async def upload(request: Request, desk: AtDesk, by: From) -> UploadReply:
    """Send a picture (PNG, JPEG or WebP), as the part `file` of a form or as the whole body, to name it in requests."""
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        async with request.form(max_files=1, max_fields=8) as form:
            part = form.get("file")
            if not isinstance(part, UploadFile):
                raise Refused("the form has no file called 'file'", code="missing_required_parameter", param="file")
            data = await part.read()
    else:
        data = await request.body()
    found = await uploads.received(data, "file")
    return await run_in_threadpool(_kept, desk, by.owner, found, data)


def _kept(desk: Desk, owner: str, found: uploads.Upload, data: bytes) -> UploadReply:
    (width, height), (program, settings) = found.image.size, settings_of(data) or (None, None)
    id = desk.add(found.png(), "image/png", owner)
    return UploadReply(id=id, width=width, height=height, program=program, settings=settings)


@router.get("/uploads/{id}/file", response_class=Response, responses=FILE)
def sent_file(id: str, desk: AtDesk, by: From, if_none_match: IfNoneMatch = None) -> Response:
    """A picture inside a request, by the id that the job's `request` tells: its pixels as a PNG."""
    picture = desk.picture_in(id, by.owner)
    if _known(id, if_none_match):
        return Response(status_code=304, headers=_headers(id))
    return Response(uploads.as_png(picture), media_type="image/png", headers=_headers(id))


@router.get("/images")
def images(desk: AtDesk, by: From, favourite: bool | None = None, cursor: Page = None, limit: Limit = 50) -> ImageList:
    """Finished pictures, newest first."""
    found, following = desk.pictures(by.owner, favourite=favourite, cursor=cursor, limit=limit)
    return ImageList(data=[ImageReply.of(picture) for picture in found], next=following)


@router.get("/images/{id}")
def image(id: str, desk: AtDesk, by: From) -> ImageReply:
    """A finished picture and what it was made with."""
    return ImageReply.of(desk.picture(id, by.owner))


class Marked(BaseModel):
    """What is changed of a picture."""

    model_config = ConfigDict(extra="forbid")
    favourite: bool


@router.patch("/images/{id}")
def mark(id: str, sent: Marked, desk: AtDesk, by: From) -> ImageReply:
    """Make a picture a favourite, or no longer one."""
    return ImageReply.of(desk.mark(id, by.owner, favourite=sent.favourite))


@router.delete("/images/{id}")
def discard(id: str, desk: AtDesk, by: From) -> Deleted:
    """Delete a picture; its job stays."""
    desk.discard(id, by.owner)
    return Deleted(id=id, object="image")


@router.get("/images/{id}/file", response_class=Response, responses=FILE)
def file(id: str, desk: AtDesk, by: From, if_none_match: IfNoneMatch = None) -> Response:
    """The file of a picture, with its settings inside."""
    picture = desk.picture(id, by.owner)
    headers = _headers(picture.sha256) | {"content-disposition": f'inline; filename="{file_name(picture)}"'}
    if _known(picture.sha256, if_none_match):
        return Response(status_code=304, headers=headers)
    return Response(desk.file(picture), media_type=picture.mime, headers=headers)


@router.get("/images/{id}/thumb", response_class=Response, responses=FILE)
def thumb(id: str, desk: AtDesk, by: From, if_none_match: IfNoneMatch = None) -> Response:
    """The picture, no side longer than 256 pixels, as a WebP without settings."""
    picture = desk.picture(id, by.owner)
    name = f"{picture.sha256}-small"
    if _known(name, if_none_match):
        return Response(status_code=304, headers=_headers(name))
    return Response(desk.thumb(picture), media_type="image/webp", headers=_headers(name))


class Wanted(BaseModel):
    """Pictures to be put together."""

    model_config = ConfigDict(extra="forbid")
    ids: list[str] = Field(min_length=1, max_length=1000, description="of images")


@router.post(
    "/images/zip",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/zip": {}}, "description": "the archive"}},
)
def archive(sent: Wanted, desk: AtDesk, by: From) -> StreamingResponse:
    """Several pictures as one archive, sent while it is made."""
    pictures = [desk.picture(id, by.owner) for id in dict.fromkeys(sent.ids)]
    headers = {"content-disposition": 'attachment; filename="tranh.zip"'}
    return StreamingResponse(_zipped(desk, pictures), media_type="application/zip", headers=headers)


class _Pieces:
    """A file that can only be written to; what was written is taken out piece by piece."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        pass

    def take(self) -> bytes:
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken


def _zipped(desk: Desk, pictures: Sequence[Picture]) -> Iterator[bytes]:
    pieces: Any = _Pieces()
    with zipfile.ZipFile(pieces, "w", zipfile.ZIP_STORED) as zipped:  # pictures are compressed already
        for picture, name in zip(pictures, file_names(pictures), strict=True):
            entry = zipfile.ZipInfo(name, time.gmtime(picture.created_at)[:6])
            entry.external_attr = 0o644 << 16
            zipped.writestr(entry, desk.file(picture))
            yield pieces.take()
    yield pieces.take()


def _headers(name: str) -> dict[str, str]:
    return {"etag": f'"{name}"', "cache-control": FOREVER, "x-content-type-options": "nosniff"}


def _known(name: str, if_none_match: str | None) -> bool:
    tags = {tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")}
    return bool(tags & {f'"{name}"', "*"})
