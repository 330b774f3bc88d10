"""The calls that clients of Stable Diffusion web UIs make, as a thin adapter over the desk.

It knows no model. These clients cannot choose freely: what they ask for is brought to the nearest size that the model
makes, words it was never taught are drawn past, and the reply says what was drawn.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import secrets
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from PIL import Image, ImageOps

from tranh.engine.picture import describe
from tranh.recipes.marks import settings_of
from tranh.serve import errors, uploads
from tranh.serve import sdapi_fields as told
from tranh.serve.desk import Desk, as_preview
from tranh.serve.keys import Caller, From
from tranh.serve.native import AtDesk
from tranh.serve.openai.calls import ended
from tranh.serve.orders import Model, Order, Picture, Record, Refused
from tranh.text.normalise import normalise
from tranh.text.words import WORD
from tranh.types import TranhError

OWN = ("", "none", "automatic", "normal", "euler", "ddim")
"""Samplers and schedulers that clients send without being asked to: the model's own is meant where it has none such."""

ALWAYS = {"negative_prompt": "negative_prompt", "steps": "steps", "guidance": "cfg_scale"}
"""Fields of tools that clients send a value for whatever the model is, and what they call them."""


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


ANSWERS: dict[int | str, dict[str, Any]] = {
    status: {**answer, "model": told.Failed | errors.Failed} for status, answer in errors.ANSWERS.items()
}
"""What was refused before it came to a route of these has the shape of all others."""

router = APIRouter(prefix="/sdapi/v1", tags=["Stable Diffusion web UI"], route_class=Route, responses=ANSWERS)


@router.post("/txt2img")
async def txt2img(sent: told.Txt2Img, request: Request, desk: AtDesk, calls: TheCalls, by: From) -> told.Made:
    """Draw what a prompt says, and wait for it."""

    def order() -> Order:
        model = _model(desk, calls, by, sent)
        asked = _asked(sent, model, "generate")
        return Order("generate", model.name, asked | _sampler(sent, model) | _size(sent, model))

    return await _made(request, desk, calls, by, sent, order)


@router.post("/img2img")
async def img2img(sent: told.Img2Img, request: Request, desk: AtDesk, calls: TheCalls, by: From) -> told.Made:
    """Draw a picture again as a prompt says, or what is white in a mask, and wait for it."""
    image = await _picture(sent.init_images[0], "init_images")
    mask = None if sent.mask is None else await _picture(sent.mask, "mask")

    def order() -> Order:
        model = _model(desk, calls, by, sent)
        if mask is None:
            return Order("img2img", model.name, _asked(sent, model, "img2img") | _again(desk, by, sent, model, image))
        return Order(
            "inpaint", model.name, _asked(sent, model, "inpaint") | _inside(desk, by, sent, model, image, mask)
        )

    return await _made(request, desk, calls, by, sent, order)


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
    data = _decoded(sent.image, "image")
    size = (await uploads.received(data, "image")).image.size
    found = await run_in_threadpool(settings_of, data)
    if found is None:
        return told.PngInfo(info="", items={}, parameters={})
    text = describe(found[1], size)
    figures = dict(figure.split(": ", 1) for figure in text.splitlines()[-1].split(", ") if ": " in figure)
    said = {"Prompt": found[1].get("prompt", ""), "Negative prompt": found[1].get("negative_prompt", "")}
    return told.PngInfo(info=text, items={"parameters": text}, parameters=said | figures)


def _model(desk: Desk, calls: Calls, by: Caller, sent: told.Txt2Img) -> Model:
    """The model of a call: that it names, that the caller has chosen, or the default one."""
    named = sent.override_settings.sd_model_checkpoint if sent.override_settings else None
    return desk.model(named or calls.models.get(by.owner))


