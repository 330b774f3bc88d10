"""Shares of facts and of whole pictures that are right, in tables with intervals.

It knows that facts have groups and pictures have properties, not what any of them is called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tranh.metrics.interval import Interval, bootstrap, difference, paired, wilson
from tranh.types import TranhError


@dataclass(frozen=True)
class Outcome:
    """What was found about one picture.

    Attributes:
        cluster: pictures of one cluster are no independent witnesses (one scene asked for in two languages).
        of: its properties by name, what tables are split by.
        asked, right: number of facts by group.
    """

    cluster: str
    of: Mapping[str, str]
    asked: Mapping[str, int]
    right: Mapping[str, int]

    @property
    def exact(self) -> bool:
        return sum(self.right.values()) == sum(self.asked.values())


Count = Callable[[Outcome], tuple[int, int]]
"""(right, asked) of an outcome."""


def exact(outcome: Outcome) -> tuple[int, int]:
    """Whole pictures."""
    return int(outcome.exact), 1


def facts(outcome: Outcome) -> tuple[int, int]:
    """Facts of all groups."""
    return sum(outcome.right.values()), sum(outcome.asked.values())


def of_group(group: str) -> Count:
    """Facts of one group."""
    return lambda outcome: (outcome.right.get(group, 0), outcome.asked.get(group, 0))


def split(outcomes: Iterable[Outcome], by: Sequence[str]) -> dict[tuple[str, ...], list[Outcome]]:
    """Outcomes by the values of some properties, in the order they first appear."""
    parts: dict[tuple[str, ...], list[Outcome]] = {}
    for outcome in outcomes:
        parts.setdefault(tuple(outcome.of[name] for name in by), []).append(outcome)
    return parts


def share(outcomes: Iterable[Outcome], count: Count) -> Interval:
    """Right over asked with its interval; clusters are resampled, or Wilson's where each has one trial.

    Raises:
        TranhError: nothing was asked.
    """
    values = _clusters(outcomes, count)
    right, asked = (sum(v) for v in zip(*values.values(), strict=True)) if values else (0, 0)
    if asked == 0:
        raise TranhError("nothing was asked of these pictures, so no share of them is right.")
    if all(n == 1 for _, n in values.values()):
        return wilson(right, asked)
    if right in (0, asked):  # resampling sees no spread here; clusters are the trials there are
        bound = wilson(len(values) if right else 0, len(values))
        return Interval(right / asked, bound.low, bound.high, len(values))
    if len(values) < 2:
        return wilson(right, asked)
    return bootstrap(*zip(*values.values(), strict=True))


def table(outcomes: Sequence[Outcome], by: Sequence[str]) -> list[dict[str, Any]]:
    """One row for each combination of properties: pictures, share of whole pictures and of facts right."""
    return [
        dict(zip(by, key, strict=True))
        | {"pictures": len(part), "exact": asdict(share(part, exact)), "facts": asdict(share(part, facts))}
        for key, part in split(outcomes, by).items()
    ]


def group_table(outcomes: Sequence[Outcome], by: Sequence[str], groups: Sequence[str]) -> list[dict[str, Any]]:
    """One row for each combination of properties and group of facts that was asked: share of those facts right."""
    out = []
    for key, part in split(outcomes, by).items():
        for group in groups:
            asked = sum(o.asked.get(group, 0) for o in part)
            if asked:
                row = {"group": group, "asked": asked, "facts": asdict(share(part, of_group(group)))}
                out.append(dict(zip(by, key, strict=True)) | row)
    return out


def paired_difference(a: Iterable[Outcome], b: Iterable[Outcome], count: Count) -> Interval:
    """Share of b minus share of a over the clusters both have, the mean of the differences cluster by cluster.

    Raises:
        TranhError: they share fewer than two clusters.
    """
    first, second = _clusters(a, count), _clusters(b, count)
    both = [c for c in first if c in second]
    return paired([first[c][0] / first[c][1] for c in both], [second[c][0] / second[c][1] for c in both])


def unpaired_difference(a: Iterable[Outcome], b: Iterable[Outcome], count: Count) -> Interval:
    """Share of b minus share of a for outcomes that have no cluster in common.

    Raises:
        TranhError: one has fewer than two clusters.
    """
    sides = [tuple(zip(*_clusters(x, count).values(), strict=True)) or ((), ()) for x in (a, b)]
    return difference((sides[0][0], sides[0][1]), (sides[1][0], sides[1][1]))


def _clusters(outcomes: Iterable[Outcome], count: Count) -> dict[str, tuple[int, int]]:
    """(right, asked) by cluster, those that were asked nothing left out."""
    sums: dict[str, tuple[int, int]] = {}
    for outcome in outcomes:
        right, asked = count(outcome)
        if asked:
            before = sums.get(outcome.cluster, (0, 0))
            sums[outcome.cluster] = (before[0] + right, before[1] + asked)
    return sums
