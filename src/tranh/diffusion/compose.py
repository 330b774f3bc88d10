"""Denoisers made of several: guidance between any two, words weighed, parts of a picture told apart.

They know nothing of captions or networks; what is made is a denoiser again, and samplers cannot tell. Estimates are
joined at every step of one denoising, never finished pictures.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tranh.diffusion.guide import classifier_free
from tranh.types import Denoiser

SOFT = 0.06
"""Width of a box's edge, as a share of the side: on it the estimates of both sides go over into one another."""

Box = tuple[float, float, float, float]
"""Left, top, right, bottom as shares of the side."""


def guided(null: Denoiser, told: Denoiser, scale: float, interval: tuple[float, float] = (0.0, 1.0)) -> Denoiser:
    """:func:`tranh.diffusion.guide.classifier_free` between two denoisers of B rows each."""

    def pair(x: Tensor, t: Tensor) -> Tensor:
        (x, same), (t, _) = x.chunk(2), t.chunk(2)
        return torch.cat([null(x, t), told(same, t)])

    return classifier_free(pair, scale, interval, conditional=told)


def weighed(told: Denoiser, terms: Sequence[tuple[float, Denoiser, Denoiser]]) -> Denoiser:
    """x_0 + sum (w - 1) (x_0 with some words - x_0 without them): what words add, more or less of it.

    w = 1 changes nothing, w = 0 takes away what the words add. Of several words each is weighed by itself, as concepts
    are composed by Liu et al. 2022 (arXiv 2206.01714).

    Args:
        terms: weight, denoiser with the words, denoiser without them.
    """

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        x0 = told(x, t)
        for weight, with_, without in terms:
            x0 = x0 + (weight - 1) * (with_(x, t) - without(x, t))
        return x0

    return denoise if terms else told


def soft_box(box: Box, height: int, width: int, soft: float = SOFT) -> Tensor:
    """1 inside a box, 0 outside, between them a smooth edge ``soft`` wide, half of it on either side. (height, width).

    Where an edge of the box is that of the picture there is none to be smoothed.
    """
    left, top, right, bottom = box

    def along(low: float, high: float, n: int) -> Tensor:
        at = (torch.arange(n) + 0.5) / n
        up = torch.ones(n) if low <= 0 else ((at - low) / soft + 0.5).clamp(0, 1)
        down = torch.ones(n) if high >= 1 else ((high - at) / soft + 0.5).clamp(0, 1)
        edge = torch.minimum(up, down)
        return edge * edge * (3 - 2 * edge)

    return along(top, bottom, height)[:, None] * along(left, right, width)


def regional(whole: Denoiser, parts: Sequence[tuple[Box, Denoiser]]) -> Denoiser:
    """One denoising in which each box has an estimate of its own (as MultiDiffusion, Bar-Tal et al. 2023, joins views).

    Every part sees the whole state, with all that the others have drawn so far. Boxes that overlap share what they have
    in common.
    """

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        shares = torch.stack([soft_box(box, *x.shape[-2:]).to(x) for box, _ in parts])  # (R, H, W)
        shares = shares / shares.sum(0).clamp(min=1)
        x0 = (1 - shares.sum(0)) * whole(x, t)
        for (_, part), share in zip(parts, shares, strict=True):
            x0 = x0 + share * part(x, t)
        return x0

    return denoise if parts else whole
