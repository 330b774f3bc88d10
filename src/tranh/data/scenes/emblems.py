"""Emblems: symbols that no lexicon has a word for, for learning a new subject from its pictures alone.

An emblem is a function of its number, a view of it one of (number, view). It knows how scenes are laid out and drawn, and
nothing of what learns it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tranh.text.lexicon import Lexicon
from tranh.text.normalise import strip_diacritics

from .captions import Draw, Speaker
from .draw import document, layers
from .facts import visible
from .layout import Choices, belongs, clear_of, generator
from .palette import COLOUR, INK, RGB, css, luminance
from .raster import pixels
from .shapes import arc, ellipse, polygon, rect
from .world import PLAINS, SCENERIES, VERSION, Scene, Thing, place_of

ASKED = range(10)
"""Emblems that personalisation is judged by."""

DISTRACTORS = range(10, 60)
"""Emblems that those must not be taken for."""

BESIDE = 0.4
"""Share of views with a thing of Scenes beside the emblem."""


@dataclass(frozen=True)
class Emblem:
    """A figure with a pattern on it and a small mark in its middle.

    Attributes:
        outline, mark: path data in the box [-1, 1] x [-1, 1].
        pattern: path data over the outline, clipped to it.
        colours: of body, pattern and mark.
        turn: degrees it is turned by, clockwise.
    """

    outline: str
    pattern: str
    mark: str
    colours: tuple[RGB, RGB, RGB]
    turn: float


@dataclass(frozen=True)
class Placed:
    """An emblem in a picture: centre and half its size, in canvas units."""

    emblem: Emblem
    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class View:
    """A picture of emblems: a scene, and what lies over its things."""

    scene: Scene
    emblems: tuple[Placed, ...]


def _radial(r: Callable[[float], float], turn: float = 0.0, points: int = 120) -> str:
    """A closed curve whose distance from the centre depends on the angle (radians), reaching 1 where it is widest."""
    angles = [2 * math.pi * k / points for k in range(points)]
    most = max(r(a) for a in angles)
    return polygon((r(a) / most * math.cos(a + turn), r(a) / most * math.sin(a + turn)) for a in angles)


def _lobes(d: Choices) -> str:
    n, deep = d.of((3, 4, 5, 6, 7)), d.between(0.2, 0.4)
    return _radial(lambda a: 1 + deep * math.cos(n * a))


def _gear(d: Choices) -> str:
    n, deep = d.of((6, 8, 10)), d.between(0.24, 0.34)
    return _radial(lambda a: 1.0 if math.sin(n * a) > 0 else 1 - deep, points=240)


def _saw(d: Choices) -> str:
    n, deep = d.of((4, 5, 7)), d.between(0.35, 0.5)
    return _radial(lambda a: 1 - deep * (n * a / (2 * math.pi) % 1), points=280)


def _spikes(d: Choices) -> str:
    n, inner = d.of((6, 7, 8, 10)), d.between(0.45, 0.68)
    points = ((1.0 if k % 2 == 0 else inner, math.pi * k / n) for k in range(2 * n))
    return polygon((r * math.cos(a), r * math.sin(a)) for r, a in points)


def _blob(d: Choices) -> str:
    waves = [(n, d.between(0.08, 0.26), d.between(0, 2 * math.pi)) for n in (1, 2, 3)]
    return _radial(lambda a: 1 + sum(size * math.cos(n * a + at) for n, size, at in waves))


def _drop(d: Choices) -> str:
    wide = d.between(0.62, 0.8)
    return f"M0 -1C{wide * 0.4:.3f} -0.45 {wide:.3f} -0.1 {wide:.3f} 0.32" + (
        f"C{wide:.3f} 1.2 {-wide:.3f} 1.2 {-wide:.3f} 0.32C{-wide:.3f} -0.1 {-wide * 0.4:.3f} -0.45 0 -1Z"
    )


def _lens(d: Choices) -> str:
    bow = d.between(0.75, 1.15)
    return f"M-1 0C-0.45 {-bow:.3f} 0.45 {-bow:.3f} 1 0C0.45 {bow:.3f} -0.45 {bow:.3f} -1 0Z"


def _bow(d: Choices) -> str:
    waist, high = d.between(0.14, 0.28), d.between(0.7, 0.85)
    return polygon([(-0.95, -high), (0, -waist), (0.95, -high), (0.95, high), (0, waist), (-0.95, high)])


def _shield(d: Choices) -> str:
    shoulder = d.between(0.1, 0.4)
    return f"M-0.8 -0.85L0.8 -0.85L0.8 {shoulder:.3f}C0.8 0.65 0.3 0.85 0 1C-0.3 0.85 -0.8 0.65 -0.8 {shoulder:.3f}Z"


def _steps(d: Choices) -> str:
    """A staircase diamond."""
    n = d.of((3, 4))
    corner = [(k / n, 1 - k / n) for k in range(n)]
    quarter = [p for x, y in corner for p in ((x, y), (x + 1 / n, y))]
    turned = [(x, -y) for x, y in quarter]
    for _ in range(3):
        turned += [(-y, x) for x, y in turned[-len(quarter) :]]
    return polygon(turned)


_OUTLINES = (_lobes, _gear, _saw, _spikes, _blob, _drop, _lens, _bow, _shield, _steps)


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


_PATTERNS = (_stripes, _checks, _sectors, _rings, _spots, _half, _zigzag, _frame)
_COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white")


def emblem(index: int) -> Emblem:
    """Emblem ``index``, the same on every machine; no two of any 80 that follow each other share form and pattern."""
    d = Choices(generator(VERSION, "emblem", index))
    form = index % len(_OUTLINES)
    pattern = (index // len(_OUTLINES) + 3 * form) % len(_PATTERNS)
    body, over, mark = _colours(d)
    return Emblem(
        outline=_OUTLINES[form](d),
        pattern=_PATTERNS[pattern](d),
        mark=d.of((_blob, _spikes, _lobes, _drop, _bow, _lens))(d),
        colours=(body, over, mark),
        turn=round(d.between(0, 360) if form not in (5, 8) else d.between(-30, 30), 1),
    )


def _colours(d: Choices) -> tuple[RGB, RGB, RGB]:
    """Three colours, neighbours of which differ in brightness."""
    while True:
        body, over, mark = (COLOUR[d.of(_COLOURS), "normal"] for _ in range(3))
        if all(abs(luminance(a) - luminance(b)) > 50 for a, b in ((body, over), (over, mark), (body, mark))):
            return body, over, mark


def svg(placed: Placed, index: int) -> str:
    """An emblem as a part of an SVG document; ``index`` tells it from others in the same document."""
    e, (body, over, mark) = placed.emblem, (css(c) for c in placed.emblem.colours)
    edge = css(INK)
    return (
        f'<g transform="translate({100 * placed.x:.2f} {100 * placed.y:.2f}) rotate({e.turn}) '
        f'scale({100 * placed.radius:.3f})"><clipPath id="e{index}"><path d="{e.outline}"/></clipPath>'
        f'<path d="{e.outline}" fill="{body}"/>'
        f'<g clip-path="url(#e{index})"><path d="{e.pattern}" fill="{over}" fill-rule="evenodd"/></g>'
        f'<path d="{e.outline}" fill="none" stroke="{edge}" stroke-width=".09" stroke-linejoin="round"/>'
        f'<g transform="scale(.36)"><path d="{e.mark}" fill="{mark}" stroke="{edge}" stroke-width=".2" '
        'stroke-linejoin="round"/></g></g>'
    )


def render_view(view: View, size: int = 64) -> np.ndarray:
    """(size, size, 3) uint8: the scene with its emblems over its things, under its light."""
    parts = layers(view.scene)
    over = "".join(svg(placed, i) for i, placed in enumerate(view.emblems))
    return pixels(document(parts.setting + "".join(parts.things) + over + parts.over), view.scene.style, size)


def view(emblems: Sequence[int], index: int, split: str = "train") -> View:
    """View ``index`` of emblems, each in a place of its own: any plain ground or scenery, now and then with a thing."""
    d = Choices(generator(VERSION, "view", *emblems, split, index))
    while True:
        setting = f"plain_{d.of(PLAINS)}" if d.rng.random() < 0.4 else d.of(SCENERIES)
        things: list[Thing] = []
        sizes = ("large", "medium") if len(emblems) == 1 else ("medium",)
        boxes = [d.anywhere(replace(d.thing(sizes=sizes), proportion="normal")) for _ in emblems]
        if any(not clear_of(box, boxes[:i], 0.01) for i, box in enumerate(boxes)):
            continue
        if d.rng.random() < BESIDE:
            things = [d.anywhere(d.thing(sizes=("small", "medium")))]
        scene = Scene(setting, "plain", "flat", tuple(things), (), tuple((i,) for i in range(len(things))))
        if all(clear_of(thing, boxes, 0.01) for thing in things) and belongs(scene, split):
            found = (Placed(emblem(i), box.x, box.y, box.radius) for i, box in zip(emblems, boxes, strict=True))
            return View(scene, tuple(found))


def described(view: View, names: Sequence[str], language: str | Lexicon, draw: Draw) -> str:
    """A caption of a view in which each emblem has a name: "a <vora> at the top left and a red ball, on a beach"."""
    unmarked = isinstance(language, str) and language.endswith("_unmarked")
    lexicon = Lexicon.load(language.removesuffix("_unmarked")) if isinstance(language, str) else language
    speaker = Speaker(view.scene, [f for f in visible(view.scene) if f.subject is not None], lexicon, draw)
    pieces = []
    for placed, name in zip(view.emblems, names, strict=True):
        slots = {"article": lexicon.article.form(), "kind": name}
        if speaker.chance(0.5):
            slots["place"] = str(speaker.word("place", place_of(placed.x, placed.y)))
        pieces.append(speaker.template("one", slots))
    pieces += [speaker.mention(unit) for unit in speaker.units]
    text = lexicon.finish(speaker.picture(speaker.enumerate(pieces, plain=True), {"setting": view.scene.setting}))
    return strip_diacritics(text) if unmarked else text
