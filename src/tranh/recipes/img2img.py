"""Image-to-image: a picture drawn again as a prompt says, from the middle of its way to noise.

It knows no family: whoever has a denoiser is asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from PIL import Image

from tranh.diffusion.sample import seeded
from tranh.edits.img2img import again, times
from tranh.recipes import outside
from tranh.recipes.larger import larger, side_of
from tranh.recipes.pictures import Pictures, check, pictures, seen, tensor_of
from tranh.recipes.system import System
from tranh.types import Denoises, Event, Request, TranhError, capabilities

STRENGTH, STEPS = 0.6, 16


def able(system: Any) -> None:
    """Refuse a system that has no denoiser of requests.

    Raises:
        TranhError: says what it does instead.
    """
    if not isinstance(system, System) or not isinstance(system, Denoises):
        name, does = getattr(system, "name", type(system).__name__), ", ".join(capabilities(system)) or "does nothing"
        raise TranhError(f"{name} cannot begin from a picture: it has no denoiser (it {does}). unclip can: tranh-1")


def img2img(system: Any, request: Request) -> Iterator[Event]:
    """Pictures as ``request.prompt`` says that keep of ``request.image`` what ``request.strength`` leaves.

    Yields:
        One event per step; the last one's ``result`` is :class:`tranh.recipes.pictures.Pictures`.

    Raises:
        TranhError: the system has no denoiser, there is no picture, or the strength is out of range.
    """
    check(request)
    able(system)
    if request.image is None:
        raise TranhError("there is no picture to begin from: give one")
    strength = STRENGTH if request.strength is None else request.strength
    ts = times(strength, request.steps or system.steps or STEPS)
    image, size = tensor_of(request.image, system.side), side_of(system, request, system.side)
    prompt = system.understand(request.prompt, request.allow_unknown)
    made: list[Image.Image] = []
    settings = []
    for k in range(request.count):
        one, x = request.replace(seed=request.seed + k), image
        with torch.no_grad():
            denoiser, noise = system.denoiser(one), seeded([one.seed], image.shape[1:])()
            for step in again(denoiser, image, noise, ts):
                x = step.x
                yield Event("draw", k * step.steps + step.index, request.count * step.steps, preview=seen(step))
        made += pictures((yield from larger(system, x, size)))
        told = system.settings(request, prompt, one.seed)
        settings.append(told | {"edit": "img2img", "strength": strength, "size": size})
    notices = [*prompt.notices, *outside.warning(system, request.image)]
    yield Event("draw", 1, 1, result=Pictures(made, notices, settings))
