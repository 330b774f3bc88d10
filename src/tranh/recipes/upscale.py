"""The edits ``upscale`` and ``enhance`` put together: a picture in, a larger or mended one out.

It knows no family; what is done to the pixels, ``edits.enlarge`` and ``edits.enhance`` know.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from tranh.edits import enhance as mending
from tranh.edits.enlarge import FACTOR, able, enlarged
from tranh.nn.pixels import to_images
from tranh.recipes import models, outside
from tranh.recipes.beside import SHIPPED
from tranh.recipes.enhancer import Enhancing, within
from tranh.recipes.pictures import Pictures, check, pictures, seen
from tranh.types import Event, Request, TranhError

LEAST, MOST = 16, 4096
"""Pixels per side: what shows something, and what fits into memory."""

STEPS = 4
"""Of a sampled picture, where none are asked for."""


def default(name: str | None = None, otherwise: str | None = models.DEFAULT) -> Any:
    """The model named; of none the enhancer shipped beside tranh-1, or ``otherwise`` where none is.

    Raises:
        TranhError: there is none.
    """
    if name is not None:
        return within(models.load(name))
    shipped = within(models.load(SHIPPED)) if SHIPPED in {info.name for info in models.available()} else None
    if isinstance(shipped, Enhancing):
        return shipped
    if otherwise is None:
        raise TranhError("no enhancer is here: tranh train enhancer --run RUN, tranh export RUN DIR, then --model DIR")
    return models.load(otherwise)


def world(name: str | None = None) -> Any:
    """What knows the world of a model: of the shipped enhancer the shipped hierarchy, which saw the same pictures."""
    return models.load() if name is None else None


def upscale(
    system: Any, request: Request, factor: int | None = None, sampled: bool = False, world: object = None
) -> Iterator[Event]:
    """Larger pictures of ``request.image``.

    Args:
        request: ``size`` is the longer side wanted, unless a factor is given; ``steps`` of a sampled picture.
        factor: 4, 16 or 64; None for ``size``, or for 4 where that is None too.
        sampled: draw one of the pictures it may be, each from its own seed, not their mean.
        world: what knows whether a picture is like those of training, see ``recipes.outside``; None for the system.

    Yields:
        One event per step; the last one's ``result`` is :class:`tranh.recipes.pictures.Pictures`.

    Raises:
        TranhError: the system cannot, there is no picture, or the size asked for will not do.
    """
    check(request)
    model = able(system, getattr(system, "name", type(system).__name__))
    image = _given(request)
    longer = max(image.size)
    target = request.size if factor is None and request.size is not None else longer * _power(factor or FACTOR)
    if not longer < target <= MOST:
        raise TranhError(f"a picture of {image.width} x {image.height} cannot become {target} px wide: more than it is "
                         f"and at most {MOST} can be asked for")  # fmt: skip
    rounds = next(k for k in range(1, 9) if longer * FACTOR**k >= target)
    size = round(image.width * target / longer), round(image.height * target / longer)
    steps = (request.steps or STEPS) if sampled else 1
    notices = outside.warning(world or system, image)
    x, made, settings = to_images(np.asarray(image)[None]), [], []
    for k in range(request.count):
        seed, large = request.seed + k, x
        for step in enlarged(model, x, [seed], steps, rounds):
            large = step.x
            yield Event("enlarge", k * step.steps + step.index, request.count * step.steps, preview=seen(step))
        drawn = pictures(large)[0]
        made.append(drawn if drawn.size == size else drawn.resize(size, Image.Resampling.BOX))
        settings.append(_settings(system, "upscale", seed=seed, steps=steps, sampled=sampled, size=target))
    yield Event("enlarge", 1, 1, result=Pictures(made, notices, settings))


def enhance(system: Any, request: Request, straighten: bool = True, world: object = None) -> Iterator[Event]:
    """``request.image`` held straight and mended.

    Args:
        straighten: look for corners first.
        world: as for :func:`upscale`; the mended picture is looked at.

    Yields:
        The last event's ``result`` is :class:`tranh.recipes.pictures.Pictures`, one picture.

    Raises:
        TranhError: the system cannot, or there is no picture.
    """
    model = mending.able(system, getattr(system, "name", type(system).__name__))
    image = _given(request)
    x, notices = to_images(np.asarray(image)[None]), []
    if straighten:
        x, skewed = mending.straightened(model, x)
        share = float(skewed[0])
        if share > mending.SKEWED:
            notices.append(f"the picture was not held straight (corners off by {share:.0%} of a side on average)")
        yield Event("straighten", 1, 2)
    mended = pictures(model.restore(x))[0]
    notices += outside.warning(world or system, mended)
    settings = _settings(system, "enhance", seed=request.seed, straighten=straighten)
    yield Event("mend", 2, 2, result=Pictures([mended], notices, [settings]))


def _given(request: Request) -> Image.Image:
    if request.image is None:
        raise TranhError("there is no picture to begin from: hand one in")
    image = request.image.convert("RGB")
    if min(image.size) < LEAST or max(image.size) > MOST:
        raise TranhError(
            f"the picture is {image.width} x {image.height}; sides of {LEAST} to {MOST} px can be worked on"
        )
    return image


def _power(factor: int) -> int:
    if factor not in (4, 16, 64):
        raise TranhError(f"the factor is {factor}; every round makes a picture 4 times as wide: choose 4, 16 or 64, or "
                         "name the side that is wanted")  # fmt: skip
    return factor


def _settings(system: Any, edit: str, **chosen: Any) -> dict[str, Any]:
    return {"prompt": "", "edit": edit, "model": getattr(system, "name", ""), "hash": system.hash} | chosen
