"""Ideal denoisers: the posterior mean E[x_0 | x_t] in closed form, to see samplers without a network.

They know nothing of training; tests and documentation use them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tranh.diffusion.loss import rows
from tranh.types import Denoiser


def gaussian(mean: float, std: float) -> Denoiser:
    """E[x_0 | x_t] when x_0 ~ N(mean, std^2) and x_t = (1 - t) x_0 + t eps."""

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        t = rows(t, x)
        gain = (1 - t) * std**2 / ((1 - t) ** 2 * std**2 + t**2)
        return mean + gain * (x - (1 - t) * mean)

    return denoise


def points(x0: Tensor) -> Denoiser:
    """E[x_0 | x_t] when x_0 is one of the rows of x0 (N, D), each as likely."""

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        t = t[:, None]
        distance = ((x[:, None] - (1 - t)[:, None] * x0) ** 2).sum(-1)  # (B, N)
        return torch.softmax(-distance / (2 * t**2), dim=1) @ x0

    return denoise
