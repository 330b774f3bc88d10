"""Vectors as short rows of codes: principal components, each cut into buckets that hold equally many examples.

It knows nothing of what the vectors mean; here they are CLIP embeddings, and the result is brought to unit length.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Buckets(nn.Module):
    """K numbers cut into ``codes`` buckets each, at quantiles; a code stands for the median of its bucket."""

    edges: Tensor
    centres: Tensor

    def __init__(self, count: int, codes: int) -> None:
        super().__init__()
        self.codes = codes
        self.register_buffer("edges", torch.linspace(-1, 1, codes - 1).repeat(count, 1))  # (K, codes - 1)
        self.register_buffer("centres", torch.linspace(-1, 1, codes).repeat(count, 1))  # (K, codes)

    def fit(self, x: Tensor) -> None:
        """Learn the buckets from examples (N, K)."""
        cuts = torch.arange(1, 2 * self.codes, device=x.device) / (2 * self.codes)
        quantiles = torch.quantile(x.float(), cuts, dim=0).T  # (K, 2 codes - 1): centre, edge, centre, ...
        self.centres.copy_(quantiles[:, 0::2])
        self.edges.copy_(quantiles[:, 1::2])

    def encode(self, x: Tensor) -> Tensor:
        """(B, K) -> (B, K), int64."""
        return torch.searchsorted(self.edges, x.float().T.contiguous(), right=True).T.contiguous()

    def decode(self, codes: Tensor) -> Tensor:
        """(B, K), int64 -> (B, K)."""
        return self.centres.T.gather(0, codes)


class PcaCodes(nn.Module):
    """Unit vectors (B, D) to K codes and back.

    Args:
        dim: D; components: K, those of the largest variance; codes: buckets of each.
    """

    mean: Tensor
    components: Tensor
    explained: Tensor

    def __init__(self, dim: int, components: int, codes: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("components", torch.eye(dim)[:components].clone())  # (K, D), rows of unit length
        self.register_buffer("explained", torch.zeros(components))  # share of the variance of each component
        self.buckets = Buckets(components, codes)

    def fit(self, x: Tensor) -> None:
        """Learn mean, components and buckets from examples (N, D)."""
        K, mean = len(self.components), x.double().mean(0)
        centred = x.double() - mean
        variance, vectors = torch.linalg.eigh(centred.T @ centred / len(x))  # rising
        vectors = vectors.flip(1)[:, :K].T  # (K, D)
        largest = vectors.gather(1, vectors.abs().argmax(1, keepdim=True))
        self.mean.copy_(mean)
        self.components.copy_(vectors * largest.sign())  # one of the two possible signs, always the same
        self.explained.copy_(variance.flip(0)[:K] / variance.sum().clamp(min=1e-12))
        self.buckets.fit(self.project(x))

    def project(self, x: Tensor) -> Tensor:
        """(B, D) -> (B, K)."""
        return (x.float() - self.mean) @ self.components.T

    def encode(self, x: Tensor) -> Tensor:
        """(B, D) -> (B, K), int64."""
        return self.buckets.encode(self.project(x))

    def decode(self, codes: Tensor) -> Tensor:
        """(B, K) -> (B, D), unit length."""
        return F.normalize(self.buckets.decode(codes) @ self.components + self.mean, dim=-1)
