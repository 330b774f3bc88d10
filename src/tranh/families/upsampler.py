"""The upsampler of unCLIP: diffusion from a small picture to one four times as wide, with noise augmentation.

It knows neither captions nor where the small picture comes from. The same file serves 64 -> 256 px and 256 -> 1024 px.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tranh.diffusion import loss, schedule
from tranh.nn.groups import split_matrices
from tranh.nn.transformer import ImageTransformer, timestep_embedding
from tranh.types import Batch, Family, ParamGroup, Phase

LAST = 0.08
"""Last time of the sampling grid: from there the estimate is the picture. Above the loss's floor of 0.05."""


class Upsampler(Family):
    """One image transformer that sees the noisy large picture beside the enlarged small one and predicts the rest.

    The small picture is made noisy by a random amount in training, and the amount is told (Ho et al. 2021, cascaded
    diffusion): at sampling a little noise hides what the decoder drew wrong.

    Args:
        scale: how many times wider the large picture is.
        patch_size, hidden_size, depth, num_heads, mlp_ratio: of the image transformer.
        augment: largest share of noise added to the small picture.
        time_mean, time_std: of the logit-normal distribution of training times.
    """

    overfit_below: ClassVar[float] = 0.6
    shared: tuple[str, ...] = ("unet",)

    def __init__(
        self,
        *,
        scale: int = 4,
        patch_size: int = 16,
        hidden_size: int = 256,
        depth: int = 4,
        num_heads: int = 4,
        mlp_ratio: float = 2.75,
        augment: float = 0.3,
        time_mean: float = 0.0,
        time_std: float = 1.0,
    ) -> None:
        super().__init__()
        self.config = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        self.scale, self.augment, self.time_mean, self.time_std = scale, augment, time_mean, time_std
        self.level = nn.Linear(256, hidden_size)
        self.unet = ImageTransformer(
            in_channels=6,
            out_channels=3,
            patch_size=patch_size,
            context_dim=hidden_size,
            hidden_size=hidden_size,
            depth=depth,
            num_heads=num_heads,
            mlp_ratio=mlp_ratio,
        )

    def shrink(self, images: Tensor) -> Tensor:
        """The small picture of a large one: the mean of each square, as antialiased area reduction."""
        return F.avg_pool2d(images, self.scale)

    def grid(self, steps: int) -> Tensor:
        """Times to sample at; one step gives the posterior mean."""
        return schedule.linear(steps, last=LAST if steps > 1 else 1.0)

    def denoise(self, xt: Tensor, t: Tensor, small: Tensor, level: Tensor) -> Tensor:
        """x_0 estimate.

        Args:
            xt: noisy large pictures, (B, 3, S, S); t: times, (B,).
            small: (B, 3, S / scale, S / scale), noise already added; level: how much of it, (B,) in [0, 1].
        """
        large = F.interpolate(small, scale_factor=self.scale, mode="bicubic", align_corners=False)
        context = self.level(timestep_embedding(level, 256).to(xt.dtype))[:, None, :]  # (B, 1, hidden_size)
        out = self.unet(torch.cat([xt, large], dim=1), t, context)
        assert isinstance(out, Tensor)
        return large + out

    def forward(self, batch: Batch, phase: Phase) -> dict[str, Tensor]:
        generator, device = phase.generator, batch.images.device

        def randn(shape: torch.Size) -> Tensor:
            return torch.randn(shape, generator=generator, device=generator.device).to(device)

        t = schedule.logit_normal(len(batch), self.time_mean, self.time_std, generator=generator).to(device)
        level = self.augment * torch.rand(len(batch), generator=generator, device=generator.device).to(device)
        small = self.shrink(batch.images)
        small = loss.corrupt(small, randn(small.shape), level)
        xt = loss.corrupt(batch.images, randn(batch.images.shape), t)
        x0 = self.denoise(xt, t, small, level)
        return {"loss": loss.velocity_loss(x0, batch.images, t).mean()}

    def param_groups(self, phase: str) -> list[ParamGroup]:
        return split_matrices(self)
