"""The curves of a run: what was measured on the way, kept line by line and drawn; cut back on resuming.

A line is ``{"step": 500, "KID-verifier-1": {"value": 0.1, "low": 0.08, "high": 0.12}, ...}``; a measure is a number or
an interval, a failed point says why under ``failed``. It does not know what is measured.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tranh.engine.log import plain, read_log, smoothed
from tranh.files import replacing, write_bytes

Line = Mapping[str, Any]
Point = tuple[float, float, float, float]
FAILED = "failed"
SAMPLES = 400
"""Points a drawn curve has at most: more than that no screen shows."""


def keep_until(path: Path, step: int) -> None:
    """Drop the lines later than a step: they belong to a course that was given up."""
    lines = read_log(path)
    kept = [line for line in lines if line["step"] <= step]
    if path.exists() and len(kept) < len(lines):
        _write(path, kept)


def add(path: Path, step: int, figures: Mapping[str, Any]) -> None:
    """Put a point on the curves, in the place of one of the same step."""
    _write(path, [*(line for line in read_log(path) if line["step"] < step), {"step": step, **plain(figures)}])


def _write(path: Path, lines: Sequence[Line]) -> None:
    write_bytes(path, "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines).encode())


def curves(lines: Sequence[Line]) -> dict[str, list[Point]]:
    """Every measure's points, (step, value, low, high); a number without an interval is its own. What is not finite is
    left out."""
    found: dict[str, list[Point]] = {}
    for line in lines:
        for name, figure in line.items():
            told = figure if isinstance(figure, Mapping) else {"value": figure}
            value = _finite(told.get("value"))
            if name in ("step", FAILED) or value is None:
                continue
            low, high = (_finite(told.get(end)) for end in ("low", "high"))
            point = (float(line["step"]), value, value if low is None else low, value if high is None else high)
            found.setdefault(name, []).append(point)
    return found


def _finite(value: Any) -> float | None:
    known = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if known else None


def draw_measures(lines: Sequence[Line], path: Path, title: str) -> None:
    """One small panel per measure with the band of its interval, as a PNG. Nothing is written where nothing was
    measured."""
    panels = curves(lines)
    if not panels:
        return
    columns = min(3, len(panels))
    figure, axes = _canvas(columns, -(-len(panels) // columns))
    figure.suptitle(title)
    for (name, points), ax in zip(panels.items(), axes, strict=False):
        _band(ax, name, points)
    for ax in axes[len(panels) :]:
        ax.set_visible(False)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")


def panels(log: Sequence[Line], measured: Sequence[Line]) -> dict[str, bytes]:
    """Every curve of a run as a small PNG of its own, by title: losses, measures, rates, gradient norms, speed."""
    first = list(log[0]) if log else []
    losses = [name for name in first if name.split(".")[-1] == "loss"]
    norms = [name for name in first if name.split(".")[-1] == "grad_norm"]
    rates = [name for name in ("lr", "muon_lr") if name in first]
    bands = {
        name: partial(_band, name=name, points=points) for name, points in curves(measured).items() if len(points) > 1
    }
    drawn: dict[str, Callable[[Any], None]] = {
        "loss": partial(_lines, title="loss, smoothed", log=log, names=losses, smooth=True),
        **bands,
        "learning rate": partial(_lines, title="learning rate", log=log, names=rates),
        "gradient norm": partial(_lines, title="gradient norm", log=log, names=norms),
        "speed": partial(_lines, title="pictures a second", log=log, names=["images_per_second"], smooth=True),
    }
    return {title: _png(draw) for title, draw in drawn.items()} if log else {}


def together(logs: Mapping[str, Mapping[str, Sequence[Line]]]) -> bytes:
    """The smoothed losses of several trainings as one PNG, empty if there are none: a panel each, its stages one after
    another over the minutes their steps took. Losses of different systems do not compare, so no two share an axis.

    Args:
        logs: training -> stage -> lines of its log.
    """
    shown = {name: stages for name, stages in logs.items() if any(stages.values())}
    if not shown:
        return b""
    columns = min(3, len(shown))
    figure, axes = _canvas(columns, -(-len(shown) // columns))
    for ax in axes[len(shown) :]:
        ax.set_visible(False)
    for (title, stages), ax in zip(shown.items(), axes, strict=False):
        begun = 0.0
        for stage, log in stages.items():
            begun = _losses(ax, stage, log, begun)
        ax.set_title(f"{title}, minutes", fontsize=9)
        ax.legend(fontsize=6)
        _steep(ax)
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()


def _steep(ax: Any) -> None:
    """A scale of factors: one loss falls from 40 to 2 beside another that falls from 0.5 to 0.2. Those that reach 0 or
    below, as of densities, have a straight piece in the middle."""
    lowest = min((float(line.get_ydata().min()) for line in ax.lines if len(line.get_ydata())), default=0.0)
    if lowest > 0:
        ax.set_yscale("log")
    else:
        ax.set_yscale("symlog", linthresh=0.1)
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter("")


def _losses(ax: Any, stage: str, log: Sequence[Line], begun: float) -> float:
    """Draw the losses of a stage from a minute on; returns the minute it ends at."""
    ends = [begun := begun + float(line.get("seconds", 0)) / 60 for line in log]
    every = max(1, len(log) // SAMPLES)
    for name in [name for name in (log[0] if log else {}) if name.split(".")[-1] == "loss"]:
        points = [(x, v) for x, line in zip(ends, log, strict=True) if (v := _finite(line.get(name))) is not None]
        minutes, values = [x for x, _ in points], smoothed([v for _, v in points])
        label = stage if name == "loss" else f"{stage} {name}"
        ax.plot(minutes[::every], values[::every], linewidth=1.2, label=label)
    return begun


def _png(draw: Callable[[Any], None]) -> bytes:
    figure, (ax,) = _canvas(1, 1)
    draw(ax)
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()


def _band(ax: Any, name: str, points: Sequence[Point]) -> None:
    steps, values, low, high = zip(*points, strict=True)
    (line,) = ax.plot(steps, values, marker="o", markersize=3, linewidth=1.4)
    ax.fill_between(steps, low, high, alpha=0.2, color=line.get_color(), linewidth=0)
    ax.set_title(name, fontsize=9)


def _lines(ax: Any, title: str, log: Sequence[Line], names: Sequence[str], smooth: bool = False) -> None:
    """Figures of a log; smoothed ones with the raw ones thin behind them. Few points for long runs."""
    for name in names:
        points = [(line["step"], v) for line in log if (v := _finite(line.get(name))) is not None]
        if not points:
            continue
        steps, values = (list(column) for column in zip(*points, strict=True))
        every = max(1, len(points) // SAMPLES)
        (line,) = ax.plot(steps[::every], values[::every], linewidth=0.5 if smooth else 1.2, alpha=0.4 if smooth else 1)
        if smooth:
            ax.plot(steps[::every], smoothed(values)[::every], linewidth=1.4, color=line.get_color(), label=name)
        else:
            line.set_label(name)
    ax.set_title(title, fontsize=9)
    if len(names) > 1:
        ax.legend(fontsize=7)


def _canvas(columns: int, rows: int) -> tuple[Any, list[Any]]:
    """A figure of small panels, and the panels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # half a second to import: only when drawn
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.2 * columns, 2.3 * rows + (0.3 if columns * rows > 1 else 0)), dpi=100)
    FigureCanvasAgg(figure)
    if columns * rows > 1:
        figure.set_layout_engine("tight")
    else:  # half the time
        figure.subplots_adjust(left=0.16, right=0.97, bottom=0.12, top=0.9)
    axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for ax in axes:
        ax.grid(alpha=0.3)
        ax.tick_params(labelsize=7)
        ax.ticklabel_format(axis="y", scilimits=(-4, 4))
        ax.locator_params(axis="x", nbins=5)
    return figure, axes
