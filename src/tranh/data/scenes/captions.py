"""Scenes in words: a caption in any language that has a lexicon, saying exactly the facts it is given.

It knows sentences and not pictures: which facts can be seen is decided by whoever calls it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeVar

from tranh.data.scenes import world
from tranh.data.scenes.world import Fact, Scene
from tranh.text.lexicon import Lexicon, Word, fill
from tranh.text.normalise import strip_diacritics
from tranh.types import TranhError

Density = Literal["dense", "short"]
T = TypeVar("T")

OPPOSITE: Mapping[str, str] = {
    **world.INVERSE,
    **{there: back for back, there in world.INVERSE.items()},
    "inside": "around",
    "around": "inside",
}
"""A relation as it is said from its other end. ``around`` is only ever a way of speaking: the fact is ``inside``."""

SILENT = {"shade": "normal", "proportion": "normal"}
"""What is never said: a dense caption that names no shade means the normal one."""

QUIET = {"light": "plain", "style": "flat"}
"""What a dense caption means when it names none, and says aloud now and then so that it can also be asked for."""

VOCABULARY: Mapping[str, tuple[str, ...]] = {
    "number": ("1", "2", "3", "4"),
    **{
        group: tuple(value for value in values if SILENT.get(group) != value)
        for group, values in world.FACT_GROUPS.items()
        if group not in ("count", "relation")
    },
    "kind": (*world.KINDS, "thing"),
    "relation": (*world.RELATIONS, "around"),
}
"""Every word a lexicon must have to describe Scenes; hand it to :meth:`tranh.text.lexicon.Lexicon.missing`."""

ATTRIBUTES = ("size", "proportion", "material", "shade", "colour", "expression", "place")
DISTINCTIVE = ("colour", "size", "material", "proportion", "shade", "expression")
"""What tells two things of one kind apart, in the order it is tried when a thing is spoken of again."""

ALOUD = 0.2
"""Share of dense captions that name a quiet value."""
BARE = 0.25
"""Share of short captions without articles: "red circle"."""
COUNTED = 0.04
"""Share of single things with a number word for an article: "one red circle"."""
CANONICAL = 0.4
"""Share of words that are canonical before synonyms are drawn evenly from all."""


class Draw(Protocol):
    """The only randomness a caption uses: ``random.Random`` has it, and gives the same numbers on every version."""

    def random(self) -> float:
        """A number in [0, 1)."""
        ...


@dataclass
class Unit:
    """What is said with one noun: a thing, or several alike."""

    members: tuple[int, ...]
    facts: dict[str, str]
    words: dict[str, Word] = field(default_factory=dict)

    @property
    def many(self) -> bool:
        return len(self.members) > 1


def caption(
    scene: Scene,
    facts: Sequence[Fact],
    language: str | Lexicon,
    draw: Draw,
    density: Density = "dense",
) -> tuple[str, tuple[Fact, ...]]:
    """A sentence about a scene, and the facts it says (in the order they were given).

    Args:
        facts: what may be said: the visible facts of the scene.
        language: a language code, or a lexicon.
        draw: chooses templates, word orders and synonyms.
        density: ``dense`` says every fact; ``short`` says one or two about one or two things.
    """
    lexicon = Lexicon.load(language) if isinstance(language, str) else language
    speaker = Speaker(scene, facts, lexicon, draw)
    if density not in ("dense", "short"):
        raise TranhError(f"caption density is {density!r}; allowed: dense, short")
    text = speaker.short() if density == "short" and speaker.units else speaker.dense()
    return lexicon.finish(text), tuple(fact for fact in facts if fact in speaker.said)


def unmarked(text: str) -> str:
    """A caption as typed without diacritics: "hình tròn đỏ" -> "hinh tron do"."""
    return strip_diacritics(text)


def voice(language: str | Lexicon) -> tuple[Lexicon, Callable[[str], str]]:
    """The lexicon of a form of speech, and how its sentences are typed: ``vi_unmarked`` is Vietnamese without marks."""
    if isinstance(language, Lexicon):
        return language, language.finish
    lexicon = Lexicon.load(language.removesuffix("_unmarked"))
    if language.endswith("_unmarked"):
        return lexicon, lambda text: unmarked(lexicon.finish(text))
    return lexicon, lexicon.finish


class Speaker:
    """One caption or instruction being made: the units of its scene, and the facts said so far."""

    def __init__(self, scene: Scene, facts: Sequence[Fact], lexicon: Lexicon, draw: Draw) -> None:
        self.facts, self.lexicon, self.draw = facts, lexicon, draw
        self.said: set[Fact] = set()
        self.units = _units(scene, facts)
        self.whole = {fact.group: fact.value for fact in facts if fact.subject is None and fact.group != "count"}
        self.relations = _relations(self.units, facts)

    # -- choosing ------------------------------------------------------------------------------------------------

    def chance(self, share: float) -> bool:
        return self.draw.random() < share

    def pick(self, options: Sequence[T]) -> T:
        return options[int(self.draw.random() * len(options))]

    def shuffled(self, options: Sequence[T]) -> list[T]:
        left = list(options)
        return [left.pop(int(self.draw.random() * len(left))) for _ in options]

    def word(self, group: str, value: str) -> Word:
        """The canonical word more often than any other."""
        words = self.lexicon.words(group, value)
        return words[0] if self.chance(CANONICAL) else self.pick(words)

    def template(self, name: str, slots: Mapping[str, str]) -> str:
        """A template that has a place for everything there is to say, filled."""
        given = {slot: text for slot, text in slots.items() if text}
        return fill(self.pick(self.lexicon.able(name, frozenset(given))), given)

    # -- things --------------------------------------------------------------------------------------------------

    def slots(self, unit: Unit, groups: Sequence[str]) -> dict[str, str]:
        """The words of a unit's facts, agreeing with its noun; drawn once, so it is always called the same."""
        for group in ("kind", *groups):
            value = unit.facts.get(group, "thing" if group == "kind" else SILENT.get(group))
            if group not in unit.words and value is not None and SILENT.get(group) != value:
                unit.words[group] = self.word(group, value)
        noun = unit.words["kind"].noun_class
        said = {group: unit.words[group].form(noun, unit.many) for group in ("kind", *groups) if group in unit.words}
        if unit.many:
            said["number"] = self.word("number", str(len(unit.members))).form(noun)
        return said

    def mention(self, unit: Unit, groups: Sequence[str] = ATTRIBUTES, bare: bool = False) -> str:
        """A unit spoken of for the first time, with the facts of the given groups."""
        slots = self.slots(unit, groups)
        said = {"kind", *groups} & unit.facts.keys()
        self.said |= {fact for fact in self.facts if fact.subject in unit.members and fact.group in said}
        if unit.many:
            return self.template("many", slots)
        word = self.word("number", "1") if self.chance(COUNTED) else self.lexicon.article
        # A bare noun still fills its article's place in the template: with a space, which vanishes in the end.
        article = " " if bare else word.form(unit.words["kind"].noun_class)
        return self.template("one", {**slots, "article": article})

    def again(self, unit: Unit) -> str | None:
        """A unit that was mentioned before, by as little as tells it from the others; None when nothing does."""
        groups: list[str] = []
        for group in (None, *DISTINCTIVE):
            if group is not None:
                if unit.facts.get(group) in (None, SILENT.get(group)):
                    continue
                groups.append(group)
            others = [other for other in self.units if other is not unit and other.many == unit.many]
            if all(any(unit.facts.get(g) != other.facts.get(g) for g in ("kind", *groups)) for other in others):
                return self.the(unit, groups)
        return None

    def the(self, unit: Unit, groups: Sequence[str]) -> str:
        """A unit spoken of as known, with the facts of the given groups."""
        slots = self.slots(unit, groups)
        the = self.lexicon.definite.form(unit.words["kind"].noun_class, unit.many)
        return self.template("the_many" if unit.many else "the_one", {**slots, "the": the})

    def relation(self, a: int, b: int) -> tuple[int, str, int]:
        """Everything known between two units, said from one of them: (subject, phrase, object)."""
        subject, other = (a, b) if self.chance(0.5) else (b, a)
        names = self.relations.get((subject, other), []) + [
            OPPOSITE[n] for n in self.relations.get((other, subject), [])
        ]
        phrases = [str(self.word("relation", name)) for name in self.shuffled(list(dict.fromkeys(names)))]
        return subject, self.pick(self.lexicon.templates["join"]).join(phrases), other

    def pair(
        self,
        subject: int,
        phrase: str,
        other: int,
        groups: Sequence[Sequence[str]] = (ATTRIBUTES,) * 2,
        bare: bool = False,
    ) -> str:
        """Two units spoken of for the first time, joined by their relation."""
        first, second = self.units[subject], self.units[other]
        self.relate(subject, other)
        slots = {"subject": self.mention(first, groups[0], bare), "object": self.mention(second, groups[1], bare)}
        # "at the top left left of" needs a comma to be read.
        placed = "place" in groups[0] and "place" in first.facts
        return self.template("pair_placed" if placed else "pair", {**slots, "relation": phrase})

    def relate(self, a: int, b: int) -> None:
        """Note that the relation between two units was said."""
        members = {(i, j) for i in self.units[a].members for j in self.units[b].members}
        members |= {(j, i) for i, j in members}
        self.said |= {f for f in self.facts if f.group == "relation" and (f.subject, f.object) in members}

    # -- sentences -----------------------------------------------------------------------------------------------

    def dense(self) -> str:
        """Every fact: units joined by their relations, what is left of those as clauses, then the whole picture."""
        pairs = self.shuffled(sorted({(min(pair), max(pair)) for pair in self.relations}))
        joined: dict[int, str] = {}
        clauses: list[str] = []
        partner: set[int] = set()
        for a, b in pairs:
            subject, phrase, other = self.relation(a, b)
            if a in joined or b in joined or a in partner or b in partner:
                clauses += self.clause(subject, phrase, other)
                continue
            joined[subject] = self.pair(subject, phrase, other)
            partner.add(other)
        alone = [index for index in range(len(self.units)) if index not in joined and index not in partner]
        pieces = [joined[i] if i in joined else self.mention(self.units[i]) for i in self.shuffled([*joined, *alone])]
        things = self.enumerate(pieces, plain=not joined)
        members = sum(len(unit.members) for unit in self.units)
        self.said |= {fact for fact in self.facts if fact.group == "count" and fact.value == str(members)}
        quiet = {group for group, value in QUIET.items() if self.whole.get(group) == value and not self.chance(ALOUD)}
        whole = {group: value for group, value in self.whole.items() if group not in quiet}
        self.said |= {fact for fact in self.facts if fact.subject is None and fact.group in quiet}
        return self.picture(things, whole, clauses)

    def clause(self, subject: int, phrase: str, other: int) -> list[str]:
        """A relation said in a sentence of its own; nothing when its things cannot be told apart in words."""
        first, second = self.again(self.units[subject]), self.again(self.units[other])
        if first is None or second is None:
            return []
        self.relate(subject, other)
        name = "clause_many" if self.units[subject].many else "clause_one"
        return [self.template(name, {"subject": first, "relation": phrase, "object": second})]

    def enumerate(self, pieces: Sequence[str], plain: bool) -> str:
        """Pieces as a list. ``plain``: none holds a relation, so two of them need no comma to be understood."""
        if not pieces:
            return self.pick(self.lexicon.templates["empty"])
        if len(pieces) == 1:
            return pieces[0]
        last = self.pick(self.lexicon.templates["both" if plain else "last"])
        return ", ".join(pieces[:-1]) + last + pieces[-1]

    def picture(self, things: str, whole: Mapping[str, str], clauses: Sequence[str] = ()) -> str:
        """The sentence: its things and what is true of the whole picture."""
        slots = {group: str(self.word(group, value)) for group, value in whole.items()}
        self.said |= {fact for fact in self.facts if fact.subject is None and fact.group in whole}
        return self.template("picture", {**slots, "things": things, "clauses": "; ".join(clauses)})

    def short(self) -> str:
        """One or two units by kind with at most one more fact each, their relation, or one fact of the picture."""
        named = [index for index, unit in enumerate(self.units) if "kind" in unit.facts] or list(range(len(self.units)))
        bare = self.chance(BARE)
        related = sorted(pair for pair in self.relations if pair[0] in named and pair[1] in named)
        if len(named) > 1 and self.chance(0.45):
            if related and self.chance(0.75):
                subject, phrase, other = self.relation(*self.pick(related))
                groups = [self.some(self.units[i], 0.5) for i in (subject, other)]
                return self.picture(self.pair(subject, phrase, other, groups, bare), {})
            two = [self.units[i] for i in self.shuffled(named)[:2]]
            return self.picture(self.enumerate([self.mention(u, self.some(u, 0.5), bare) for u in two], plain=True), {})
        unit = self.units[self.pick(named)]
        if self.whole and self.chance(0.25):
            group = self.pick(sorted(self.whole))
            return self.picture(self.mention(unit, (), bare), {group: self.whole[group]})
        return self.picture(self.mention(unit, self.some(unit, 0.85), bare), {})

    def some(self, unit: Unit, share: float) -> tuple[str, ...]:
        """One group of a unit's facts worth saying, or none; a shade is said with its colour."""
        can = [g for g in ATTRIBUTES if g in unit.facts and SILENT.get(g) != unit.facts[g]]
        if not can or not self.chance(share):
            return ()
        group = self.pick(can)
        return ("shade", "colour") if group == "shade" else (group,)


