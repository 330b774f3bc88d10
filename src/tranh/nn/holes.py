"""Random holes in pictures, for learning to fill them in.

It knows nothing of pictures or of who fills.
"""

from __future__ import annotations

import torch
from torch import Tensor


def random_holes(count: int, side: int, share: float, *, generator: torch.Generator) -> Tensor:
    """Where pictures are hidden: a box at a random place, its sides a quarter of the picture's to all of it.

    Half of the boxes are turned inside out, so that a middle can be known as well as a border.

    Args:
        count: pictures; side: theirs in pixels.
        share: of the pictures that have such a hole; the others are hidden whole.

    Returns:
        bool (count, 1, side, side), True where hidden, on the generator's device.
    """
    device = generator.device

    def rand(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, device=device)

    length = side * (0.25 + 0.75 * rand(count, 2))
    start = (side - length) * rand(count, 2)  # (count, 2): rows, columns
    place = torch.arange(side, device=device) + 0.5
    inside = (place >= start[..., None]) & (place < (start + length)[..., None])  # (count, 2, side)
    box = inside[:, 0, :, None] & inside[:, 1, None, :]
    box = box ^ (rand(count) < 0.5)[:, None, None]
    return (box | (rand(count) >= share)[:, None, None])[:, None]
