"""Random holes in pictures, for learning to fill them in.

It knows nothing of pictures or of who fills.
"""

from __future__ import annotations

import torch
from torch import Tensor

BOX, OUTSIDE = 0.4, 0.3
"""Shares of holes that are a box, and all but a box. The others are strokes of a brush."""

STROKES = 3
"""At most, in a hole."""


def random_holes(count: int, side: int, share: float, *, generator: torch.Generator) -> Tensor:
    """Where pictures are hidden: in a box, outside of one, or under strokes, as people mark what is to be drawn anew.

    A box has sides of 0.15 to all of the picture's; a stroke goes from anywhere to anywhere, 0.06 to 0.2 wide.

    Args:
        count: pictures; side: theirs in pixels.
        share: of the pictures that have such a hole; the others are hidden whole.

    Returns:
        bool (count, 1, side, side), True where hidden, on the generator's device.
    """
    device = generator.device

    def rand(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, device=device)

    place = (torch.arange(side, device=device) + 0.5) / side
    length = 0.15 + 0.85 * rand(count, 2)
    start = (1 - length) * rand(count, 2)  # (count, 2): rows, columns
    inside = (place >= start[..., None]) & (place < (start + length)[..., None])  # (count, 2, side)
    box = inside[:, 0, :, None] & inside[:, 1, None, :]

    ends, width = rand(2, count, STROKES, 2), 0.03 + 0.07 * rand(count, STROKES, 1, 1)
    at = torch.stack(torch.meshgrid(place, place, indexing="ij"), dim=-1)  # (side, side, 2)
    begin, way = ends[0][:, :, None, None], (ends[1] - ends[0])[:, :, None, None]
    along = ((at - begin) * way).sum(-1, keepdim=True) / way.square().sum(-1, keepdim=True)
    stroke = (at - begin - along.clamp(0, 1) * way).norm(dim=-1) < width  # (count, STROKES, side, side)
    used = torch.arange(STROKES, device=device) < 1 + (STROKES * rand(count, 1)).floor()
    strokes = (stroke & used[:, :, None, None]).any(1)

    kind = rand(count)[:, None, None]
    hole = torch.where(kind < BOX, box, torch.where(kind < BOX + OUTSIDE, ~box, strokes))
    return (hole | (rand(count) >= share)[:, None, None])[:, None]
