"""Recall at k: is something that fits among the k nearest? Counting, given scores; it knows no network and no picture.

Equal scores stand in an order nobody chose: a hit is then its expectation over all orders. So a network to which all is
equal gets exactly what guessing gets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

import numpy as np

from tranh.metrics.interval import Interval, bootstrap, wilson
from tranh.types import TranhError

AT = (1, 5, 10)
"""The k of R@k, as retrieval is reported since Karpathy and Fei-Fei (2015)."""


@dataclass(frozen=True)
class Recall:
    """R@k with its interval, and what guessing gets; ``among`` candidates."""

    k: int
    value: Interval
    chance: float
    among: int


def hits(scores: np.ndarray, true: np.ndarray, k: int) -> np.ndarray:
    """Chance of each query that one of its true candidates is among its k best, (N,) in [0, 1].

    With h candidates above the best true one and, at its score, g true and t false ones, k - h of these g + t are seen:
    the chance is 1 - C(t, k - h) / C(t + g, k - h).

    Args:
        scores: (N, M) of N queries against M candidates, larger is better.
        true: bool (N, M), which candidates fit; at least one in each row.

    Raises:
        TranhError: shapes do not fit, a score is NaN, or nothing fits a query.
    """
    scores, true = np.asarray(scores), np.asarray(true, bool)
    if scores.ndim != 2 or scores.shape != true.shape or k < 1:
        raise TranhError(f"scores of shape {scores.shape}, true of {true.shape}, k={k}: both (N, M) and k at least 1.")
    if np.isnan(scores).any():
        raise TranhError("a score is NaN: the weights or a picture are broken; `tranh doctor` the run.")
    if not true.any(1).all():
        raise TranhError("a query has no true candidate, so nothing can be found for it.")
    best = np.where(true, scores, -np.inf).max(1, keepdims=True)
    above, same = (scores > best).sum(1), scores == best
    rows = zip((k - above).tolist(), (same & true).sum(1).tolist(), (same & ~true).sum(1).tolist(), strict=True)
    return np.array([_seen(seen, g, t) for seen, g, t in rows])


def chance(true: np.ndarray, k: int) -> float:
    """What guessing gets: the mean of :func:`hits` where all scores are equal."""
    true = np.asarray(true, bool)
    found = true.sum(1).tolist()
    return float(np.mean([_seen(k, g, true.shape[1] - g) for g in found]))


def _seen(seen: int, g: int, t: int) -> float:
    """Chance that of ``g`` good and ``t`` others in random order one of the good is among the first ``seen``."""
    seen = min(seen, g + t)
    return 1 - comb(t, seen) / comb(t + g, seen) if seen > 0 else 0.0


def recalls(scores: np.ndarray, true: np.ndarray, at: Sequence[int] = AT, *, seed: int = 0) -> list[Recall]:
    """R@k with 95 % intervals, queries resampled; a k that is no less than the candidates says nothing and is left out.

    Raises:
        TranhError: as for :func:`hits`.
    """
    among = np.shape(true)[1]
    return [Recall(k, share(hits(scores, true, k), seed), chance(true, k), among) for k in at if k < among]


def share(found: np.ndarray, seed: int = 0) -> Interval:
    """The mean of numbers in [0, 1] with its interval."""
    total = float(found.sum())
    if total in (0.0, float(len(found))):  # resampling sees no spread here
        return wilson(int(total), len(found))
    return bootstrap(found.tolist(), seed=seed)
