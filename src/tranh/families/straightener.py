"""Straightener: where in a frame the four corners of a picture lie that was not held straight.

It knows nothing of what the picture shows. One map per corner says how likely it is to lie at each place; the corner is
the mean place (soft argmax, Finn et al. 2016), finer than the grid. The maps are taught as such too: a mean alone says
little of where it should have been looked for.
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
        weight: of the cross-entropy of the maps beside the distance of the corners.
    """

    overfit: ClassVar[str] = "off"
    overfit_below: ClassVar[float] = 0.5
    shared: tuple[str, ...] = ("likely",)

    def __init__(
        self, *, image_size: int = 64, width: int = 48, depth: int = 6, most: float = 0.3, weight: float = 0.05
    ) -> None:
        super().__init__()
        self.config = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        self.image_size, self.most, self.weight = image_size, most, weight
        self.stem = nn.Conv2d(3 * 4 + 2, width, 3, padding=1)
        self.blocks = nn.ModuleList(Residual(width) for _ in range(depth))
        self.maps = nn.Conv2d(width, 4, 3, padding=1)

    def corners(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 4, 2), float32, see :mod:`tranh.nn.degrade`; any size."""
        return self.likely(images).softmax(-1) @ self.places(images)

    def places(self, like: Tensor) -> Tensor:
        """Where each place of the maps lies, (n^2, 2): x, y."""
        at = torch.linspace(-1, 1, self.image_size // 2, device=like.device)
        return torch.cartesian_prod(at, at).flip(1)

    def likely(self, images: Tensor) -> Tensor:
        """How likely each corner lies at each place, (B, 4, n^2), as logits, float32."""
        x = F.pixel_unshuffle(resized(images, self.image_size), 2)  # (B, 12, n, n)
        n = self.image_size // 2
        places = self.places(x).T.unflatten(1, (n, n))  # (2, n, n)
        h = torch.cat([x, places.expand(len(x), -1, -1, -1)], dim=1)
        h = self.stem(h.contiguous(memory_format=torch.channels_last))
        for block in self.blocks:
            h = block(h)
        return self.maps(h).float().flatten(2)

    def forward(self, batch: Batch, phase: Phase) -> dict[str, Tensor]:
        g, device = phase.generator, batch.images.device
        true = held(len(batch), g, self.most).to(device)
        ground = (2 * torch.rand(len(batch), 3, generator=g, device=g.device) - 1).to(device)
        seen = skew(batch.images, true, ground)
        amount = 0.2 * torch.rand(len(batch), 1, 1, 1, generator=g, device=g.device).to(device)
        seen = seen + amount * torch.randn(seen.shape, generator=g, device=g.device).to(device)
        maps, places = self.likely(seen.clamp(-1, 1)), self.places(seen)
        off = (maps.softmax(-1) @ places - true).abs().mean()
        near = torch.cdist(true, places.expand(len(true), -1, -1)) * (self.image_size // 2 - 1) / 2  # in places
        spread = (-0.5 * near.square()).softmax(-1)  # (B, 4, n^2)
        cross = -(spread * maps.log_softmax(-1)).sum(-1).mean()
        return {"loss": off + self.weight * cross, "off": off.detach() / 2, "maps": cross.detach()}

    def param_groups(self, phase: str) -> list[ParamGroup]:
        return split_matrices(self, also=[m.weight for m in self.modules() if isinstance(m, Conv3)])
