"""Moving pictures of a sentence: a part that is told when draws every frame, beginning from the first one.

It knows no family; files are ``engine.animated``'s.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from tranh.recipes import outside
from tranh.recipes.beside import able
from tranh.recipes.pictures import Pictures, check, pictures, seen, tensor_of
from tranh.text.prompt import understand
from tranh.text.words import Words
from tranh.types import Event, Follows, Request, TranhError

FRAMES, MOST = 16, 64

TILE = 8
"""Frames drawn at a time."""

WHO = "models with the words of tranh-1, by a part beside it (tranh train motion)"


def able_part(system: Any) -> tuple[Any, Words]:
    """Who makes pictures move, and the words it knows.

    Raises:
        TranhError: nobody does.
    """
    return able(system, Follows, "make a picture move", WHO, moving=True)


def moving(system: Any, request: Request) -> Iterator[Event]:
    """The frames of a moving picture of ``request.prompt``; with ``request.image`` that is the first of them.

    All frames come from the same noise, so what does not move stays as it is.

    Yields:
        Progress; the last event's ``result`` is :class:`tranh.recipes.pictures.Pictures`, a picture for each frame.

    Raises:
        TranhError: the system cannot, a word is unknown, or too many frames are asked for.
    """
    check(request)
    part, words = able_part(system)
    count = FRAMES if request.frames is None else request.frames
    if not 2 <= count <= MOST:
        raise TranhError(f"{count} frames were asked for; allowed: 2 to {MOST}")
    prompt = understand(request.prompt, system.lexicons, words, allow_unknown=request.allow_unknown)
    side, notices = int(part.config["image_size"]), list(prompt.notices)
    tokens, mask = system.tokenizer.encode([prompt.text], multiple=8)
    steps = request.steps or int(part.config["steps"])
    total = steps * (-(-(count - 1) // TILE) + (request.image is None))
    done = 0
    if request.image is not None:
        first = tensor_of(request.image, side)
        notices += outside.warning(system, request.image)
    else:
        first = torch.empty(0)
        drawn = part.draw(tokens, mask, [request.seed], steps=steps, guidance=request.guidance)
        for step in system.computed(drawn):
            first, done = step.x, done + 1
            yield Event("draw", done, total, preview=seen(step))
    frames = [first]
    moments = torch.linspace(0, 1, count)[1:]
    for some in moments.split(TILE):
        n, x = len(some), first
        drawn = part.follow(
            tokens.expand(n, -1), mask.expand(n, -1), [request.seed] * n, first.expand(n, -1, -1, -1),
            steps=steps, guidance=request.guidance, moment=some,
        )  # fmt: skip
        for step in system.computed(drawn):
            x, done = step.x, done + 1
            yield Event("draw", done, total, preview=seen(step))
        frames.append(x)
    told = system.settings(request, prompt, request.seed) | {
        "edit": "motion", "frames": count, "steps": steps, "size": side,
        "guidance": part.config["following"] if request.guidance is None else request.guidance,
    }  # fmt: skip
    images = pictures(torch.cat(frames))
    yield Event("draw", total, total, result=Pictures(images, notices, [told] * count))
