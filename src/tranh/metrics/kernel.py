"""Kernel distance between two sets of pictures: the squared maximum mean discrepancy of a cubic kernel, without bias.

It knows features and no network. It needs no covariance, so a hundred pictures are enough to begin with; it may come
out below zero, which then means "no difference was seen".
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from tranh.metrics.interval import influenced
from tranh.metrics.measured import Measured, card, enough
from tranh.metrics.network import Network, named
from tranh.types import TranhError

MINIMUM = 100
BLOCK = 2000
"""Pictures compared with one another at a time; the value is the mean over blocks, and costs N x BLOCK."""

PAPER = "kernel distance (Binkowski et al. 2018), unbiased, (x y / D + 1)^3"


def name(network: str) -> str:
    """``KD-verifier-1``; ``KID`` for ``inception`` alone."""
    return named(network, "KD", "KID")


def kernel_distance(a: Tensor, b: Tensor) -> float:
    """MMD^2 of all pairs with k(x, y) = (x y / D + 1)^3, a picture never paired with itself (Binkowski et al. 2018).

    Args:
        a, b: (N, D) and (M, D) features, N and M at least 2.

    Raises:
        TranhError: shapes do not agree, fewer than two pictures, or a value is not finite.
    """
    return _block(*_checked(a, b))[0]


def over_subsets(a: Tensor, b: Tensor, *, subsets: int = 100, size: int = 1000, seed: int = 0) -> Tensor:
    """(subsets,) distances of random subsets, the protocol most published KIDs were made with.

    Their mean estimates what ``kernel_distance`` does, with more noise; their standard deviation is not its error. The
    draws are those of torchmetrics after ``torch.manual_seed(seed)``.

    Raises:
        TranhError: a set is smaller than ``size``, or as for ``kernel_distance``.
    """
    a, b = _checked(a, b)
    if min(len(a), len(b)) < size or size < 2:
        raise TranhError(f"subsets of {size} cannot be drawn from {len(a)} and {len(b)} pictures; choose smaller ones.")
    g = torch.Generator().manual_seed(seed)

    def drawn(x: Tensor) -> Tensor:
        return x[torch.randperm(len(x), generator=g)[:size]]

    return torch.tensor([_block(drawn(a), drawn(b))[0] for _ in range(subsets)], dtype=torch.float64)


def measure(real: Tensor, made: Tensor, network: Network, *, seed: int = 0, allow_few: bool = False) -> Measured:
    """The distance with interval and card; sets above BLOCK pictures are compared block by block.

    Raises:
        TranhError: fewer than MINIMUM pictures on a side and not allowed, or as for ``kernel_distance``.
    """
    title = name(network.name)
    a, b = _checked(real, made)
    counts = {"real": len(a), "made": len(b)}
    notes = enough(title, counts, MINIMUM, "Make more pictures: no distance of sets works with fewer.", allow_few)
    blocks = -(-max(len(a), len(b)) // BLOCK)
    blocks = min(blocks, len(a) // 2, len(b) // 2)
    rng = np.random.default_rng(seed)
    parts = zip(*(np.array_split(rng.permutation(len(x)), blocks) for x in (a, b)), strict=True)
    found = [_block(a[torch.from_numpy(i)], b[torch.from_numpy(j)]) for i, j in parts]
    value = float(np.mean([distance for distance, _, _ in found]))
    of_real, of_made = torch.cat([one for _, one, _ in found]), torch.cat([one for _, _, one in found])
    interval = influenced(value, of_real.numpy(), of_made.numpy(), seed=seed)
    how = "bootstrap of each picture's influence, 2000 resamples"
    return Measured(
        title, interval, card(PAPER, counts, how, network=network, seed=seed, settings={"blocks": blocks}, notes=notes),
        "lower",
    )  # fmt: skip


def _checked(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise TranhError(f"features have shapes {list(a.shape)}, {list(b.shape)}; both must be (pictures >= 2, D).")
    a, b = a.detach().double().cpu(), b.detach().double().cpu()
    if not (torch.isfinite(a).all() and torch.isfinite(b).all()):
        raise TranhError("a feature is NaN or infinite: the pictures or the network are broken.")
    return a, b


def _block(a: Tensor, b: Tensor) -> tuple[float, Tensor, Tensor]:
    """The distance, and the influence of each picture of a and of b (its first-order part, Hoeffding 1948)."""
    own_a, own_b = (_without_itself(_kernel(x, x)) for x in (a, b))  # (N,), (M,) mean kernel with the others
    across = _kernel(a, b)
    to_b, to_a = across.mean(1), across.mean(0)
    return float(own_a.mean() + own_b.mean() - 2 * across.mean()), 2 * (own_a - to_b), 2 * (own_b - to_a)


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    return (a @ b.T / a.shape[1] + 1) ** 3


def _without_itself(k: Tensor) -> Tensor:
    return (k.sum(1) - k.diagonal()) / (len(k) - 1)
