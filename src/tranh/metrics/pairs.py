"""Pictures compared one by one with the pictures they should be: what PSNR, SSIM and sharpness have in common.

It knows neither of them.
"""

from __future__ import annotations

import math

from torch import Tensor

from tranh.metrics.interval import Interval, bootstrap
from tranh.types import TranhError

HIGHEST = 100.0
"""Decibels above which a number is given as this: pictures that are equal would be infinitely near."""


def checked(a: Tensor, b: Tensor, least: int = 1) -> tuple[Tensor, Tensor]:
    """Both in float64, brought from [-1, 1] to [0, 1].

    Raises:
        TranhError: shapes differ, are not (B, C, H, W), or a side is less than ``least``.
    """
    if a.ndim != 4 or a.shape != b.shape or min(a.shape[2:]) < least:
        raise TranhError(
            f"pictures have shapes {list(a.shape)} and {list(b.shape)}; both must be (B, C, H, W) of one size, "
            f"at least {least} pixels a side."
        )
    a, b = ((x.detach().double().cpu() + 1) / 2 for x in (a, b))
    if not (a.isfinite().all() and b.isfinite().all()):
        raise TranhError("a pixel is NaN or infinite: the pictures are broken.")
    return a, b


def decibels(error: float) -> float:
    """10 log10(1 / error), at most ``HIGHEST``."""
    return min(HIGHEST, -10 * math.log10(max(error, 1e-30)))


def pooled(errors: Tensor, seed: int) -> Interval:
    """Decibels of the mean error of all pictures (N,), with the interval from resampled pictures."""
    found = bootstrap(errors.tolist(), seed=seed)
    return Interval(decibels(found.value), decibels(found.high), decibels(found.low), found.count)
