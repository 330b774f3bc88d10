"""Where a scene comes from: example ``i`` of a split is a pure function of (version, level, split, i).

It draws words and places; whether a fact can be seen is asked of ``facts``, never decided here twice.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import TypeVar

from .facts import canonical, overlapping
from .world import (
    COLOURS,
    EXPRESSIONS,
    FACED,
    KINDS,
    LEVELS,
    LIGHTS,
    MATERIALS,
    PLACES,
    PLAINS,
    SCENERIES,
    SHADELESS,
    SIZES,
    SPLITS,
    STRETCH,
    STYLES,
    VERSION,
    Relation,
    Scene,
    Thing,
)  # fmt: skip

HELD_OUT = 0.10
"""Share of the combinations of each type that never occur outside the ``unseen`` split."""

CONTAINERS = ("circle", "square", "hexagon", "heart")
"""Kinds another thing can be inside of."""

SOLID = (
    "circle", "square", "heart", "hexagon", "house", "car", "fish", "bird", "cat", "flower", "cloud", "sun", "moon",
    "face", "ball", "cup", "book",
)  # fmt: skip
"""Kinds that fill their box well enough to cover, and be covered by, another beside them."""

CLEAR = 0.035
"""Distance from the borders of the nine places that makes a place unmistakable, in canvas units."""

T = TypeVar("T")

_PAIRS = {"above": 0.36, "left_of": 0.36, "inside": 0.14, "in_front_of": 0.14}
_BANDS = ((0.0, 1 / 3 - CLEAR), (1 / 3 + CLEAR, 2 / 3 - CLEAR), (2 / 3 + CLEAR, 1.0))


def generator(*key: object) -> random.Random:
    """A random generator for a key; only ``random()`` is used, whose sequence is the same on every Python."""
    return random.Random(int.from_bytes(hashlib.sha256("|".join(map(str, key)).encode()).digest()[:16], "big"))


@cache
def held_out(*combination: str) -> bool:
    """Is this combination of words kept for the ``unseen`` split? A fixed hash decides."""
    digest = hashlib.sha256("|".join((str(VERSION), *combination)).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < HELD_OUT


def combinations(scene: Scene) -> set[tuple[str, ...]]:
    """The combinations a scene shows: colour x kind, kind x material, kind x relation x kind."""
    out: set[tuple[str, ...]] = set()
    for thing in scene.things:
        out.add((thing.colour, thing.kind))
        out.add((thing.kind, thing.material))
    for r in scene.relations:
        out.add((scene.things[r.subject].kind, r.name, scene.things[r.object].kind))
    return out


def is_unseen(scene: Scene) -> bool:
    """Does a scene show a combination that is kept for the ``unseen`` split?"""
    return any(held_out(*c) for c in combinations(scene))


def belongs(scene: Scene, split: str) -> bool:
    """May a split show this scene?"""
    return split == "judge" or is_unseen(scene) == (split == "unseen")


class Choices:
    """Choices from one random generator."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def of(self, values: Sequence[T]) -> T:
        return values[int(self.rng.random() * len(values))]

    def weighted(self, weights: dict[T, float]) -> T:
        u = self.rng.random() * sum(weights.values())
        for value, weight in weights.items():
            u -= weight
            if u < 0:
                return value
        return value

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self.rng.random()

    def thing(self, kinds: Sequence[str] = KINDS, sizes: Sequence[str] = SIZES) -> Thing:
        kind, colour = self.of(kinds), self.of(COLOURS)
        shade = "normal" if colour in SHADELESS else self.weighted({"normal": 0.5, "light": 0.25, "dark": 0.25})
        return Thing(
            kind=kind,
            colour=colour,
            shade=shade,
            size=self.of(sizes),
            proportion=self.weighted({"normal": 0.7, "tall": 0.15, "wide": 0.15}),
            material=self.of(MATERIALS),
            expression=self.of(EXPRESSIONS) if kind in FACED else None,
            x=0.5,
            y=0.5,
        )

    def at(self, thing: Thing, place: str) -> Thing | None:
        """The thing somewhere in a place, clear of its borders and inside the canvas; None where it cannot be."""
        column, row = PLACES.index(place) % 3, PLACES.index(place) // 3
        xy = []
        for low_high, extent in zip((_BANDS[column], _BANDS[row]), extents(thing), strict=True):
            low, high = max(low_high[0], extent + 0.005), min(low_high[1], 0.995 - extent)
            if low > high:
                return None
            xy.append(round(self.between(low, high), 4))
        return replace(thing, x=xy[0], y=xy[1])

    def anywhere(self, thing: Thing) -> Thing:
        placed = self.at(thing, self.of(PLACES))
        return placed if placed is not None else replace(thing, x=0.5, y=0.5)


def extents(thing: Thing) -> tuple[float, float]:
    """Half width and half height of a thing's box, in canvas units."""
    sx, sy = STRETCH[thing.proportion]
    return thing.radius * sx, thing.radius * sy


def clear_of(thing: Thing, others: Sequence[Thing], gap: float) -> bool:
    """Does the box of a thing, grown by ``gap``, touch none of the others?"""
    return not any(overlapping(thing, other, gap) for other in others)


