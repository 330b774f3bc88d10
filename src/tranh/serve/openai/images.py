"""The routes that make pictures: generations, edits, variations, and the addresses of their files.

They know no model: an order goes to the desk, and what becomes of it is told.
"""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Request, Response
from PIL import Image

from tranh.serve.desk import Desk
from tranh.serve.keys import Caller, From
from tranh.serve.native import AtDesk
from tranh.serve.openai import told
from tranh.serve.openai.answer import Call, answer
from tranh.serve.openai.asked import Edit, Generation, Variation
from tranh.serve.openai.form import described, form, pictures
from tranh.serve.openai.placed import editor, model_of, placed
from tranh.serve.openai.told import How, Images, Rewrite
from tranh.serve.orders import Refused
from tranh.serve.signed import Signer
from tranh.serve.uploads import Upload, as_png

router = APIRouter(prefix="/images")

MOST_PICTURES = 16

IdempotencyKey = Annotated[str | None, Header(max_length=255, description="The same word gives the same job.")]
Retries = Annotated[str | None, Header(alias="x-stainless-retry-count", include_in_schema=False)]

STREAMS: dict[int | str, dict[str, Any]] = {
    200: {
        "model": Images,
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
        "description": "The pictures; with `stream`, events `*.partial_image` and `*.completed`.",
    }
}


@router.post("/generations", response_model=Images, responses=STREAMS)
async def generations(
    asked: Generation, request: Request, desk: AtDesk, by: From, idempotency_key: IdempotencyKey = None,
    retries: Retries = None,
) -> Response:  # fmt: skip
    """Draw pictures of a prompt."""
    model = model_of(desk, asked.model)
    order = placed(model, "generate", asked, {}, idempotency_key)
    return await answer(Call(request, desk, by, asked, model, order, "image_generation", idempotency_key, retries))


@router.post(
    "/edits", response_model=Images, responses=STREAMS, openapi_extra=described(Edit, ("image",), ("mask",), many=True)
)
async def edits(
    request: Request, desk: AtDesk, by: From, idempotency_key: IdempotencyKey = None, retries: Retries = None
) -> Response:
    """Change a picture: where a mask is transparent something is drawn into it; without one an instruction is followed
    by models that learned to, and by others the picture is drawn again."""
    call = await _edit(request, desk, by, idempotency_key, retries)
    request.state.let_go()  # what was sent is on disk, and the wait may be long
    return await answer(call)


async def _edit(request: Request, desk: Desk, by: Caller, idempotency_key: str | None, retries: str | None) -> Call:
    """A call with its pictures kept on disk: unpacked, nobody holds them while it waits."""
    asked, files = await form(request, Edit, ("image", "image[]", "mask"), MOST_PICTURES + 1)
    found = await pictures(files)
    images = [*found.get("image", []), *found.get("image[]", [])]
    masks = found.get("mask", [])
    if not images:
        raise missing()
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
    order = placed(model, tool, asked, kept, idempotency_key, images[0].image.size)
    pixels = sum(one.image.width * one.image.height for one in (*images, *masks))
    return Call(request, desk, by, asked, model, order, "image_edit", idempotency_key, retries, pixels)


@router.post("/variations", response_model=Images, openapi_extra=described(Variation, ("image",)))
async def variations(
    request: Request, desk: AtDesk, by: From, idempotency_key: IdempotencyKey = None, retries: Retries = None
) -> Response:
    """Draw other pictures that mean the same as one."""
    call = await _variation(request, desk, by, idempotency_key, retries)
    request.state.let_go()  # what was sent is on disk, and the wait may be long
    return await answer(call)


async def _variation(
    request: Request, desk: Desk, by: Caller, idempotency_key: str | None, retries: str | None
) -> Call:
    """As :func:`_edit`."""
    asked, files = await form(request, Variation, ("image",), 1)
    images = (await pictures(files)).get("image", [])
    if not images:
        raise missing()
    model = model_of(desk, asked.model)
    order = placed(model, "variation", asked, {"image": await _keep(desk, images[0].image, by)}, idempotency_key)
    pixels = images[0].image.width * images[0].image.height
    return Call(request, desk, by, asked, model, order, "", idempotency_key, retries, pixels)


@router.head("/files/{id}", include_in_schema=False)
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
    order = desk.job(picture.job, owner).order
    data = told.written(desk.file(picture), How(kind, compression), rewrite, order, picture.settings)
    headers = {"cache-control": "private, max-age=3600", "cross-origin-resource-policy": "cross-origin"}
    return Response(data, media_type=f"image/{kind}", headers=headers)


def missing() -> Refused:
    return Refused("image is missing: send a PNG, JPEG or WebP file", code="missing_required_parameter", param="image")


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
