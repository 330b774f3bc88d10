"""A 3-D turn of a picture: its depth, the layers that makes, what they hid drawn anew, and views from side to side.

It knows no family: a part that sees layers and one that fills holes are asked.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from tranh.diffusion.sample import run
from tranh.edits.turn import Plate, plates, view
from tranh.recipes import outside
from tranh.recipes.beside import able
from tranh.recipes.inpaint import WHO as FILLING
from tranh.recipes.pictures import Pictures, check, pictures, tensor_of
from tranh.text.prompt import understand
from tranh.text.words import Words
from tranh.types import Event, Fills, Layers, Request, TranhError

FRAMES, MOST = 24, 256
SHIFT = 0.05
"""How far the nearest neighbour of the setting moves at most, in sides of the picture."""

WHO = "models with the words of tranh-1, by a part beside it (tranh train depth)"


def able_parts(system: Any) -> tuple[Any, Any, Words]:
    """Who sees depth, who fills in, and the words that one knows.

    Raises:
        TranhError: one of them is not there.
    """
    return able(system, Layers, "see depth", WHO)[0], *able(system, Fills, "fill in what was hidden", FILLING)


def layers(system: Any, request: Request) -> tuple[list[Plate], list[str]]:
    """The layers of ``request.image``, whole, and what the user should know.

    ``request.prompt`` says what lies behind, and may be empty.
    """
    sees, part, words = able_parts(system)
    if request.image is None:
        raise TranhError("there is no picture to turn: give one")
    side = int(part.config["image_size"])
    image = tensor_of(request.image, side)[0]
    text, notices = "", outside.warning(system, request.image)
    if request.prompt:
        prompt = understand(request.prompt, system.lexicons, words, allow_unknown=request.allow_unknown)
        text, notices = prompt.text, [*prompt.notices, *notices]
    tokens, mask = system.tokenizer.encode([text], multiple=8)

    def fill(picture: Tensor, hole: Tensor) -> Tensor:
        drawn = part.fill(
            tokens, mask, [request.seed], picture, hole, steps=request.steps, guidance=request.guidance
        )  # fmt: skip
        return run(system.computed(drawn))

    with torch.no_grad():
        return plates(sees, image, fill), notices


def turn(system: Any, request: Request, shift: float = SHIFT) -> Iterator[Event]:
    """Frames of ``request.image`` seen from side to side and back.

    Args:
        shift: how far each layer moves against the one behind it at most, in sides of the picture.

    Yields:
        One event per frame; the last one's ``result`` is :class:`tranh.recipes.pictures.Pictures`.

    Raises:
        TranhError: the system cannot, there is no picture, or frames or shift are out of range.
    """
    check(request)
    count = FRAMES if request.frames is None else request.frames
    if not 2 <= count <= MOST or not 0 < abs(shift) <= 0.5:
        raise TranhError(f"{count} frames and a shift of {shift:g}; allowed: 2 to {MOST}, and 0 to 0.5 of the picture")
    yield Event("layers", 0, count)
    found, notices = layers(system, request)
    frames = []
    for k in range(count):
        frames.append(view(found, shift * math.sin(2 * math.pi * k / count)))
        yield Event("turn", k + 1, count)
    told = {"edit": "turn", "prompt": request.prompt, "seed": request.seed, "shift": shift, "frames": count}
    told |= {"layers": len(found), "model": getattr(system, "name", "model"), "size": frames[0].shape[-1]}
    yield Event("turn", count, count, result=Pictures(pictures(torch.stack(frames)), notices, [told] * count))
