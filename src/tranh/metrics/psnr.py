"""Peak signal-to-noise ratio: how near pictures are to the pictures they should be, pixel by pixel, in decibels.

It knows pairs of pictures and nothing of how they were made. Blur costs it little: read it beside the sharpness
difference.
"""

from __future__ import annotations

from torch import Tensor

from tranh.metrics.measured import FEW, Measured, card, enough
from tranh.metrics.pairs import checked, pooled


def psnr(made: Tensor, real: Tensor) -> Tensor:
    """10 log10(max^2 / mean squared error) of each picture, (B,) float64 in dB; infinite where they are equal.

    Args:
        made, real: (B, C, H, W) in [-1, 1].

    Raises:
        TranhError: shapes differ or a value is not finite.
    """
    return -10 * _errors(made, real).log10()


def measure(made: Tensor, real: Tensor, *, seed: int = 0, allow_few: bool = False) -> Measured:
    """Of the mean squared error over all pictures, with interval and card.

    Raises:
        TranhError: fewer than 16 pictures and not allowed, or as for ``psnr``.
    """
    errors = _errors(made, real)
    notes = enough("PSNR", {"pairs": len(errors)}, FEW, "Compare more pictures, or read psnr() of each.", allow_few)
    settings = {"from": "the mean squared error over all pictures", "size": list(made.shape[2:])}
    how = "bootstrap of pictures, 2000 resamples"
    said = card("PSNR in dB, range 1", {"pairs": len(errors)}, how, seed=seed, settings=settings, notes=notes)
    return Measured("PSNR", pooled(errors, seed), said)


def _errors(made: Tensor, real: Tensor) -> Tensor:
    a, b = checked(made, real)
    return (a - b).square().mean((1, 2, 3))
