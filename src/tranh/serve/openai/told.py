"""What the Images API answers: pictures, what was used for them, and the events of a stream.

It knows neither routes nor models.
"""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from PIL import Image
from pydantic import BaseModel, ConfigDict

from tranh.serve import events as sse
from tranh.serve.openai.asked import SHOWN_QUALITY, Asked
from tranh.serve.orders import Fault, Order, Picture, Record, Refused
from tranh.serve.signed import Signer

LINK_SECONDS = 3600
PATCH = 8
"""Side of the squares of pixels that count as one token of a picture."""

BACKGROUND: Literal["opaque"] = "opaque"

Quality = Literal["low", "medium", "high", "xhigh", "max"]


class Details(BaseModel):
    text_tokens: int
    image_tokens: int


class Usage(BaseModel):
    """Words of prompts, and squares of 8 x 8 pixels of pictures, sent and made."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_tokens_details: Details
    output_tokens_details: Details


class Made(BaseModel):
    """A picture: its seed and all its settings come with it."""

    model_config = ConfigDict(extra="allow")
    b64_json: str | None = None
    url: str | None = None
    revised_prompt: str | None = None
    seed: int
    settings: dict[str, Any]


class Images(BaseModel):
    """The pictures of a call, and what of its request they were made with."""

    model_config = ConfigDict(extra="allow")
    created: int
    data: list[Made]
    background: Literal["opaque"]
    output_format: Literal["png", "jpeg", "webp"]
    quality: Quality | None = None
    size: str
    usage: Usage
    safety_identifier: str | None = None
    model: str
    tool: str
    job: str
    notices: list[str]


@dataclass(frozen=True)
class How:
    """How pictures are given: in which format, as links or as bytes, and what is told back."""

    kind: Literal["png", "jpeg", "webp"] = "png"
    compression: int = 100
    linked: bool = False
    quality: Quality | None = None
    safety_identifier: str | None = None


def how(asked: Asked, model: str | None) -> How:
    """How a request wants its pictures. Links are the default of the models that had them as a default."""
    said = {name: getattr(asked, name, None) for name in ("output_format", "output_compression", "quality")}
    quality = said["quality"]
    compression = said["output_compression"]
    streamed = bool(getattr(asked, "stream", False))
    linked = asked.response_format == "url" or (asked.response_format is None and str(model).startswith("dall-e-"))
    return How(
        said["output_format"] or "png",
        100 if compression is None else compression,
        linked and not streamed,
        None if quality in (None, "auto") else SHOWN_QUALITY.get(quality, quality),
        getattr(asked, "safety_identifier", None) or asked.user or None,
    )


Rewrite = Callable[[Image.Image, Mapping[str, Any], str, int, Order, bool], bytes]
"""A picture and its settings as the bytes of a file of a format (Pillow's name) and quality; then the order it was made
by, and whether it is finished (or a preview)."""


def rewritten(
    image: Image.Image, settings: Mapping[str, Any], kind: str, quality: int, order: Order, finished: bool
) -> bytes:
    """Its pixels and nothing else of it."""
    file = io.BytesIO()
    image.save(file, kind, quality=quality)
    return file.getvalue()


def written(
    data: bytes, how: How, rewrite: Rewrite, order: Order, settings: Mapping[str, Any], *, finished: bool = True
) -> bytes:
    """A picture's file in the format that is wanted."""
    if how.kind == "png":
        return data
    with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
        return rewrite(image.convert("RGB"), settings, how.kind.upper(), how.compression, order, finished)


def preview(b64_json: str, how: How, rewrite: Rewrite, order: Order) -> tuple[str, str]:
    """A preview in the format that is wanted, and its size."""
    data = base64.b64decode(b64_json)
    with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
        size = f"{image.width}x{image.height}"
    return b64(written(data, how, rewrite, order, {}, finished=False)), size


def usage(record: Record, pictures: tuple[Picture, ...], sent: int) -> Usage:
    """What was used.

    Args:
        sent: pixels of the pictures that came with the request.
    """
    words = sum(len(str(record.order.request.get(name) or "").split()) for name in ("prompt", "negative_prompt"))
    seen, made = _patches(sent), sum(_patches(picture.width * picture.height) for picture in pictures)
    return Usage(
        input_tokens=words + seen,
        output_tokens=made,
        total_tokens=words + seen + made,
        input_tokens_details=Details(text_tokens=words, image_tokens=seen),
        output_tokens_details=Details(text_tokens=0, image_tokens=made),
    )


def _patches(pixels: int) -> int:
    return -(-pixels // PATCH**2)


def link(signer: Signer, base: str, picture: Picture, owner: str, how: How, now: float) -> str:
    """An absolute address of a picture that needs no key, for an hour."""
    until = str(int(now) + LINK_SECONDS)
    said = (picture.id, owner, until, how.kind, str(how.compression))
    sign = signer.sign("picture", *said)
    return (
        f"{base.rstrip('/')}/v1/images/files/{picture.id}?owner={owner}&until={until}&kind={how.kind}"
        f"&compression={how.compression}&signature={sign}"
    )


def images(
    record: Record, how: How, sent: int, content: Callable[[Picture], bytes], place: Callable[[Picture], str]
) -> Images:
    """The reply with all pictures of a job.

    Args:
        sent: pixels of the pictures that came with the request.
        content: the file of a picture, and its address where links are wanted.
    """
    data = []
    for picture in record.pictures:
        told = {"url": place(picture)} if how.linked else {"b64_json": b64(content(picture))}
        read, settings = revised(record, picture), dict(picture.settings)
        data.append(Made(**told, revised_prompt=read, seed=picture.seed, settings=settings))
    first = record.pictures[0]
    asked = {k: v for k, v in record.order.request.items() if k in ECHOED and v is not None}
    return Images(
        created=int(record.completed_at or time.time()),
        data=data,
        background=BACKGROUND,
        output_format=how.kind,
        quality=how.quality,
        size=f"{first.width}x{first.height}",
        usage=usage(record, record.pictures, sent),
        safety_identifier=how.safety_identifier,
        model=record.order.model,
        tool=record.order.tool,
        job=record.id,
        notices=list(record.notices),
        **{ECHOED[name]: value for name, value in asked.items()},
    )


ECHOED = {
    "seed": "seed", "steps": "num_inference_steps", "guidance": "guidance_scale", "negative_prompt": "negative_prompt",
    "strength": "strength", "sampler": "scheduler",
}  # fmt: skip
"""What of an order is told back, by the name clients know it by."""


def revised(record: Record, picture: Picture) -> str | None:
    """The prompt as the model read it, where that is another than was sent."""
    read = picture.settings.get("understood") or picture.settings.get("prompt")
    return str(read) if read and read != record.order.request.get("prompt") else None


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def failed(record: Record) -> Refused:
    """Why a job that has ended gave nothing."""
    fault = record.fault or Fault("the job was cancelled before it had ended")
    other = 503 if record.status == "cancelled" else 500
    status = 400 if fault.type == "invalid_request_error" else STATUS.get(fault.code or "", other)
    return Refused(fault.message, status=status, type=fault.type, code=fault.code, param=fault.param)


def late(seconds: float) -> Refused:
    """A call waited longer than it may."""
    message = (
        f"its pictures were not finished after {seconds:g} s, and no call waits longer: ask for fewer pictures or "
        "steps, or order them at /api/jobs, which does not wait"
    )
    return Refused(message, status=504, type="timeout_error", code="deadline_exceeded")


STATUS = {"insufficient_storage": 507, "deadline_exceeded": 504}


def event(name: str, data: Mapping[str, Any]) -> str:
    """One event of a stream."""
    return sse.event(name, {"type": name, **data})


def common(how: How, size: str) -> dict[str, Any]:
    """What every event of a stream says."""
    return {
        "created_at": int(time.time()), "size": size, "quality": how.quality or "auto", "background": BACKGROUND,
        "output_format": how.kind,
    }  # fmt: skip
