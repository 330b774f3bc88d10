"""Features and networks that need no pictures' worth of work."""

from __future__ import annotations

import torch
from torch import Tensor

from tranh.metrics.network import Network


def normal(n: int, d: int, seed: int = 0, std: float = 1.0, mean: float = 0.0) -> Tensor:
    return mean + std * torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def network(name: str = "toy", *, width: int = 8, classes: int | None = 4) -> Network:
    """A network that projects 4 x 4 means of a picture at random."""
    g = torch.Generator().manual_seed(1)
    heads = {n: torch.randn(48, n, generator=g) / 7 for n in (width, classes or 1)}

    def pooled(images: Tensor) -> Tensor:
        return torch.nn.functional.adaptive_avg_pool2d(images.float(), 4).flatten(1)

    def features(images: Tensor) -> Tensor:
        return pooled(images) @ heads[width]

    def probabilities(images: Tensor) -> Tensor:
        return (20 * pooled(images) @ heads[classes or 1]).softmax(1)

    return Network(name, "0123456789abcdef", "4 x 4 means", features, probabilities if classes else None)


def pictures(n: int, seed: int = 0, side: int = 16, level: float = 0.0) -> Tensor:
    """(n, 3, side, side) blobs in [-1, 1]."""
    g = torch.Generator().manual_seed(seed)
    coarse = torch.randn(n, 3, 4, 4, generator=g) * 0.4 + level
    return torch.nn.functional.interpolate(coarse, size=(side, side), mode="bilinear").clamp(-1, 1)