def _asked(sent: told.Txt2Img, model: Model, tool: str) -> dict[str, Any]:
    """The fields that every tool has; what clients send without being asked to, and it has no use for, is left out."""
    asked = {
        "prompt": sent.prompt,
        "negative_prompt": sent.negative_prompt or None,
        "count": (sent.batch_size or 1) * (sent.n_iter or 1),
        "seed": secrets.randbelow(2**32) if sent.seed in (None, -1) else sent.seed,
        "steps": sent.steps,
        "guidance": sent.cfg_scale,
        "allow_unknown": _some_known(sent.prompt, model) or None,
    }
    fields = model.about.get("tools", {}).get(tool)
    useless = set() if fields is None else ALWAYS.keys() - fields.keys()
    return {name: value for name, value in asked.items() if value is not None and name not in useless}


def _some_known(prompt: str, model: Model) -> bool:
    """Does the model know any word of a prompt? One of which it knows none is refused, with what it knows."""
    unknown = {each["word"] for each in model.understand(prompt)["unknown"]}
    return not (unknown and unknown.issuperset(WORD.findall(normalise(prompt))))


def _sampler(sent: told.Txt2Img, model: Model) -> dict[str, str]:
    """The sampler that is meant, if it is not the model's own.

    Raises:
        Refused: the model has no such sampler or scheduler.
    """
    if (sent.scheduler or "").lower() not in OWN:
        raise Refused(f"scheduler: {model.name} has no scheduler {sent.scheduler!r}; allowed: Automatic")
    wanted = (sent.sampler_name or sent.sampler_index or "").lower()
    names: Mapping[str, str] = {name.lower(): name for name in model.about.get("samplers") or ()}
    if wanted in names:
        return {"sampler": names[wanted]}
    if wanted in OWN:
        return {}
    allowed = ", ".join(("Automatic", *names.values()))
    raise Refused(f"sampler_name: {model.name} has no sampler {wanted!r}; allowed: {allowed}", code="invalid_value")


def _size(sent: told.Txt2Img, model: Model) -> dict[str, int]:
    """The size nearest to what is asked that the model makes, by the number of pixels."""
    if sent.width is None and sent.height is None:
        return {}
    wanted = math.sqrt((sent.width or sent.height or 1) * (sent.height or sent.width or 1))
    sizes = model.about.get("sizes") or [max(8, 8 * round(wanted / 8))]
    return {"size": min(sizes, key=lambda size: abs(math.log(size / wanted)))}


def _again(desk: Desk, by: Caller, sent: told.Img2Img, model: Model, image: Image.Image) -> dict[str, Any]:
    """What img2img is asked beyond the prompt."""
    if _sampler(sent, model):
        raise Refused("sampler_name: img2img draws in one way: send Automatic", code="invalid_value")
    side = _size(sent, model).get("size") or max(image.size)
    return {"image": _keep(desk, by, _squared(image, side, sent)), "strength": sent.denoising_strength}


def _inside(
    desk: Desk, by: Caller, sent: told.Img2Img, model: Model, image: Image.Image, mask: Image.Image
) -> dict[str, Any]:
    """What inpainting is asked beyond the prompt; pictures of any size keep theirs, as far as they are squares."""
    if sent.denoising_strength not in (None, 0.75, 1):
        raise Refused(
            f"denoising_strength is {sent.denoising_strength}: what a mask marks is drawn anew as a whole; allowed: 1",
            code="invalid_value",
        )
    hole = ImageOps.invert(mask.convert("L")) if sent.inpainting_mask_invert else mask.convert("L")
    side = round(math.sqrt((sent.width or image.width) * (sent.height or image.height)))
    pictures = {"image": image, "mask": hole.resize(image.size)}
    kept = {name: _keep(desk, by, _squared(each, side, sent)) for name, each in pictures.items()}
    return kept | _sampler(sent, model)


def _squared(image: Image.Image, side: int, sent: told.Img2Img) -> Image.Image:
    if sent.resize_mode == 1:
        return ImageOps.fit(image, (side, side))
    return image if image.size == (side, side) else image.resize((side, side), Image.Resampling.BICUBIC)


