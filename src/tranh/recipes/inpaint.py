"""Text-guided inpainting as in GLIDE: what a caption says is drawn into the hole of a picture, and the rest stays.

It knows no family: whoever has ``fill`` is asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from PIL import Image

from tranh.nn.pixels import to_images
from tranh.recipes.pictures import Pictures, check, pictures
from tranh.recipes.system import Alone
from tranh.types import Event, Fills, Request, TranhError


def inpaint(system: Any, request: Request) -> Iterator[Event]:
    """Pictures of ``request.image`` with the white part of ``request.mask`` drawn anew, each from its own seed.

    A picture larger than the model's is filled at the model's size; only the hole is taken back, enlarged, so every
    other pixel stays as it is.

    Yields:
        One event per step; the last one's ``result`` is :class:`tranh.recipes.system.Pictures`.

    Raises:
        TranhError: the system cannot, or picture and mask do not go together.
    """
    check(request)
    if not isinstance(system, Alone) or not isinstance(system.drawer, Fills):
        name = getattr(system, "name", type(system).__name__)
        raise TranhError(f"{name} cannot fill in a part of a picture; a glide model can: tranh train glide")
    sampler = system.checked_sampler(request.sampler)
    image, hole = _square(request)
    small = image.resize((system.size, system.size), Image.Resampling.BOX) if image.width != system.size else image
    # A place of the small picture is drawn anew if any of its pixels is.
    holes = torch.from_numpy(np.asarray(hole.resize(small.size, Image.Resampling.BOX)).copy() > 0)[None, None]
    known = to_images(np.asarray(small)[None])
    prompt, negative = system.understand(request.prompt, request.allow_unknown), system.negative(request)
    with torch.no_grad():
        tokens, mask = system.tokenizer.encode([prompt.text], multiple=8)
        away = system.tokenizer.encode([negative]) if negative else None
    made, settings = [], []
    for k in range(request.count):
        seed, x, total = request.seed + k, known, 1
        drawn = system.drawer.fill(
            tokens, mask, [seed], known, holes, steps=request.steps or system.steps, away=away, sampler=sampler,
            guidance=system.guidance if request.guidance is None else request.guidance,
        )  # fmt: skip
        for step in system.computed(drawn):
            x, total = step.x, step.steps
            yield Event("fill", k * total + step.index, request.count * total)
        filled = pictures(x)[0].resize(image.size, Image.Resampling.BICUBIC)
        made.append(Image.composite(filled, image, hole))
        settings.append(system.settings(request, prompt, seed) | {"edit": "inpaint"})
    yield Event("fill", 1, 1, result=Pictures(made, list(prompt.notices), settings))


def _square(request: Request) -> tuple[Image.Image, Image.Image]:
    """The picture in RGB, and the mask as black and white of the same size (0 or 255)."""
    if request.image is None or request.mask is None:
        raise TranhError("filling in needs a picture and a mask: white where to draw, black where to keep")
    image, mask = request.image.convert("RGB"), request.mask.convert("L")
    if image.width != image.height:
        raise TranhError(f"the picture is {image.width} x {image.height}; models draw squares: crop it first")
    if mask.size != image.size:
        mask = mask.resize(image.size, Image.Resampling.NEAREST)
    hole = mask.point([0] * 128 + [255] * 128)
    if hole.getbbox() is None:
        raise TranhError("nothing of the mask is white, so there is nothing to draw: white is where to draw")
    return image, hole
