"""Losses: what a denoiser is asked to undo and how its error is weighed, one number per example.

It knows nothing of networks, of captions or of how times are drawn.
"""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor

Prediction = Literal["eps", "x0", "v"]
"""What a network on the path y = a x_0 + s eps (a^2 + s^2 = 1) is asked for: noise (Ho et al. 2020), the picture, or
v = a eps - s x_0 (Salimans and Ho 2022)."""

PREDICTIONS: tuple[Prediction, ...] = get_args(Prediction)

FLOOR = 0.05
"""Times below this count as this when dividing by t, in training and sampling, as in diffusers' PRXPixelPipeline."""


def rows(t: Tensor, x: Tensor) -> Tensor:
    """(B,) -> (B, 1, ..., 1), as many axes as x."""
    return t.view(-1, *[1] * (x.ndim - 1))


def corrupt(x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
    """x_t = (1 - t) x_0 + t eps. x0, eps: (B, ...); t: (B,)."""
    t = rows(t, x0)
    return (1 - t) * x0 + t * eps


def x_to_v(x0: Tensor, xt: Tensor, t: Tensor, floor: float = FLOOR) -> Tensor:
    """v = (x_t - x_0) / t, the velocity dx/dt of the path; t: (B,), not counted below ``floor``."""
    return (xt - x0) / rows(t.clamp(min=floor), xt)


def v_to_x(v: Tensor, xt: Tensor, t: Tensor) -> Tensor:
    """x_0 = x_t - t v. t: (B,)."""
    return xt - rows(t, xt) * v


def velocity_loss(x0_hat: Tensor, x0: Tensor, t: Tensor, floor: float = FLOOR) -> Tensor:
    """Squared error of the velocity that an x_0 estimate implies (JiT, Li and He 2025, arXiv 2511.13720).

    ``|v_hat - v|^2 = |x0_hat - x0|^2 / t^2``, so noise and x_t are not needed.

    Args:
        x0_hat, x0: estimate and truth, (B, ...).
        t: times, (B,); below ``floor`` they count as ``floor``.

    Returns:
        (B,), float32, mean over all other axes.
    """
    return (x0_hat.float() - x0.float()).pow(2).flatten(1).mean(1) / t.float().clamp(min=floor).pow(2)


def simple_loss(eps_hat: Tensor, eps: Tensor) -> Tensor:
    """L_simple = |eps - eps_theta(x_t, t)|^2 (Ho et al. 2020), mean over all but the first axis. (B,), float32."""
    return (eps_hat.float() - eps.float()).pow(2).flatten(1).mean(1)


def target(prediction: Prediction, x0: Tensor, eps: Tensor, a: Tensor, s: Tensor) -> Tensor:
    """What a network should answer to y = a x_0 + s eps. x0, eps: (B, ...); a, s: as many axes, (B, 1, ...)."""
    answers = {"eps": lambda: eps, "x0": lambda: x0, "v": lambda: a * eps - s * x0}
    return answers[prediction]()


def estimate(prediction: Prediction, out: Tensor, y: Tensor, a: Tensor, s: Tensor) -> Tensor:
    """The x_0 that an answer of :func:`target`'s kind implies; shapes as there."""
    pictures = {"eps": lambda: (y - s * out) / a, "x0": lambda: out, "v": lambda: a * y - s * out}
    return pictures[prediction]()
