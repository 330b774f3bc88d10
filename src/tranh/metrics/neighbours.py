"""How two sets of pictures lie in one another, from distances to nearest neighbours in a feature space.

Precision and recall after Kynkaanniemi et al. 2019; density and coverage, which one outlier cannot spoil, after Naeem
et al. 2020. It knows features and no network.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor

from tranh.metrics.interval import Interval, halves, spread, wilson
from tranh.metrics.measured import Measured, card, enough
from tranh.metrics.network import Network, named
from tranh.types import TranhError

CHUNK = 512
MINIMUM = 100
MOST = 2000
"""Pictures of each set that ``measure`` compares; all shares depend on the number, and the cost is its square."""

PAPERS = {
    "precision": "precision (Kynkaanniemi et al. 2019)",
    "recall": "recall (Kynkaanniemi et al. 2019)",
    "density": "density (Naeem et al. 2020)",
    "coverage": "coverage (Naeem et al. 2020)",
}


@dataclass(frozen=True)
class Neighbours:
    """Shares in [0, 1], except density, which has expectation 1 when both sets come from one distribution.

    Attributes:
        precision: share of generated pictures within the reach of some real one (fidelity).
        recall: share of real pictures within the reach of some generated one (variety).
        density: mean number of real reaches a generated picture lies in, over k.
        coverage: share of real pictures whose reach holds a generated one.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def neighbours(real: Tensor, fake: Tensor, k: int = 5) -> Neighbours:
    """Precision, recall, density and coverage.

    Args:
        real, fake: (N, D) and (M, D) features; compare sets of one size, every share depends on it.
        k: the reach of a picture ends at its k-th nearest neighbour in its own set.

    Raises:
        TranhError: shapes do not agree or a set has no more than k pictures.
    """
    _agree(real, fake)
    if k < 1 or min(len(real), len(fake)) <= k:
        raise TranhError(
            f"{len(real)} real and {len(fake)} generated pictures are too few for k = {k}; each set needs more than k."
        )
    real, fake = _centred(real, fake)
    chunks = zip(fake.split(CHUNK), _reaches(fake, k).split(CHUNK), strict=True)
    return _shares(((_across(real, chunk), reach) for chunk, reach in chunks), _reaches(real, k), k)


def measure(
    real: Tensor,
    made: Tensor,
    network: Network,
    *,
    k: int = 5,
    most: int = MOST,
    seed: int = 0,
    allow_few: bool = False,
) -> list[Measured]:
    """Precision, recall, density and coverage, each with interval and card, named after the network.

    Args:
        most: of larger sets this many pictures are chosen at random, the same number from both.

    Raises:
        TranhError: fewer than 100 pictures on a side and not allowed, or as for ``neighbours``.
    """
    _agree(real, made)
    counts = {"real": len(real), "made": len(made)}
    instead = "Make more pictures: nearest neighbours among so few say little."
    notes = enough("precision and recall", counts, max(MINIMUM, 4 * k), instead, allow_few)
    rng = np.random.default_rng(seed)
    n = min(len(real), len(made), most)
    if k < 1 or n < 2 * (k + 1):
        raise TranhError(f"{n} pictures of each set are too few for k = {k}: their halves need more than k.")
    a, b = _centred(*(x[torch.from_numpy(np.sort(rng.permutation(len(x))[:n]))] for x in (real, made)))
    value = asdict(neighbours(a, b, k))
    aa, bb, ab = _squared(a, a), _squared(b, b), _across(a, b)
    found = []
    for i, j in halves([n, n], seed=seed):
        r, m = torch.from_numpy(i), torch.from_numpy(j)
        reach_r, reach_m = (_kth(d[p][:, p], k) for d, p in ((aa, r), (bb, m)))
        found.append(asdict(_shares([(ab[r][:, m], reach_m)], reach_r, k)))
    how = "spread of the values on 20 random halves"
    used = {"real": n, "made": n}
    settings = {"k": k} | {f"{what}, of": total for what, total in counts.items() if total > n}
    return [
        Measured(
            named(network.name, what),
            _bounded(value[what], [one[what] for one in found], n, what != "density"),
            card(paper, used, how, network=network, seed=seed, settings=settings, notes=notes),
        )
        for what, paper in PAPERS.items()
    ]


def _agree(real: Tensor, fake: Tensor) -> None:
    if real.ndim != 2 or fake.ndim != 2 or real.shape[1] != fake.shape[1]:
        raise TranhError(f"features have shapes {list(real.shape)} and {list(fake.shape)}; both must be (pictures, D).")
    if not (real.isfinite().all() and fake.isfinite().all()):
        raise TranhError("a feature is NaN or infinite: the pictures or the network are broken.")


def _bounded(value: float, drawn: list[float], n: int, share: bool) -> Interval:
    """The spread on halves, within what is possible; at the ends, where halves see none, Wilson's bound."""
    found = spread(value, drawn, n)
    if not share:
        return Interval(value, max(0.0, found.low), found.high, n)
    ends = wilson(round(value * n), n) if value in (0.0, 1.0) else found
    return Interval(value, max(0.0, min(found.low, ends.low)), min(1.0, max(found.high, ends.high)), n)


def _shares(across: Iterable[tuple[Tensor, Tensor]], reach_real: Tensor, k: int) -> Neighbours:
    """Of squares between real and generated pictures (N, C), some generated ones at a time, with their reaches."""
    recalled = torch.zeros(len(reach_real), dtype=torch.bool, device=reach_real.device)
    covered, inside = recalled.clone(), []
    for d, reach in across:
        within = d <= reach_real[:, None]
        inside.append(within.sum(0))
        covered |= within.any(1)
        recalled |= (d <= reach).any(1)
    count = torch.cat(inside)  # (M,) real reaches each generated picture lies in
    return Neighbours(
        precision=float((count > 0).double().mean()),
        recall=float(recalled.double().mean()),
        density=float(count.double().mean() / k),
        coverage=float(covered.double().mean()),
    )


def _centred(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Both in float64 around the mean of the first: the nearer to zero, the smaller the rounding of squares."""
    a, b = a.detach().double(), b.detach().double()
    return a - a.mean(0), b - a.mean(0)


def _reaches(x: Tensor, k: int) -> Tensor:
    return torch.cat([_kth(_squared(chunk, x), k) for chunk in x.split(CHUNK)])


def _kth(d: Tensor, k: int) -> Tensor:
    """(N,) the k-th smallest of each row, the row itself not counted: it is the nearest."""
    return d.kthvalue(k + 1, dim=1).values


def _squared(a: Tensor, b: Tensor) -> Tensor:
    """(N, M) squares of distances, as a matrix product: ten times as fast as differences."""
    return a.square().sum(1)[:, None] + b.square().sum(1) - 2 * a @ b.T


def _across(a: Tensor, b: Tensor) -> Tensor:
    """The same from one set to another, less what rounding may add: a copy must not lie outside a reach for that."""
    return _squared(a, b) - 1e-12 * a.square().sum(1).max()
