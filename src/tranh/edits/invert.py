"""DDIM inversion: the noise from which a denoiser draws a picture that is there already, and the way back.

It knows no family and no embedding: what the picture means is inside the denoiser. Beside the embedding, the noise is
the other half of a picture's latent in Ramesh et al. 2022, section 3; the walk is Song et al. 2021, section 4.3.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from tranh.diffusion.loss import FLOOR, corrupt
from tranh.diffusion.sample import ddim
from tranh.types import Denoiser, Step, TranhError

STEPS = 24
"""Steps each way; the way up asks the denoiser twice a step, so that it is asked fewer than 50 times."""

FEWEST = 4

FIRST, TOP = 0.1, 0.99
"""The last time but one of the way down, and the first after pure noise."""

ROUNDS = 2

PUT_IN = 1.012
"""Standard deviation of the fresh noise: a little of it is taken for picture on the way up, and without this the noise
found had a variance of 0.965 to 0.985, by how much a picture shows."""


def times(steps: int | None = None) -> Tensor:
    """The grid of both ways: 1, then from ``TOP`` to ``FIRST`` evenly in log((1 - t) / t), then 0.

    Even steps in log signal-to-noise change a picture about evenly. Even steps in t leave out the high ones, where the
    layout is decided: coming back, some pictures were others.

    Returns:
        (steps + 1,), float64, falling.

    Raises:
        TranhError: too few steps.
    """
    steps = STEPS if steps is None else steps
    if steps < FEWEST:
        raise TranhError(f"steps is {steps}; finding the noise of a picture takes at least {FEWEST}")
    middle = torch.linspace(_logit(TOP), _logit(FIRST), steps - 1, dtype=torch.float64).sigmoid()
    return torch.cat([middle.new_ones(1), middle, middle.new_zeros(1)])


def seen(denoiser: Denoiser, images: Tensor) -> Tensor:
    """Pictures as the denoiser would draw them: its estimate where next to nothing is to be undone. (B, 3, S, S)."""
    at = torch.full((len(images),), FLOOR, device=images.device)
    return denoiser((1 - FLOOR) * images, at)


def invert(denoiser: Denoiser, images: Tensor, noise: Tensor, ts: Tensor, rounds: int = ROUNDS) -> Iterator[Step]:
    """Walk pictures up to noise; the last step's ``x`` is what :func:`decode` makes the pictures of.

    Each step is that of DDIM turned round: x_t with x_s = (s / t) x_t + (1 - s / t) x_0(x_t, t) is found by putting the
    estimate of before into the formula, and the estimate there, ``rounds`` times.

    A drawing has no noise in it, and what noise it lacks, inversion cannot find: begun at the picture itself, it ends
    with a variance of about a quarter. So the walk begins at ``FIRST``, with as much fresh noise as belongs there, from
    the picture as the denoiser would draw it: what it could not draw would count as noise too.

    Args:
        images: (B, 3, S, S) in [-1, 1].
        noise: standard normal, of the same shape.
        ts: of :func:`times`.
        rounds: of finding each state.
    """
    rising = ts.flip(0).tolist()[1:]
    x0 = seen(denoiser, images)
    x = corrupt(x0, PUT_IN * noise, torch.full((len(images),), rising[0], device=images.device))
    for index, (s, t) in enumerate(pairwise(rising), start=1):
        below, at = x, torch.full((len(x),), t, device=x.device)
        x = _up(below, x0, s, t)
        for _ in range(rounds):
            x0 = denoiser(x, at)
            x = _up(below, x0, s, t)
        yield Step(index, len(rising) - 1, t, x, x0)


def decode(denoiser: Denoiser, noise: Tensor, ts: Tensor) -> Iterator[Step]:
    """The way down: DDIM without fresh noise. The last step's ``x`` is the pictures, in [-1, 1]."""
    for step in ddim(denoiser, noise, ts):
        x = step.x.clamp(-1, 1) if step.index == step.steps else step.x
        yield Step(step.index, step.steps, step.t, x, step.x0)


def _up(below: Tensor, x0: Tensor, s: float, t: float) -> Tensor:
    """x_t from x_s and the estimate at x_t."""
    return (t / s) * (below - (1 - s / t) * x0)


def _logit(t: float) -> float:
    return math.log(t / (1 - t))
