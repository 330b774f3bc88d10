"""Editing by instruction: a picture is changed as a sentence says, or the sentence is answered with why it cannot be.

It knows no family: a part that follows instructions is asked, and sees pixels and words alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from tranh.recipes import outside
from tranh.recipes.beside import able
from tranh.recipes.larger import larger, side_of
from tranh.recipes.pictures import Pictures, check, pictures, seen, tensor_of
from tranh.text.prompt import understand
from tranh.text.words import Words
from tranh.types import FAULTS, Event, Follows, Request, TranhError

WHO = "models with the words of tranh-1, by the part shipped beside it (tranh train editor)"

SURE = 0.5
"""An instruction is answered with its fault when that is likelier than this."""

WHY = {
    "missing": "what it speaks of is not in the picture, as far as the model sees",
    "ambiguous": "more than one thing in the picture fits what it speaks of: say which, by its colour, size or kind",
}


def able_part(system: Any) -> tuple[Any, Words]:
    """Who follows instructions, and the words it knows.

    Raises:
        TranhError: nobody does.
    """
    return able(system, Follows, "follow instructions", WHO)


def instruct(system: Any, request: Request) -> Iterator[Event]:
    """``request.image`` changed as ``request.prompt`` says, once for every seed.

    ``allow_unknown`` also follows an instruction that the model holds to be faulty.

    Yields:
        One event per step; the last one's ``result`` is :class:`tranh.recipes.pictures.Pictures`.

    Raises:
        TranhError: the system cannot, there is no picture, a word is unknown, or the instruction cannot be followed.
    """
    check(request)
    part, words = able_part(system)
    if request.image is None:
        raise TranhError("there is no picture to change: give one")
    side = int(part.config["image_size"])
    image = tensor_of(request.image, side)
    prompt = understand(request.prompt, system.lexicons, words, allow_unknown=request.allow_unknown)
    with torch.no_grad(), system.computing():
        tokens, mask = system.tokenizer.encode([prompt.text], multiple=8)
        shares = part.faults(tokens, mask, image)[0].tolist()[1:]
    if not request.allow_unknown and max(shares) > SURE:
        fault = FAULTS[shares.index(max(shares))]
        raise TranhError(
            f"{prompt.original!r} cannot be followed: {WHY[fault]} ({max(shares):.0%} sure). To try it all the same: "
            "--allow-unknown"
        )
    made, settings, size = [], [], side_of(system, request, side)
    for k in range(request.count):
        seed, x = request.seed + k, image
        drawn = part.follow(tokens, mask, [seed], image, steps=request.steps, guidance=request.guidance)
        for step in system.computed(drawn):
            x = step.x
            yield Event("edit", k * step.steps + step.index, request.count * step.steps, preview=seen(step))
        made += pictures((yield from larger(system, x, size)))
        own = {"steps": request.steps or part.config["steps"], "size": size, "edit": "instruct"}
        own["guidance"] = part.config["following"] if request.guidance is None else request.guidance
        settings.append(system.settings(request, prompt, seed) | own)
    yield Event(
        "edit", 1, 1, result=Pictures(made, [*prompt.notices, *outside.warning(system, request.image)], settings)
    )
