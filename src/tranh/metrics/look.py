"""What a picture looks like from afar: 8 x 8 colours, compared whatever its brightness, contrast, place and side.

It knows pixels, no network and no data set. What copying a picture does to it (noise, compression, blur, a shift, a
mirror, a crop) hardly changes its look, where a feature network made for sharp pictures is lost.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SIDE, CELLS = 64, 8
SIZE = 3 * CELLS * CELLS
SHIFTS = range(-4, 5)
"""Pixels of 64 a picture is moved by, in both directions, before it is compared."""
ZOOMS = (58, 61, 67, 70)
"""Pixels of 64 that a picture is cut or widened to."""
FLAT = 0.06
"""Contrast (standard deviation) up to which a picture counts as flat and is not stretched: that would compare noise."""


def resized(images: Tensor, side: int = SIDE) -> Tensor:
    """Pictures (B, 3, H, W) at (side, side): averaged when made smaller, bilinear when made larger."""
    if images.shape[-2:] == (side, side):
        return images
    return F.interpolate(images, size=(side, side), mode="bilinear", antialias=True).clamp(-1, 1)


def look(images: Tensor) -> Tensor:
    """(B, 3, H, W) in [-1, 1] -> looks (B, 192) uint8, as an index keeps them."""
    cells = F.adaptive_avg_pool2d(resized(images.float()), CELLS).flatten(1)
    return cells.add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)


def compared(looks: Tensor) -> Tensor:
    """Looks (B, 192), uint8 or in [-1, 1] -> the vectors that are compared: mean 0, length 1 unless flat."""
    x = looks.float() / 127.5 - 1 if looks.dtype == torch.uint8 else looks.float()
    x = x - x.mean(1, keepdim=True)
    return x / x.norm(dim=1, keepdim=True).clamp(min=FLAT * x.shape[1] ** 0.5)


def views(images: Tensor) -> Tensor:
    """Every way a picture is held against others: moved, cut and widened, and all that mirrored.

    Args:
        images: (B, 3, H, W) in [-1, 1].

    Returns:
        (170, B, 192), as :func:`compared` gives them.
    """
    plain, cell = resized(images.float()), SIDE // CELLS
    cells = []  # (B, 3, 8, 8) each
    for x in (plain, plain.flip(-1)):
        wide = F.pad(x, (8, 8, 8, 8), mode="replicate")
        # The mean of the cell that begins at each pixel, at once: a shift only picks among them.
        means = F.avg_pool2d(F.avg_pool2d(wide, (cell, 1), stride=1), (1, cell), stride=1)
        for down in SHIFTS:
            for right in SHIFTS:
                cells.append(means[:, :, 8 + down :: cell, 8 + right :: cell][:, :, :CELLS, :CELLS])
        for side in ZOOMS:
            rim = (SIDE + 16 - side) // 2
            cells.append(F.adaptive_avg_pool2d(resized(wide[:, :, rim : rim + side, rim : rim + side]), CELLS))
    every = torch.stack(cells)
    return compared(every.reshape(-1, SIZE)).view(len(cells), len(images), SIZE)
