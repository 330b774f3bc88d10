"""Does a judge tell a picture's own caption from others? Counting, given its scores; it knows no judge and no picture.

Wrong captions are not drawn: each figure is its expectation over all draws, so no luck is in it. Ties share the credit:
a judge to whom all is equal gets 1/K of R-precision and half of matching accuracy, which is what guessing gets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import comb

import numpy as np

from tranh.metrics.interval import Interval, between, bootstrap, wilson
from tranh.types import TranhError

CANDIDATES = 100
"""K: the caption asked and 99 others, as R-precision is reported since AttnGAN (Xu et al. 2018)."""

LEAST = 20
"""Pictures without which nothing is said."""

SHUFFLES = 20
"""Other captions each picture is given for the floor."""


@dataclass(frozen=True)
class Ranks:
    """How each picture's caption stands among the wrong ones: (N,) integers.

    Attributes:
        worse, ties: wrong captions with a lower and with the same score; wrong: how many there are.
    """

    worse: np.ndarray
    ties: np.ndarray
    wrong: np.ndarray

    def __len__(self) -> int:
        return len(self.wrong)


def ranks(scores: np.ndarray, own: Sequence[int], true: np.ndarray | None = None) -> Ranks:
    """Where each picture's caption stands.

    Args:
        scores: (N, M) of N pictures against M *different* captions, larger is better.
        own: for each picture, which caption is asked.
        true: bool (N, M), captions that are true of a picture too; they are no wrong answers.

    Raises:
        TranhError: shapes do not fit, a score is NaN, or a picture has no wrong caption to be told from.
    """
    scores, asked = np.asarray(scores), np.asarray(own, np.int64)
    N = len(scores)
    if scores.ndim != 2 or asked.shape != (N,) or (true is not None and np.shape(true) != scores.shape):
        raise TranhError(f"scores of shape {scores.shape} and {asked.shape} captions: give (N, M) and N.")
    if np.isnan(scores).any():
        raise TranhError("a score is NaN: the judge's weights or a picture are broken; `tranh doctor` its run.")
    wrong = np.ones(scores.shape, bool) if true is None else ~np.asarray(true, bool)
    wrong[np.arange(N), asked] = False
    if not wrong.any(1).all():
        raise TranhError("a picture has no wrong caption to be told from: at least two different captions are needed.")
    mine = scores[np.arange(N), asked][:, None]
    return Ranks(((scores < mine) & wrong).sum(1), ((scores == mine) & wrong).sum(1), wrong.sum(1))


def accuracy(of: Ranks) -> np.ndarray:
    """Matching accuracy by picture, (N,): chance that its caption beats one wrong caption drawn at random."""
    result: np.ndarray = (of.worse + of.ties / 2) / of.wrong
    return result


def precision(of: Ranks, k: int = CANDIDATES) -> np.ndarray:
    """R-precision@1 by picture, (N,): chance that its caption is the best of K, the rest drawn without putting back.

    With w worse, t tied and n wrong captions and m = K - 1 of them drawn, ties shared:
    sum_j C(t, j) C(w, m - j) / ((1 + j) C(n, m)) = (C(w + t + 1, m + 1) - C(w, m + 1)) / ((t + 1) C(n, m)).

    Raises:
        TranhError: a picture has fewer than K - 1 wrong captions.
    """
    m = k - 1
    if m < 1 or int(of.wrong.min()) < m:
        raise TranhError(f"k={k} candidates: allowed are 2 to {int(of.wrong.min()) + 1}, one more than wrong captions.")
    rows = zip(of.worse.tolist(), of.ties.tolist(), of.wrong.tolist(), strict=True)
    # Whole numbers of any length: nothing is rounded before the division.
    return np.array([(comb(w + t + 1, m + 1) - comb(w, m + 1)) / ((t + 1) * comb(n, m)) for w, t, n in rows])


def beats(own: np.ndarray, other: np.ndarray) -> np.ndarray:
    """1 where a score is larger than the other, half where they are equal, 0 elsewhere."""
    result: np.ndarray = (own > other) + (own == other) / 2
    return result


def shuffles(count: int, seed: int = 0) -> Iterator[np.ndarray]:
    """Orders in which captions are handed to the wrong pictures, (count,) each; the same for the same seed."""
    rng = np.random.default_rng(seed)
    return (rng.permutation(count) for _ in range(SHUFFLES))


def shuffled(scores: np.ndarray, own: Sequence[int], seed: int = 0) -> list[Ranks]:
    """Ranks with the asked captions shuffled against the pictures.

    A judge that sees nothing but knows which caption is frequent gets no more with the right ones.
    """
    asked = np.asarray(own, np.int64)
    return [ranks(scores, asked[order].tolist()) for order in shuffles(len(asked), seed)]


@dataclass(frozen=True)
class Between:
    """A figure between what shuffled captions and what real pictures get.

    Attributes:
        value: of the pictures judged; None if the judge is refused. floor: with captions shuffled.
        ceiling: of real held-out pictures.
        position: (value - floor) / (ceiling - floor), None if refused.
        refused: why nothing is said, empty if something is.
    """

    value: Interval | None
    floor: Interval
    ceiling: Interval
    position: Interval | None
    refused: str = ""


def place(
    value: Sequence[float],
    floor: Sequence[float],
    ceiling: Sequence[float],
    under: Sequence[float],
    what: str,
    seed: int = 0,
) -> Between:
    """Put a figure between floor and ceiling, or say why the judge cannot; one number per picture in each.

    Args:
        value, floor: of the pictures judged, with their captions and with captions shuffled.
        ceiling, under: of the real pictures, likewise: who only knows which caption is frequent gets both the same.
        what: the judge tells apart, for the message: ``captions``.
    """
    low, high, blind = _mean(floor, seed), _mean(ceiling, seed), _mean(under, seed)
    if high.low <= max(low.high, blind.high):
        refused = (
            f"this judge cannot tell held-out {what} apart: ceiling {high} vs floor {max(low, blind, key=_high)}; "
            "train it longer or on more pictures"
        )
        return Between(None, low, high, None, refused)
    return Between(_mean(value, seed), low, high, between(value, floor, ceiling, seed=seed))


def _high(interval: Interval) -> float:
    return interval.high


def _mean(values: Sequence[float], seed: int) -> Interval:
    total = sum(values)
    if total in (0, len(values)):  # resampling sees no spread here
        return wilson(int(total), len(values))
    return bootstrap(values, seed=seed)
