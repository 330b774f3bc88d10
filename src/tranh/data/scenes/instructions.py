"""What is asked of a picture, in words: the instruction that leads from one scene of a pair to the other.

Patterns and words come from the lexicons, as those of captions do. It knows pairs, and no picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from tranh.text.lexicon import Lexicon, fill

from .captions import ATTRIBUTES, OPPOSITE, SILENT, Draw, Speaker, voice
from .facts import visible
from .layout import generator
from .pairs import Pair, pair
from .world import LEVELS, VERSION, Fact

LANGUAGES = ("en", "vi", "vi_unmarked")
"""The forms in which instructions are taught: as people type them, Vietnamese also without its marks."""

Asking = tuple[str, dict[str, str], str]
"""The name of a pattern, what fills it, and the slot whose value may have patterns of its own, or nothing."""


def instruction(asked: Pair, language: str | Lexicon, draw: Draw) -> str:
    """An instruction that says ``asked.asked`` of the target, and no other fact.

    Args:
        language: ``en``, ``vi``, ``vi_unmarked`` (Vietnamese typed without diacritics), or a lexicon.
        draw: chooses patterns and synonyms.
    """
    lexicon, typed = voice(language)
    words = _Words(asked, lexicon, draw)
    name, slots, choice = words.say()
    own = {slot: text for slot, text in slots.items() if slot != choice}
    options = [fill(pattern, slots) for pattern in lexicon.able(name, frozenset(slots))]
    options += [fill(pattern, own) for pattern in lexicon.templates.get(f"{name}_{words.value(choice)}", ())]
    return typed(words.speaker.pick(options))


def instructions(split: str, count: int) -> Iterator[str]:
    """``count`` instructions of a split, levels and forms in turn: what a model that follows them must have read."""
    for index in range(count):
        level, language = LEVELS[index % len(LEVELS)], LANGUAGES[index // len(LEVELS) % len(LANGUAGES)]
        yield instruction(pair(level, split, index), language, generator(VERSION, "instruction", split, index))


class _Words:
    """One instruction being made."""

    def __init__(self, asked: Pair, lexicon: Lexicon, draw: Draw) -> None:
        self.asked = asked
        self.facts: Mapping[str, Fact] = {fact.group: fact for fact in asked.asked}
        self.lexicon = lexicon
        self.speaker = Speaker(asked.before, visible(asked.before), lexicon, draw)
        new = [f for f in asked.asked if f.subject == asked.subject and f.group not in ("relation", "count")]
        self.new = Speaker(asked.after, new, lexicon, draw)
        self.noun = 0

    def value(self, group: str) -> str:
        return self.facts[group].value if group in self.facts else ""

    def word(self, group: str) -> str:
        """The word of an asked fact, agreeing with the target; nothing for what is never said."""
        value = self.value(group)
        if not value or SILENT.get(group) == value:
            return ""
        return self.speaker.word(group, value).form(self.noun)

    def target(self) -> str:
        """The thing that is there, by what is named of it; adjectives agree with it from then on."""
        unit = next(unit for unit in self.speaker.units if unit.members == (self.asked.target,))
        text = self.speaker.the(unit, [fact.group for fact in self.asked.named if fact.group != "kind"])
        self.noun = unit.words["kind"].noun_class
        return text

    def thing(self) -> str:
        """The new thing, with all that is asked of it."""
        (unit,) = self.new.units
        return self.new.mention(unit, ATTRIBUTES)

    def say(self) -> Asking:
        return _SAID[self.asked.op](self)


def _add(words: _Words) -> Asking:
    slots = {"thing": words.thing()}
    if fact := words.facts.get("relation"):
        name = fact.value if fact.subject == words.asked.subject else OPPOSITE[fact.value]
        slots |= {"relation": str(words.speaker.word("relation", name)), "object": words.target()}
    return "ask.add", slots, ""


def _remove(words: _Words) -> Asking:
    return "ask.remove", {"target": words.target()}, ""


def _recolour(words: _Words) -> Asking:
    slots = {"target": words.target(), "colour": words.word("colour")}
    shade = words.word("shade")
    return "ask.recolour", slots | ({"shade": shade} if shade else {}), ""


def _resize(words: _Words) -> Asking:
    """Only from medium is there no doubt how large "bigger" is."""
    before, after = words.asked.before.things[words.asked.target or 0].size, words.value("size")
    if before == "medium" and words.speaker.chance(0.5):
        return {"large": "ask.larger", "small": "ask.smaller"}[after], {"target": words.target()}, ""
    return "ask.resize", {"target": words.target(), "size": words.word("size")}, ""


def _move(words: _Words) -> Asking:
    return "ask.move", {"target": words.target(), "place": words.word("place")}, "place"


def _replace(words: _Words) -> Asking:
    return "ask.replace", {"target": words.target(), "thing": words.thing()}, ""


def _restyle(words: _Words) -> Asking:
    (fact,) = words.asked.asked
    if fact.group == "setting" and fact.value.startswith("plain_"):
        colour = words.speaker.word("colour", fact.value.removeprefix("plain_"))
        return "ask.backdrop", {"colour": colour.form()}, ""
    return f"ask.{fact.group}", {fact.group: words.word(fact.group)}, fact.group


_SAID: Mapping[str, Callable[[_Words], Asking]] = {
    "add": _add,
    "remove": _remove,
    "recolour": _recolour,
    "resize": _resize,
    "move": _move,
    "replace": _replace,
    "restyle": _restyle,
}
