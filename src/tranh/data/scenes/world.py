"""The world of Scenes: every word a scene is made of, and the frozen value itself.

It knows neither how a scene is drawn nor how it is said; both are functions of the value defined here.
"""

from __future__ import annotations

from dataclasses import dataclass

VERSION = 1
"""Part of every seed: another version is another world."""

KINDS = (
    "circle", "square", "triangle", "star", "heart", "ring", "cross", "hexagon", "crescent", "arrow",
    "tree", "house", "car", "boat", "fish", "bird", "cat", "flower", "cloud", "sun", "moon", "face", "ball", "cup",
    "book",
)  # fmt: skip
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white", "grey")
SHADES = ("normal", "light", "dark")
SIZES = ("small", "medium", "large")
PROPORTIONS = ("normal", "tall", "wide")
MATERIALS = ("flat", "glossy", "rough", "transparent", "striped", "dotted")
EXPRESSIONS = ("happy", "sad", "angry", "surprised", "sleepy", "curious")
PLACES = (
    "top_left", "top", "top_right",
    "left", "centre", "right",
    "bottom_left", "bottom", "bottom_right",
)  # fmt: skip
RELATIONS = ("above", "below", "left_of", "right_of", "inside", "in_front_of", "behind")
PLAINS = ("white", "grey", "black", "yellow", "green", "blue", "pink", "orange")
SCENERIES = ("meadow", "forest", "beach", "sea", "snow", "desert", "city", "room", "night")
SETTINGS = tuple(f"plain_{c}" for c in PLAINS) + SCENERIES
LIGHTS = ("plain", "bright_sun", "dim", "spotlight_left", "spotlight_right", "soft_shadow", "sunset")
STYLES = ("flat", "sketch", "pixel", "watercolour", "neon", "modern", "sepia", "surreal")
LEVELS = ("one", "two", "full")
SPLITS = ("train", "validation", "test", "unseen", "judge")
"""``unseen`` holds combinations kept out of the first three; ``judge`` holds all and teaches the verifier only."""

FACED = ("face", "cat", "fish", "bird")
"""Kinds that wear an expression."""

SHADELESS = ("black", "white")
"""Colours that have no light and dark shades: light black would be grey."""

INVERSE = {"above": "below", "left_of": "right_of", "in_front_of": "behind"}
"""Relations are stored in one direction; the other is the same fact said from the other object."""

RADIUS = {"small": 0.115, "medium": 0.175, "large": 0.245}
"""Half the larger side of an object, in canvas units (the canvas is the unit square, y downwards)."""


STRETCH = {"normal": (1.0, 1.0), "tall": (0.66, 1.0), "wide": (1.0, 0.66)}
"""Width and height of each proportion, as shares of the larger side."""


@dataclass(frozen=True)
class Thing:
    """One object of a scene.

    Attributes:
        kind, colour, shade, size, proportion, material: words of the lists above.
        expression: a word of ``EXPRESSIONS`` for the kinds in ``FACED``, else None.
        x, y: centre in canvas units, y downwards.
    """

    kind: str
    colour: str
    shade: str
    size: str
    proportion: str
    material: str
    expression: str | None
    x: float
    y: float

    @property
    def radius(self) -> float:
        """Half the larger side, in canvas units."""
        return RADIUS[self.size]


@dataclass(frozen=True)
class Relation:
    """``subject`` stands in ``name`` to ``object``: indices into ``Scene.things``; canonical direction only."""

    name: str
    subject: int
    object: int


@dataclass(frozen=True)
class Scene:
    """A picture as a value.

    Attributes:
        setting, light, style: words of the lists above.
        things: objects from back to front (paint order); as facts they are a set.
        relations: those the scene was laid out for, in canonical direction.
        groups: indices of things that are alike and counted together ("three red circles"); a partition.
    """

    setting: str
    light: str
    style: str
    things: tuple[Thing, ...]
    relations: tuple[Relation, ...] = ()
    groups: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True)
class Fact:
    """One statement about a scene that a picture can be checked for.

    Attributes:
        group: ``kind colour shade size proportion material expression place relation count setting light style``.
        subject: index of the thing, or None for facts of the whole picture.
        value: the word that is true (for ``count`` the number of objects in the picture, as a string).
        object: index of the second thing of a relation.
    """

    group: str
    subject: int | None
    value: str
    object: int | None = None


FACT_GROUPS = {
    "kind": KINDS,
    "colour": COLOURS,
    "shade": SHADES,
    "size": SIZES,
    "proportion": PROPORTIONS,
    "material": MATERIALS,
    "expression": EXPRESSIONS,
    "place": PLACES,
    "relation": tuple(r for r in RELATIONS if r not in INVERSE.values()),
    "count": ("0", "1", "2", "3", "4"),
    "setting": SETTINGS,
    "light": LIGHTS,
    "style": STYLES,
}
"""Allowed values of every fact group; ``1 / len`` is its chance level."""


def place_of(x: float, y: float) -> str:
    """The ninth of the canvas a point lies in."""
    column, row = min(2, int(x * 3)), min(2, int(y * 3))
    return PLACES[3 * row + column]
