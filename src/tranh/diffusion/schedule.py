"""Time: the grids samplers walk down, the times training draws, and variance-preserving schedules seen as linear ones.

It knows nothing of pictures or of losses. Everywhere in ``diffusion`` the path is linear, x_t = (1 - t) x_0 + t eps,
and t = 1 is pure noise. A variance-preserving model (DDPM) lives on y = a x_0 + s eps with a^2 + s^2 = 1, which is the
same path in other units: t = s / (a + s), x_t = y / (a + s). So the same samplers serve both, converted at the edge.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from tranh.diffusion.loss import Prediction, estimate, rows
from tranh.types import Denoiser

Spacing = Literal["leading", "trailing", "linspace"]


def linear(steps: int, last: float = 1e-3) -> Tensor:
    """Evenly spaced times from 1 to ``last``, then 0: those of diffusers' ``FlowMatchEulerDiscreteScheduler()``.

    With the default ``last`` the final step changes almost nothing; ``last = 1 / steps`` spreads all steps evenly.

    Returns:
        (steps + 1,), float32, falling.
    """
    return shifted(steps, 1.0, last)


def shifted(steps: int, shift: float, last: float = 1e-3) -> Tensor:
    """Times moved towards noise, t -> shift t / (1 + (shift - 1) t) (Esser et al. 2024), for larger pictures.

    Equal to diffusers' ``FlowMatchEulerDiscreteScheduler(shift=shift)``, which shifts its smallest time twice.

    Returns:
        (steps + 1,), float32, falling.
    """
    if steps < 1 or shift <= 0 or not 0 < last <= 1:
        raise ValueError(f"steps {steps}, shift {shift}, last {last}: need steps >= 1, shift > 0 and 0 < last <= 1")
    t = torch.linspace(1, shift * last / (1 + (shift - 1) * last), steps, dtype=torch.float64)
    return torch.cat([shift * t / (1 + (shift - 1) * t), t.new_zeros(1)]).float()


def stratified(count: int, *, generator: torch.Generator) -> Tensor:
    """Random numbers in (0, 1), one from each of ``count`` equal ranges, in random order: a small batch sees every
    amount of noise, and its gradient varies less. (count,), float32, on the generator's device."""
    device = generator.device
    share = torch.randperm(count, generator=generator, device=device)
    return (share + torch.rand(count, generator=generator, device=device).clamp(1e-3, 1 - 1e-3)) / count


def logit_normal(count: int, mean: float = 0.8, std: float = 0.8, *, generator: torch.Generator) -> Tensor:
    """Times for training, sigmoid of a normal variable (Esser et al. 2024), stratified; a larger mean is more noise.

    The default is JiT's: its time runs the other way, so its mean of -0.8 is 0.8 here.

    Returns:
        (count,), float32, on the generator's device.
    """
    return torch.sigmoid(mean + std * torch.special.ndtri(stratified(count, generator=generator)))


def noise_first(first: float, last: float, progress: float, until: float = 0.5) -> float:
    """Mean of :func:`logit_normal` that falls from ``first`` to ``last`` by ``until``, a share of the run.

    Where there is hardly a picture to be seen the caption is all there is to go by; begun there, a network learns to
    read before it learns to undo noise. A curriculum from easy to hard times (Kim et al. 2024, arXiv 2403.10348).
    """
    return last + max(0.0, 1 - progress / until) * (first - last)


def vp_coefficients(t: float) -> tuple[float, float]:
    """Signal a and noise s of the variance-preserving path at linear time t: a^2 + s^2 = 1, s / (a + s) = t."""
    norm = math.hypot(1 - t, t)
    return (1 - t) / norm, t / norm


class VariancePreserving:
    """A schedule of DDPM (Ho et al. 2020) and its bridge to linear time.

    Attributes:
        betas, alpha_bar: (N,), float32, bit-equal to diffusers'.
        times: linear time of each index, (N,), float64, rising.
    """

    def __init__(self, betas: Tensor) -> None:
        self.betas = betas
        self.alpha_bar = torch.cumprod(1 - betas, dim=0)
        a, s = self.alpha_bar.double().sqrt(), (1 - self.alpha_bar.double()).sqrt()
        self.times = s / (a + s)

    @classmethod
    def linear_betas(cls, count: int = 1000, first: float = 1e-4, last: float = 0.02) -> VariancePreserving:
        """DDPM's betas, rising evenly."""
        return cls(torch.linspace(first, last, count, dtype=torch.float32))

    @classmethod
    def cosine_betas(cls, count: int = 1000, offset: float = 0.008, largest: float = 0.999) -> VariancePreserving:
        """Improved DDPM's betas (Nichol and Dhariwal 2021): alpha_bar falls as a squared cosine."""
        bar = [math.cos((i / count + offset) / (1 + offset) * math.pi / 2) ** 2 for i in range(count + 1)]
        return cls(torch.tensor([min(1 - bar[i + 1] / bar[i], largest) for i in range(count)], dtype=torch.float32))

    def grid(self, steps: int, spacing: Spacing = "leading") -> Tensor:
        """Linear times of a subset of the indices, then 0.

        Spacing follows diffusers: ``leading`` is DDIM's and DDPM's default, ``linspace`` DPMSolverMultistep's.

        Returns:
            (steps + 1,), float64, falling.
        """
        N = len(self.betas)
        if not 1 <= steps <= N:
            raise ValueError(f"steps {steps} is not within this schedule: choose 1 to {N}")
        if spacing == "leading":
            n = torch.arange(steps) * (N // steps)
        elif spacing == "trailing":
            n = (N - torch.arange(steps, dtype=torch.float64) * (N / steps)).round().flip(0).long() - 1
        elif spacing == "linspace":
            n = torch.linspace(0, N - 1, steps + 1, dtype=torch.float64).round()[1:].long()
        else:
            raise ValueError(f"spacing {spacing!r}: choose leading, trailing or linspace")
        return torch.cat([self.times[n].flip(0), self.times.new_zeros(1)])

    def index(self, t: Tensor) -> Tensor:
        """Where linear times (B,) fall among the indices, fractions allowed, along log(s / a). (B,), float32."""
        t = t.double().clamp(self.times[0].item(), self.times[-1].item())
        table, value = torch.logit(self.times).to(t.device), torch.logit(t)
        upper = torch.searchsorted(table, value).clamp(1, len(table) - 1)
        n = upper - 1 + (value - table[upper - 1]) / (table[upper] - table[upper - 1])
        return torch.where((n - n.round()).abs() < 1e-2, n.round(), n).float()  # float32 times still hit their index

    def coefficients(self, n: Tensor) -> tuple[Tensor, Tensor]:
        """Signal a and noise s at indices n (B,), between two indices along log(s / a). Each (B,), float64."""
        table, n = torch.logit(self.times).to(n.device), n.double()
        lower = n.floor().long().clamp(0, max(0, len(table) - 2))
        value = torch.lerp(table[lower], table[lower + 1], n - lower)  # log(s / a)
        return torch.sigmoid(-2 * value).sqrt(), torch.sigmoid(2 * value).sqrt()

    def denoiser(self, network: Callable[[Tensor, Tensor], Tensor], prediction: Prediction = "eps") -> Denoiser:
        """A network (y_n, n) -> what it predicts, as a denoiser (x_t, t) -> x_0 of the linear path."""

        def denoise(x: Tensor, t: Tensor) -> Tensor:
            n = self.index(t)
            a, s = (rows(c, x).to(x.dtype) for c in self.coefficients(n))
            y = (a + s) * x
            return estimate(prediction, network(y, n), y, a, s)

        return denoise