def _decoded(text: str, where: str) -> bytes:
    """The file in base64 or in a data URL.

    Raises:
        Refused: it is neither. Addresses are never fetched.
    """
    if text.lower().startswith(("http:", "https:", "ftp:", "file:")):
        raise Refused(f"{where}: addresses are never fetched: send the picture as base64", code="invalid_image")
    _, comma, after = text.partition(",")
    try:
        return base64.b64decode("".join((after if comma else text).split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused(f"{where}: it is no base64 ({error})", code="invalid_image") from error


async def _picture(text: str, where: str) -> Image.Image:
    return (await uploads.received(_decoded(text, where), where)).image


def _keep(desk: Desk, by: Caller, image: Image.Image) -> str:
    return desk.add(uploads.as_png(image), "image/png", by.owner)


async def _made(
    request: Request, desk: Desk, calls: Calls, by: Caller, sent: told.Txt2Img, order: Callable[[], Order]
) -> told.Made:
    """Order, wait, and tell. Who leaves takes the order along.

    Raises:
        Refused: there are no pictures.
    """
    count = (sent.batch_size or 1) * (sent.n_iter or 1)

    def submitted() -> Record:
        by.pays(count)
        return desk.submit(order(), by.owner)

    record = await run_in_threadpool(submitted)
    call = Call(by.owner, record.id, count)
    calls.waiting.append(call)
    try:
        found = await ended(request, desk, record, request.app.state.settings.seconds)
    finally:
        calls.waiting.remove(call)
    if found is None:  # whoever asked has left, or waited too long
        found = await run_in_threadpool(desk.cancel, record.id, by.owner)
    return await run_in_threadpool(_answer, desk, found, sent)


def _answer(desk: Desk, record: Record, sent: told.Txt2Img) -> told.Made:
    if record.fault is not None:
        status = 400 if record.fault.type == "invalid_request_error" else 500
        raise Refused(record.fault.message, status=status, type=record.fault.type, code=record.fault.code)
    if not record.pictures:
        raise Refused("it was interrupted before there was a picture", status=409, code="interrupted")
    files = [desk.file(picture) for picture in record.pictures] if sent.send_images is not False else []
    parameters = sent.model_dump(exclude=None if sent.include_init_images else {"init_images", "mask"})
    images = [base64.b64encode(data).decode() for data in files]
    return told.Made(images=images, parameters=parameters, info=json.dumps(_info(record, sent), ensure_ascii=False))


def _info(record: Record, sent: told.Txt2Img) -> dict[str, Any]:
    """What was drawn, by the names that these clients know."""
    first = record.pictures[0]
    settings = first.settings
    return {
        "prompt": sent.prompt,
        "all_prompts": [sent.prompt] * len(record.pictures),
        "negative_prompt": sent.negative_prompt or "",
        "all_negative_prompts": [sent.negative_prompt or ""] * len(record.pictures),
        "seed": first.seed,
        "all_seeds": [picture.seed for picture in record.pictures],
        "subseed": -1,
        "all_subseeds": [-1] * len(record.pictures),
        "subseed_strength": 0,
        "width": first.width,
        "height": first.height,
        "sampler_name": settings.get("sampler") or "Automatic",
        "cfg_scale": settings.get("guidance"),
        "steps": settings.get("steps"),
        "batch_size": len(record.pictures),
        "restore_faces": False,
        "sd_model_name": record.order.model,
        "sd_model_hash": str(settings.get("hash") or "")[:10],
        "denoising_strength": record.order.request.get("strength"),
        "extra_generation_params": {},
        "index_of_first_image": 0,
        "infotexts": [_infotext(picture) for picture in record.pictures],
        "styles": [],
        "job_timestamp": time.strftime("%Y%m%d%H%M%S", time.gmtime(first.created_at)),
        "clip_skip": 1,
        "version": "Tranh",
        "notices": [*record.notices, *_left_out(record, sent)],
    }


def _left_out(record: Record, sent: told.Txt2Img) -> list[str]:
    """What was sent and the model has no use for."""
    asked = record.order.request
    useless = [name for field, name in ALWAYS.items() if field not in asked and getattr(sent, name) not in (None, "")]
    return [f"{name}: {record.order.model} has no use for it" for name in useless]


def _infotext(picture: Picture) -> str:
    return describe(picture.settings, (picture.width, picture.height))
