"""From what was asked to an order: the fields of a tool, pictures among the desk's files, sizes that the model makes.

It knows no route and no reply.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
import secrets
from collections.abc import Mapping
from typing import Any

from PIL import Image, ImageOps

from tranh.serve import uploads
from tranh.serve.desk import Desk
from tranh.serve.orders import Model, Order, Refused
from tranh.serve.sdapi.fields import Img2Img, Txt2Img
from tranh.text.normalise import normalise

TYPED = re.compile(r"(?<![:.])[^\W_]+")
"""A word as it is typed; the figures of a weight, (circle:1.2), are none."""

OWN = ("", "none", "automatic", "normal", "euler", "ddim")
"""Samplers and schedulers that clients send without being asked to: the model's own is meant where it has none such."""

ALWAYS = {"prompt": "prompt", "negative_prompt": "negative_prompt", "steps": "steps", "guidance": "cfg_scale"}
"""Fields of tools that clients send a value for whatever the model is, and what they call them."""


def of_prompt(model: Model, sent: Txt2Img) -> Order:
    """The order of a text."""
    asked = _asked(sent, model, "generate")
    return Order("generate", model.name, asked | _sampler(sent, model) | _size(sent, model))


def of_picture(
    model: Model, sent: Img2Img, desk: Desk, owner: str, image: Image.Image, mask: Image.Image | None
) -> Order:
    """The order of a picture, which the desk keeps: drawn again, or inside a mask."""
    tool = "img2img" if mask is None else "inpaint"
    more = _again(desk, owner, sent, model, image) if mask is None else _inside(desk, owner, sent, model, image, mask)
    return Order(tool, model.name, _asked(sent, model, tool) | more)


def _asked(sent: Txt2Img, model: Model, tool: str) -> dict[str, Any]:
    """The fields that every tool has; what clients send without being asked to, and it has no use for, is left out."""
    asked = {
        "prompt": taught(sent.prompt, model),
        "negative_prompt": _away(sent.negative_prompt, model),
        "count": (sent.batch_size or 1) * (sent.n_iter or 1),
        "seed": secrets.randbelow(2**32) if sent.seed in (None, -1) else sent.seed,
        "steps": sent.steps,
        "guidance": sent.cfg_scale,
    }
    fields = model.about.get("tools", {}).get(tool)
    useless = set() if fields is None else ALWAYS.keys() - fields.keys()
    return {name: value for name, value in asked.items() if value is not None and name not in useless}


def taught(text: str, model: Model) -> str:
    """What of a prompt the model knows: a word it was never taught can spoil the whole picture.

    Unknown words go, and with them what stands between two commas if most of it is unknown. A prompt of which nothing
    would be left stays as it is: the model refuses it, and says what it knows.
    """
    unknown = {each["word"] for each in model.understand(text)["unknown"]}
    if not unknown:
        return text
    kept = []
    for phrase in text.split(","):
        words = [normalise(word) for word in TYPED.findall(phrase)]
        strange = sum(word in unknown for word in words)
        if len(words) > 2 * strange:
            plain = TYPED.sub(lambda found: "" if normalise(found[0]) in unknown else found[0], phrase)
            kept.append(" ".join(plain.split()))
    return ", ".join(kept) or text


def _away(text: str | None, model: Model) -> str | None:
    """The negative prompt; None where the model knows nothing of it."""
    if not text or not TYPED.search(text):
        return None
    left = taught(text, model)
    return left if left != text or not model.understand(text)["unknown"] else None


def _sampler(sent: Txt2Img, model: Model) -> dict[str, str]:
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


def _size(sent: Txt2Img, model: Model) -> dict[str, int]:
    """The size nearest to what is asked that the model makes, by the number of pixels."""
    if sent.width is None and sent.height is None:
        return {}
    wanted = math.sqrt((sent.width or sent.height or 1) * (sent.height or sent.width or 1))
    sizes = model.about.get("sizes") or [max(8, 8 * round(wanted / 8))]
    return {"size": min(sizes, key=lambda size: abs(math.log(size / wanted)))}


def _again(desk: Desk, owner: str, sent: Img2Img, model: Model, image: Image.Image) -> dict[str, Any]:
    """What img2img is asked beyond the prompt."""
    if _sampler(sent, model):
        raise Refused("sampler_name: img2img draws in one way: send Automatic", code="invalid_value")
    size = _size(sent, model)
    given = _squared(image, size.get("size") or max(image.size), sent)
    return {"image": _keep(desk, owner, given), "strength": sent.denoising_strength, **size}


def _inside(
    desk: Desk, owner: str, sent: Img2Img, model: Model, image: Image.Image, mask: Image.Image
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
    kept = {name: _keep(desk, owner, _squared(each, side, sent)) for name, each in pictures.items()}
    return kept | _sampler(sent, model)


def _squared(image: Image.Image, side: int, sent: Img2Img) -> Image.Image:
    if sent.resize_mode == 1:
        return ImageOps.fit(image, (side, side))
    return image if image.size == (side, side) else image.resize((side, side), Image.Resampling.BICUBIC)


def decoded(text: str, where: str) -> bytes:
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


async def picture(text: str, where: str) -> Image.Image:
    return (await uploads.received(decoded(text, where), where)).image


def _keep(desk: Desk, owner: str, image: Image.Image) -> str:
    return desk.add(uploads.as_png(image), "image/png", owner)
