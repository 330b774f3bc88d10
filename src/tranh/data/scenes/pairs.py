"""Two scenes that differ by one thing someone asked for: exact ground truth for edits.

A pair is a function of (version, level, split, index), or of a scene and an operation. It knows facts, not words: how
it is asked for is said by ``instructions``.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from tranh.types import FAULTS

from .captions import DISTINCTIVE, SILENT
from .changes import OPS, TARGETED, TRIES, overlaps, singles
from .facts import canonical, visible
from .labels import MAX_THINGS
from .layout import Choices, belongs, clear_of, generator, sample, told_apart
from .world import FACED, FACT_GROUPS, LEVELS, SHADELESS, SPLITS, VERSION, Fact, Scene

MORE = 0.35
"""Share of targets spoken of with one fact more than tells them apart."""


@dataclass(frozen=True)
class Pair:
    """A scene before and after one change.

    Attributes:
        op: one of :data:`changes.OPS`.
        asked: the facts of ``after`` that are asked for, all visible.
        target: the thing of ``before`` that is spoken of: what is changed, or what a new thing is put beside; or None.
        named: the facts of ``before`` by which it is spoken of: they are true of no other thing.
    """

    before: Scene
    after: Scene
    op: str
    asked: tuple[Fact, ...]
    target: int | None = None
    named: tuple[Fact, ...] = ()

    @property
    def subject(self) -> int | None:
        """The thing of ``after`` that is new or changed; None where there is none, or it is the whole picture."""
        things = {fact.subject for fact in self.asked if fact.group == "kind"} if self.op == "add" else {self.target}
        return None if self.op == "remove" else things.pop()

    @property
    def kept(self) -> tuple[Fact, ...]:
        """The facts of ``after`` that nobody asked for and that could be seen before: all of them were true then."""
        seen = set(_carried(self))
        return tuple(fact for fact in visible(self.after) if fact in seen and fact not in self.asked)


def _carried(pair: Pair) -> list[Fact]:
    """What could be seen before, with the numbers that things have afterwards; without a thing that is removed."""
    gone = pair.target if pair.op == "remove" else None
    return [_renumbered(f, gone) for f in visible(pair.before) if gone is None or gone not in (f.subject, f.object)]


def _renumbered(fact: Fact, gone: int | None) -> Fact:
    def less(i: int | None) -> int | None:
        return i if gone is None or i is None or i < gone else i - 1

    return replace(fact, subject=less(fact.subject), object=less(fact.object))


def meant(scene: Scene, named: tuple[Fact, ...]) -> tuple[int, ...]:
    """The things that a description fits: one for a good instruction; none or several for a faulty one."""
    return tuple(i for i, t in enumerate(scene.things) if all(getattr(t, f.group) == f.value for f in named))


def telling(scene: Scene, target: int) -> tuple[Fact, ...] | None:
    """The fewest visible facts that tell a thing from all others, its kind first; None when nothing does."""
    own = {f.group: f for f in visible(scene) if f.subject == target and f.group in ("kind", *DISTINCTIVE)}
    told = [own[group] for group in DISTINCTIVE if group in own and SILENT.get(group) != own[group].value]
    alone = [(fact,) for fact in told if fact.group != "shade"]  # a shade is said with its colour
    tries = [(), *alone, *(tuple(told[:n]) for n in range(2, len(told) + 1))]
    return next((named for more in tries if meant(scene, named := (own["kind"], *more)) == (target,)), None)


def changed(before: Scene, op: str, draw: random.Random) -> Pair | None:
    """A scene with one change of a kind, drawn; None where this draw does not fit, or nothing could be seen of it.

    ``before`` must be canonical. Nothing else that could be seen before and can be seen after has another value.
    """
    d = Choices(draw)
    change = OPS[op](d, before)
    if change is None:
        return None
    named = () if change.target is None else telling(before, change.target)
    if named is None:
        return None
    if change.target is not None and d.rng.random() < MORE:
        named = _more(d, before, change.target, named)
    after = canonical(change.after)
    facts = visible(after)
    of_it = [f for f in facts if f.subject == change.subject and f.group in change.groups]
    asked = tuple(f for f in facts if f in of_it or f in change.whole)
    new = not set(asked) <= set(visible(before))
    seen = set(change.whole) <= set(asked) and set(change.groups[:1]) <= {f.group for f in of_it}
    pair = Pair(before, after, op, asked, change.target, named)
    return pair if new and seen and _sound(pair) else None


def _more(d: Choices, scene: Scene, target: int, named: tuple[Fact, ...]) -> tuple[Fact, ...]:
    """One fact more than is needed, most often the colour."""
    said = {fact.group for fact in named}
    rest = [
        f
        for f in visible(scene)
        if f.subject == target and f.group in DISTINCTIVE and f not in named and SILENT.get(f.group) != f.value
        and (f.group != "shade" or "colour" in said)
    ]  # fmt: skip
    colours = [f for f in rest if f.group == "colour"]
    return (*named, d.of(colours if colours and d.rng.random() < 0.5 else rest)) if rest else named


def _sound(pair: Pair) -> bool:
    """Can all things be told apart, and is nothing touched that was not asked for?"""
    after = pair.after
    first = {min(group) for group in after.groups if len(group) > 1} | set(singles(after))
    if not told_apart([after.things[i] for i in sorted(first)], after.style):
        return False
    now = {(f.group, f.subject, f.object): f.value for f in visible(after)}
    free = {(f.group, f.subject, f.object) for f in pair.asked}
    before = {(f.group, f.subject, f.object): f.value for f in _carried(pair)}
    return all(now.get(key, value) == value for key, value in before.items() if key not in free)


def pair(level: str, split: str, index: int, op: str | None = None) -> Pair:
    """Pair ``index`` of a split of a level; operations take turns, unless one is given.

    The level is that of the scene before. ``unseen`` pairs show an unseen combination afterwards (or, where a thing is
    removed, at least before); all other splits show none in either picture.

    Raises:
        ValueError: for a level, split or operation that does not exist.
    """
    op = tuple(OPS)[index % len(OPS)] if op is None else op
    if level not in LEVELS or split not in SPLITS or op not in OPS:
        raise ValueError(f"no {op!r} of {level!r}, {split!r}: levels are {LEVELS}, splits {SPLITS}, pairs {tuple(OPS)}")
    return _found(generator(VERSION, "pair", level, split, index, op), level, split, op)


def _found(rng: random.Random, level: str, split: str, op: str) -> Pair:
    while True:
        before = sample(level, Choices(rng))
        if before is None or not (split == "unseen" or belongs(before, split)):
            continue
        found = changed(before, op, rng)
        if found is not None and (belongs(found.after, split) or (op == "remove" and belongs(before, split))):
            return found


@dataclass(frozen=True)
class Faulty:
    """An instruction that cannot be followed.

    Attributes:
        scene: what is shown when it is given.
        pair: what it was made for: its words are those of this pair, whose own scenes are not shown.
        why: one of ``FAULTS``: ``missing``, nothing shown fits its target, or ``ambiguous``, more than one thing does.
    """

    scene: Scene
    pair: Pair
    why: str


def faulty(level: str, split: str, index: int) -> Faulty:
    """Faulty instruction ``index`` of a split of a level: reasons and operations take turns.

    The scene obeys the split as those of :func:`pair` do.
    """
    why, op = FAULTS[index % len(FAULTS)], TARGETED[index // len(FAULTS) % len(TARGETED)]
    rng = generator(VERSION, "faulty", level, split, index)
    while True:
        asked = _found(rng, level, split, op)
        scene = _SPOILED[why](Choices(rng), asked)
        if scene is not None and (split == "unseen" or belongs(scene, split)):
            return Faulty(scene, asked, why)


def _missing(d: Choices, asked: Pair) -> Scene | None:
    """The scene with another thing where the target was."""
    scene, target = asked.before, asked.target
    assert target is not None
    thing = scene.things[target]
    said = [fact for fact in asked.named if fact.group in ("kind", "colour", "material")]
    group = d.of(said).group
    word = d.of(FACT_GROUPS[group])
    if group == "colour" and word in SHADELESS:
        thing = replace(thing, shade="normal")
    if group == "kind":
        thing = replace(thing, expression=(thing.expression or "happy") if word in FACED else None)
    things = list(scene.things)
    things[target] = replace(thing, **{group: word})  # type: ignore[arg-type]
    other = replace(scene, things=tuple(things))
    fits = not meant(other, asked.named) and canonical(other) == other
    return other if fits and not overlaps(scene, target) else None


def _ambiguous(d: Choices, asked: Pair) -> Scene | None:
    """The scene with a second thing that all words about the target fit."""
    scene, index = asked.before, len(asked.before.things)
    alike = {fact.group: fact.value for fact in asked.named}
    thing = replace(d.thing(sizes=("small", "medium")), **alike)  # type: ignore[arg-type]
    if thing.colour in SHADELESS:
        thing = replace(thing, shade="normal")
    if (thing.kind in FACED) != (thing.expression is not None):
        thing = replace(thing, expression="happy" if thing.kind in FACED else None)
    for _ in range(TRIES):
        placed = d.anywhere(thing)
        if index < MAX_THINGS and clear_of(placed, scene.things, 0.01):
            both = replace(scene, things=(*scene.things, placed), groups=(*scene.groups, (index,)))
            seen = {(f.group, f.value) for f in visible(both) if f.subject == index}
            fits = len(meant(both, asked.named)) > 1 and set(alike.items()) <= seen and canonical(both) == both
            return both if fits else None
    return None


_SPOILED = dict(zip(FAULTS, (_missing, _ambiguous), strict=True))
