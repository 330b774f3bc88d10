"""Is it copying? Distances of samples to their nearest training pictures, and those of pictures never trained on.

It knows vectors, neither pictures nor networks. A sample that lies near training pictures is not yet a copy: a plain
one lies near many. What tells a copy is that it is near *one*: the distance to the nearest over the mean distance to
the next nine (after Carlini et al. 2023, Extracting Training Data from Diffusion Models).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor

import numpy as np
import torch
from torch import Tensor

from tranh.metrics.interval import Interval, wilson
from tranh.types import TranhError

NEIGHBOURS = 10
LEAST = 20
"""Pictures below which nothing is said: of training, held out, or samples."""
ALARM = 0.01
"""Share of pictures never trained on that may be taken for copies."""
RESAMPLES = 1000
CELLS = 2**23
"""Distances found at once; bounds memory."""


class TooFew(TranhError):
    """There are not enough pictures to tell a copy from chance."""


@dataclass(frozen=True)
class Nearest:
    """The nearest K rows of an index for each of M queries, nearest first: distances and rows, both (M, K)."""

    distance: Tensor
    row: Tensor

    @property
    def ratio(self) -> Tensor:
        """(M,) distance to the nearest over the mean of the others: 0 for a copy, near 1 for nothing special."""
        return self.distance[:, 0] / self.distance[:, 1:].mean(1).clamp(min=1e-6)


@dataclass(frozen=True)
class Limit:
    """A ratio below ``value`` is a near copy; so is a share of at most ``alarm`` of pictures never trained on.

    ``count`` is the number of such pictures it was found from.
    """

    value: float
    alarm: float
    count: int


@dataclass(frozen=True)
class Comparison:
    """Samples beside held-out pictures.

    Attributes:
        share, floor: of near copies among the samples, and among pictures never trained on (false alarms).
        nearer: probability that a sample is nearer than a held-out picture; 0.5 is no copying.
    """

    share: Interval
    floor: Interval
    nearer: Interval

    @property
    def copies(self) -> bool:
        """More near copies among the samples than chance explains."""
        return self.share.low > self.floor.high


def nearest(views: Tensor, index: Tensor, k: int = NEIGHBOURS) -> Nearest:
    """The nearest rows of an index for M queries, each seen in V ways; the best way counts for each row.

    Args:
        views: (V, M, D). Memory is that of (M, N) numbers: ask for a few hundred at a time.
        index: (N, D).
        k: neighbours.

    Raises:
        TooFew: the index holds too few pictures.
    """
    if len(index) < LEAST:
        raise TooFew(f"{len(index)} training pictures are too few to tell a copy; at least {LEAST} are needed.")
    V, M, _ = views.shape
    rows = views.flatten(0, 1)
    lengths, step = rows.square().sum(1, keepdim=True), max(1, CELLS // (V * M))
    squares = [
        (part.square().sum(1) + lengths).addmm_(rows, part.T, alpha=-2).view(V, M, -1).amin(0)
        for part in index.split(step)
    ]
    best = torch.cat(squares, dim=1)  # (M, N)
    found = best.topk(k, dim=1, largest=False)
    return Nearest(found.values.clamp(min=0).sqrt(), found.indices)


def limit(ratios: Tensor, alarm: float = ALARM) -> Limit:
    """The largest limit that keeps the promise, whatever the distribution (split conformal prediction).

    Of n pictures never trained on and one more, each is as likely to be among the lowest j: the limit is the j-th
    lowest ratio, the promise j / (n + 1). With fewer than 99 pictures j is 1, and the promise is 1 / (n + 1).

    None of them may be in the index. Each left out in its turn will not do: near ones come in pairs, and where one of a
    pair is the new picture, the other has lost its neighbour; the promise is then broken by up to a factor of two.

    Raises:
        TooFew: fewer than 20.
    """
    n = len(ratios)
    if n < LEAST:
        raise TooFew(f"{n} pictures are too few to say what is near; at least {LEAST} are needed.")
    j = max(1, floor(alarm * (n + 1)))
    return Limit(float(ratios.double().kthvalue(j).values), j / (n + 1), n)


def compare(samples: Tensor, held_out: Tensor, limit: Limit, seed: int = 0) -> Comparison:
    """Ratios of samples (M,) against those of held-out pictures (N,), which must not be those of the limit.

    Raises:
        TooFew: a set has fewer than 20.
    """
    for name, ratios in (("samples", samples), ("held-out pictures", held_out)):
        if len(ratios) < LEAST:
            raise TooFew(f"{len(ratios)} {name} are too few to tell copying from chance; give at least {LEAST}.")
    share, floor = (wilson(int((r < limit.value).sum()), len(r)) for r in (samples, held_out))
    return Comparison(share, floor, nearer(samples, held_out, seed))


def nearer(samples: Tensor, held_out: Tensor, seed: int = 0) -> Interval:
    """Probability that a sample's number is below a held-out picture's; both sets are resampled."""
    a, b = (np.asarray(x, np.float64) for x in (samples, held_out))
    order = np.sort(b)
    above = len(b) - (np.searchsorted(order, a, "left") + np.searchsorted(order, a, "right")) / 2
    value, few = float(above.mean() / len(b)), min(len(a), len(b))
    if value in (0.0, 1.0):  # resampling sees no spread
        return wilson(round(value * few), few)
    rng, drawn = np.random.default_rng(seed), np.empty(RESAMPLES)
    for i in range(RESAMPLES):
        x, y = rng.choice(a, len(a)), np.sort(rng.choice(b, len(b)))
        above = len(y) - (np.searchsorted(y, x, "left") + np.searchsorted(y, x, "right")) / 2
        drawn[i] = above.mean() / len(y)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Interval(value, float(low), float(high), few)