def _pair(d: Choices, relation: str) -> tuple[Thing, Thing] | None:
    """(subject, object) of a relation, laid out; None when this draw does not fit."""
    if relation == "inside":
        inner = replace(d.thing(sizes=("small",)), proportion="normal")
        outer = d.anywhere(replace(d.thing(CONTAINERS, ("large",)), proportion="normal"))
        return replace(inner, x=outer.x, y=round(outer.y - (0.02 if outer.kind == "heart" else 0.0), 4)), outer
    if relation == "in_front_of":
        front, back = d.thing(SOLID, ("medium", "large")), d.thing(SOLID, ("medium", "large"))
        if front.material == "transparent":
            return None
        front = d.anywhere(front)
        reach = 0.6 * (extents(front)[0] + extents(back)[0]) * d.of((-1, 1))
        back = replace(back, x=round(front.x + reach, 4), y=round(front.y + d.between(-0.03, 0.03), 4))
        ex, ey = extents(back)
        fits = ex <= back.x <= 1 - ex and ey <= back.y <= 1 - ey
        return (front, back) if fits else None
    a, b = d.thing(), d.thing()
    for _ in range(24):
        first, second = d.anywhere(a), d.anywhere(b)
        across, along = abs(first.x - second.x), second.y - first.y
        if relation == "left_of":
            across, along = abs(first.y - second.y), second.x - first.x
        if along > 0.2 and across <= 0.6 * along and clear_of(first, [second], 0.0):
            return first, second
    return None


def told_apart(things: Sequence[Thing], style: str) -> bool:
    """Does every thing differ from every other by its kind, or by its colour where that can be seen?"""
    keys = [t.kind if style == "sepia" else (t.kind, t.colour) for t in things]
    return len(set(keys)) == len(keys)


def _place_more(d: Choices, things: list[Thing], new: Sequence[Thing]) -> bool:
    """Add ``new`` to ``things``, each clear of the rest; False when there is no room."""
    for thing in new:
        for _ in range(16):
            placed = d.anywhere(thing)
            if clear_of(placed, things, 0.01):
                things.append(placed)
                break
        else:
            return False
    return True


def _compose(
    d: Choices, count: int, grouped: bool, style: str
) -> tuple[list[Thing], list[Relation], list[tuple[int, ...]]] | None:
    """Things from back to front, their relations and groups; None when this draw does not fit."""
    if count == 1:
        return [d.anywhere(d.thing())], [], [(0,)]
    if grouped:
        alike = count if count == 2 or d.rng.random() < 0.6 else count - 1
        model = d.thing(sizes=SIZES if alike == 2 else ("small", "medium"))
        other = [d.thing(sizes=("small", "medium"))] if alike < count else []
        things: list[Thing] = []
        if not _place_more(d, things, [model] * alike + other) or not told_apart([model, *other], style):
            return None
        return things, [], [tuple(range(alike)), *[(alike,)] * len(other)]
    relation = d.weighted(_PAIRS)
    pair = _pair(d, relation)
    if pair is None:
        return None
    things = [pair[1], pair[0]]  # the object is painted first: an inner or a front thing lies over it
    if not _place_more(d, things, [d.thing(sizes=("small", "medium")) for _ in range(count - 2)]):
        return None
    if not told_apart(things, style):
        return None
    return things, [Relation(relation, 1, 0)], [(i,) for i in range(count)]


def sample(level: str, d: Choices) -> Scene | None:
    """A scene of a level, of any split; None when this draw does not fit."""
    plain = f"plain_{d.of(PLAINS)}"
    if level == "one":
        setting, light, style, count, grouped = plain, "plain", "flat", 1, False
    elif level == "two":
        setting = plain if d.rng.random() < 0.5 else d.of(SCENERIES)
        light, style, count, grouped = "plain", "flat", 2, False
    else:
        setting = plain if d.rng.random() < 0.4 else d.of(SCENERIES)
        light = "plain" if d.rng.random() < 0.5 else d.of(LIGHTS[1:])
        style = "flat" if d.rng.random() < 0.45 else d.of(STYLES[1:])
        count = d.weighted({1: 0.2, 2: 0.3, 3: 0.25, 4: 0.25})
        grouped = count > 1 and d.rng.random() < 0.25
    composed = _compose(d, count, grouped, style)
    if composed is None:
        return None
    things, relations, groups = composed
    return canonical(Scene(setting, light, style, tuple(things), tuple(relations), tuple(groups)))


def scene(level: str, split: str, index: int) -> Scene:
    """Example ``index`` of a split of a level; any index, no order, the same on every machine.

    Raises:
        ValueError: for a level or split that does not exist.
    """
    if level not in LEVELS or split not in SPLITS:
        raise ValueError(f"no split {split!r} of level {level!r}: levels are {LEVELS}, splits {SPLITS}")
    rng = generator(VERSION, level, split, index)
    while True:
        candidate = sample(level, Choices(rng))
        if candidate is not None and belongs(candidate, split):
            return candidate
