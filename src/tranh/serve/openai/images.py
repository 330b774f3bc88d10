"""The routes that make pictures: generations, edits, variations, and the addresses of their files.

They know no model: an order goes to the desk, and what becomes of it is told.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from PIL import Image

from tranh.serve.desk import Desk
from tranh.serve.errors import body
from tranh.serve.keys import Caller, From
from tranh.serve.native import AtDesk
from tranh.serve.openai import told
from tranh.serve.openai.asked import Asked, Drawn, Edit, Generation, Variation
from tranh.serve.openai.calls import Calls, ended, with_pauses
from tranh.serve.openai.form import described, form, pictures
from tranh.serve.openai.placed import Placed, editor, model_of, placed, renamed
from tranh.serve.openai.told import How, Images, Rewrite
from tranh.serve.orders import Model, Picture, Record, Refused
from tranh.serve.signed import Signer
from tranh.serve.sources import pictures_of
from tranh.serve.uploads import Upload, as_png
from tranh.types import TranhError

router = APIRouter(prefix="/images")

KEEP_ALIVE = 10.0
"""Seconds after which a stream says that it is still there."""

MOST_PICTURES = 16

MISSING = Refused("image is missing: send a PNG, JPEG or WebP file", code="missing_required_parameter", param="image")

IdempotencyKey = Annotated[str | None, Header(max_length=255, description="The same word gives the same job.")]
Retries = Annotated[str | None, Header(alias="x-stainless-retry-count", include_in_schema=False)]

STREAMS: dict[int | str, dict[str, Any]] = {
    200: {
        "model": Images,
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
        "description": "The pictures; with `stream`, events `*.partial_image` and `*.completed`.",
    }
}


@dataclass(frozen=True)
class Call:
    """A request on its way to its pictures.

    Attributes:
        event: what its stream's events begin with. pixels: of the pictures sent.
    """

    request: Request
    desk: Desk
    by: Caller
    asked: Asked
    model: Model
    order: Placed
    event: str
    idempotency: str | None
    retries: str | None
    pixels: int = 0
    how: How = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "how", told.how(self.asked, self.asked.model))

    @property
    def calls(self) -> Calls:
        calls: Calls = self.request.app.state.waiting
        return calls

    @property
    def rewrite(self) -> Rewrite:
        rewrite: Rewrite = self.request.app.state.settings.rewrite
        return rewrite

    def content(self, picture: Picture) -> bytes:
        """A finished picture's file as it was asked for."""
        return told.written(self.desk.file(picture), self.how, self.rewrite, picture.settings)


@router.post("/generations", response_model=Images, responses=STREAMS)
async def generations(
    asked: Generation, request: Request, desk: AtDesk, by: From, idempotency_key: IdempotencyKey = None,
    retries: Retries = None,
) -> Response:  # fmt: skip
    """Draw pictures of a prompt."""
    model = model_of(desk, asked.model)
    order = placed(model, "generate", asked, {}, idempotency_key)
    return await _answer(Call(request, desk, by, asked, model, order, "image_generation", idempotency_key, retries))


@router.post(
    "/edits", response_model=Images, responses=STREAMS, openapi_extra=described(Edit, ("image",), ("mask",), many=True)
)
async def edits(
    request: Request, desk: AtDesk, by: From, idempotency_key: IdempotencyKey = None, retries: Retries = None
) -> Response:
    """Change a picture: where a mask is transparent something is drawn into it; without one an instruction is followed
    by models that learned to, and by others the picture is drawn again."""
    asked, files = await form(request, Edit, ("image", "image[]", "mask"), MOST_PICTURES + 1)
    found = await pictures(files)
    images = [*found.get("image", []), *found.get("image[]", [])]
    masks = found.get("mask", [])
    if not images:
        raise MISSING
    if len(images) > 1:
        raise Refused(
            f"{len(images)} pictures are sent as image; one can be changed at a time", code="unsupported_parameter",
            param="image",
        )  # fmt: skip
    if len(masks) > 1:
        raise Refused(f"{len(masks)} masks are sent; allowed: one", code="invalid_value", param="mask")
    hole = _hole(images[0], masks[0] if masks else None)
    model = model_of(desk, asked.model)
    tool = editor(model, hole is not None, asked.strength is not None)
    kept = {"image": await _keep(desk, images[0].image, by)}
    if hole is not None:
        kept["mask"] = await _keep(desk, hole, by)
    order = placed(model, tool, asked, kept, idempotency_key)
    pixels = sum(one.image.width * one.image.height for one in (*images, *masks))
    return await _answer(Call(request, desk, by, asked, model, order, "image_edit", idempotency_key, retries, pixels))


