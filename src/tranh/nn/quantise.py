"""A codebook: vectors of unit length to the number of the nearest entry, and back; learned by moving means.

It knows neither the network that makes the vectors nor what a code stands for. The entries are means of the vectors
that chose them (van den Oord et al. 2017, appendix A.1); unit length after Yu et al. 2022, so that nothing can grow.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

ROUNDS = 10
"""Rounds of k-means for the first codebook."""


def similarities(x: Tensor, entries: Tensor) -> Tensor:
    """Cosines of vectors (N, D) and entries (K, D), both of unit length, (N, K); the largest is the nearest.

    In float32 whatever the caller computes in: two products in bf16 may tell nearly equal entries apart differently.
    """
    with torch.autocast(x.device.type, enabled=False):
        return x.float() @ entries.float().T


def nearest(x: Tensor, entries: Tensor) -> Tensor:
    """The number of the nearest entry of each vector: (..., D), (K, D) -> (...), int64."""
    return similarities(x.flatten(0, -2), entries).argmax(-1).view(x.shape[:-1])


def first_entries(x: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Entries to begin with, by k-means on the sphere: vectors (N, D) of unit length -> (count, D).

    Seeds are drawn by k-means++ (Arthur and Vassilvitskii 2007), many at a time, so that rare vectors get entries too.
    """
    chosen = x[torch.randint(len(x), (1,), generator=generator)]
    while len(chosen) < count:
        more = min(count - len(chosen), max(1, len(chosen) // 4))
        chosen = torch.cat([chosen, x[_far(x, chosen, more, generator)]])
    for _ in range(ROUNDS):
        codes = nearest(x, chosen)
        sums = torch.zeros_like(chosen).index_add_(0, codes, x)
        chosen = torch.where(sums.norm(dim=-1, keepdim=True) > 1e-6, F.normalize(sums, dim=-1), chosen)
    return chosen


def _far(x: Tensor, entries: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Numbers of ``count`` vectors, drawn by their squared distance to the nearest entry."""
    distance = (2 - 2 * similarities(x, entries).amax(-1)).clamp(min=1e-6)  # (N,)
    return torch.multinomial(distance, count, replacement=len(x) < count, generator=generator)


class MovingCodebook(torch.nn.Module):
    """K entries that follow the vectors that choose them; an entry that nobody chooses is given a new place.

    Args:
        count: K; dim: D.
        decay: share of the past that a step keeps.
        dead: an entry chosen less often than this share of the mean is moved to a vector that no entry is near to.
    """

    entries: Tensor
    chosen: Tensor
    sums: Tensor

    def __init__(self, count: int, dim: int, decay: float = 0.95, dead: float = 0.1) -> None:
        super().__init__()
        self.decay, self.dead = decay, dead
        first = F.normalize(torch.randn(count, dim), dim=-1)
        self.register_buffer("entries", first)  # (K, D), unit length
        self.register_buffer("chosen", torch.ones(count))  # (K,), moving mean of how many chose it in a step
        self.register_buffer("sums", first.clone())  # (K, D), moving mean of their sum

    @torch.no_grad()
    def begin(self, entries: Tensor) -> None:
        """Start from these entries (K, D)."""
        self.entries.copy_(entries)
        self.sums.copy_(entries)
        self.chosen.fill_(1.0)

    @torch.no_grad()
    def follow(self, x: Tensor, codes: Tensor, generator: torch.Generator) -> Tensor:
        """One step: vectors (N, D) chose ``codes`` (N,). Returns how many entries were given a new place."""
        chosen = torch.bincount(codes, minlength=len(self.entries)).float()
        sums = torch.zeros_like(self.sums).index_add_(0, codes, x)
        self.chosen.lerp_(chosen, 1 - self.decay)
        self.sums.lerp_(sums, 1 - self.decay)
        long = self.sums.norm(dim=-1, keepdim=True) > 1e-6
        self.entries.copy_(torch.where(long, F.normalize(self.sums, dim=-1), self.entries))
        mean = float(self.chosen.mean())
        dead = (self.chosen < self.dead * mean).nonzero()[:, 0]
        dead = dead[: len(x) // 4]
        if len(dead):
            new = x[_far(x.cpu(), self.entries.cpu(), len(dead), generator).to(x.device)]
            self.entries[dead], self.sums[dead], self.chosen[dead] = new, mean * new, mean
        return chosen.new_tensor(len(dead))


def perplexity(codes: Tensor, count: int) -> Tensor:
    """exp of the entropy of how often each of ``count`` codes is used; ``count`` if all are used alike."""
    share = torch.bincount(codes.flatten(), minlength=count).float()
    share = share / share.sum()
    return torch.special.entr(share).sum().exp()


def usage(codes: Tensor, count: int) -> Tensor:
    """Share of the ``count`` codes that is used at all."""
    return (torch.bincount(codes.flatten(), minlength=count) > 0).float().mean()
