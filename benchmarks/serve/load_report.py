"""What ``load.py`` measured, as a table of ratios with their intervals and as a plot. It measures nothing."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tranh.serve.stress_plan import Kind
from tranh.serve.stress_report import percentile

BLOCKS = {"full": 6, "beside": 4}
"""Turns of each server: the interval of a ratio is that of the ratios of turns."""


def best_gain(told: dict[str, Any], kinds: Sequence[Kind], prior_steps: int) -> tuple[float, float]:
    """Times as many rows a second as one picture's calls give, at best: of the decoder, and of whole requests."""
    decoder, prior = ({int(rows): ms for rows, ms in told[name].items()} for name in ("decoder", "prior"))
    per_row = min(ms / rows for rows, ms in decoder.items())
    per_four = min(4 * ms / rows for rows, ms in prior.items())
    steps = sum(kind.steps * kind.share for kind in kinds)
    alone = prior_steps * prior[4] + steps * decoder[2]
    best = prior_steps * per_four + steps * 2 * per_row
    return decoder[2] / 2 / per_row, alone / best


def speed(turn: dict[str, Any], fixed: float) -> tuple[float, float]:
    """Work done while a server was full, a second and a second of processors, in steps of one picture.

    Work and not pictures: a server that takes the short ones first would seem faster.

    Args:
        fixed: steps of the decoder that take as long as what comes before them.
    """
    work = sum(fixed + steps for end, steps in turn["ends"] if turn["from"] < end <= turn["until"])
    return work / (turn["until"] - turn["from"]), work / turn["computed"]


def ratio(pairs: Sequence[tuple[float, float]]) -> tuple[float, float, float]:
    """The geometric mean of b / a over pairs, with the 95 % interval of Student's t."""
    logs = [math.log(b / a) for a, b in pairs]
    if len(logs) < 2:
        return math.exp(logs[0]), math.nan, math.nan
    from scipy.stats import t

    half = float(t.ppf(0.975, len(logs) - 1)) * statistics.stdev(logs) / math.sqrt(len(logs))
    middle = statistics.mean(logs)
    return math.exp(middle), math.exp(middle - half), math.exp(middle + half)


def pooled(ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]]) -> tuple[float, float, float]:
    """The ratio of 95th percentiles, theirs to ours, of all turns together; turns are resampled in pairs."""

    pairs = [pair for pair in zip(ours, theirs, strict=True) if all(pair)]
    if not pairs:
        return math.nan, math.nan, math.nan

    def of(chosen: Sequence[int]) -> float:
        a, b = (percentile([x for k in chosen for x in pairs[k][side]], 95) for side in (0, 1))
        return b / a

    n = len(pairs)
    choice = np.random.default_rng(0)
    drawn = [of(choice.integers(0, n, n).tolist()) for _ in range(1000)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return of(range(n)), float(low), float(high)


def report(kept: dict[str, Any], kinds: Sequence[Kind], prior_steps: int) -> str:
    """The table in Markdown."""
    of_decoder, of_all = best_gain(kept["bound"], kinds, prior_steps)
    rows: list[tuple[str, str, str]] = []

    def told(what: str, found: tuple[float, float, float], goal: str = "") -> None:
        rows.append((what, f"{found[0]:.2f} [{found[1]:.2f}, {found[2]:.2f}]", goal))

    def tell(what: str, value: str, goal: str = "") -> None:
        rows.append((what, value, goal))

    same, calls = kept["equal"]["levels"], kept["equal"]["calls"]
    tell("largest difference of a picture from stock diffusers, levels of 255, fp32", f"{same:.0f}")
    tell("calls of [decoder, prior]: library, peer", f"{calls['library']}, {calls['peer']}", "equal")
    tell("what batching can give: the decoder's rows a second", f"{of_decoder:.2f}")
    tell("what batching can give: whole requests of the mix", f"{of_all:.2f}")
    full = [kept[f"full {k}"] for k in range(BLOCKS["full"])]
    fixed = prior_steps * kept["bound"]["prior"]["4"] / kept["bound"]["decoder"]["2"]
    gain = ratio([(speed(one["peer"], fixed)[0], speed(one["ours"], fixed)[0]) for one in full])
    told("work a second when full, to one at a time", gain, "≥ 1.3")
    share = (gain[0] / of_all, gain[1] / of_all, gain[2] / of_all)
    told("the same as a share of what batching can give", share, "≥ 0.9")
    pairs = [(speed(one["peer"], fixed)[1], speed(one["ours"], fixed)[1]) for one in full]
    told("the same for each second a processor worked for the server", ratio(pairs))
    single = kept["single"]
    tell("a 12-step request alone, by the library, s", f"{statistics.median(one['library'] for one in single):.3f}")
    told(
        "latency of a request alone, ours to library",
        ratio([(one["library"], one["ours"]) for one in single]),
        "≤ 1.05",
    )
    told("latency of a request alone, peer to library", ratio([(one["library"], one["peer"]) for one in single]))
    busy = kept["overhead"]
    tell(
        "share of time no network computed though work waited", f"{1 - busy['computing'] / busy['wall']:.3f}", "< 0.05"
    )
    tell("requests answered by one call, on average", f"{busy['answered'] / busy['calls']:.1f}")
    turns = [kept[f"beside {k}"] for k in range(BLOCKS["beside"])]
    for kind in kinds:
        waited = {
            name: [[one["latency"] for one in turn[name] if one["steps"] == kind.steps] for turn in turns]
            for name in ("ours", "peer")
        }
        ours, peer = ([x for turn in found for x in turn] for found in waited.values())
        if ours and peer:
            seconds = f"{percentile(ours, 95):.2f}, {percentile(peer, 95):.2f} (of {len(ours)} requests)"
            tell(f"p95 of {kind.name} at 80 % of the peer's load, s: ours, peer", seconds)
        told(f"the same, peer to ours: {kind.name}", pooled(*waited.values()), "≥ 4" if kind.steps == 4 else "")
    wrong = sum(one["outcome"] != "done" for turn in turns for name in ("ours", "peer") for one in turn[name])
    tell("requests that were not answered", str(wrong), "0")
    lines = [f"| {what} | {value} | {goal} |" for what, value, goal in rows]
    return "\n".join(["| what | measured, 95 % interval | goal |", "|---|---|---|", *lines])


def draw(kept: dict[str, Any], path: Path) -> None:
    """Latency of both servers by kind, and throughput of every turn."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.4), dpi=120, layout="tight")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    for name, style in (("ours", "-"), ("peer", "--")):
        for steps, colour in ((4, "tab:blue"), (25, "tab:orange")):
            waited = np.sort([one["latency"] for k in range(BLOCKS["beside"]) for one in kept[f"beside {k}"][name]
                              if one["steps"] == steps])  # fmt: skip
            left.step(waited, 100 * np.arange(1, len(waited) + 1) / len(waited), style, color=colour,
                      label=f"{'tranh serve' if name == 'ours' else 'one at a time'}, {steps} steps")  # fmt: skip
    left.set(xscale="log", xlabel="latency, s", ylabel="% of requests")
    left.legend(fontsize=7)
    for name, style in (("ours", "o-"), ("peer", "s--")):
        turns = [kept[f"full {k}"][name] for k in range(BLOCKS["full"])]
        right.plot([speed(one, 0.0)[0] for one in turns], style,
                   label="tranh serve" if name == "ours" else "one at a time")  # fmt: skip
    right.set(xlabel="turn", ylabel="steps a second when full", ylim=(0, None))
    right.legend(fontsize=7)
    for ax in (left, right):
        ax.grid(alpha=0.3)
    figure.savefig(path)
