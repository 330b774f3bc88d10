"""What a load says: figures with intervals, a table for the screen, JSON with every request, the next rate to try.

It knows neither servers nor how requests are sent.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tranh.metrics.interval import CONFIDENCE, RESAMPLES, Interval
from tranh.serve.stress import Load, Shot

LEVELS = (50, 95, 99)
BEYOND = 5
"""Requests that must lie beyond a percentile for it to be told: of fewer it would be the luck of one."""

KEEPS_UP, MAY_FAIL = 0.9, 0.01
"""A rate is kept up with if this share of what came in was also answered meanwhile, and no more than this was not."""

NEAR = 1.15
"""How many times the highest rate that is kept up with the lowest one that is not may be, for both to be found."""

OUTCOMES = ("done", "refused", "timeout", "error", "abandoned")


@dataclass(frozen=True)
class Class:
    """Requests of one kind: how many ended how, and percentiles of the latency of those that were answered.

    One that was given up counts as an answer that took as long as it was waited for: the truth is more, so a percentile
    at the timeout means that or more.
    """

    name: str
    sent: int
    outcomes: Mapping[str, int]
    latency: Mapping[int, Interval | None]


@dataclass(frozen=True)
class Figures:
    """Of one load, without its warm-up.

    Attributes:
        throughput: pictures a second, and offered: requests a second.
        in_flight: requests on their way, on average and at most.
        late: the 99th percentile of seconds a request was sent after it was due; the generator's own fault.
        keeps_up: see :data:`KEEPS_UP`.
    """

    offered: float
    throughput: float
    in_flight: tuple[float, int]
    late: float
    keeps_up: bool
    classes: tuple[Class, ...]


def counted(load: Load) -> list[Shot]:
    """The requests that count, in the order they were due."""
    shots = (shot for shot in load.shots if load.warm <= shot.planned.due < load.warm + load.seconds)
    return sorted(shots, key=lambda shot: shot.planned.due)


def percentile(values: Sequence[float] | np.ndarray, level: float) -> float:
    """The smallest of the values that ``level`` per cent of them do not exceed."""
    ordered = np.sort(np.asarray(values, dtype=float))
    return float(ordered[max(0, math.ceil(level / 100 * len(ordered)) - 1)])


def percentile_interval(values: Sequence[float], level: float, seed: int = 0) -> Interval | None:
    """A percentile of latencies in the order of their requests, or None where too few lie beyond it.

    Blocks of requests that follow one another are resampled, square root of n long: neighbours wait in the same queue,
    and to take them as independent would make the interval too narrow.
    """
    n = len(values)
    if n * (100 - level) < 100 * BEYOND:
        return None
    given, block = np.asarray(values, dtype=float), max(1, math.isqrt(n))
    starts = np.random.default_rng(seed).integers(0, n, (RESAMPLES, -(-n // block)))
    drawn = given[((starts[..., None] + np.arange(block)) % n).reshape(RESAMPLES, -1)[:, :n]]
    place = max(0, math.ceil(level / 100 * n) - 1)
    found = np.partition(drawn, place, axis=1)[:, place]
    low, high = np.quantile(found, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(percentile(given, level), float(low), float(high), n)


def figures(load: Load) -> Figures:
    """Everything that is told of a load."""
    shots, seconds = counted(load), max(load.seconds, 1e-9)
    end = load.warm + load.seconds
    done = sum(shot.outcome == "done" and load.warm <= shot.ended < end for shot in load.shots)
    kept = sum(shot.outcome == "done" and shot.ended < end for shot in shots)
    failed = sum(shot.outcome in ("refused", "timeout", "error") for shot in shots)
    names = dict.fromkeys(shot.planned.kind.name for shot in sorted(shots, key=lambda shot: shot.planned.kind.steps))
    classes = [_class(name, [shot for shot in shots if shot.planned.kind.name == name]) for name in names]
    if len(classes) > 1:
        classes.append(_class("all", shots))
    late = percentile([shot.sent - shot.planned.due for shot in shots], 99) if shots else 0.0
    keeps_up = bool(shots) and kept >= KEEPS_UP * len(shots) and failed <= MAY_FAIL * len(shots)
    return Figures(len(shots) / seconds, done / seconds, _in_flight(load), late, keeps_up, tuple(classes))


def _class(name: str, shots: Sequence[Shot]) -> Class:
    waited = [shot.latency for shot in shots if shot.outcome in ("done", "timeout")]
    told = {outcome: sum(shot.outcome == outcome for shot in shots) for outcome in OUTCOMES}
    return Class(name, len(shots), told, {level: percentile_interval(waited, level) for level in LEVELS})


def flight(load: Load) -> tuple[np.ndarray, np.ndarray]:
    """Times, and how many requests were on their way from each until the next."""
    changes = sorted([(shot.planned.due, 1) for shot in load.shots] + [(shot.ended, -1) for shot in load.shots])
    times, steps = np.array([t for t, _ in changes]), np.array([s for _, s in changes], dtype=int)
    return times, np.cumsum(steps)


def _in_flight(load: Load) -> tuple[float, int]:
    times, on_way = flight(load)
    low, high = load.warm, load.warm + load.seconds
    if not len(times) or high <= low:
        return 0.0, 0
    edges = np.clip(np.append(times, max(high, times[-1])), low, high)
    lasts = np.diff(edges)
    return float((lasts * on_way).sum() / (high - low)), int(on_way[lasts > 0].max(initial=0))


def as_json(loads: Sequence[Load], settings: Mapping[str, Any]) -> dict[str, Any]:
    """All of it, every request too; times in seconds from the start of its load."""
    return {"settings": dict(settings), "loads": [_as_json(load) for load in loads]}


def _as_json(load: Load) -> dict[str, Any]:
    told = figures(load)
    classes = [
        {
            "class": one.name,
            "sent": one.sent,
            **one.outcomes,
            "latency": {
                f"p{level}": found
                and {"value": found.value, "low": found.low, "high": found.high, "count": found.count}
                for level, found in one.latency.items()
            },
        }
        for one in told.classes
    ]
    requests = [
        {
            "number": shot.planned.number, "prompt": shot.planned.prompt, "seed": shot.planned.seed,
            "steps": shot.planned.kind.steps, "guidance": shot.planned.kind.guidance, "due": shot.planned.due,
            "sent": shot.sent, "ended": shot.ended, "latency": shot.latency, "outcome": shot.outcome,
            "status": shot.status, "why": shot.why,
        }
        for shot in sorted(load.shots, key=lambda shot: shot.planned.due)
    ]  # fmt: skip
    return {
        "rate": load.rate, "warm": load.warm, "seconds": load.seconds, "timeout": load.timeout,
        "offered": told.offered, "throughput": told.throughput, "keeps_up": told.keeps_up,
        "in_flight": {"mean": told.in_flight[0], "most": told.in_flight[1]}, "late_p99": told.late,
        "classes": classes, "requests": requests,
    }  # fmt: skip


HEAD = ("rate", "requests", "sent", "done", "refused", "timeout", "error", "p50", "p95", "p99", "pictures/s")


def rows(loads: Iterable[Load]) -> list[list[str]]:
    """The table of :data:`HEAD`, a row for each kind of request at each rate; latencies in seconds."""
    found = []
    for load in loads:
        told = figures(load)
        for k, one in enumerate(told.classes):
            last = k + 1 == len(told.classes)
            counts = [str(one.sent), *(str(one.outcomes[name]) for name in OUTCOMES[:4])]
            speed = f"{told.throughput:.2f}{'' if told.keeps_up else ' (falls behind)'}" if last else ""
            waits = [_seconds(one.latency[level], load.timeout) for level in LEVELS]
            found.append([f"{load.rate:g}" if k == 0 else "", one.name, *counts, *waits, speed])
    return found


def _seconds(found: Interval | None, timeout: float) -> str:
    if found is None:
        return "-"
    ends = [f"{'≥ ' if value >= timeout else ''}{value:.2f}" for value in (found.value, found.low, found.high)]
    return f"{ends[0]} [{ends[1]}, {ends[2]}]"


def as_text(loads: Sequence[Load]) -> str:
    """The table for a screen."""
    table = [list(HEAD), *rows(loads)]
    wide = [max(len(row[k]) for row in table) for k in range(len(HEAD))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, wide, strict=True)).rstrip() for row in table]
    return "\n".join([*lines, *remarks(loads)])


def remarks(loads: Iterable[Load]) -> list[str]:
    """What a reader should know before believing the figures."""
    told = []
    for load in loads:
        found, wrong = figures(load), [shot for shot in counted(load) if shot.outcome == "error"]
        if found.late > 0.1:
            told.append(f"{load.rate:g} a second: requests were sent {found.late:.2f} s late; this machine is too busy")
        if any(shot.outcome == "abandoned" for shot in load.shots):
            told.append(f"{load.rate:g} a second: stopped after {load.seconds:.0f} s; what was on its way is left out")
        told += [f"{load.rate:g} a second, an error: {shot.status or ''} {shot.why}".strip() for shot in wrong[:3]]
    return told


def following(loads: Sequence[Load], first: float) -> float | None:
    """The next rate to try on the way to the highest that a server keeps up with; None when it is known well enough.

    Rates double until one is too much; then the middle is tried between what was kept up with and what was not.
    """
    kept = max((load.rate for load in loads if figures(load).keeps_up), default=0.0)
    lost = min((load.rate for load in loads if not figures(load).keeps_up), default=math.inf)
    if lost == math.inf:
        return 2 * kept or first
    if not kept:
        return lost / 2 if lost > first / 16 else None
    return math.sqrt(kept * lost) if lost > NEAR * kept else None
