"""Small charts as inline SVG: bars and filled lines. They take their ink from the page around them, light or dark.

They know numbers and colours, nothing of what is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

WIDTH, HEIGHT, FOOT = 320, 96, 16


def bars(
    values: Sequence[float],
    title: str,
    *,
    colours: Sequence[str] | str = "var(--ink-2)",
    ticks: Sequence[tuple[float, str]] = (),
    mark: tuple[float, str] | None = None,
) -> str:
    """Bars side by side.

    Args:
        colours: of all bars, or of each.
        ticks: (place from 0 to 1, label) under the bars; mark: the same, a line through them.
    """  # fmt: skip
    most = max([*values, 1e-12])
    step = WIDTH / max(len(values), 1)
    gap = min(1.0, step * 0.15)
    parts = []
    for i, value in enumerate(values):
        if value > 0:
            height = max(HEIGHT * value / most, 1)
            colour = colours if isinstance(colours, str) else colours[i]
            parts.append(
                f'<rect x="{i * step:.1f}" y="{HEIGHT - height:.1f}" width="{step - gap:.1f}" height="{height:.1f}" '
                f'fill="{colour}"/>'
            )
    if mark is not None:
        x = WIDTH * mark[0]
        anchor = "end" if mark[0] > 0.5 else "start"
        parts.append(f'<path d="M{x:.1f} 0V{HEIGHT}" stroke="var(--fault)" stroke-width="1.2" stroke-dasharray="3 2"/>')
        near = -4 if anchor == "end" else 4
        parts.append(f'<text x="{x + near:.1f}" y="9" text-anchor="{anchor}" class="m">{escape(mark[1])}</text>')
    return _chart("".join(parts), title, ticks)


def curves(
    series: Sequence[tuple[str, Sequence[float], str]], title: str, ticks: Sequence[tuple[float, str]] = ()
) -> str:
    """Filled lines over one another: (name, values, colour) of each. High peaks are cut, so that the rest is seen."""
    flat = np.concatenate([np.asarray(values, dtype=np.float64) for _, values, _ in series])
    most = max(float(np.quantile(flat, 0.98)) * 1.15, float(flat.max()) * 0.2, 1e-12)
    parts = []
    for name, values, colour in series:
        step = WIDTH / max(len(values) - 1, 1)
        points = " ".join(
            f"{i * step:.1f},{HEIGHT - min(HEIGHT * value / most, HEIGHT):.1f}" for i, value in enumerate(values)
        )
        parts.append(
            f'<polyline points="0,{HEIGHT} {points} {WIDTH},{HEIGHT}" fill="{colour}" fill-opacity=".16" '
            f'stroke="{colour}" stroke-width="1.4"><title>{escape(name)}</title></polyline>'
        )
    return _chart("".join(parts), title, ticks)


def _chart(body: str, title: str, ticks: Sequence[tuple[float, str]]) -> str:
    labels = []
    for at, label in ticks:
        anchor = "start" if at < 0.04 else "end" if at > 0.96 else "middle"
        labels.append(f'<text x="{WIDTH * at:.1f}" y="{HEIGHT + 12}" text-anchor="{anchor}">{escape(label)}</text>')
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT + FOOT}" role="img" aria-label="{escape(title)}">{body}'
        f'<path d="M0 {HEIGHT}H{WIDTH}" stroke="var(--line)"/>{"".join(labels)}</svg>'
    )
