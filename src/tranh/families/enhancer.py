"""Enhancer: a convolutional denoiser that sees a poor picture beside the noisy good one, to enlarge it or to mend it.

It knows neither captions nor where the poor picture comes from. Every pixel depends on a neighbourhood of fixed size,
so pictures of any size are made, whole or in tiles. At t = 1 nothing is seen of the good picture and the answer is the
posterior mean E[x_0 | poor] in one step; from below it a sampler draws one of the pictures it may have been.
It answers with what the enlarged poor picture lacks, in units of the contrast around each place, so that a flat ground
stays flat to the last bit. Errors are weighed as by Karras et al. 2022; pixels are folded into channels (Shi et al.
2016), so that all the work is done on the small grid.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tranh.diffusion import schedule
from tranh.diffusion.loss import corrupt, rows
from tranh.nn.conv import ChannelNorm, Conv3
from tranh.nn.degrade import worn
from tranh.nn.groups import split_matrices
from tranh.nn.transformer import timestep_embedding
from tranh.types import Batch, Family, ParamGroup, Phase

FIRST, LAST = 0.3, 0.06
"""Times that samplers walk between, after the posterior mean: what a poor picture leaves open is small, and only little
noise lets it be seen."""

TOLD = 128
"""Features of a time, and of a level of noise."""


def contrast(x: Tensor) -> Tensor:
    """How much pictures (B, C, H, W) vary within two pixels of each place, (B, 1, H, W): standard deviation over all
    channels of the 5 x 5 pixels around it."""

    def around(y: Tensor) -> Tensor:
        return F.avg_pool2d(y, 5, stride=1, padding=2, count_include_pad=False)

    return (around(x.square()) - around(x).square()).clamp(min=0).mean(1, keepdim=True).sqrt()


class Told(nn.Module):
    """Norm and two 3x3 convolutions, scaled and shifted by what is told; the second starts at zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.first, self.second = ChannelNorm(width), Conv3(width), Conv3(width)
        self.modulation = nn.Linear(width, 2 * width)
        nn.init.kaiming_normal_(self.first.weight, nonlinearity="relu")
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x: Tensor, vec: Tensor) -> Tensor:
        scale, shift = self.modulation(vec)[:, :, None, None].chunk(2, dim=1)
        return x + self.second(F.relu(self.first(torch.addcmul(shift, 1 + scale, self.norm(x)))))


