"""The routes: drawing and waiting for it, progress, interruption, options, and lists of what there is.

They know no field of a tool; see :mod:`tranh.serve.sdapi.placed`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from tranh.engine.picture import describe
from tranh.recipes.marks import settings_of
from tranh.serve import errors, uploads
from tranh.serve.desk import Desk, as_preview, stops
from tranh.serve.keys import Caller, From
from tranh.serve.native import AtDesk
from tranh.serve.openai.calls import ended
from tranh.serve.openai.told import late
from tranh.serve.orders import Model, Order, Record, Refused
from tranh.serve.sdapi import fields as told
from tranh.serve.sdapi.made import answer
from tranh.serve.sdapi.placed import decoded, of_picture, of_prompt, picture
from tranh.types import TranhError


@dataclass
class Call:
    """A call that waits for its pictures."""

    owner: str
    job: str
    pictures: int


@dataclass
class Calls:
    """Calls that wait, oldest first, and the model each owner has chosen; both are forgotten when the server stops."""

    waiting: list[Call] = field(default_factory=list)
    models: dict[str, str] = field(default_factory=dict)

    def oldest(self, owner: str) -> Call | None:
        return next((call for call in self.waiting if call.owner == owner), None)


def the_calls(request: Request) -> Calls:
    """The calls of the application."""
    calls: Calls = request.app.state.calls
    return calls


TheCalls = Annotated[Calls, Depends(the_calls)]


class Route(APIRoute):
    """A route whose errors have the shape that these clients know."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                return await handle(request)
            except TranhError as error:
                return refused(errors.refusal(error))
            except RequestValidationError as error:
                return refused(errors.invalid(error))

        return handled


def refused(error: Refused) -> JSONResponse:
    """The reply that says why there are no pictures."""
    shaped = told.Failed(error=error.code or error.type, detail=str(error), errors=str(error))
    headers = {name: value for name, value in errors.answer(error).headers.items() if name.startswith(("retry", "x-"))}
    return JSONResponse(shaped.model_dump(), error.status, headers)


EITHER = {"anyOf": [told.Failed.model_json_schema(), errors.FAILED_SCHEMA]}
"""What is refused before it comes to a route of these has the shape of all other errors."""

ANSWERS: dict[int | str, dict[str, Any]] = {
    status: {**answer, "content": {"application/json": {"schema": EITHER}}} for status, answer in errors.ANSWERS.items()
}

router = APIRouter(prefix="/sdapi/v1", tags=["Stable Diffusion web UI"], route_class=Route, responses=ANSWERS)


@router.post("/txt2img")
async def txt2img(sent: told.Txt2Img, request: Request, desk: AtDesk, calls: TheCalls, by: From) -> told.Made:
    """Draw what a prompt says, and wait for it."""
    record = await _ordered(desk, calls, by, sent, lambda model: of_prompt(model, sent))
    return await _made(request, desk, calls, by, sent, record)


@router.post("/img2img")
async def img2img(sent: told.Img2Img, request: Request, desk: AtDesk, calls: TheCalls, by: From) -> told.Made:
    """Draw a picture again as a prompt says, or what is white in a mask, and wait for it."""
    record = await _ordered_of_picture(desk, calls, by, sent)
    return await _made(request, desk, calls, by, sent, record)


async def _ordered_of_picture(desk: Desk, calls: Calls, by: Caller, sent: told.Img2Img) -> Record:
    """As :func:`_ordered`; unpacked, nobody holds the pictures while the call waits."""
    image = await picture(sent.init_images[0], "init_images")
    mask = None if sent.mask is None else await picture(sent.mask, "mask")

    def order(model: Model) -> Order:
        return of_picture(model, sent, desk, by.owner, image, mask)

    return await _ordered(desk, calls, by, sent, order)


@router.get("/progress")
def progress(desk: AtDesk, calls: TheCalls, by: From, skip_current_image: bool = False) -> told.Progress:
    """Where the oldest call stands that waits for its pictures; zeros where none does."""
    call = calls.oldest(by.owner)
    if call is None:
        return told.Progress()
    record = desk.job(call.job, by.owner)
    share = record.step / record.steps if record.steps else 0.0
    state = told.State(
        job=call.job, job_count=call.pictures, job_no=min(int(share * call.pictures), call.pictures - 1),
        job_timestamp=time.strftime("%Y%m%d%H%M%S", time.gmtime(record.created_at)),
        sampling_step=record.step, sampling_steps=record.steps,
    )  # fmt: skip
    waits = f"{record.queue_position} before it" if record.status == "queued" else None
    preview = None if skip_current_image else desk.preview(call.job, by.owner)
    shown = None if preview is None else as_preview(preview)
    return told.Progress(
        progress=share, eta_relative=record.eta_s or 0.0, state=state, current_image=shown, textinfo=waits
    )


