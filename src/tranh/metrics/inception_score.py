"""Inception score: how sure a classifier is of each picture, and how many of its classes all pictures fill.

It knows probabilities and no network. Only the Inception network gives an IS; another's is named after it, and its
highest value is that network's number of classes. It never looks at a true picture and does not see copies.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tranh.metrics.interval import Interval, influenced
from tranh.metrics.measured import Measured, card, enough
from tranh.metrics.network import Network, named
from tranh.types import TranhError

PER_CLASS = 2
"""Pictures per class and split below which the score is refused: it cannot exceed their number."""

PAPER = "Inception score (Salimans et al. 2016)"


def name(network: str) -> str:
    """``IS-verifier-1``; ``IS`` for ``inception`` alone."""
    return named(network, "IS", "IS")


def inception_score(probabilities: Tensor, *, splits: int = 1, seed: int = 0) -> float:
    """exp of the mean KL(p(y|x) || p(y)), averaged over random splits (Salimans et al. 2016, section 4).

    Args:
        probabilities: (N, K), rows sum to 1.
        splits: 1 is the estimate with the least bias (Barratt and Sharma 2018); published numbers have 10. The draws
            are those of torchmetrics after ``torch.manual_seed(seed)``.

    Raises:
        TranhError: rows are no probabilities, or there are fewer pictures than splits.
    """
    parts = [kl.mean().exp() for kl in _divergences(probabilities, splits, seed)]
    return float(torch.stack(parts).mean())


def measure(
    probabilities: Tensor, network: Network, *, splits: int = 1, seed: int = 0, allow_few: bool = False
) -> Measured:
    """The score with interval and card.

    Raises:
        TranhError: fewer than 2 pictures per class in a split and not allowed, or as for ``inception_score``.
    """
    title, (N, K) = name(network.name), probabilities.shape
    notes = check(N, K, network, splits=splits, allow_few=allow_few)
    found = _divergences(probabilities, splits, seed)
    value = float(torch.stack([kl.mean().exp() for kl in found]).mean())
    # With p(y) held, the score is exp of a mean over pictures; moving p(y) changes nothing to first order.
    influence = torch.cat([kl.mean().exp() * (kl - kl.mean()) for kl in found])
    interval = influenced(value, influence.numpy(), seed=seed)
    interval = Interval(value, max(1.0, interval.low), min(float(K), interval.high), N)
    how = "bootstrap of each picture's influence, 2000 resamples"
    settings = {"splits": splits, "classes": K}
    return Measured(title, interval, card(PAPER, {"made": N}, how, network=network, seed=seed, settings=settings,
                                          notes=notes))  # fmt: skip


def check(
    pictures: int, classes: int, network: Network, *, splits: int = 1, allow_few: bool = False
) -> tuple[str, ...]:
    """What ``measure`` refuses, before the pictures are looked at; the notes for its card.

    Raises:
        TranhError: too few pictures and not allowed.
    """
    instead = "Make more pictures or fewer splits, or measure the kernel distance (metrics/kernel.py)."
    return enough(name(network.name), {"made": pictures}, splits * PER_CLASS * classes, instead, allow_few)


def _divergences(probabilities: Tensor, splits: int, seed: int) -> list[Tensor]:
    """For each split (n,) KL of each picture's classes from the split's mean."""
    p = probabilities.detach().double().cpu()
    if p.ndim != 2 or not torch.isfinite(p).all() or (p < 0).any() or ((p.sum(1) - 1).abs() > 1e-3).any():
        raise TranhError(f"{list(p.shape)} values are no probabilities (pictures, classes) whose rows sum to 1.")
    if not 1 <= splits <= len(p) // 2:
        raise TranhError(f"{len(p)} pictures cannot be split into {splits} parts of at least two; use fewer splits.")
    order = torch.randperm(len(p), generator=torch.Generator().manual_seed(seed))
    parts = p[order].chunk(splits)
    # x log x is 0 at 0; where p(y|x) > 0 its mean p(y) is too.
    return [(torch.xlogy(part, part) - torch.xlogy(part, part.mean(0))).sum(1) for part in parts]