class Enhancer(Family):
    """What a poor picture was, or may have been.

    Args:
        scale: how many times wider the good picture is. At 1 the poor one is made by wear: blur, noise, JPEG.
        fold: pixels per side that become channels of one place; a multiple of ``scale``.
        width, depth: of the stack of residual blocks.
        augment: largest share of noise added to the small picture in training, and told (Ho et al. 2021), in half of
            the examples; at ``scale`` 1 there is none beside the wear.
        spread: standard deviation expected of what the enlarged poor picture lacks.
        means: share of examples at t = 1, where the posterior mean is learned.
        time_mean, time_std: of the logit-normal distribution of the other times. Little is left to be decided, and
            only little noise lets it be seen.
    """

    overfit: ClassVar[str] = "error"
    overfit_below: ClassVar[float] = 0.5
    shared: tuple[str, ...] = ("denoise",)

    def __init__(
        self,
        *,
        scale: int = 4,
        fold: int = 4,
        width: int = 64,
        depth: int = 12,
        augment: float = 0.1,
        spread: float = 0.07,
        means: float = 0.6,
        time_mean: float = -1.7,
        time_std: float = 1.0,
    ) -> None:
        super().__init__()
        if fold % scale:
            raise ValueError(f"fold is {fold}: it must be a multiple of the scale {scale}")
        self.config = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        self.scale, self.fold, self.spread = scale, fold, spread
        self.augment, self.means = augment, means
        self.time_mean, self.time_std = time_mean, time_std
        self.stem = nn.Conv2d(3 * (fold // scale) ** 2 + 3 * fold**2, width, 3, padding=1)
        self.told = nn.Sequential(nn.Linear(2 * TOLD, width), nn.SiLU())
        self.blocks = nn.ModuleList(Told(width) for _ in range(depth))
        self.out = nn.Conv2d(width, 3 * fold**2, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    @property
    def reach(self) -> int:
        """Pixels of the good picture that a pixel of it can depend on, in each direction."""
        return self.fold * (2 * len(self.blocks) + 3)

    def shrink(self, images: Tensor) -> Tensor:
        """The small picture of a large one: the mean of each square, as antialiased area reduction."""
        return F.avg_pool2d(images, self.scale)

    def enlarged(self, poor: Tensor) -> Tensor:
        """The poor picture at the size of the good one, bicubic."""
        if self.scale == 1:
            return poor
        return F.interpolate(poor, scale_factor=self.scale, mode="bicubic", align_corners=False)

    def grid(self, steps: int) -> Tensor:
        """Times to sample at; one step gives the posterior mean."""
        between = torch.linspace(math.log(FIRST), math.log(LAST), steps - 1).exp()
        return torch.cat([torch.ones(1), between, torch.zeros(1)])

    def poor(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """The poor pictures of good ones: made smaller, or worn."""
        return worn(images, generator) if self.scale == 1 else self.shrink(images)

    def denoise(self, xt: Tensor, t: Tensor, poor: Tensor, level: Tensor) -> Tensor:
        """x_0 estimate; at t = 1 the posterior mean, whatever x_t.

        Args:
            xt: noisy good pictures, (B, 3, H, W), sides multiples of ``fold``; t: times, (B,).
            poor: (B, 3, H / scale, W / scale), noise already added; level: how much of it, (B,) in [0, 1].
        """
        base = self.enlarged(poor)
        c_in, _ = self.coefficients(t)
        seen = xt - rows(1 - t, xt) * base  # (1 - t) r + t eps, of what is lacking r
        told = self.told(torch.cat([timestep_embedding(t, TOLD), timestep_embedding(level, TOLD)], dim=1))
        folded = [F.pixel_unshuffle(poor, self.fold // self.scale), F.pixel_unshuffle(rows(c_in, xt) * seen, self.fold)]
        h = self.stem(torch.cat(folded, dim=1).contiguous(memory_format=torch.channels_last))  # (B, width, h, w)
        for block in self.blocks:
            h = block(h, told)
        lacking = F.pixel_shuffle(self.out(h).float(), self.fold)
        return base + F.interpolate(contrast(poor), xt.shape[-2:], mode="bilinear", align_corners=False) * lacking

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """c_in and lambda of times (B,), for (1 - t) r + t eps with r of standard deviation ``spread``.

        c_in brings it to unit variance, times 1 - t, so that at t = 1 nothing of the noise is seen. lambda weighs the
        squared error of x_0 so that each time counts about as much.
        """
        total = ((1 - t) * self.spread).square() + t.square()
        return (1 - t) * total.rsqrt(), total / (t * self.spread).square()

    def forward(self, batch: Batch, phase: Phase) -> dict[str, Tensor]:
        g, device, B = phase.generator, batch.images.device, len(batch)

        def randn(shape: torch.Size) -> Tensor:
            return torch.randn(shape, generator=g, device=g.device).to(device)

        def rand() -> Tensor:
            return torch.rand(B, generator=g, device=g.device).to(device)

        poor, level = self.poor(batch.images, g), torch.zeros(B, device=device)
        if self.scale > 1:
            level = self.augment * rand() * (rand() < 0.5)
            poor = corrupt(poor, randn(poor.shape), level)
        t = schedule.logit_normal(B, self.time_mean, self.time_std, generator=g).to(device)
        mean = torch.arange(B, device=device) < round(self.means * B)  # rows of a batch are in random order
        t = torch.where(mean, torch.ones_like(t), t)
        x0 = self.denoise(corrupt(batch.images, randn(batch.images.shape), t), t, poor, level)
        error = (x0.float() - batch.images).square().flatten(1).mean(1)  # (B,)
        figures = {"loss": (error * self.coefficients(t)[1]).mean()}
        if mean.any():
            figures["error"] = error.detach()[mean].mean()
        return figures

    def param_groups(self, phase: str) -> list[ParamGroup]:
        return split_matrices(self, also=[m.weight for m in self.modules() if isinstance(m, Conv3)])
