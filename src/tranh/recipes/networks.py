"""Feature networks that measures are taken in: the project's own frozen one."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from tranh.engine.weights import fingerprint
from tranh.metrics.network import Network
from tranh.recipes import models

BATCH = 64
SIDE = 64


def resized(images: Tensor, side: int) -> Tensor:
    """Pictures (B, 3, H, W) at (side, side): averaged when made smaller, bilinear when made larger."""
    if images.shape[-2:] == (side, side):
        return images
    return F.interpolate(images, size=(side, side), mode="bilinear", antialias=True).clamp(-1, 1)


def tiled(function: Callable[[Tensor], Tensor], side: int) -> Callable[[Tensor], Tensor]:
    """A function of resized pictures, a few at a time, its rows on the CPU."""

    @torch.no_grad()
    def run(images: Tensor) -> Tensor:
        return torch.cat([function(resized(tile.float(), side)).float().cpu() for tile in images.split(BATCH)])

    return run


@cache
def own() -> Network:
    """The verifier, as a feature network: trained on Scenes, frozen, shipped with the package."""
    verifier = models.verifier()
    return Network(
        models.JUDGE,
        fingerprint(verifier.state_dict()),
        f"antialiased bilinear to {SIDE} px",
        tiled(verifier.features, SIDE),
    )
