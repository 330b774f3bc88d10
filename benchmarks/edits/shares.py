"""What the scripts beside this one have in common: shares with their intervals, and when to write what is known."""

from __future__ import annotations

from collections.abc import Sequence

from tranh.metrics.interval import Interval, bootstrap

EVERY = 20
KINDS = 8
"""Cases until origin, split and language begin anew."""


def due(done: int) -> bool:
    """Is it time to write what is known so far? A run of hours that is broken off then leaves its figures."""
    return done % EVERY == 0


def share(rights: Sequence[float], totals: Sequence[float] | None = None) -> Interval | None:
    """The mean, or the ratio of two sums, over pictures; pictures are resampled. None of fewer than two."""
    if len(rights) < 2 or (totals is not None and sum(totals) <= 0):
        return None
    return bootstrap(rights, totals)


def percent(found: Interval | None) -> str:
    """A share as a cell of a table."""
    return "-" if found is None else f"{100 * found.value:.1f} % [{100 * found.low:.0f}, {100 * found.high:.0f}]"


def turn(number: int, of: int) -> int:
    """Whose turn it is at case ``number``: all of ``of`` follow each other, a step further with every round of cases,
    so that each meets every origin, split and language."""
    return (number + number // KINDS) % of
