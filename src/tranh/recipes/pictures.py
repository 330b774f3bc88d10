"""What a request may ask, and what it gives: the same for every kind of system.

It knows no system and no part.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from tranh.data.fit import square
from tranh.nn.pixels import to_images, to_pixels
from tranh.types import Request, Step, TranhError


@dataclass(frozen=True)
class Pictures:
    """What a request gave: the pictures, what the user should know, each picture's settings, and why some are missing.

    ``refused`` has one sentence per picture that was a near copy; its seed has neither picture nor settings.
    """

    images: list[Image.Image]
    notices: list[str]
    settings: list[dict[str, Any]]
    refused: list[str] = field(default_factory=list)


def pictures(x: Tensor) -> list[Image.Image]:
    """(B, 3, H, W) in [-1, 1] -> PIL pictures."""
    return [Image.fromarray(pixels) for pixels in to_pixels(x)]


def seen(step: Step) -> Callable[[], Image.Image]:
    """Makes the picture that a step's estimate is, once somebody wants to see it."""
    return lambda: pictures(step.x0[:1])[0]


def seeds_of(request: Request) -> list[int]:
    """The seed of each picture of a request."""
    return list(request.seeds) or list(range(request.seed, request.seed + request.count))


def tensor_of(picture: Image.Image, side: int) -> Tensor:
    """The middle square of a PIL picture, brought to a side: (1, 3, side, side) in [-1, 1]."""
    return to_images(np.asarray(square(picture.convert("RGB"), side))[None])


def check(request: Request) -> None:
    """Refuse a request that cannot be meant.

    Raises:
        TranhError: says what was given and what is allowed.
    """
    if not 1 <= request.count <= 1000:
        raise TranhError(f"count is {request.count}; allowed: 1 to 1000")
    if request.steps is not None and not 1 <= request.steps <= 1000:
        raise TranhError(f"steps is {request.steps}; allowed: 1 to 1000")
    if request.guidance is not None and not 0 <= request.guidance <= 100:
        raise TranhError(f"guidance is {request.guidance}; allowed: 0 to 100 (1 is none)")
    if not 1 <= request.candidates <= 1000:
        raise TranhError(f"candidates is {request.candidates}; allowed: 1 to 1000 (1 chooses nothing)")
    if request.temperature is not None and not 0 <= request.temperature <= 100:
        raise TranhError(f"temperature is {request.temperature}; allowed: 0 (the likeliest) to 100")
    if request.top_k is not None and request.top_k < 0:
        raise TranhError(f"top_k is {request.top_k}; allowed: 1 and more, 0 for all")
    if request.top_p is not None and not 0 < request.top_p <= 1:
        raise TranhError(f"top_p is {request.top_p}; allowed: above 0 to 1 (all)")
    for seed in (request.seed, *request.seeds):
        if not 0 <= seed < 2**62:
            raise TranhError(f"seed is {seed}; allowed: 0 to 2^62 - 1")
    if request.seeds and (request.count != 1 or request.seed):
        raise TranhError("seeds are given beside seed or count: seeds say by themselves how many pictures are drawn")
    if len(request.seeds) > 1000:
        raise TranhError(f"{len(request.seeds)} seeds are given; allowed: 1 to 1000")
