"""The backgrounds: SVG fragments of the ten settings on a canvas of 100 x 100 units.

A setting knows the colours it is given through ``paint`` and nothing of what stands before it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from .palette import PLAIN, RGB, css
from .shapes import ellipse, polygon, rect

Paint = Callable[[RGB], RGB]


def _fill(path: str, colour: RGB, paint: Paint) -> str:
    return f'<path d="{path}" fill="{css(paint(colour))}"/>'


def _bands(paint: Paint, *bands: tuple[float, RGB]) -> str:
    """Horizontal bands from the top: (lower edge, colour)."""
    out, y = [], 0.0
    for edge, colour in bands:
        out.append(_fill(rect(0, y, 100, edge + 0.2), colour, paint))
        y = edge
    return "".join(out)


def _meadow(p: Paint) -> str:
    tufts = "".join(
        polygon([(x - 2.4, y), (x - 1.6, y - 6), (x, y - 2), (x + 1.6, y - 6), (x + 2.4, y)])
        for x, y in ((8, 60), (30, 74), (54, 58), (82, 68), (14, 92), (44, 95), (70, 88), (94, 96))
    )
    return _bands(p, (40, (176, 222, 250)), (100, (126, 200, 80))) + _fill(tufts, (60, 140, 44), p)


def _forest(p: Paint) -> str:
    trunks = "".join(rect(x, 0, x + w, 72) for x, w in ((3, 7), (22, 5), (40, 8), (60, 5), (76, 8), (93, 6)))
    leaves = "".join(ellipse(x, 6, 13, 10) for x in (0, 20, 42, 64, 84, 102))
    return (
        _bands(p, (70, (86, 130, 92)), (100, (62, 88, 46)))
        + _fill(trunks, (92, 66, 44), p)
        + _fill(leaves, (34, 84, 42), p)
    )


def _beach(p: Paint) -> str:
    foam = "M0 58C12 54 25 62 38 58C50 54 63 62 75 58C87 54 95 60 100 58L100 62L0 62Z"
    return _bands(p, (34, (160, 218, 250)), (60, (36, 150, 196)), (100, (240, 216, 150))) + _fill(
        foam, (250, 250, 250), p
    )


def _sea(p: Paint) -> str:
    waves = "".join(
        f"M{x} {y}C{x + 3} {y - 4} {x + 6} {y - 4} {x + 9} {y}C{x + 6} {y - 1.5} {x + 3} {y - 1.5} {x} {y}Z"
        for y in (38, 52, 66, 80, 94)
        for x in range(2 + (y % 4) * 3, 96, 22)
    )
    return _bands(p, (24, (190, 226, 246)), (100, (24, 92, 160))) + _fill(waves, (150, 206, 240), p)


def _snow(p: Paint) -> str:
    flakes = "".join(
        ellipse(x, y, 1.7)
        for x, y in ((10, 8), (32, 16), (55, 7), (77, 18), (94, 9), (20, 32), (46, 28), (68, 36), (88, 30), (6, 24))
    )
    hills = "M0 56C20 44 40 50 55 56C70 46 90 46 100 54L100 100L0 100Z"
    return _bands(p, (100, (146, 176, 206))) + _fill(hills, (240, 245, 252), p) + _fill(flakes, (255, 255, 255), p)


def _desert(p: Paint) -> str:
    dunes = "M0 62C20 48 38 52 56 64C72 52 88 54 100 62L100 100L0 100Z"
    cactus = (
        rect(84, 28, 89, 60) + rect(78, 38, 81, 48) + rect(78, 46, 86, 49) + rect(92, 34, 95, 44) + rect(88, 42, 95, 45)
    )
    return _bands(p, (100, (250, 226, 176))) + _fill(dunes, (214, 142, 66), p) + _fill(cactus, (70, 120, 60), p)


def _city(p: Paint) -> str:
    towers = "".join(rect(x, y, x + 17, 76) for x, y in ((0, 22), (20, 36), (40, 14), (61, 30), (82, 20)))
    lights = "".join(
        rect(x + dx, y + dy, x + dx + 3, y + dy + 4)
        for x, y in ((0, 22), (20, 36), (40, 14), (61, 30), (82, 20))
        for dx in (3, 10)
        for dy in (5, 15, 25)
    )
    dashes = "".join(rect(x, 88, x + 10, 91) for x in (4, 28, 52, 76))
    return (
        _bands(p, (76, (188, 198, 210)), (100, (72, 74, 80)))
        + _fill(towers, (112, 118, 134), p)
        + _fill(lights, (250, 236, 150), p)
        + _fill(dashes, (240, 240, 240), p)
    )


def _room(p: Paint) -> str:
    boards = "".join(rect(0, y, 100, y + 0.9) for y in (78, 85, 92))
    window = rect(64, 8, 92, 38)
    panes = rect(66, 10, 77, 22.5) + rect(79, 10, 90, 22.5) + rect(66, 24.5, 77, 36) + rect(79, 24.5, 90, 36)
    stripes = "".join(rect(x, 0, x + 2, 70) for x in range(5, 62, 11))
    return (
        _bands(p, (70, (236, 214, 186)), (100, (168, 112, 66)))
        + _fill(stripes, (222, 190, 156), p)
        + _fill(boards, (128, 80, 44), p)
        + _fill(window, (120, 76, 44), p)
        + _fill(panes, (170, 214, 244), p)
    )


def _night(p: Paint) -> str:
    stars = "".join(
        polygon(
            (x + r * math.sin(math.pi * i / 4), y - r * math.cos(math.pi * i / 4))
            for i in range(8)
            for r in [2.6 if i % 2 == 0 else 0.9]
        )
        for x, y in (
            (10, 12),
            (32, 6),
            (56, 14),
            (80, 8),
            (94, 22),
            (20, 34),
            (68, 32),
            (44, 46),
            (88, 54),
            (8, 62),
            (30, 74),
            (60, 66),
            (78, 84),
            (14, 92),
            (48, 92),
            (94, 94),
        )
    )
    return _bands(p, (100, (20, 26, 66))) + _fill(stars, (250, 244, 190), p)


_SCENERY: dict[str, Callable[[Paint], str]] = {
    "meadow": _meadow, "forest": _forest, "beach": _beach, "sea": _sea, "snow": _snow, "desert": _desert,
    "city": _city, "room": _room, "night": _night,
}  # fmt: skip


def draw_setting(setting: str, paint: Paint) -> str:
    """SVG of a setting; every colour goes through ``paint`` (a style may turn colours around)."""
    if setting.startswith("plain_"):
        return _fill(rect(0, 0, 100, 100), PLAIN[setting.removeprefix("plain_")], paint)
    return _SCENERY[setting](paint)