@router.post("/interrupt")
@router.post("/skip")
def interrupt(desk: AtDesk, calls: TheCalls, by: From) -> told.Done:
    """Stop the oldest call that waits for its pictures; the next one goes on."""
    call = calls.oldest(by.owner)
    if call is not None:
        desk.cancel(call.job, by.owner)
    return told.Done()


@router.get("/options")
def options(desk: AtDesk, calls: TheCalls, by: From) -> told.Options:
    """What can be set, and how it stands."""
    model = desk.model(calls.models.get(by.owner))
    return told.Options(
        sd_model_checkpoint=model.name, sd_vae="Automatic", CLIP_stop_at_last_layers=1, samples_format="png"
    )


@router.post("/options")
def set_options(sent: told.Options, desk: AtDesk, calls: TheCalls, by: From) -> told.Done:
    """Choose the model that draws where a call names none, for the key that is used."""
    if sent.sd_model_checkpoint:
        calls.models[by.owner] = desk.model(sent.sd_model_checkpoint).name
    return told.Done()


@router.get("/sd-models")
def sd_models(desk: AtDesk, by: From) -> list[told.ModelItem]:
    """The models."""
    return [told.ModelItem(title=name, model_name=name, filename=name) for name in desk.models]


@router.get("/samplers")
def samplers(desk: AtDesk, calls: TheCalls, by: From) -> list[told.SamplerItem]:
    """The samplers of the chosen model; `Automatic` is its own."""
    names = desk.model(calls.models.get(by.owner)).about.get("samplers") or ()
    return [told.SamplerItem(name=name, aliases=[], options={}) for name in ("Automatic", *names)]


@router.get("/schedulers")
def schedulers(by: From) -> list[told.SchedulerItem]:
    """Each model has its own."""
    return [told.SchedulerItem(name="automatic", label="Automatic")]


@router.get("/upscalers")
def upscalers(by: From) -> list[told.UpscalerItem]:
    """None in these calls."""
    return [told.UpscalerItem(name="None", scale=1)]


@router.get("/latent-upscale-modes")
def latent_upscale_modes(by: From) -> list[told.Named]:
    """None in these calls."""
    return []


@router.get("/sd-vae")
def sd_vae(by: From) -> list[told.VaeItem]:
    """None to choose from."""
    return []


@router.post("/png-info")
async def png_info(sent: told.PngAsked, by: From) -> told.PngInfo:
    """What a picture was made with, as its file tells."""
    data = decoded(sent.image, "image")
    size = (await uploads.received(data, "image")).image.size
    found = await run_in_threadpool(settings_of, data)
    if found is None:
        return told.PngInfo(info="", items={}, parameters={})
    text = describe(found[1], size)
    figures = dict(figure.split(": ", 1) for figure in text.splitlines()[-1].split(", ") if ": " in figure)
    said = {"Prompt": found[1].get("prompt", ""), "Negative prompt": found[1].get("negative_prompt", "")}
    return told.PngInfo(info=text, items={"parameters": text}, parameters=said | figures)


async def _ordered(desk: Desk, calls: Calls, by: Caller, sent: told.Txt2Img, order: Callable[[Model], Order]) -> Record:
    """Order from the model that is named or chosen."""

    def submitted() -> Record:
        named = sent.override_settings.sd_model_checkpoint if sent.override_settings else None
        return desk.submit(order(desk.model(named or calls.models.get(by.owner))), by.owner)

    return await run_in_threadpool(by.orders, _count(sent), submitted)


async def _made(
    request: Request, desk: Desk, calls: Calls, by: Caller, sent: told.Txt2Img, record: Record
) -> told.Made:
    """Wait, and tell. Who leaves takes the order along; a server that ends goes on with it at its next start.

    Raises:
        Refused: there are no pictures.
    """
    call = Call(by.owner, record.id, _count(sent))
    calls.waiting.append(call)
    try:
        found = await ended(request, desk, record, request.app.state.settings.seconds)
    finally:
        calls.waiting.remove(call)
    if found is None and request.app.state.waiting.closing:
        raise stops()
    if found is None:  # whoever asked has left, or waited too long
        found = await run_in_threadpool(desk.cancel, record.id, by.owner)
        if found.status != "completed":
            raise late(request.app.state.settings.seconds)
    return await run_in_threadpool(answer, desk, found, sent)


def _count(sent: told.Txt2Img) -> int:
    return (sent.batch_size or 1) * (sent.n_iter or 1)
