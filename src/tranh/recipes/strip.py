"""The forward process of DDPM as a strip: one picture, noised more and more, with its time and signal-to-noise below.

Nothing is trained or asked: the process is fixed (Ho et al. 2020, formula 4), only its schedule is a choice.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from PIL import Image
from torch import Tensor

from tranh.diffusion.bound import Chain
from tranh.diffusion.sample import seeded
from tranh.diffusion.schedule import VariancePreserving
from tranh.engine.sheet import sheet
from tranh.types import TranhError

SCHEDULES: Mapping[str, VariancePreserving] = {
    "linear": VariancePreserving.linear_betas(),
    "cosine": VariancePreserving.cosine_betas(),
}

STAY = "\u00a0"
"""A space at which a line is not broken."""


def noised(image: Tensor, schedule: str, count: int, seed: int = 0) -> tuple[Tensor, list[str]]:
    """States y_n ~ q(y_n | x_0) at evenly spread indices, all with the same noise, and what is said of each.

    Args:
        image: (3, H, W) in [-1, 1]; schedule: one of :data:`SCHEDULES`; count: states, at least 2.

    Returns:
        (count, 3, H, W), and time and signal-to-noise ratio a^2 / s^2 in decibels of each.
    """
    chain = Chain(SCHEDULES[schedule])
    n = torch.linspace(0, chain.N - 1, count).round().long()
    eps = seeded([seed], image.shape)().expand(count, *image.shape)
    y = chain.corrupt(image.expand_as(eps), eps, n)
    decibels = (20 * (chain.signal[n] / chain.noise[n]).log() / math.log(10)).tolist()
    return y, [f"{schedule} t={t + 1} SNR{STAY}{snr:+.1f}{STAY}dB" for t, snr in zip(n.tolist(), decibels, strict=True)]


def strip(image: Tensor, schedules: Sequence[str] = tuple(SCHEDULES), count: int = 8, seed: int = 0) -> Image.Image:
    """One row of noised pictures per schedule, with the same noise in all; arguments of :func:`noised`.

    Raises:
        TranhError: no such schedule, or fewer than two pictures.
    """
    unknown = [name for name in schedules if name not in SCHEDULES]
    if unknown or not schedules or count < 2:
        raise TranhError(f"{count} pictures of {', '.join(schedules)}: at least 2, of {' or '.join(SCHEDULES)}")
    rows = [noised(image, name, count, seed) for name in schedules]
    return sheet(torch.cat([y for y, _ in rows]), [said for _, words in rows for said in words], columns=count)
