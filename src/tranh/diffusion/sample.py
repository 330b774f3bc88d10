"""Samplers: plain generators that walk a denoiser from noise down to a picture, one step per ``next``.

They know nothing of networks, captions, guidance, grad mode or batching. All share one signature,
``sampler(denoiser, x, ts, noise=None)``: x is the state at time ts[0], ts falls to 0 (a tail of a grid with a corrupted
picture is an edit), and ``noise()`` gives the fresh noise of ancestral steps. Every step depends on each row alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Literal, Protocol

import torch
from torch import Tensor

from tranh.diffusion.loss import FLOOR
from tranh.diffusion.schedule import Spacing, vp_coefficients
from tranh.types import Denoiser, Step, TranhError

Noise = Callable[[], Tensor]
"""Each call gives the next standard normal (B, ...)."""


class Sampler(Protocol):
    """What all functions of this module look like."""

    def __call__(self, denoiser: Denoiser, x: Tensor, ts: Tensor, noise: Noise | None = None) -> Iterator[Step]: ...


def run(steps: Iterable[Step]) -> Tensor:
    """The state after the last step."""
    x = None
    for step in steps:
        x = step.x
    if x is None:
        raise ValueError("the sampler made no step: a grid of times needs at least two entries")
    return x


def seeded(seeds: Sequence[int], shape: Sequence[int], device: torch.device | str = "cpu") -> Noise:
    """One stream of noise per picture, each from its own seed, drawn on the CPU so that every device sees the same.

    Args:
        seeds: B seeds.
        shape: of one picture.

    Returns:
        a function whose k-th call gives the k-th noise, (B, *shape), float32. The first is the state at t = 1.
    """
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    return lambda: torch.stack([torch.randn(*shape, generator=g) for g in generators]).to(device)


def euler(
    denoiser: Denoiser, x: Tensor, ts: Tensor, noise: Noise | None = None, floor: float = FLOOR
) -> Iterator[Step]:
    """x_s = x_t + (s - t) v, v = (x_t - x_0) / max(t, floor); with the default floor as diffusers' PRXPixelPipeline.

    Steps that start below ``floor`` stop short of x_0, so some noise is left if the grid goes there; ``floor=0`` lands.
    """
    for i, t, s in _pairs(ts):
        x0 = denoiser(x, _rows(x, t))
        x = x + (s - t) * ((x - x0) / max(t, floor))
        yield Step(i, len(ts) - 1, s, x, x0)


def heun(denoiser: Denoiser, x: Tensor, ts: Tensor, noise: Noise | None = None, floor: float = FLOOR) -> Iterator[Step]:
    """The mean of the velocities at both ends of each step (Karras et al. 2022); the step to 0 is Euler's."""
    for i, t, s in _pairs(ts):
        x0 = denoiser(x, _rows(x, t))
        v = (x - x0) / max(t, floor)
        if s > 0:
            x_s = x + (s - t) * v
            x0 = denoiser(x_s, _rows(x, s))
            v = (v + (x_s - x0) / max(s, floor)) / 2
        x = x + (s - t) * v
        yield Step(i, len(ts) - 1, s, x, x0)


def heun_vp(denoiser: Denoiser, x: Tensor, ts: Tensor, noise: Noise | None = None) -> Iterator[Step]:
    """Heun in the units of Karras et al. (2022), y = x_0 + sigma eps, sigma = t / (1 - t): for grids of a
    variance-preserving schedule, as diffusers' ``HeunDiscreteScheduler``. The grid must begin below t = 1."""
    for i, t, s in _pairs(ts):
        if t >= 1:
            raise ValueError("heun_vp cannot begin at t = 1, where sigma is infinite: take VariancePreserving.grid")
        sigma, sigma_s = t / (1 - t), s / (1 - s)
        x0 = denoiser(x, _rows(x, t))
        y = x / (1 - t)
        d = (y - x0) / sigma
        if s > 0:
            y_s = y + (sigma_s - sigma) * d
            x0 = denoiser((1 - s) * y_s, _rows(x, s))
            d = (d + (y_s - x0) / sigma_s) / 2
        x = (1 - s) * (y + (sigma_s - sigma) * d)
        yield Step(i, len(ts) - 1, s, x, x0)


def dpmpp_2m(denoiser: Denoiser, x: Tensor, ts: Tensor, noise: Noise | None = None) -> Iterator[Step]:
    """DPM-Solver++(2M) (Lu et al. 2022), midpoint form; the first step and the step to 0 are of first order."""
    previous, h_0 = None, math.inf
    for i, t, s in _pairs(ts):
        x0 = denoiser(x, _rows(x, t))
        h = _lambda(s) - _lambda(t)
        D = x0
        if previous is not None and s > 0:
            D = x0 + 0.5 * (h / h_0) * (x0 - previous)  # h / h_0 = 1 / r_0; 0 after a start from pure noise
        x = (s / t) * x - (1 - s) * math.expm1(-h) * D
        previous, h_0 = x0, h
        yield Step(i, len(ts) - 1, s, x, x0)


