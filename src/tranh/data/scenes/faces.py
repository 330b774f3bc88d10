"""The six expressions, drawn inside a circle of the box: eyes, brows and a mouth, exaggerated to be read at 64 px.

It knows neither whose face it is nor its colour.
"""

from __future__ import annotations

from .shapes import Detail, arc, ellipse, line

_W = 0.2  # width of the lines, in units of the face


def _eyes(r: float) -> str:
    return ellipse(-0.42, -0.3, r) + ellipse(0.42, -0.3, r)


EXPRESSIONS: dict[str, tuple[Detail, ...]] = {
    "happy": (Detail(_eyes(0.17), "ink"), Detail(line(*arc(0, 0.08, 0.62, 15, 165)), "ink", _W)),
    "sad": (
        Detail(_eyes(0.17), "ink"),
        Detail(line(*arc(0, 0.95, 0.55, 205, 335)), "ink", _W),
        Detail(ellipse(0.55, 0.1, 0.13, 0.24), "light"),
    ),
    "angry": (
        Detail(_eyes(0.15), "ink"),
        Detail(line((-0.85, -0.85), (-0.15, -0.45)) + line((0.85, -0.85), (0.15, -0.45)), "ink", 0.24),
        Detail(line((-0.45, 0.52), (0.45, 0.52)), "ink", 0.24),
    ),
    "surprised": (
        Detail(_eyes(0.3), "light"),
        Detail(_eyes(0.14), "ink"),
        Detail(ellipse(0, 0.52, 0.27, 0.36), "ink"),
    ),
    "sleepy": (
        Detail(line((-0.75, -0.2), (-0.15, -0.2)) + line((0.15, -0.2), (0.75, -0.2)), "ink", _W),
        Detail(ellipse(0, 0.5, 0.15), "ink"),
    ),
    "curious": (
        Detail(ellipse(-0.42, -0.25, 0.15) + ellipse(0.42, -0.3, 0.32), "ink"),
        Detail(ellipse(0.42, -0.3, 0.15), "light"),
        Detail(line((0.0, -0.9), (0.85, -0.95)), "ink", _W),
        Detail(line((-0.4, 0.7), (0.4, 0.4)), "ink", _W),
    ),
}
