"""The edit ``animate`` put together: prompts, pictures and seeds in, the frames of a walk between them out.

It knows systems; the way between two keys and its pace, ``edits.walk`` knows, and files ``engine.animated``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from PIL import Image

from tranh.diffusion.sample import seeded
from tranh.diffusion.schedule import linear
from tranh.edits import walk
from tranh.edits.enlarge import FACTOR, enlarged
from tranh.recipes import outside
from tranh.recipes.pictures import Pictures, check, pictures, tensor_of
from tranh.recipes.reconstruct import coder
from tranh.recipes.unclip import LAST
from tranh.types import Autoencodes, Enlarges, Event, Request, TranhError, Unclips, capabilities

FRAMES, MOST = 24, 1000
SEEDS = 3
"""Seeds that one prompt alone is walked through."""

Key = str | Image.Image


def animate(
    system: Any,
    request: Request,
    keys: Sequence[Key],
    seeds: Sequence[int] = (),
    *,
    loop: bool = True,
    rounds: int = 2,
) -> Iterator[Event]:
    """Frames of a walk from key to key, and back to the first.

    Args:
        request: ``frames``, ``steps``, ``guidance``, ``prior``, ``size``, ``seed``, ``allow_unknown`` are read from it.
        keys: prompts and pictures, in the order they are passed.
        seeds: one per key; none for that of the request at every key. One key alone is walked through them.
        loop: the last leads back to the first.
        rounds: how often the pace is made more even; 0 leaves it as it is.

    Yields:
        Progress; the last event's ``result`` is :class:`tranh.recipes.pictures.Pictures`, a picture for each frame.

    Raises:
        TranhError: the system cannot, or keys, seeds and frames do not go together.
    """
    check(request)
    count = FRAMES if request.frames is None else request.frames
    keys, seeds = _matched(list(keys), list(seeds), request.seed)
    if not len(keys) <= count <= MOST:
        raise TranhError(f"{count} frames were asked for: a walk of {len(keys)} keys takes {len(keys)} to {MOST}")
    if isinstance(system, Unclips):
        draw, side, notices = _through_embeddings(system, request, keys, seeds)
    else:
        draw, side, notices = _through_latents(system, keys)
    larger = _enlarging(system, request.size, side)
    passes, drawn, first = rounds + 1, 0, 0.0
    found = walk.Round(torch.empty(0), torch.empty(0))
    end = len(keys) if loop else len(keys) - 1
    for found in walk.walk(draw, end, count, loop, rounds):
        yield Event("walk", drawn + len(found.frames), passes * count + (count if larger else 0))
        if found.done:
            first = first or walk.unevenness(walk.steps_between(found.frames, loop))
            drawn += count
    told = {
        "edit": "animate", "prompt": " | ".join(key if isinstance(key, str) else "(picture)" for key in keys),
        "seed": request.seed, "seeds": seeds, "frames": count, "loop": loop,
        "steps": request.steps or getattr(system, "steps", None),
        "guidance": getattr(system, "guidance", None) if request.guidance is None else request.guidance,
        "model": getattr(system, "name", ""), "hash": getattr(system, "hash", None),
        "unevenness before": round(first, 4),
        "unevenness": round(walk.unevenness(walk.steps_between(found.frames, loop)), 4),
    }  # fmt: skip
    images: list[Image.Image] = []
    for some in found.frames.split(walk.ROWS):
        if larger:
            *_, last = enlarged(system, some, [0] * len(some))
            some = last.x
        images += pictures(some)
        yield Event("walk", drawn + (len(images) if larger else 0), drawn + (count if larger else 0))
    yield Event("walk", 1, 1, result=Pictures(images, notices, [told] * count))


def _matched(keys: list[Key], seeds: list[int], seed: int) -> tuple[list[Key], list[int]]:
    """As many seeds as keys."""
    if not keys:
        raise TranhError("a walk needs something to pass: give prompts or pictures")
    if len(keys) == 1:
        seeds = seeds or [seed + k for k in range(SEEDS)]
        keys = keys * len(seeds)
    seeds = seeds or [seed] * len(keys)
    if len(seeds) != len(keys) or len(keys) < 2:
        raise TranhError(f"{len(keys)} keys and {len(seeds)} seeds: give a seed for every key, or one key and several")
    return keys, seeds


def _through_embeddings(
    system: Any, request: Request, keys: Sequence[Key], seeds: Sequence[int]
) -> tuple[walk.Draw, int, list[str]]:
    side = min(system.sizes)
    embeddings, prompts, notices = [], [], []
    with torch.no_grad():
        for key, seed in zip(keys, seeds, strict=True):
            if isinstance(key, str):
                understood = system.understand(key, request.allow_unknown)
                notices += [notice for notice in understood.notices if notice not in notices]
                prompts.append(understood.text)
                tokens, mask = system.tokenizer.encode([understood.text], multiple=8)
                embeddings.append(system.embed(tokens, mask, [seed], request.prior))
            else:
                notices += [notice for notice in outside.warning(system, key) if notice not in notices]
                prompts.append("")
                embeddings.append(system.embed_images(tensor_of(key, side)))
    if any(one is None for one in embeddings):
        raise TranhError(f"{system.name} has no prior that gives embeddings of prompts: walk between pictures, or name "
                         "a hierarchy with one")  # fmt: skip
    road = walk.Road(torch.cat(embeddings).float(), prompts, seeded(seeds, (3, side, side))())
    steps = int(request.steps or system.steps or 16)
    grid = linear(steps, last=LAST if steps > 1 else 1.0)
    return walk.unclipped(system, road, grid, request.guidance), side, notices


def able(system: Any) -> None:
    """Refuse a system that has no space to walk through.

    Raises:
        TranhError: says what it does instead.
    """
    name = getattr(system, "name", type(system).__name__)
    if isinstance(system, Unclips):
        return
    if not isinstance(system, Autoencodes) and not any(isinstance(one, Autoencodes) for one in _parts(system)):
        does = ", ".join(capabilities(system)) or "does nothing"
        raise TranhError(
            f"{name} has no space to walk through (it {does}): name a hierarchy such as tranh-1, or a model that "
            "encodes and decodes pictures (tranh train vae)"
        )


def _through_latents(system: Any, keys: Sequence[Key]) -> tuple[walk.Draw, int, list[str]]:
    able(system)
    name = getattr(system, "name", type(system).__name__)
    if any(isinstance(key, str) for key in keys):
        raise TranhError(f"{name} walks between pictures: give files, or name a hierarchy such as tranh-1 for prompts")
    found = coder(system, name)
    with torch.no_grad():
        latents = [found.part.encode(tensor_of(key, found.size)) for key in keys if not isinstance(key, str)]
    return walk.decoded(found.part, torch.cat(latents).float()), found.size, []


def _parts(system: Any) -> Iterable[object]:
    return getattr(system, "parts", {}).values()


def _enlarging(system: Any, size: int | None, side: int) -> bool:
    """Are the frames made larger?"""
    if size in (None, side):
        return False
    if size == FACTOR * side and isinstance(system, Enlarges) and size in getattr(system, "sizes", ()):
        return True
    raise TranhError(f"frames of {side} px are drawn here" + (
        f", or of {FACTOR * side}" if isinstance(system, Enlarges) else "") + f"; {size} was asked for")  # fmt: skip
