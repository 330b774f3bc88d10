"""The outlines of the 25 kinds, as SVG path data in the box [-1, 1] x [-1, 1], y downwards.

A shape knows its form only: no colour, no place, no material.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Tone = Literal["body", "dark", "light", "ink", "wood", "beak"]
_NUMBER = re.compile(r"-?\d*\.?\d+")


@dataclass(frozen=True)
class Detail:
    """A part painted over the body: a filled path, or a line when ``line`` is its width (in units of the box)."""

    path: str
    tone: Tone
    line: float = 0.0


@dataclass(frozen=True)
class Shape:
    """Body path (takes colour and material), parts under it, parts over it, and where a face is drawn."""

    body: str
    over: tuple[Detail, ...] = ()
    under: tuple[Detail, ...] = ()
    face: tuple[float, float, float] | None = None  # centre x, y and radius


def polygon(points: Iterable[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.3f} {y:.3f}" for x, y in points) + "Z"


def line(*points: tuple[float, float]) -> str:
    return "M" + "L".join(f"{x:.3f} {y:.3f}" for x, y in points)


def arc(cx: float, cy: float, r: float, start: float, stop: float, n: int = 20) -> list[tuple[float, float]]:
    """Points on a circle from angle ``start`` to ``stop`` (degrees, clockwise from the right)."""
    angles = (math.radians(start + (stop - start) * i / n) for i in range(n + 1))
    return [(cx + r * math.cos(a), cy + r * math.sin(a)) for a in angles]


def ellipse(cx: float, cy: float, rx: float, ry: float | None = None) -> str:
    ry = rx if ry is None else ry
    k = 0.5523
    return (
        f"M{cx - rx:.3f} {cy:.3f}"
        f"C{cx - rx:.3f} {cy - k * ry:.3f} {cx - k * rx:.3f} {cy - ry:.3f} {cx:.3f} {cy - ry:.3f}"
        f"C{cx + k * rx:.3f} {cy - ry:.3f} {cx + rx:.3f} {cy - k * ry:.3f} {cx + rx:.3f} {cy:.3f}"
        f"C{cx + rx:.3f} {cy + k * ry:.3f} {cx + k * rx:.3f} {cy + ry:.3f} {cx:.3f} {cy + ry:.3f}"
        f"C{cx - k * rx:.3f} {cy + ry:.3f} {cx - rx:.3f} {cy + k * ry:.3f} {cx - rx:.3f} {cy:.3f}Z"
    )


def rect(x0: float, y0: float, x1: float, y1: float) -> str:
    return polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])


def _star(points: int, inner: float) -> str:
    return polygon(
        (r * math.sin(math.pi * i / points), -r * math.cos(math.pi * i / points))
        for i in range(2 * points)
        for r in [inner if i % 2 else 1.0]
    )


def _rays() -> str:
    return "".join(
        polygon(
            [
                (math.cos(a), math.sin(a)),
                (0.56 * math.cos(a + 0.26), 0.56 * math.sin(a + 0.26)),
                (0.56 * math.cos(a - 0.26), 0.56 * math.sin(a - 0.26)),
            ]
        )
        for a in (math.pi * i / 4 for i in range(8))
    )


def _petals() -> str:
    return "".join(ellipse(0.6 * math.sin(math.pi * i / 3), -0.6 * math.cos(math.pi * i / 3), 0.39) for i in range(6))


_CRESCENT = polygon(arc(0.1, 0, 1.0, 50, 310) + arc(0.62, 0, 0.77, 274, 86))

SHAPES: dict[str, Shape] = {
    "circle": Shape(ellipse(0, 0, 0.97)),
    "square": Shape(rect(-0.86, -0.86, 0.86, 0.86)),
    "triangle": Shape(polygon([(0, -0.95), (0.98, 0.82), (-0.98, 0.82)])),
    "star": Shape(_star(5, 0.42)),
    "heart": Shape("M0 0.95C-1.75 -0.1 -0.95 -1.3 0 -0.5C0.95 -1.3 1.75 -0.1 0 0.95Z"),
    "ring": Shape(ellipse(0, 0, 0.97) + ellipse(0, 0, 0.52)),
    "cross": Shape(
        polygon(
            [(-0.33, -0.95), (0.33, -0.95), (0.33, -0.33), (0.95, -0.33), (0.95, 0.33), (0.33, 0.33),
             (0.33, 0.95), (-0.33, 0.95), (-0.33, 0.33), (-0.95, 0.33), (-0.95, -0.33), (-0.33, -0.33)]
        )
    ),
    "hexagon": Shape(polygon((math.cos(math.pi * i / 3), math.sin(math.pi * i / 3)) for i in range(6))),
    "crescent": Shape(_CRESCENT),
    "arrow": Shape(
        polygon([(-1, -0.34), (0.05, -0.34), (0.05, -0.85), (1, 0), (0.05, 0.85), (0.05, 0.34), (-1, 0.34)])
    ),
    "tree": Shape(
        polygon([(0, -1), (0.62, -0.2), (0.34, -0.2), (0.86, 0.5), (-0.86, 0.5), (-0.34, -0.2), (-0.62, -0.2)]),
        under=(Detail(rect(-0.18, 0.45, 0.18, 1.0), "wood"),),
    ),
    "house": Shape(
        rect(-0.78, -0.15, 0.78, 0.95),
        over=(
            Detail(polygon([(0, -1), (1, -0.12), (-1, -0.12)]), "dark"),
            Detail(rect(-0.2, 0.35, 0.2, 0.95), "ink"),
            Detail(rect(0.36, 0.1, 0.62, 0.36), "light"),
        ),
    ),
    "car": Shape(
        polygon([(-1, 0.5), (-1, 0.0), (-0.62, -0.08), (-0.36, -0.6), (0.4, -0.6), (0.68, -0.08), (1, 0.05), (1, 0.5)]),
        over=(
            Detail(polygon([(-0.42, -0.08), (-0.24, -0.44), (0.3, -0.44), (0.46, -0.08)]), "light"),
            Detail(ellipse(-0.55, 0.5, 0.27), "ink"),
            Detail(ellipse(0.55, 0.5, 0.27), "ink"),
        ),
    ),
    "boat": Shape(
        polygon([(-1, 0.25), (1, 0.25), (0.62, 0.85), (-0.62, 0.85)]),
        over=(
            Detail(line((-0.08, -1), (-0.08, 0.25)), "wood", 0.12),
            Detail(polygon([(0.04, -0.95), (0.04, 0.08), (0.8, 0.08)]), "light"),
        ),
    ),
    "fish": Shape(
        ellipse(-0.2, 0, 0.8, 0.66) + polygon([(0.42, 0), (1, -0.62), (0.88, 0), (1, 0.62)]), face=(-0.3, -0.02, 0.52)
    ),
    "bird": Shape(
        ellipse(-0.05, 0.1, 0.74, 0.7) + polygon([(0.5, 0.2), (1.0, -0.28), (0.95, 0.45)])
        + polygon([(-0.05, -0.5), (0.55, -1.0), (0.5, -0.25)]),
        over=(Detail(polygon([(-0.68, -0.18), (-1.0, 0.04), (-0.7, 0.22)]), "beak"),),
        under=(Detail(line((-0.2, 0.7), (-0.2, 1.0)) + line((0.15, 0.7), (0.15, 1.0)), "ink", 0.1),),
        face=(-0.12, 0.08, 0.5),
    ),
    "cat": Shape(
        ellipse(0, 0.18, 0.92, 0.76)
        + polygon([(-0.88, 0.1), (-0.86, -1.0), (-0.18, -0.5)]) + polygon([(0.88, 0.1), (0.86, -1.0), (0.18, -0.5)]),
        over=(
            Detail(line((-0.98, 0.2), (-0.56, 0.3)) + line((-0.98, 0.55), (-0.56, 0.46)), "ink", 0.07),
            Detail(line((0.98, 0.2), (0.56, 0.3)) + line((0.98, 0.55), (0.56, 0.46)), "ink", 0.07),
        ),
        face=(0, 0.22, 0.58),
    ),
    "flower": Shape(_petals() + ellipse(0, 0, 0.5), over=(Detail(ellipse(0, 0, 0.32), "beak"),)),
    "cloud": Shape(
        ellipse(-0.52, 0.2, 0.46, 0.42) + ellipse(0.52, 0.2, 0.46, 0.42) + ellipse(-0.12, -0.16, 0.52, 0.5)
        + ellipse(0.3, -0.02, 0.42, 0.4) + rect(-0.52, 0.1, 0.52, 0.62)
    ),
    "sun": Shape(_rays() + ellipse(0, 0, 0.6)),
    "moon": Shape(
        ellipse(0, 0, 0.97),
        over=(
            Detail(polygon(arc(0, 0, 0.97, -90, 90) + arc(-0.62, 0, 1.15, 57, -57)), "dark"),
            Detail(ellipse(-0.45, -0.3, 0.16), "dark"),
            Detail(ellipse(-0.4, 0.35, 0.22), "dark"),
        ),
    ),
    "face": Shape(ellipse(0, 0, 0.97), face=(0, 0, 0.78)),
    "ball": Shape(
        ellipse(0, 0, 0.97),
        over=(
            Detail(line((-0.97, 0), (0.97, 0)) + line((0, -0.97), (0, 0.97)), "ink", 0.13),
            Detail(line(*arc(-1.25, 0, 0.85, -52, 52)) + line(*arc(1.25, 0, 0.85, 128, 232)), "ink", 0.13),
        ),
    ),
    "cup": Shape(
        polygon([(-0.85, -0.75), (0.5, -0.75), (0.36, 0.9), (-0.7, 0.9)]),
        over=(Detail(ellipse(-0.175, -0.75, 0.66, 0.17), "ink"),),
        under=(Detail(line(*arc(0.48, 0.05, 0.4, -85, 95)), "dark", 0.2),),
    ),
    "book": Shape(
        polygon([(0, -0.55), (-1, -0.8), (-1, 0.6), (0, 0.85), (1, 0.6), (1, -0.8)]),
        over=(
            Detail(line((0, -0.55), (0, 0.85)), "ink", 0.13),
            Detail(polygon([(-0.86, -0.6), (-0.14, -0.42), (-0.14, 0.6), (-0.86, 0.42)]), "light"),
            Detail(line((-0.7, -0.28), (-0.3, -0.18)) + line((-0.7, 0.05), (-0.3, 0.15)), "ink", 0.1),
        ),
    ),
}  # fmt: skip


def place(path: str, cx: float, cy: float, rx: float, ry: float) -> str:
    """Path data of the box moved to centre (cx, cy) and scaled by (rx, ry), in the units of the canvas."""
    axis = 0

    def move(match: re.Match[str]) -> str:
        nonlocal axis
        value = float(match.group())
        out = cx + rx * value if axis == 0 else cy + ry * value
        axis = 1 - axis
        return f"{out:.2f}"

    return _NUMBER.sub(move, path)
