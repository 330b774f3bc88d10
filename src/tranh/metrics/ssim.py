"""Structural similarity: how near pictures are to the pictures they should be, in mean, contrast and structure.

It knows pairs of pictures and nothing of how they were made.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from tranh.metrics.interval import bootstrap
from tranh.metrics.measured import FEW, Measured, card, enough
from tranh.metrics.pairs import checked

WINDOW, SIGMA = 11, 1.5
"""The Gaussian window of the paper, in pixels."""

K1, K2 = 0.01, 0.03
PAPER = "SSIM (Wang et al. 2004), Gaussian window 11 x 11, sigma 1.5, K1 0.01, K2 0.03, range 1, edges mirrored"


def ssim(made: Tensor, real: Tensor) -> Tensor:
    """Mean structural similarity of each picture, (B,) float64 in [-1, 1]; 1 where they are equal.

    Wang et al. 2004, equation 13, mean over places and channels. Around every pixel lies a window; at the edge it sees
    the picture mirrored, as in torchmetrics (others leave the edge out and differ in the third decimal).

    Args:
        made, real: (B, C, H, W) in [-1, 1], at least 11 pixels a side.

    Raises:
        TranhError: shapes differ, a picture is smaller than the window, or a value is not finite.
    """
    x, y = checked(made, real, least=WINDOW)
    mx, my = _local(x), _local(y)
    vx, vy, vxy = _local(x * x) - mx * mx, _local(y * y) - my * my, _local(x * y) - mx * my
    c1, c2 = K1**2, K2**2
    found = (2 * mx * my + c1) * (2 * vxy + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2))
    return found.mean((1, 2, 3))


def measure(made: Tensor, real: Tensor, *, seed: int = 0, allow_few: bool = False) -> Measured:
    """The mean over pictures, with interval and card.

    Raises:
        TranhError: fewer than 16 pictures and not allowed, or as for ``ssim``.
    """
    found = ssim(made, real)
    notes = enough("SSIM", {"pairs": len(found)}, FEW, "Compare more pictures, or read ssim() of each.", allow_few)
    how = "bootstrap of pictures, 2000 resamples"
    settings = {"size": list(made.shape[2:])}
    said = card(PAPER, {"pairs": len(found)}, how, seed=seed, settings=settings, notes=notes)
    return Measured("SSIM", bootstrap(found.tolist(), seed=seed), said)


def _local(x: Tensor) -> Tensor:
    """Means of x (B, C, H, W) under the window around each pixel, (B, C, H, W)."""
    at = torch.arange(WINDOW, dtype=x.dtype) - WINDOW // 2
    weight = torch.exp(-at.square() / (2 * SIGMA**2))
    weight = weight / weight.sum()
    flat = F.pad(x.flatten(0, 1)[:, None], [WINDOW // 2] * 4, mode="reflect")  # channels are pictures of their own
    flat = F.conv2d(F.conv2d(flat, weight.view(1, 1, -1, 1)), weight.view(1, 1, 1, -1))
    return flat.unflatten(0, x.shape[:2])[:, :, 0]