@router.post("/variations", response_model=Images, openapi_extra=described(Variation, ("image",)))
async def variations(
    request: Request, desk: AtDesk, by: From, idempotency_key: IdempotencyKey = None, retries: Retries = None
) -> Response:
    """Draw other pictures that mean the same as one."""
    asked, files = await form(request, Variation, ("image",), 1)
    images = (await pictures(files)).get("image", [])
    if not images:
        raise MISSING
    model = model_of(desk, asked.model)
    order = placed(model, "variation", asked, {"image": await _keep(desk, images[0].image, by)}, idempotency_key)
    pixels = images[0].image.width * images[0].image.height
    return await _answer(Call(request, desk, by, asked, model, order, "", idempotency_key, retries, pixels))


@router.get(
    "/files/{id}",
    response_class=Response,
    responses={200: {"content": {kind: {} for kind in ("image/png", "image/jpeg", "image/webp")}}},
)
def file(
    id: str, request: Request, desk: AtDesk, owner: Annotated[str, Query(max_length=64)],
    until: Annotated[str, Query(max_length=20)], signature: Annotated[str, Query(max_length=100)],
    kind: Literal["png", "jpeg", "webp"] = "png", compression: Annotated[int, Query(ge=0, le=100)] = 100,
) -> Response:  # fmt: skip
    """A picture by the link that a reply gave. It needs no key, and works for an hour."""
    signer: Signer = request.app.state.signer
    good = signer.good(signature, "picture", id, owner, until, kind, str(compression))
    if not good or int(until) < time.time():
        raise Refused("this link is no longer good: links work for an hour", status=403, code="link_expired")
    rewrite: Rewrite = request.app.state.settings.rewrite
    picture = desk.picture(id, owner)
    data = told.written(desk.file(picture), How(kind, compression), rewrite, picture.settings)
    headers = {"cache-control": "private, max-age=3600", "cross-origin-resource-policy": "cross-origin"}
    return Response(data, media_type=f"image/{kind}", headers=headers)


def _hole(image: Upload, mask: Upload | None) -> Image.Image | None:
    """Where to draw: white; None for a picture that is changed as a whole."""
    hole = mask.hole if mask is not None else image.hole
    if mask is not None and hole is None:
        raise Refused(
            "the mask is transparent nowhere: make it so where something is to be drawn", code="invalid_image",
            param="mask",
        )  # fmt: skip
    if hole is not None and hole.size != image.image.size:
        raise Refused(
            f"the mask has {hole.width} x {hole.height} pixels and the picture {image.image.width} x "
            f"{image.image.height}: they must be of one size",
            code="invalid_image",
            param="mask",
        )
    return hole


async def _keep(desk: Desk, image: Image.Image, by: Caller) -> str:
    return await asyncio.to_thread(lambda: desk.add(as_png(image), "image/png", by.owner))


