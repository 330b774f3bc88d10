"""Text-guided inpainting and outpainting: what a caption says is drawn into a hole of a picture, and the rest stays.

It knows no family: a part that has ``fill`` is asked, or a denoiser that is masked while sampling.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from tranh.diffusion.sample import euler, seeded
from tranh.diffusion.schedule import linear
from tranh.edits.inpaint import around, canvas
from tranh.nn.pixels import to_images
from tranh.recipes import outside
from tranh.recipes.beside import able
from tranh.recipes.larger import larger
from tranh.recipes.pictures import Pictures, check, pictures, seen
from tranh.recipes.unclip import LAST
from tranh.types import Denoises, Event, Fills, Request, Step, TranhError

STEPS = 12
"""Of masking while sampling, where neither request nor model says."""

WHO = "glide (tranh train glide), and models with the words of tranh-1, by the part shipped beside it"


UNTAUGHT = (
    "there is no part that learned to fill in, so the model's estimates are masked while it draws: what it draws may "
    "not go with what is around it. A part that learned: tranh train editor"
)


def inpaint(system: Any, request: Request, while_sampling: bool = False) -> Iterator[Event]:
    """Pictures of ``request.image`` with the white part of ``request.mask`` drawn anew, each from its own seed.

    A picture larger than the model's is filled at the model's size; only the hole is taken back, enlarged, so every
    other pixel stays as it is.

    Args:
        while_sampling: by a network that was never trained to fill in: its estimates are masked. So it is done, and
            said, where no part can fill in but the system has a denoiser.

    Yields:
        One event per step; the last one's ``result`` is :class:`tranh.recipes.pictures.Pictures`.

    Raises:
        TranhError: the system cannot, or picture and mask do not go together.
    """
    check(request)
    part, untaught = able_part(system, while_sampling)
    while_sampling = while_sampling or untaught
    sampler = system.checked_sampler(request.sampler)
    image, hole = _square(request)
    side = system.side if while_sampling else int(part.config["image_size"])
    small = image.resize((side, side), Image.Resampling.BOX) if image.width != side else image
    # A place of the small picture is drawn anew if any of its pixels is.
    holes = torch.from_numpy(np.asarray(hole.resize(small.size, Image.Resampling.BOX)).copy() > 0)[None, None]
    known = to_images(np.asarray(small)[None])
    prompt, negative = system.understand(request.prompt, request.allow_unknown), system.negative(request)
    steps = request.steps or system.steps
    guidance = system.guidance if request.guidance is None else request.guidance
    made, settings = [], []
    for k in range(request.count):
        seed, x, total = request.seed + k, known, 1
        if while_sampling:
            drawn = _masked(part, request.replace(seed=seed), known, holes, steps or STEPS)
        else:
            tokens, mask = system.tokenizer.encode([prompt.text], multiple=8)
            away = system.tokenizer.encode([negative]) if negative else None
            drawn = part.fill(
                tokens, mask, [seed], known, holes, steps=steps, guidance=guidance, away=away, sampler=sampler
            )
        for step in system.computed(drawn):
            x, total = step.x, step.steps
            yield Event("fill", k * total + step.index, request.count * total, preview=seen(step))
        x = yield from larger(system, x, min(image.width, *system.sizes[-1:]))
        filled = pictures(x)[0].resize(image.size, Image.Resampling.BICUBIC)
        made.append(Image.composite(filled, image, hole))
        settings.append(system.settings(request, prompt, seed) | {"edit": "inpaint"})
    notices = [*prompt.notices, *([UNTAUGHT] if untaught else []), *outside.warning(system, image)]
    yield Event("fill", 1, 1, result=Pictures(made, notices, settings))


def able_part(system: Any, while_sampling: bool = False) -> tuple[Any, bool]:
    """Who fills in, and whether it is a denoiser only because nobody learned to.

    Raises:
        TranhError: nobody can.
    """
    if while_sampling and isinstance(system, Denoises):
        return system, False
    try:
        return able(system, Denoises if while_sampling else Fills, "fill in a part", WHO)[0], False
    except TranhError:
        if not isinstance(system, Denoises):
            raise
        return system, True


def outpaint(system: Any, request: Request, while_sampling: bool = False) -> Iterator[Event]:
    """Pictures of ``request.image`` drawn on beyond its borders, as far as ``request.extend`` says, as a larger square.

    Yields:
        As :func:`inpaint`.
    """
    if request.image is None:
        raise TranhError("there is no picture to draw on: give one")
    image, mask = canvas(request.image.convert("RGB"), request.extend)
    for event in inpaint(system, request.replace(image=image, mask=mask), while_sampling):
        if isinstance(event.result, Pictures):
            for told in event.result.settings:
                told |= {"edit": "outpaint", "extend": list(request.extend)}
        yield event


def _masked(system: Denoises, request: Request, known: Tensor, holes: Tensor, steps: int) -> Iterator[Step]:
    denoiser = around(system.denoiser(request), known, holes)
    noise = seeded([request.seed], known.shape[1:])()
    for step in euler(denoiser, noise, linear(steps, last=LAST if steps > 1 else 1.0)):
        x = torch.where(holes, step.x.clamp(-1, 1), known) if step.index == steps else step.x
        yield Step(step.index, step.steps, step.t, x, step.x0)


def _square(request: Request) -> tuple[Image.Image, Image.Image]:
    """The picture in RGB, and the mask as black and white (0 or 255)."""
    if request.image is None or request.mask is None:
        raise TranhError("filling in needs a picture and a mask: white where to draw, black where to keep")
    image, mask = request.image.convert("RGB"), request.mask.convert("L")
    if image.width != image.height:
        raise TranhError(f"the picture is {image.width} x {image.height}; models draw squares: crop it first")
    if mask.size != image.size:
        raise TranhError(
            f"the mask is {mask.width} x {mask.height} and the picture {image.width} x {image.height}: they must be of "
            "one size"
        )
    hole = mask.point([0] * 128 + [255] * 128)
    if hole.getbbox() is None:
        raise TranhError("nothing of the mask is white, so there is nothing to draw: white is where to draw")
    return image, hole