def ddim(denoiser: Denoiser, x: Tensor, ts: Tensor, noise: Noise | None = None, eta: float = 0.0) -> Iterator[Step]:
    """DDIM (Song et al. 2021), formulas 12 and 16; on the linear path eta = 0 is Euler without a floor."""
    for i, t, s in _pairs(ts):
        x0 = denoiser(x, _rows(x, t))
        eps = (x - (1 - t) * x0) / t
        sigma = 0.0
        if eta > 0 and s > 0:
            (a_t, s_t), (a_s, s_s) = vp_coefficients(t), vp_coefficients(s)
            sigma = eta * (s_s / s_t) * math.sqrt(1 - (a_t / a_s) ** 2) / (a_s + s_s)  # formula 16, in linear units
        x = (1 - s) * x0 + math.sqrt(s**2 - sigma**2) * eps
        if sigma > 0:
            x = x + sigma * _fresh(noise, "ddim with eta > 0")
        yield Step(i, len(ts) - 1, s, x, x0)


def ddpm(
    denoiser: Denoiser,
    x: Tensor,
    ts: Tensor,
    noise: Noise | None = None,
    variance: Literal["small", "large"] | Callable[[], Tensor] = "small",
) -> Iterator[Step]:
    """Ancestral sampling (Ho et al. 2020), formulas 6 and 7; variance beta-tilde (``small``) or beta (``large``).

    A learned variance (Nichol and Dhariwal 2021, formula 15) is a function that gives, once the denoiser was asked, how
    far it lies from beta-tilde (0) to beta (1) in logarithms, shaped as x.
    """
    for i, t, s in _pairs(ts):
        x0 = denoiser(x, _rows(x, t))
        (a_t, s_t), (a_s, s_s) = vp_coefficients(t), vp_coefficients(s)
        alpha = (a_t / a_s) ** 2  # of this step, also when it spans several indices
        beta = 1 - alpha
        y = (a_t + s_t) * x
        y = (a_s * beta * x0 + math.sqrt(alpha) * s_s**2 * y) / s_t**2
        if s > 0:
            small, share = s_s / s_t, variance() if callable(variance) else float(variance == "large")
            y = y + math.sqrt(beta) * small ** (1 - share) * _fresh(noise, "ddpm")
        x = y / (a_s + s_s)
        yield Step(i, len(ts) - 1, s, x, x0)


def _pairs(ts: Tensor) -> Iterator[tuple[int, float, float]]:
    """(1, t_0, t_1), (2, t_1, t_2), ... as Python floats, so that coefficients are computed in double precision."""
    times = ts.tolist()
    if any(t <= s for t, s in zip(times, times[1:], strict=False)) or not times or times[-1] < 0 or times[0] > 1:
        raise ValueError(f"times must fall within [0, 1]; given {times}")
    return ((i, t, s) for i, (t, s) in enumerate(zip(times, times[1:], strict=False), start=1))


def _rows(x: Tensor, t: float) -> Tensor:
    """t for each row of x, (B,), at least float32."""
    return torch.full((len(x),), t, dtype=torch.promote_types(x.dtype, torch.float32), device=x.device)


def _lambda(t: float) -> float:
    """Half the log signal-to-noise ratio, log((1 - t) / t)."""
    if t <= 0:
        return math.inf
    return -math.inf if t >= 1 else math.log((1 - t) / t)


def _fresh(noise: Noise | None, who: str) -> Tensor:
    if noise is None:
        raise ValueError(
            f"{who} needs fresh noise at every step and none was handed in: pass noise=seeded(seeds, shape)"
        )
    return noise()


SAMPLERS: Mapping[str, Sampler] = {
    "ddpm": ddpm,
    "ddim": ddim,
    "euler": partial(euler, floor=0.0),
    "heun": heun_vp,
    "dpm++": dpmpp_2m,
}
"""Samplers of variance-preserving models by the names users know, each as diffusers' scheduler of that name."""

SPACINGS: Mapping[str, Spacing] = {name: "leading" if name == "heun" else "trailing" for name in SAMPLERS}
"""Which indices of its schedule each walks down. All begin at the last, but Heun's: there a cosine schedule has a sigma
of 20,000, and a mean of two slopes over all of it throws the picture away."""


def named(name: str | None, default: str) -> Sampler:
    """A sampler of :data:`SAMPLERS`.

    Raises:
        TranhError: there is none of this name.
    """
    name = name or default
    if name not in SAMPLERS:
        raise TranhError(f"there is no sampler {name!r}; choose one of {', '.join(SAMPLERS)}")
    return SAMPLERS[name]
