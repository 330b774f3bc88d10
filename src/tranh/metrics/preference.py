"""Which of several things people prefer: strengths, win rates and agreement from votes between two at a time.

Strengths are Bradley and Terry's (1952), with Davidson's (1970) tie and a liking for one side (Davidson and Beaver
1977): left i and right j are preferred, or neither, in the proportion (left : neither : right)

    exp(d / 2) : exp(tie) : exp(-d / 2),    d = s_i - s_j + side.

A strength is thus a log-odds: of decided votes without a liking for a side, i wins exp(s_i - s_j) times as many as j.
Raters are what is drawn at random: the votes of one stand or fall together. It knows neither pictures nor where votes
come from.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist
from typing import Literal

import numpy as np

from tranh.metrics.interval import CONFIDENCE, Interval
from tranh.types import TranhError

Answer = Literal["left", "same", "right"]
ANSWERS: tuple[Answer, ...] = ("left", "same", "right")
DRAWS = 50_000

_EXACT, _LOOSE = 1e-9, 1e-2
"""How firmly parameters are held near 0: for all votes not at all; without a rater so much that votes in which a system
never loses give a large strength (about 6), not an infinite one."""


@dataclass(frozen=True)
class Vote:
    """One answer. ``comparison`` names what was seen, in whichever order: votes on the same one can agree."""

    rater: str
    left: str
    right: str
    answer: Answer
    comparison: str = ""


@dataclass(frozen=True)
class Strengths:
    """What votes say of each system.

    Attributes:
        of: strength per system; their mean is 0. The intervals hold all together with the confidence asked for, so that
            they may be compared with one another.
        side: liking for the left side, a log-odds; 0 is none.
        ties: share of votes that decided nothing.
        drawn: ``raters``, or ``votes`` if there is one rater: what the intervals take to be drawn at random.
    """

    of: Mapping[str, Interval]
    side: Interval
    ties: float
    drawn: str


def strengths(votes: Sequence[Vote], *, seed: int = 0, confidence: float = CONFIDENCE) -> Strengths:
    """Strengths by maximum likelihood, with simultaneous intervals.

    Each rater is left out once; how much the strengths move says how far they spread over raters (jackknife, which with
    few raters is more careful than resampling). The intervals are as wide as the largest of correlated Student's t
    values asks, with one degree of freedom less than raters. ``seed`` is that of the draws that find this width.

    Raises:
        TranhError: fewer than two systems, or votes that leave a strength undetermined: systems never compared, or one
            group that won every vote against the rest.
    """
    names = systems(votes)
    check_connected(votes)
    n, (tables, drawn) = len(names), _tables(votes, names)
    total = tables.sum(0)
    whole = _fit(total[None], n, _EXACT)[0]
    G = len(tables)
    without = _fit(total - tables, n, _LOOSE)
    moved = (without - without.mean(0)) * sqrt((G - 1) / G)
    covariance = moved.T @ moved  # (n + 2, n + 2)
    spread = np.sqrt(covariance.diagonal())
    far = spread * _reach(covariance[:n, :n], G - 1, confidence, seed)
    far[n] = spread[n] * _reach(np.eye(1), G - 1, confidence, seed)
    shown = Counter(name for vote in votes for name in (vote.left, vote.right))

    def interval(k: int, count: int) -> Interval:
        return Interval(float(whole[k]), float(whole[k] - far[k]), float(whole[k] + far[k]), count)

    of = {name: interval(k, shown[name]) for k, name in enumerate(names)}
    ties = sum(vote.answer == "same" for vote in votes) / len(votes)
    ranked = dict(sorted(of.items(), key=lambda item: -item[1].value))
    return Strengths(ranked, interval(n, len(votes)), ties, drawn)


def win_rates(
    votes: Sequence[Vote], *, seed: int = 0, confidence: float = CONFIDENCE
) -> dict[tuple[str, str], Interval]:
    """Share of its votes against b that a won, for every ordered pair that was compared; no preference is half a win.

    Wilson's score interval for as many independent votes as have the spread that is seen between raters (Korn and
    Graubard 1998): votes of one rater that stand or fall together count for less.
    """
    found: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for vote in votes:
        score = {"left": 1.0, "same": 0.5, "right": 0.0}[vote.answer]
        found[vote.left, vote.right][vote.rater].append(score)
        found[vote.right, vote.left][vote.rater].append(1 - score)
    return {pair: _rate([*of.values()], confidence, seed) for pair, of in sorted(found.items())}


def _rate(by_rater: list[list[float]], confidence: float, seed: int) -> Interval:
    units = by_rater if len(by_rater) > 1 else [[score] for score in by_rater[0]]
    sums, counts = np.array([sum(u) for u in units]), np.array([len(u) for u in units])
    G, N = len(units), int(counts.sum())
    p = float(sums.sum() / N)
    variance = float(((sums - p * counts) ** 2).sum()) / N**2 * G / max(1, G - 1)
    z, n = NormalDist().inv_cdf(0.5 + confidence / 2), float(N)
    if 0 < p < 1 and variance > 0:
        z, n = _reach(np.eye(1), G - 1, confidence, seed), p * (1 - p) / variance
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return Interval(p, 0.0 if p == 0 else max(0.0, middle - half), 1.0 if p == 1 else min(1.0, middle + half), N)


@dataclass(frozen=True)
class Agreement:
    """How far raters agree on the same comparison.

    Attributes:
        same: share of pairs of raters who gave the same answer.
        alpha: Krippendorff's alpha for nominal answers: 1 is full agreement, 0 what chance gives; None where it is not
            defined, because every answer is the same.
        pairs: pairs of votes it rests on.
    """

    same: float
    alpha: float | None
    pairs: int


def agreement(votes: Iterable[Vote]) -> Agreement | None:
    """Agreement on comparisons that two raters or more have seen; None where there are none."""
    units: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    once: set[tuple[str, ...]] = set()
    for vote in votes:
        first, second = sorted((vote.left, vote.right))
        if (vote.rater, vote.comparison, first, second) in once:  # nobody agrees with themselves
            continue
        once.add((vote.rater, vote.comparison, first, second))
        chosen = {"left": vote.left, "right": vote.right, "same": ""}[vote.answer]
        units[vote.comparison, first, second][{first: "first", second: "second"}.get(chosen, "same")] += 1
    shared = [counts for counts in units.values() if counts.total() > 1]
    if not shared:
        return None
    pairs = sum(m * (m - 1) // 2 for m in (c.total() for c in shared))
    alike = sum(n * (n - 1) // 2 for c in shared for n in c.values())
    # Krippendorff 2011: observed and expected disagreement from the coincidences of values.
    seen = sum(((m := c.total()) ** 2 - sum(n * n for n in c.values())) / (m - 1) for c in shared)
    totals = sum(shared, Counter[str]())
    N = totals.total()
    expected = (N * N - sum(n * n for n in totals.values())) / (N - 1)
    return Agreement(alike / pairs, 1 - seen / expected if expected else None, pairs)


def systems(votes: Iterable[Vote]) -> list[str]:
    """Everything votes speak of, by name."""
    return sorted({name for vote in votes for name in (vote.left, vote.right)})


def check_connected(votes: Sequence[Vote]) -> None:
    """Refuse votes from which no strengths follow (Ford 1957: every two groups need a win in each direction).

    Raises:
        TranhError: with the groups, and what to do.
    """
    names = systems(votes)
    if len(names) < 2:
        raise TranhError(f"{len(votes)} votes speak of {len(names)} systems; strengths need votes between two or more.")
    over: dict[str, set[str]] = {name: set() for name in names}  # whom it won or drew against
    for vote in votes:
        if vote.answer != "right":
            over[vote.left].add(vote.right)
        if vote.answer != "left":
            over[vote.right].add(vote.left)
    under = {name: {other for other in names if name in over[other]} for name in names}
    known = _reached(names[0], {name: over[name] | under[name] for name in names})
    if len(known) < len(names):
        rest = [name for name in names if name not in known]
        raise TranhError(
            f"nobody compared {_list(known)} with {_list(rest)}: no strength on one scale follows. Collect votes "
            "between them."
        )
    for above in ([*_reached(name, under)] for name in names):  # nobody outside ever won against these
        if len(above) < len(names):
            rest = [name for name in names if name not in above]
            raise TranhError(
                f"{_list(above)} won every vote against {_list(rest)}: how much stronger that is cannot be said, only "
                "the win rates can be read. Collect votes until one of them goes the other way, or is a tie."
            )


def _reached(start: str, edges: Mapping[str, set[str]]) -> list[str]:
    found, todo = {start}, [start]
    while todo:
        new = edges[todo.pop()] - found
        found |= new
        todo += new
    return sorted(found)


def _list(names: Sequence[str]) -> str:
    return ", ".join(names)


def _tables(votes: Sequence[Vote], names: Sequence[str]) -> tuple[np.ndarray, str]:
    """Votes per (left, right, answer) of every rater (of every vote, if there is one rater): (units, n, n, 3)."""
    raters = sorted({vote.rater for vote in votes})
    few = len(raters) == 1
    row = {rater: k for k, rater in enumerate(raters)}
    of = {name: k for k, name in enumerate(names)}
    tables = np.zeros((len(votes) if few else len(raters), len(names), len(names), 3))
    for k, vote in enumerate(votes):
        tables[k if few else row[vote.rater], of[vote.left], of[vote.right], ANSWERS.index(vote.answer)] += 1
    return tables, "votes" if few else "raters"


def _fit(tables: np.ndarray, n: int, ridge: float) -> np.ndarray:
    """Strengths (mean 0), side and tie, (B, n + 2), that make each of B tables (B, n, n, 3) most likely: Newton."""
    left, right = np.nonzero(~np.eye(n, dtype=bool))
    votes = tables[:, left, right]  # (B, C, 3) for the C ordered pairs
    total = votes.sum(2)
    D = np.zeros((len(left), n + 1))  # d / 2 = D @ (s, side)
    D[np.arange(len(left)), left], D[np.arange(len(left)), right], D[:, n] = 0.5, -0.5, 0.5
    DD = (D[:, :, None] * D[:, None]).reshape(len(D), -1)
    x = np.zeros((len(tables), n + 2))
    x[:, -1] = np.log((votes[..., 1].sum(1) + ridge) / (total.sum(1) + ridge))  # near enough to begin with
    fixed = np.zeros((n + 2, n + 2))
    fixed[:n, :n] = 1.0  # strengths are only known up to a constant: this makes their sum 0
    fixed += ridge * np.eye(n + 2)
    fixed[n, n] += 1e-3 + 30 * ridge  # where sides were never swapped, a win speaks for the system and not for its side
    H = np.empty((len(tables), n + 2, n + 2))
    for _ in range(100):
        half = x[:, : n + 1] @ D.T  # (B, C)
        logits = np.stack([half, np.broadcast_to(x[:, -1:], half.shape), -half], 2)
        p = np.exp(logits - logits.max(2, keepdims=True))
        p /= p.sum(2, keepdims=True)
        lead = p[..., 0] - p[..., 2]
        slope = np.empty_like(x)
        slope[:, : n + 1] = (votes[..., 0] - votes[..., 2] - total * lead) @ D
        slope[:, -1] = (votes[..., 1] - total * p[..., 1]).sum(1)
        slope -= x @ fixed
        H[:, : n + 1, : n + 1] = ((total * (1 - p[..., 1] - lead**2)) @ DD).reshape(-1, n + 1, n + 1)
        H[:, -1, : n + 1] = H[:, : n + 1, -1] = -(total * lead * p[..., 1]) @ D
        H[:, -1, -1] = (total * p[..., 1] * (1 - p[..., 1])).sum(1)
        step = np.linalg.solve(H + fixed, slope[..., None])[..., 0]
        size = np.abs(step).max(1, keepdims=True)
        x += step / np.maximum(1.0, size)  # far from the top a whole step may leap over it
        if size.max() < 1e-8:
            break
    return x


def _reach(covariance: np.ndarray, freedom: int, confidence: float, seed: int) -> float:
    """How many standard errors the largest of correlated Student's t values stays within, found from draws."""
    rng = np.random.default_rng(seed)
    values, vectors = np.linalg.eigh(covariance)
    z = rng.standard_normal((DRAWS, len(values))) * np.sqrt(np.maximum(values, 0)) @ vectors.T
    t = np.abs(z) / np.sqrt(np.maximum(covariance.diagonal(), 1e-300))
    if freedom > 0:
        t /= np.sqrt(rng.chisquare(freedom, (DRAWS, 1)) / freedom)
    return float(np.quantile(t.max(1), confidence))
