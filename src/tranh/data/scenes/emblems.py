"""Emblems: symbols that no lexicon has a word for, for learning a new subject from its pictures alone.

An emblem is a function of its number, a view of it one of (number, view). It knows how scenes are laid out and drawn,
and nothing of what learns it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tranh.text.lexicon import Lexicon

from .captions import Draw, Speaker, voice
from .draw import document, layers
from .emblem_forms import OUTLINES, PATTERNS, blob, bow, drop, lens, lobes, spikes
from .facts import visible
from .layout import Choices, belongs, clear_of, generator
from .palette import COLOUR, INK, RGB, css, luminance
from .raster import pixels
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
        outline, mark: path data in the unit circle.
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


_COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white")


def emblem(index: int) -> Emblem:
    """Emblem ``index``, the same on every machine; no two of any 80 that follow each other share form and pattern."""
    d = Choices(generator(VERSION, "emblem", index))
    form = index % len(OUTLINES)
    pattern = (index // len(OUTLINES) + 3 * form) % len(PATTERNS)
    body, over, mark = _colours(d)
    return Emblem(
        outline=OUTLINES[form](d),
        pattern=PATTERNS[pattern](d),
        mark=d.of((blob, spikes, lobes, drop, bow, lens))(d),
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
    lexicon, typed = voice(language)
    speaker = Speaker(view.scene, [f for f in visible(view.scene) if f.subject is not None], lexicon, draw)
    pieces = []
    for placed, name in zip(view.emblems, names, strict=True):
        slots = {"article": lexicon.article.form(), "kind": name}
        if speaker.chance(0.5):
            slots["place"] = str(speaker.word("place", place_of(placed.x, placed.y)))
        pieces.append(speaker.template("one", slots))
    pieces += [speaker.mention(unit) for unit in speaker.units]
    return typed(speaker.picture(speaker.enumerate(pieces, plain=True), {"setting": view.scene.setting}))
