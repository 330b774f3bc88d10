"""What the verifier saw in a picture as a scene, so that it can be said in words. It knows no file and no batch."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby

from tranh.data.scenes.facts import canonical
from tranh.data.scenes.labels import PICTURE_FIELDS, THING_FIELDS
from tranh.data.scenes.world import FACED, SHADELESS, Relation, Scene, Thing
from tranh.families.verifier import Reading, Seen
from tranh.recipes.judge import MOST, related

ORDER = ("back", "outer", "none", "inner", "front")
"""Roles from back to front."""


def scene_of(reading: Reading) -> Scene:
    """The scene whose picture would read so.

    Two things get the relation they stand in: inside, in front of, or that of the axis on which they are further apart.
    """
    seen = sorted(reading.things[:MOST], key=lambda one: (ORDER.index(_words(one)["role"]), one.x, one.y))
    things = tuple(_thing(one) for one in seen)
    setting, light, style = (
        words[value] for words, value in zip(PICTURE_FIELDS.values(), reading.picture, strict=True)
    )
    relations = _relation(seen[0], seen[1]) if len(seen) == 2 else ()
    return canonical(Scene(setting, light, style, things, relations, _groups(things)))


def _words(seen: Seen) -> Mapping[str, str]:
    return {group: words[value] for (group, words), value in zip(THING_FIELDS.items(), seen.fields, strict=True)}


def _thing(seen: Seen) -> Thing:
    words = _words(seen)
    return Thing(
        kind=words["kind"],
        colour=words["colour"],
        shade="normal" if words["colour"] in SHADELESS else words["shade"],
        size=words["size"],
        proportion=words["proportion"],
        material=words["material"],
        expression=words["expression"] if words["kind"] in FACED else None,
        x=min(max(seen.x, 0.0), 1.0),
        y=min(max(seen.y, 0.0), 1.0),
    )


def _relation(first: Seen, second: Seen) -> tuple[Relation, ...]:
    pairs = ((0, 1, first, second), (1, 0, second, first))
    sideways = abs(first.x - second.x) > abs(first.y - second.y)
    for name in ("inside", "in_front_of", "left_of" if sideways else "above"):
        for i, j, a, b in pairs:
            if related(name, a, b):
                return (Relation(name, i, j),)
    return ()


def _groups(things: tuple[Thing, ...]) -> tuple[tuple[int, ...], ...]:
    """Things alike but for their place are counted together."""

    def look(i: int) -> str:
        t = things[i]
        return repr((t.kind, t.colour, t.shade, t.size, t.proportion, t.material, t.expression))

    alike = [tuple(group) for _, group in groupby(sorted(range(len(things)), key=look), key=look)]
    return tuple(sorted(alike))
