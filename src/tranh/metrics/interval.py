"""How sure a number is: 95 % intervals of shares, means, differences and any function of sets, the same per seed.

Pictures are what is drawn at random, so pictures are resampled: facts of one picture stand or fall together. It knows
no measure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import numpy as np

from tranh.types import TranhError

RESAMPLES = 2000
CONFIDENCE = 0.95
_CELLS = 2**21
"""Numbers drawn at once; bounds memory."""


@dataclass(frozen=True)
class Interval:
    """An estimate and the interval it lies in with the confidence asked for; ``count`` is what it rests on."""

    value: float
    low: float
    high: float
    count: int

    def __str__(self) -> str:
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"


def wilson(right: int, total: int, confidence: float = CONFIDENCE) -> Interval:
    """A share of independent trials, Wilson's score interval: sound also for 0 and for all right.

    Raises:
        TranhError: no trial, or more right than trials.
    """
    if not 0 <= right <= total or total < 1:
        raise TranhError(f"{right} right of {total}: a share needs at least one trial and at most as many right.")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share, spread = right / total, z * z / total
    middle = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * sqrt(share * (1 - share) / total + spread / (4 * total))
    # At the ends the bound is exact, the rounding is not.
    low = 0.0 if right == 0 else max(0.0, middle - half)
    return Interval(share, low, 1.0 if right == total else min(1.0, middle + half), total)


def bootstrap(
    values: Sequence[float], weights: Sequence[float] | None = None, *, seed: int = 0, confidence: float = CONFIDENCE
) -> Interval:
    """A mean over pictures, or the ratio of two sums over pictures; pictures are resampled.

    Args:
        values: one number per picture (facts right).
        weights: its denominator (facts asked); 1 each if None.

    Raises:
        TranhError: fewer than two pictures, or weights that do not fit.
    """
    v, w = _checked(values, weights)
    drawn = _ratios(v, w, np.random.default_rng(seed))
    return _interval(float(v.sum() / w.sum()), drawn, len(v), confidence)


def paired(
    a: Sequence[float],
    b: Sequence[float],
    weights: Sequence[float] | None = None,
    *,
    seed: int = 0,
    confidence: float = CONFIDENCE,
) -> Interval:
    """b minus a where ``a[i]`` and ``b[i]`` belong together (one scene in two languages); pairs are resampled.

    Raises:
        TranhError: the two differ in length, or are shorter than two.
    """
    if len(a) != len(b):
        raise TranhError(f"{len(a)} and {len(b)} values cannot be paired: every first one needs its second.")
    return bootstrap([y - x for x, y in zip(a, b, strict=True)], weights, seed=seed, confidence=confidence)


def difference(
    a: tuple[Sequence[float], Sequence[float] | None],
    b: tuple[Sequence[float], Sequence[float] | None],
    *,
    seed: int = 0,
    confidence: float = CONFIDENCE,
) -> Interval:
    """Ratio of b minus ratio of a for two sets that have nothing to do with each other; each is (values, weights).

    Raises:
        TranhError: a set is smaller than two.
    """
    (va, wa), (vb, wb) = _checked(*a), _checked(*b)
    first, second = (np.random.default_rng((seed, k)) for k in range(2))
    drawn = _ratios(vb, wb, second) - _ratios(va, wa, first)
    return _interval(float(vb.sum() / wb.sum() - va.sum() / wa.sum()), drawn, min(len(va), len(vb)), confidence)


def influenced(value: float, *sides: np.ndarray, seed: int = 0, confidence: float = CONFIDENCE) -> Interval:
    """A function of sets of pictures, by resampling the influence of each picture on it.

    Resampling the pictures themselves would add the bias of the function (a Frechet distance of few pictures is too
    large) a second time. Its first derivative by the weight of each picture has no bias: the bootstrap of the
    linearised function (von Mises expansion; Efron 1982, infinitesimal jackknife).

    Args:
        value: the function of the whole sets.
        sides: of each set the influence of its pictures; their mean does not matter.

    Raises:
        TranhError: a set is smaller than two.
    """
    drawn = np.full(RESAMPLES, value)
    for k, side in enumerate(sides):
        v, w = _checked(side.tolist(), None)
        drawn += _ratios(v - v.mean(), w, np.random.default_rng((seed, k)))
    return _interval(value, drawn, min(map(len, sides)), confidence)


def halves(sizes: Sequence[int], *, rounds: int = 10, seed: int = 0) -> Iterator[list[np.ndarray]]:
    """Random halves of sets, both halves of each split in turn: for each set the places of those in the half.

    What a function of sets gives on its halves spreads as much as it would on other whole sets (the jackknife that
    leaves half out, Shao and Wu 1989), and no picture occurs twice, which nearest neighbours would not bear.
    """
    rng = np.random.default_rng(seed)
    for _ in range(rounds):
        order = [rng.permutation(n) for n in sizes]
        yield [one[: len(one) // 2] for one in order]
        yield [one[len(one) // 2 : len(one) // 2 * 2] for one in order]


def spread(value: float, drawn: Sequence[float], count: int, *, confidence: float = CONFIDENCE) -> Interval:
    """A value, and an interval as wide as the values on halves of the sets spread around their own mean."""
    half = NormalDist().inv_cdf(0.5 + confidence / 2) * float(np.std(np.asarray(drawn, np.float64)))
    return Interval(value, value - half, value + half, count)


def between(
    value: Sequence[float],
    low: Sequence[float],
    high: Sequence[float],
    *,
    seed: int = 0,
    confidence: float = CONFIDENCE,
) -> Interval:
    """Where the mean of a set lies from that of ``low`` (0) to that of ``high`` (1); each set is resampled by itself.

    Raises:
        TranhError: a set is smaller than two, or the two ends are the same.
    """
    sets = [_checked(one, None) for one in (value, low, high)]
    middle, bottom, top = (float(v.mean()) for v, _ in sets)
    if top == bottom:
        raise TranhError(f"both ends are {top:g}: nothing lies between them.")
    drawn = [_ratios(v, w, np.random.default_rng((seed, k))) for k, (v, w) in enumerate(sets)]
    width = drawn[2] - drawn[1]
    share = np.divide(drawn[0] - drawn[1], width, out=np.full(len(width), np.nan), where=width > 0)
    return _interval((middle - bottom) / (top - bottom), share, len(sets[0][0]), confidence)


def _checked(values: Sequence[float], weights: Sequence[float] | None) -> tuple[np.ndarray, np.ndarray]:
    v = np.asarray(values, np.float64)
    w = np.ones_like(v) if weights is None else np.asarray(weights, np.float64)
    if len(v) < 2:
        raise TranhError(f"an interval by resampling needs at least two pictures; {len(v)} given.")
    if len(w) != len(v) or (w < 0).any() or w.sum() <= 0:
        raise TranhError(f"{len(w)} weights for {len(v)} values; there must be one each, none negative, not all zero.")
    return v, w


def _ratios(v: np.ndarray, w: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(RESAMPLES,) ratios of sums over pictures drawn with replacement."""
    out = []
    step = max(1, _CELLS // len(v))
    for start in range(0, RESAMPLES, step):
        index = rng.integers(0, len(v), (min(step, RESAMPLES - start), len(v)))
        bottom = w[index].sum(1)
        out.append(np.divide(v[index].sum(1), bottom, out=np.full(len(bottom), np.nan), where=bottom > 0))
    return np.concatenate(out)


def _interval(value: float, drawn: np.ndarray, count: int, confidence: float) -> Interval:
    low, high = np.nanquantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(value, float(low), float(high), count)
