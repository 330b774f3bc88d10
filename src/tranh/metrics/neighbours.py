"""How two sets of pictures lie in one another, from distances to nearest neighbours in a feature space.

Precision and recall after Kynkaanniemi et al. 2019; density and coverage, which one outlier cannot spoil, after Naeem
et al. 2020. It knows features and no network.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tranh.types import TranhError

CHUNK = 512


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
    if real.ndim != 2 or fake.ndim != 2 or real.shape[1] != fake.shape[1]:
        raise TranhError(f"features have shapes {list(real.shape)} and {list(fake.shape)}; both must be (pictures, D).")
    if k < 1 or min(len(real), len(fake)) <= k:
        raise TranhError(
            f"{len(real)} real and {len(fake)} generated pictures are too few for k = {k}; each set needs more than k."
        )
    real, fake = real.detach().double(), fake.detach().double()
    reach_real, reach_fake = reaches(real, k), reaches(fake, k)  # (N,), (M,)
    recalled = torch.zeros(len(real), dtype=torch.bool, device=real.device)
    covered, inside = recalled.clone(), []
    for chunk, reach in zip(fake.split(CHUNK), reach_fake.split(CHUNK), strict=True):
        d = _distances(real, chunk)  # (N, C)
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


def reaches(x: Tensor, k: int) -> Tensor:
    """(N,) distance of each row of x (N, D) to its k-th nearest other row."""
    # The nearest row is the row itself.
    kth = [_distances(chunk, x).kthvalue(k + 1, dim=1).values for chunk in x.split(CHUNK)]
    return torch.cat(kth)


def _distances(a: Tensor, b: Tensor) -> Tensor:
    # Not through a matrix product: its rounding would let a row lie outside its own reach.
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