async def _answer(call: Call) -> Response:
    """Order it, or find the order that an earlier try of the same client left, and answer when it is done."""
    record = None
    if call.retries not in (None, "", "0"):
        record = await asyncio.to_thread(call.calls.running, call.by.owner, call.order)
    if record is None:
        record = await asyncio.to_thread(_submit, call)
    if isinstance(call.asked, Drawn) and call.asked.stream:
        headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
        return StreamingResponse(_stream(call, record), media_type="text/event-stream", headers=headers)
    async with _waiting(call, record):
        seconds = call.request.app.state.settings.seconds
        done = await ended(call.request, call.desk, record, seconds)
    if done is None or done.status != "completed":
        raise told.failed(done or record)
    reply = await asyncio.to_thread(_reply, call, done)
    return JSONResponse(reply.model_dump(exclude_none=True))


def _waiting(call: Call, record: Record) -> Any:
    return call.calls.waiting(
        record, call.order.digest, again=call.retries is not None, keep=call.idempotency is not None
    )


def _submit(call: Call) -> Record:
    order = call.order.order
    call.by.pays(pictures_of(order))
    try:
        return call.desk.submit(order, call.by.owner, idempotency=call.idempotency)
    except TranhError as error:
        raise renamed(error, call.order.sent) from error


def _reply(call: Call, record: Record) -> Images:
    signer: Signer = call.request.app.state.signer
    base, now = str(call.request.base_url), time.time()

    def place(picture: Picture) -> str:
        return told.link(signer, base, picture, call.by.owner, call.how, now)

    return told.images(record, call.how, call.pixels, call.content, place)


async def _stream(call: Call, record: Record) -> AsyncIterator[str]:
    """Pictures on their way, then pictures. Who stops reading cancels the job."""
    wanted = getattr(call.asked, "partial_images", None) or 0
    async with _waiting(call, record):
        progress, sent = 0.0, Counts(wanted, record)
        updates = call.desk.watch(record.id, record.owner, previews=bool(wanted))
        yield ": accepted\n\n"
        async for update in with_pauses(updates, KEEP_ALIVE):
            if update is None:
                yield ": keep-alive\n\n"
            elif update.kind == "progress":
                progress = update.data["step"] / max(1, update.data["steps"])
            elif update.kind == "preview" and (place := sent.next(progress)) is not None:
                shown = await asyncio.to_thread(told.preview, update.data["b64_json"], call.how, call.rewrite)
                yield told.event(
                    f"{call.event}.partial_image",
                    {**told.common(call.how, shown[1]), "b64_json": shown[0], **place},
                )
    done = await asyncio.to_thread(call.desk.job, record.id, record.owner)
    if done.status != "completed":
        error = told.failed(done)
        yield told.event("error", body(str(error), error.type, error.code, error.param))
        return
    for picture in done.pictures:
        data = await asyncio.to_thread(call.content, picture)
        used = told.usage(done, (picture,), call.pixels).model_dump()
        more: Mapping[str, Any] = {
            "b64_json": told.b64(data), "usage": used, "image_index": picture.index, "seed": picture.seed,
            "model": done.order.model, "job": done.id, "settings": dict(picture.settings),
        }  # fmt: skip
        if call.how.safety_identifier:
            more = {**more, "safety_identifier": call.how.safety_identifier}
        common = told.common(call.how, f"{picture.width}x{picture.height}")
        yield told.event(f"{call.event}.completed", {**common, **more})


class Counts:
    """Which previews are sent: so many of each picture, evenly over its way."""

    def __init__(self, wanted: int, record: Record) -> None:
        self.wanted = wanted
        self.pictures = int(record.order.request.get("count") or 1)
        self.sent: dict[int, int] = {}

    def next(self, progress: float) -> dict[str, int] | None:
        """The numbers of a preview that is sent now; None for one that is left out.

        Args:
            progress: of the whole job, 0 to 1; its pictures are drawn one after another.
        """
        index = min(self.pictures - 1, int(progress * self.pictures - 1e-9))
        sent = self.sent.get(index, 0)
        within = progress * self.pictures - index
        if sent >= self.wanted or within < (sent + 1) / (self.wanted + 1) - 1e-9:
            return None
        self.sent[index] = sent + 1
        return {"partial_image_index": sent, "image_index": index}
