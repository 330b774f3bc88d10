"""Sharpness difference: how near the edges of pictures are to those of the pictures they should be, in decibels.

It knows pairs of pictures and nothing of how they were made. Blur, which PSNR hardly minds, costs it most.
"""

from __future__ import annotations

from torch import Tensor

from tranh.metrics.measured import FEW, Measured, card, enough
from tranh.metrics.pairs import checked, pooled

PAPER = "sharpness difference in dB (Mathieu et al. 2016), range 1"


def sharpness_difference(made: Tensor, real: Tensor) -> Tensor:
    """10 log10(max^2 / mean |(d_i Y + d_j Y) - (d_i Y' + d_j Y')|) of each picture, (B,) float64 in dB.

    d_i Y = |Y_{i,j} - Y_{i-1,j}|, d_j Y = |Y_{i,j} - Y_{i,j-1}|, of pixels in [0, 1], max = 1 (the number depends on
    the range: above is squared, below is not). Infinite where the edges are equal.

    Args:
        made, real: (B, C, H, W) in [-1, 1], H and W at least 2.

    Raises:
        TranhError: shapes differ or a value is not finite.
    """
    return -10 * _errors(made, real).log10()


def measure(made: Tensor, real: Tensor, *, seed: int = 0, allow_few: bool = False) -> Measured:
    """Of the mean difference over all pictures, with interval and card.

    Raises:
        TranhError: fewer than 16 pictures and not allowed, or as for ``sharpness_difference``.
    """
    errors = _errors(made, real)
    instead = "Compare more pictures, or read sharpness_difference() of each."
    notes = enough("the sharpness difference", {"pairs": len(errors)}, FEW, instead, allow_few)
    settings = {"from": "the mean difference over all pictures", "size": list(made.shape[2:])}
    how = "bootstrap of pictures, 2000 resamples"
    said = card(PAPER, {"pairs": len(errors)}, how, seed=seed, settings=settings, notes=notes)
    return Measured("sharpness difference", pooled(errors, seed), said)


def _errors(made: Tensor, real: Tensor) -> Tensor:
    a, b = checked(made, real, least=2)
    return (_edges(a) - _edges(b)).abs().mean((1, 2, 3))


def _edges(x: Tensor) -> Tensor:
    """(B, C, H - 1, W - 1) sum of the absolute differences to the pixel above and to the pixel on the left."""
    down, right = x.diff(dim=2).abs(), x.diff(dim=3).abs()
    return down[..., 1:] + right[:, :, 1:]
