"""Depth from one picture: how many layers above the setting lies what each pixel shows.

It knows no scene. The answer is a choice among ranks at every pixel, so two things side by side may share one.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tranh.nn.conv import ChannelNorm, Residual
from tranh.types import Batch, Family, Phase, TranhError


class Depth(Family):
    """Residual convolutions on folded pixels, down to an eighth and back with the finer features beside; the last layer
    sees the pixels again. Batches hold ``depth`` among their labels: ranks (B, S, S), 0 for the setting.

    Args:
        image_size: side of the pictures it learns from; others may be asked of it.
        ranks: how many there are, the setting's counted.
        width, depth: channels, and residual blocks on each grid.
        fold: side of the squares of pixels that become channels first.
        heavy: weight of ranks above the first, which are rare.
    """

    overfit_below: ClassVar[float] = 0.3
    shared: tuple[str, ...] = ("scores",)

    def __init__(
        self,
        *,
        image_size: int = 64,
        ranks: int = 5,
        width: int = 96,
        depth: int = 2,
        fold: int = 2,
        heavy: float = 3.0,
    ) -> None:
        super().__init__()
        self.config = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        self.ranks, self.fold, self.heavy = ranks, fold, heavy
        self.into = nn.Conv2d(3 * fold**2, width, 3, padding=1)
        self.down = nn.ModuleList(_blocks(width, depth) for _ in range(3))
        self.up = nn.ModuleList(_blocks(width, depth) for _ in range(2))
        self.norm = ChannelNorm(width)
        self.out = nn.Conv2d(width, ranks * fold**2, 3, padding=1)
        self.fine = nn.Conv2d(ranks + 3, ranks, 3, padding=1)

    def scores(self, images: Tensor) -> Tensor:
        """Of every rank at every pixel, (B, ranks, S, S); S a multiple of 4 ``fold``."""
        side = 4 * self.fold
        if images.shape[-1] % side or images.shape[-2] % side:
            raise TranhError(f"pictures are {images.shape[-1]} px wide; depth needs a multiple of {side}: resize them")
        x = self.into(F.pixel_unshuffle(images, self.fold).contiguous(memory_format=torch.channels_last))
        seen = []
        for k, blocks in enumerate(self.down):
            x = blocks(F.avg_pool2d(x, 2) if k else x)
            seen.append(x)
        for blocks, finer in zip(self.up, reversed(seen[:-1]), strict=True):
            x = blocks(F.interpolate(x, scale_factor=2.0) + finer)
        rough = F.pixel_shuffle(self.out(F.relu(self.norm(x))), self.fold)
        return rough + self.fine(torch.cat([rough, images.to(rough.dtype)], dim=1))

    def depth(self, images: Tensor) -> Tensor:
        """See :class:`tranh.types.Layers`."""
        return self.scores(images).float().argmax(1, keepdim=True)

    def forward(self, batch: Batch, phase: Phase) -> dict[str, Tensor]:
        ranks = batch.labels["depth"].long().clamp(max=self.ranks - 1)
        weight = torch.ones(self.ranks, device=ranks.device)
        weight[2:] = self.heavy
        scores = self.scores(batch.images).float()
        right = (scores.detach().argmax(1) == ranks).float()
        things = (ranks > 0).float()
        return {
            "loss": F.cross_entropy(scores, ranks, weight=weight),
            "right": right.mean(),
            "right_of_things": (right * things).sum() / things.sum().clamp(min=1),
        }


def _blocks(width: int, depth: int) -> nn.Sequential:
    return nn.Sequential(*(Residual(width) for _ in range(depth)))
