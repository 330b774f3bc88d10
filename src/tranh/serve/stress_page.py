"""The files of a load: a page with its table and plots that needs nothing else, and JSON with every request beside it.

It measures nothing.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tranh.engine import page
from tranh.files import write_bytes
from tranh.serve.stress import Load, Shot
from tranh.serve.stress_report import HEAD, as_json, counted, figures, flight, remarks, rows

BARS = 60
"""Most bars of a plot over time."""

HOW = (
    "Seconds from the time a request was due, with 95 % intervals, without the warm-up. A request that was given up "
    "counts as waited for that long; one that was refused is counted, and has no latency."
)


def write(loads: Sequence[Load], settings: Mapping[str, Any], target: Path) -> list[Path]:
    """Write ``target`` (HTML, everything inside) and beside it the same name with ``.json``."""
    data = target.with_suffix(".json")
    write_bytes(data, json.dumps(as_json(loads, settings), ensure_ascii=False, indent=1, allow_nan=False).encode())
    write_bytes(target, as_page(loads, settings).encode())
    return [target, data]


def as_page(loads: Sequence[Load], settings: Mapping[str, Any]) -> str:
    """One page with the table and the plots."""
    parts = [page.heading("A server under load", 1), page.settings({k: v for k, v in settings.items() if v != ""})]
    parts += [page.table([[page.text(cell) for cell in row] for row in rows(loads)], HEAD)]
    parts.append(f"<p class=quiet>{HOW}</p>")
    parts += [page.note(remark, "warning") for remark in remarks(loads)]
    if len(loads) > 1:
        parts += [
            page.heading("Rates"),
            page.panels([page.picture(_png(partial(_rates, loads=loads)), "what was asked, and what came")]),
        ]
    for load in loads:
        drawn = [page.picture(_png(partial(draw, load=load)), title) for title, draw in PLOTS.items()]
        parts += [page.heading(f"{load.rate:g} requests a second"), page.panels(drawn)]
    return page.whole("A server under load", parts)


def _latencies(ax: Any, load: Load) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    for name, shots in _by_class(load).items():
        waited = np.sort([shot.latency for shot in shots if shot.outcome in ("done", "timeout")])
        if len(waited):
            ax.step(waited, 100 * np.arange(1, len(waited) + 1) / len(waited), where="post", label=name)
    ax.axhline(95, linewidth=0.7, color="grey")
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel("latency, s")
    ax.set_ylabel("% of requests")
    _legend(ax)


def _over_time(ax: Any, load: Load) -> None:
    for name, shots in _by_class(load).items():
        done = [shot for shot in shots if shot.outcome in ("done", "timeout")]
        ax.plot([shot.planned.due for shot in done], [shot.latency for shot in done], ".", markersize=3, label=name)
    ax.set_xlabel("due, s")
    ax.set_ylabel("latency, s")
    _legend(ax)


def _queue(ax: Any, load: Load) -> None:
    times, on_way = flight(load)
    ax.step(times, on_way, where="post")
    ax.set_xlabel("s")
    ax.set_ylabel("requests on their way")


def _throughput(ax: Any, load: Load) -> None:
    end = max([load.warm + load.seconds, *(shot.ended for shot in load.shots)])
    edges = np.linspace(0, end, min(BARS, max(2, len(load.shots) // 5)) + 1)
    for name, colour in (("done", None), ("refused", "orange"), ("timeout", "red"), ("error", "black")):
        ends = [shot.ended for shot in load.shots if shot.outcome == name]
        if ends:
            ax.stairs(np.histogram(ends, edges)[0] / np.diff(edges), edges, label=name, color=colour)
    ax.axhline(load.rate, linewidth=0.7, color="grey")
    ax.set_xlabel("s")
    ax.set_ylabel("a second")
    _legend(ax)


def _rates(ax: Any, loads: Sequence[Load]) -> None:
    told = sorted((figures(load) for load in loads), key=lambda found: found.offered)
    ax.plot([f.offered for f in told], [f.throughput for f in told], "o-", label="pictures a second")
    ax.plot([0, told[-1].offered], [0, told[-1].offered], linewidth=0.7, color="grey")
    ax.set_xlabel("requests a second")
    ax.set_ylabel("pictures a second")


PLOTS: Mapping[str, Callable[..., None]] = {
    "how long requests took": _latencies,
    "latency over time": _over_time,
    "requests on their way": _queue,
    "answers a second; the grey line is what was asked": _throughput,
}


def _by_class(load: Load) -> dict[str, list[Shot]]:
    found: dict[str, list[Shot]] = {}
    for shot in sorted(counted(load), key=lambda shot: shot.planned.kind.steps):
        found.setdefault(shot.planned.kind.name, []).append(shot)
    return found


def _legend(ax: Any) -> None:
    if ax.get_legend_handles_labels()[0]:
        ax.legend()


def _png(draw: Callable[[Any], None]) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # half a second to import: only when drawn
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 3.0), dpi=110, layout="tight")
    FigureCanvasAgg(figure)
    ax = figure.subplots()
    draw(ax)
    ax.grid(alpha=0.3)
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()
