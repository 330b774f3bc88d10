"""A picture seen from the side: cut into layers by its depth, what they hid filled in, and laid over each other again.

It asks for ``Layers`` and for somebody who fills holes, and knows no family. Pictures are (3, S, S) in [-1, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from tranh.types import Layers

Fill = Callable[[Tensor, Tensor], Tensor]
"""(picture (1, 3, S, S), hole bool (1, 1, S, S)) -> the picture with the hole filled."""

GROWN = 2
"""Pixels by which a hole is larger than what hid it: edges are mixed with what lies before them."""


@dataclass(frozen=True)
class Plate:
    """One layer, whole: ``image`` (3, S, S), ``cover`` (1, S, S) in [0, 1] where it is seen, and its rank."""

    image: Tensor
    cover: Tensor
    rank: int


@torch.no_grad()
def plates(model: Layers, image: Tensor, fill: Fill) -> list[Plate]:
    """The layers of a picture from back to front, each whole: from the nearest backwards, every one is taken away and
    what it hid is filled in."""
    found = []
    picture, ranks = image[None], model.depth(image[None])
    for rank in range(int(ranks.max()), 0, -1):
        here = ranks >= rank
        if here.any():
            found.append(Plate(picture[0], soft(here[0]), rank))
            picture = fill(picture, grown(here))
            ranks = model.depth(picture).clamp(max=rank - 1)
    found.append(Plate(picture[0], torch.ones_like(picture[0, :1]), 0))
    return found[::-1]


def grown(mask: Tensor, by: int = GROWN) -> Tensor:
    """A mask bool (B, 1, S, S) with ``by`` pixels more on every side."""
    return F.max_pool2d(mask.float(), 2 * by + 1, stride=1, padding=by) > 0


def soft(mask: Tensor) -> Tensor:
    """A mask bool (1, S, S) as a cover whose edge is one pixel wide."""
    return F.avg_pool2d(F.pad(mask.float()[None], (1, 1, 1, 1), mode="replicate"), 3, stride=1)[0]


def view(layers: Sequence[Plate], shift: float) -> Tensor:
    """The layers moved to the right by ``shift`` for each rank, in sides of the picture, and laid over each other.

    Returns:
        (3, S, S).
    """
    picture = torch.zeros_like(layers[0].image)
    for plate in layers:
        image, cover = (moved(x, shift * plate.rank) for x in (plate.image, plate.cover))
        if plate.rank:
            cover = cover * moved(torch.ones_like(plate.cover), shift * plate.rank, outside="zeros")
        picture = picture * (1 - cover) + image * cover
    return picture


def moved(x: Tensor, by: float, outside: str = "border") -> Tensor:
    """(C, S, S) moved to the right by a share of its side, between pixels linearly; beyond its edge it goes on."""
    if not by:
        return x
    theta = torch.tensor([[[1.0, 0.0, -2 * by], [0.0, 1.0, 0.0]]], dtype=x.dtype, device=x.device)
    grid = F.affine_grid(theta, [1, *x.shape], align_corners=False)
    return F.grid_sample(x[None], grid, padding_mode=outside, align_corners=False)[0]
