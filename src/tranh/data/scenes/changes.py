"""The seven things that can be asked of a scene, as changes: an operation makes another scene of it, or finds no room.

An operation knows how scenes are laid out; whether its change can be seen and said is asked by ``pairs``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from .facts import shows_shade
from .labels import MAX_THINGS
from .layout import CONTAINERS, SOLID, Choices, clear_of, extents
from .world import (
    COLOURS,
    FACED,
    KINDS,
    LIGHTS,
    PLACES,
    SETTINGS,
    SHADELESS,
    SIZES,
    STYLES,
    Fact,
    Relation,
    Scene,
    Thing,
    place_of,
)  # fmt: skip

OVERLAPS = ("inside", "in_front_of")
"""Relations of things that lie over each other; they end when one of the two moves."""

TRIES = 24
"""Places tried for a thing before a draw is given up."""


@dataclass(frozen=True)
class Change:
    """What an operation made of a scene.

    Attributes:
        subject: the thing of ``after`` that is new or changed.
        groups: what is asked of it, the one that must be seen first; what cannot be seen of the others is not asked.
        whole: further facts of ``after`` that are asked.
        target: the thing of the scene before that has to be spoken of.
    """

    after: Scene
    subject: int | None
    groups: tuple[str, ...]
    whole: tuple[Fact, ...] = ()
    target: int | None = None


def singles(scene: Scene) -> tuple[int, ...]:
    """The things that are not counted together with others."""
    counted = {i for group in scene.groups if len(group) > 1 for i in group}
    return tuple(i for i in range(len(scene.things)) if i not in counted)


def _with(scene: Scene, index: int, thing: Thing) -> Scene:
    return replace(scene, things=(*scene.things[:index], thing, *scene.things[index + 1 :]))


def _target(d: Choices, scene: Scene) -> int | None:
    alone = singles(scene)
    return d.of(alone) if alone else None


def _stands(relation: Relation, things: tuple[Thing, ...]) -> bool:
    """Is it still true that one thing is above, or left of, the other, as clearly as scenes are laid out?"""
    a, b = things[relation.subject], things[relation.object]
    if relation.name in OVERLAPS:
        return False
    across, along = abs(a.x - b.x), b.y - a.y
    if relation.name == "left_of":
        across, along = abs(a.y - b.y), b.x - a.x
    return along > 0.2 and across <= 0.6 * along and clear_of(a, [b], 0.0)


def overlaps(scene: Scene, index: int) -> bool:
    """Does a thing lie over another, or under one?"""
    return any(r.name in OVERLAPS and index in (r.subject, r.object) for r in scene.relations)


def _add(d: Choices, scene: Scene) -> Change | None:
    """A new thing over all others: somewhere, or in a relation to a thing that is there."""
    count = len(scene.things)
    if count >= MAX_THINGS:
        return None
    thing, anchor, relation = d.thing(sizes=("small", "medium") if count else SIZES), _target(d, scene), None
    beside = anchor is not None and d.rng.random() < 0.4
    for _ in range(TRIES):
        placed = d.anywhere(thing)
        if beside and anchor is not None:
            relation, placed = _beside(d, scene.things[anchor], anchor, placed, count)
        over = relation is not None and relation.name == "inside"
        others = [t for i, t in enumerate(scene.things) if not (over and i == anchor)]
        things = (*scene.things, placed)
        if clear_of(placed, others, 0.01) and (relation is None or over or _stands(relation, things)):
            break
    else:
        return None
    after = replace(scene, things=things, groups=(*scene.groups, (count,)))
    whole: tuple[Fact, ...] = (Fact("count", None, str(count + 1)),)
    if relation is not None:
        after = replace(after, relations=(*scene.relations, relation))
        whole += (Fact("relation", relation.subject, relation.name, relation.object),)
    dense, groups = d.rng.random() < 0.5, ["kind", "proportion"]
    if dense or d.rng.random() < 0.8:
        groups += ["colour", "shade"]
    groups += [group for group in ("size", "material", "expression") if dense or d.rng.random() < 0.4]
    if relation is None and (dense or d.rng.random() < 0.8):
        groups.append("place")
    return Change(after, count, tuple(groups), whole, anchor if relation is not None else None)


def _beside(d: Choices, anchor: Thing, at: int, thing: Thing, index: int) -> tuple[Relation, Thing]:
    """A relation of a new thing to one that is there, and where it puts the new one if it alone decides that."""
    if anchor.kind in CONTAINERS and anchor.size == "large" and anchor.proportion == "normal" and d.rng.random() < 0.5:
        y = round(anchor.y - (0.02 if anchor.kind == "heart" else 0.0), 4)
        return Relation("inside", index, at), replace(thing, size="small", proportion="normal", x=anchor.x, y=y)
    name = d.of(("above", "left_of"))
    return (Relation(name, index, at) if d.rng.random() < 0.5 else Relation(name, at, index)), thing


def _remove(d: Choices, scene: Scene) -> Change | None:
    target = _target(d, scene)
    # Which way a thing is tilted in a surreal picture depends on how many are painted before it.
    if target is None or (scene.style == "surreal" and target != len(scene.things) - 1):
        return None
    less = [i - (i > target) for i in range(len(scene.things))]
    relations = tuple(
        Relation(r.name, less[r.subject], less[r.object])
        for r in scene.relations
        if target not in (r.subject, r.object)
    )
    groups = tuple(tuple(less[i] for i in group) for group in scene.groups if group != (target,))
    things = scene.things[:target] + scene.things[target + 1 :]
    whole = (Fact("count", None, str(len(things))),)
    return Change(replace(scene, things=things, relations=relations, groups=groups), None, (), whole, target)


def _recolour(d: Choices, scene: Scene) -> Change | None:
    """Another colour, or another shade of the same. An instruction that names no shade means the normal one."""
    target = _target(d, scene)
    if target is None:
        return None
    thing, colour, shade = scene.things[target], d.of(COLOURS), "normal"
    if colour not in SHADELESS and shows_shade(scene.light, scene.style):
        shade = d.weighted({"normal": 0.6, "light": 0.2, "dark": 0.2})
    if colour == thing.colour and shade in ("normal", thing.shade):
        return None
    after = _with(scene, target, replace(thing, colour=colour, shade=shade))
    return Change(after, target, ("colour", "shade"), (), target)


def _resize(d: Choices, scene: Scene) -> Change | None:
    target = _target(d, scene)
    if target is None or overlaps(scene, target):
        return None
    thing = replace(scene.things[target], size=d.of(SIZES))
    others = [t for i, t in enumerate(scene.things) if i != target]
    fits = all(e <= v <= 1 - e for e, v in zip(extents(thing), (thing.x, thing.y), strict=True))
    if thing == scene.things[target] or not fits or not clear_of(thing, others, 0.0):
        return None
    return Change(_with(scene, target, thing), target, ("size",), (), target)


def _far(a: Thing, b: Thing) -> bool:
    """Are two places so far apart that one sees the difference, even of a thing on the border of both?"""
    return max(abs(a.x - b.x), abs(a.y - b.y)) > 0.2


def _move(d: Choices, scene: Scene) -> Change | None:
    """To another of the nine places; relations that are no longer true go."""
    target = _target(d, scene)
    if target is None:
        return None
    thing, others = scene.things[target], [t for i, t in enumerate(scene.things) if i != target]
    for _ in range(TRIES):
        place = d.of(PLACES)
        moved = d.at(thing, place) if place != place_of(thing.x, thing.y) else None
        if moved is not None and _far(thing, moved) and clear_of(moved, others, 0.01):
            break
    else:
        return None
    after = _with(scene, target, moved)
    still = tuple(r for r in scene.relations if target not in (r.subject, r.object) or _stands(r, after.things))
    return Change(replace(after, relations=still), target, ("place",), (), target)


def _replace(d: Choices, scene: Scene) -> Change | None:
    """Another kind in the same place, with all else that both kinds can show."""
    target = _target(d, scene)
    if target is None:
        return None
    thing = scene.things[target]
    kinds: Sequence[str] = KINDS
    for r in scene.relations:
        if r.name == "inside" and r.object == target:
            kinds = CONTAINERS
        if r.name == "in_front_of" and target in (r.subject, r.object):
            kinds = SOLID
    kind = d.of(kinds)
    expression = (thing.expression or "happy") if kind in FACED else None
    if kind == thing.kind:
        return None
    after = _with(scene, target, replace(thing, kind=kind, expression=expression))
    return Change(after, target, ("kind",), (), target)


def _restyle(d: Choices, scene: Scene) -> Change | None:
    """Another style, light or setting of the whole picture."""
    group = d.of(("style", "style", "light", "setting"))
    value = d.of({"style": STYLES, "light": LIGHTS, "setting": SETTINGS}[group])
    return Change(replace(scene, **{group: value}), None, (), (Fact(group, None, value),))  # type: ignore[arg-type]


OPS: Mapping[str, Callable[[Choices, Scene], Change | None]] = {
    "add": _add,
    "remove": _remove,
    "recolour": _recolour,
    "resize": _resize,
    "move": _move,
    "replace": _replace,
    "restyle": _restyle,
}
"""Operations by name, in the order in which pairs take turns."""

TARGETED = ("remove", "recolour", "resize", "move", "replace")
"""Operations on one thing that is there."""
