"""The log of a run: one JSON object per step, cut back on resuming so that it equals that of an unbroken run."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

CLOCK = ("seconds", "images_per_second")
"""Fields that tell of the machine and not of the run; leave them out when two logs are compared."""


def plain(value: Any) -> Any:
    """A value JSON can hold: figures that are not finite become the words ``nan``, ``inf`` and ``-inf``."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value


class Log:
    """Appends lines to ``log.jsonl``.

    Args:
        path: the file; made if absent.
        size: bytes to keep; what lies behind was written after the checkpoint that is resumed.
    """

    def __init__(self, path: Path, size: int) -> None:
        self.file = path.open("ab")
        self.file.truncate(min(size, path.stat().st_size))
        self.file.seek(0, os.SEEK_END)

    def write(self, line: Mapping[str, Any]) -> None:
        """Add a line; it survives the process from now on, and a power cut from the next :meth:`sync` on."""
        self.file.write((json.dumps(plain(line), allow_nan=False) + "\n").encode())
        self.file.flush()

    def sync(self) -> int:
        """Bring the log to the disk; returns its size in bytes."""
        os.fsync(self.file.fileno())
        return self.file.tell()

    def close(self) -> None:
        self.file.close()


def read_log(path: Path) -> list[dict[str, Any]]:
    """Lines of a log; a torn last line (the process died while writing) is left out."""
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]
    return [json.loads(line) for line in lines if line]


def smoothed(values: Sequence[float]) -> list[float]:
    """A running mean over about a fiftieth of the course."""
    out, level, keep = [], values[0] if values else 0.0, 1 - 1 / max(1, len(values) // 50)
    for value in values:
        level = keep * level + (1 - keep) * value
        out.append(level)
    return out


def draw_loss(lines: Sequence[Mapping[str, Any]], path: Path, title: str) -> None:
    """Save the curve of every figure called loss as a PNG, thin raw and thick smoothed."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # half a second to import: only when drawn
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    names = [k for k in (lines[0] if lines else {}) if k == "loss" or k.endswith(".loss")]
    for name in names:
        points = [(x["step"], x[name]) for x in lines if isinstance(x.get(name), float)]
        steps, values = [p[0] for p in points], [p[1] for p in points]
        (line,) = axes.plot(steps, values, linewidth=0.5, alpha=0.35)
        axes.plot(steps, smoothed(values), linewidth=1.6, color=line.get_color(), label=name)
    axes.set(xlabel="step", ylabel="loss", title=title)
    axes.grid(alpha=0.3)
    if names:
        axes.legend()
    figure.savefig(path)
