"""From an order to a reply: all pictures at once when they are done, or a stream of them on their way.

It knows neither routes nor fields of requests.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from tranh.serve.desk import Desk, stops
from tranh.serve.errors import body, refusal
from tranh.serve.events import PAUSE, Events, with_pauses
from tranh.serve.keys import Caller
from tranh.serve.openai import told
from tranh.serve.openai.asked import Asked, Drawn
from tranh.serve.openai.calls import Calls, ended
from tranh.serve.openai.placed import Placed, renamed
from tranh.serve.openai.told import How, Images, Rewrite
from tranh.serve.orders import ENDS, Model, Picture, Record
from tranh.serve.signed import Signer
from tranh.serve.sources import pictures_of
from tranh.types import TranhError


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
        return told.written(self.desk.file(picture), self.how, self.rewrite, self.order.order, picture.settings)


async def answer(call: Call) -> Response:
    """Order it, or find the order that an earlier try of the same client left, and answer when it is done."""
    record = None
    if call.retries not in (None, "", "0"):
        record = await asyncio.to_thread(call.calls.running, call.by.owner, call.order)
    if record is None:
        record = await asyncio.to_thread(_submit, call)
    if isinstance(call.asked, Drawn) and call.asked.stream:
        return Events(_stream(call, record))
    async with _waiting(call, record):
        seconds = call.request.app.state.settings.seconds
        done = await ended(call.request, call.desk, record, seconds)
    if done is None and call.calls.closing:
        raise stops()
    if done is None:  # or whoever asked has left, and reads nothing
        raise told.late(seconds)
    if done.status != "completed":
        raise told.failed(done)
    reply = await asyncio.to_thread(_reply, call, done)
    return JSONResponse(reply.model_dump(exclude_none=True))


def _waiting(call: Call, record: Record) -> Any:
    return call.calls.waiting(
        record, call.order.digest, again=call.retries is not None, keep=call.idempotency is not None
    )


def _submit(call: Call) -> Record:
    order, owner = call.order.order, call.by.owner
    try:
        return call.by.orders(pictures_of(order), lambda: call.desk.submit(order, owner, idempotency=call.idempotency))
    except TranhError as error:
        raise renamed(error, call.order.sent) from error


def _reply(call: Call, record: Record) -> Images:
    signer: Signer = call.request.app.state.signer
    base, now = call.request.app.state.settings.public or str(call.request.base_url), time.time()

    def place(picture: Picture) -> str:
        return told.link(signer, base, picture, call.by.owner, call.how, now)

    return told.images(record, call.how, call.pixels, call.content, place)


async def _stream(call: Call, record: Record) -> AsyncGenerator[str, None]:
    """Pictures on their way, then pictures. Who stops reading cancels the job."""
    try:
        wanted = getattr(call.asked, "partial_images", None) or 0
        watched = call.desk.watch(record.id, record.owner, previews=bool(wanted))
        async with _waiting(call, record), aclosing(with_pauses(watched)) as updates:
            progress, sent = 0.0, Counts(wanted, record)
            yield ": accepted\n\n"
            async for update in updates:
                if update is None:
                    yield PAUSE
                elif update.kind == "progress":
                    progress = update.data["step"] / max(1, update.data["steps"])
                elif update.kind == "preview" and (place := sent.next(progress)) is not None:
                    shown = await asyncio.to_thread(
                        told.preview, update.data["b64_json"], call.how, call.rewrite, record.order
                    )
                    yield told.event(
                        f"{call.event}.partial_image",
                        {**told.common(call.how, shown[1]), "b64_json": shown[0], **place},
                    )
        done = await asyncio.to_thread(call.desk.job, record.id, record.owner)
        if done.status not in ENDS:
            raise stops()
        if done.status != "completed":
            raise told.failed(done)
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
    except TranhError as error:  # the job, or a picture of it, may have been deleted meanwhile too
        why = refusal(error)
        yield told.event("error", body(str(why), why.type, why.code, why.param))


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
