"""Straightener: where in a frame the four corners of a picture lie that was not held straight.

It knows nothing of what the picture shows. One map per corner says how likely it is to lie at each place; the corner is
the mean place (soft argmax, Finn et al. 2016), finer than the grid.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tranh.nn.conv import Conv3, Residual
from tranh.nn.degrade import held, skew
from tranh.nn.groups import split_matrices
from tranh.nn.pixels import resized
from tranh.types import Batch, Family, ParamGroup, Phase


class Straightener(Family):
    """Corners of skewed pictures.

    Args:
        image_size: side that pictures are looked at; width, depth: of the residual blocks, at half that side.
        most: how skewed the pictures of training are, see :func:`tranh.nn.degrade.held`.
    """

    overfit: ClassVar[str] = "loss"
    overfit_below: ClassVar[float] = 0.5

    def __init__(self, *, image_size: int = 64, width: int = 48, depth: int = 6, most: float = 0.3) -> None:
        super().__init__()
        self.config = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        self.image_size, self.most = image_size, most
        self.stem = nn.Conv2d(3 * 4 + 2, width, 3, padding=1)
        self.blocks = nn.ModuleList(Residual(width) for _ in range(depth))
        self.maps = nn.Conv2d(width, 4, 3, padding=1)

    def corners(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 4, 2), float32, see :mod:`tranh.nn.degrade`; any size."""
        x = F.pixel_unshuffle(resized(images, self.image_size), 2)  # (B, 12, n, n)
        n = self.image_size // 2
        at = torch.linspace(-1, 1, n, device=x.device)
        places = torch.stack([at.expand(n, n), at[:, None].expand(n, n)])  # (2, n, n): x, y
        h = torch.cat([x, places.expand(len(x), -1, -1, -1)], dim=1)
        h = self.stem(h.contiguous(memory_format=torch.channels_last))
        for block in self.blocks:
            h = block(h)
        likely = self.maps(h).float().flatten(2).softmax(-1)  # (B, 4, n^2)
        return likely @ places.flatten(1).T

    def forward(self, batch: Batch, phase: Phase) -> dict[str, Tensor]:
        g, device = phase.generator, batch.images.device
        true = held(len(batch), g, self.most).to(device)
        ground = (2 * torch.rand(len(batch), 3, generator=g, device=g.device) - 1).to(device)
        seen = skew(batch.images, true, ground)
        amount = 0.2 * torch.rand(len(batch), 1, 1, 1, generator=g, device=g.device).to(device)
        seen = seen + amount * torch.randn(seen.shape, generator=g, device=g.device).to(device)
        off = (self.corners(seen.clamp(-1, 1)) - true).abs()  # (B, 4, 2)
        return {"loss": off.mean(), "share of a side": off.detach().mean() / 2}

    def param_groups(self, phase: str) -> list[ParamGroup]:
        return split_matrices(self, also=[m.weight for m in self.modules() if isinstance(m, Conv3)])