def _units(scene: Scene, facts: Sequence[Fact]) -> list[Unit]:
    """Things that can be spoken of: those with a fact, groups together. A group has the facts all its members share.

    Things without any fact are spoken of as objects where the number of things must be said, or where there is no
    other: only an empty picture may be called empty.
    """
    by_thing: dict[int, dict[str, str]] = {}
    for fact in facts:
        if fact.subject is not None and fact.group != "relation":
            by_thing.setdefault(fact.subject, {})[fact.group] = fact.value
    if not by_thing or any(fact.group == "count" and fact.value == str(len(scene.things)) for fact in facts):
        by_thing = {index: by_thing.get(index, {}) for index in range(len(scene.things))}
    units = []
    grouped: set[int] = set()
    for group in scene.groups:
        members = tuple(index for index in group if index in by_thing)
        kinds = {by_thing[index].get("kind") for index in members}
        if len(members) < 2 or len(kinds) > 1:
            continue
        first = by_thing[members[0]]
        shared = {g: v for g, v in first.items() if all(by_thing[i].get(g) == v for i in members) and g != "place"}
        units.append(Unit(members, shared))
        grouped |= set(members)
    units += [Unit((index,), own) for index, own in by_thing.items() if index not in grouped]
    return sorted(units, key=lambda unit: unit.members)


def _relations(units: Sequence[Unit], facts: Sequence[Fact]) -> dict[tuple[int, int], list[str]]:
    """(subject unit, object unit) -> what is true from every member of one to every member of the other."""
    known = {(f.subject, f.value, f.object) for f in facts if f.group == "relation"}
    names = sorted({name for _, name, _ in known})
    found: dict[tuple[int, int], list[str]] = {}
    for a, one in enumerate(units):
        for b, other in enumerate(units):
            if a == b:
                continue
            true = [n for n in names if all((i, n, j) in known for i in one.members for j in other.members)]
            if true:
                found[a, b] = true
    return found
