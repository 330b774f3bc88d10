"""Outlines and patterns that emblems are made of, as SVG path data in the unit circle, drawn by chance.

A form knows no colour and no place.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from .layout import Choices
from .shapes import arc, ellipse, polygon, rect


def _radial(r: Callable[[float], float], turn: float = 0.0, points: int = 120) -> str:
    """A closed curve whose distance from the centre depends on the angle (radians), reaching 1 where it is widest."""
    angles = [2 * math.pi * k / points for k in range(points)]
    most = max(r(a) for a in angles)
    return polygon((r(a) / most * math.cos(a + turn), r(a) / most * math.sin(a + turn)) for a in angles)


def lobes(d: Choices) -> str:
    n, deep = d.of((3, 4, 5, 6, 7)), d.between(0.2, 0.4)
    return _radial(lambda a: 1 + deep * math.cos(n * a))


def _gear(d: Choices) -> str:
    n, deep = d.of((6, 8, 10)), d.between(0.24, 0.34)
    return _radial(lambda a: 1.0 if math.sin(n * a) > 0 else 1 - deep, points=240)


def _saw(d: Choices) -> str:
    n, deep = d.of((4, 5, 7)), d.between(0.35, 0.5)
    return _radial(lambda a: 1 - deep * (n * a / (2 * math.pi) % 1), points=280)


def spikes(d: Choices) -> str:
    n, inner = d.of((6, 7, 8, 10)), d.between(0.45, 0.68)
    points = ((1.0 if k % 2 == 0 else inner, math.pi * k / n) for k in range(2 * n))
    return polygon((r * math.cos(a), r * math.sin(a)) for r, a in points)


def blob(d: Choices) -> str:
    waves = [(n, d.between(0.08, 0.26), d.between(0, 2 * math.pi)) for n in (1, 2, 3)]
    return _radial(lambda a: 1 + sum(size * math.cos(n * a + at) for n, size, at in waves))


def drop(d: Choices) -> str:
    wide = d.between(0.62, 0.8)
    return f"M0 -1C{wide * 0.4:.3f} -0.45 {wide:.3f} -0.1 {wide:.3f} 0.32" + (
        f"C{wide:.3f} 1.2 {-wide:.3f} 1.2 {-wide:.3f} 0.32C{-wide:.3f} -0.1 {-wide * 0.4:.3f} -0.45 0 -1Z"
    )


def lens(d: Choices) -> str:
    bow = d.between(0.75, 1.15)
    return f"M-1 0C-0.45 {-bow:.3f} 0.45 {-bow:.3f} 1 0C0.45 {bow:.3f} -0.45 {bow:.3f} -1 0Z"


def bow(d: Choices) -> str:
    waist, high = d.between(0.12, 0.24), d.between(0.54, 0.64)
    return polygon([(-0.78, -high), (0, -waist), (0.78, -high), (0.78, high), (0, waist), (-0.78, high)])


def _shield(d: Choices) -> str:
    shoulder = d.between(0.1, 0.4)
    return f"M-0.7 -0.7L0.7 -0.7L0.7 {shoulder:.3f}C0.7 0.65 0.3 0.85 0 1C-0.3 0.85 -0.7 0.65 -0.7 {shoulder:.3f}Z"


def _steps(d: Choices) -> str:
    """A staircase diamond."""
    n = d.of((3, 4))
    corner = [(k / n, 1 - k / n) for k in range(n)]
    quarter = [p for x, y in corner for p in ((x, y), (x + 1 / n, y))]
    turned = [(x, -y) for x, y in quarter]
    for _ in range(3):
        turned += [(-y, x) for x, y in turned[-len(quarter) :]]
    return polygon(turned)


OUTLINES = (lobes, _gear, _saw, spikes, blob, drop, lens, bow, _shield, _steps)


def _stripes(d: Choices) -> str:
    wide = d.between(0.16, 0.26)
    return "".join(rect(-1.5, y, 1.5, y + wide) for y in (-1.4 + 2 * wide * k for k in range(int(1.4 / wide) + 1)))


def _checks(d: Choices) -> str:
    side = d.between(0.3, 0.42)
    cells = range(-4, 4)
    return "".join(
        rect(i * side, j * side, (i + 1) * side, (j + 1) * side) for i in cells for j in cells if (i + j) % 2 == 0
    )


def _sectors(d: Choices) -> str:
    n = d.of((3, 4, 5, 6))
    return "".join(polygon([(0, 0), *arc(0, 0, 1.5, 360 * k / n, 360 * (k + 0.5) / n, 8)]) for k in range(n))


def _rings(d: Choices) -> str:
    """Bands around the middle, as paths whose inside is cut out by the even-odd rule."""
    wide = d.between(0.13, 0.18)
    return "".join(ellipse(0, 0, r) + ellipse(0, 0, r - wide) for r in (2 * wide * k + 0.5 for k in range(4)))


def _spots(d: Choices) -> str:
    step = d.between(0.42, 0.55)
    return "".join(ellipse(i * step, j * step, 0.36 * step) for i in range(-3, 4) for j in range(-3, 4))


def _half(d: Choices) -> str:
    return rect(-1.5, -1.5, d.between(-0.1, 0.1), 1.5)


def _zigzag(d: Choices) -> str:
    high = d.between(0.2, 0.3)
    return "".join(
        polygon(
            [(-1.5 + 0.3 * k, y + (high if k % 2 else 0)) for k in range(11)]
            + [(1.5 - 0.3 * k, y + high + (high if k % 2 else 0)) for k in range(11)]
        )
        for y in (-1.6 + 2 * high * n for n in range(int(3.2 / (2 * high)) + 1))
    )


def _frame(d: Choices) -> str:
    side = d.between(0.5, 0.62)
    return rect(-1.5, -1.5, 1.5, 1.5) + rect(-side, -side, side, side)


PATTERNS = (_stripes, _checks, _sectors, _rings, _spots, _half, _zigzag, _frame)
