"""Lexicons: how each language says the words of a world, one TOML file per language.

It knows grammar (forms, agreement, templates) but not the world: the vocabulary to check against is handed in.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

from tranh.text.normalise import strip_diacritics
from tranh.types import TranhError

TEMPLATES = (
    "one", "many", "the_one", "the_many", "pair", "pair_placed", "clause_one", "clause_many", "join", "both", "last",
    "empty", "picture",
    "ask.add", "ask.remove", "ask.recolour", "ask.resize", "ask.larger", "ask.smaller", "ask.move", "ask.replace",
    "ask.style", "ask.light", "ask.setting", "ask.backdrop",
    "motion.right", "motion.left", "motion.up", "motion.down", "motion.up_right", "motion.up_left",
    "motion.down_right", "motion.down_left", "motion.grow", "motion.shrink", "motion.appear", "motion.recolour",
)  # fmt: skip
"""Sentence patterns every language must give at least one of: captions, what is asked for, what moves. Patterns that
fit one value only stand beside the others under its name ("ask.style_watercolour") and may be missing."""

_SLOT = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Word:
    """One way to say a value: its forms, and the noun class that adjectives agree with (0 where there is none)."""

    forms: tuple[str, ...]
    noun_class: int = 0

    def form(self, noun_class: int = 0, many: bool = False) -> str:
        """The form for a noun class and number: one form never changes, two are singular and plural, more agree."""
        if len(self.forms) == 1:
            return self.forms[0]
        if len(self.forms) == 2:
            return self.forms[many]
        return self.forms[len(self.forms) // 2 * many + noun_class]

    def __str__(self) -> str:
        return self.forms[0]


@dataclass(frozen=True, eq=False, repr=False)
class Lexicon:
    """A language. Lexicons are compared by identity: they are loaded once.

    Attributes:
        language, name: its code, and what its speakers call it.
        article, definite: "a" and "the", agreeing with the noun class; empty where a language has none.
        function: words that carry no fact ("of", "is"), a closed list.
        negation: words that deny what follows them.
        ambiguous: word -> what to write instead, for words that alone could mean several values.
        groups: ``groups[group][value]`` are the words of a value, canonical first.
        templates: sentence patterns by name.
        sandhi: contractions made in a finished sentence, in order.
    """

    language: str
    name: str
    article: Word
    definite: Word
    function: tuple[str, ...]
    negation: tuple[str, ...]
    ambiguous: Mapping[str, tuple[str, ...]]
    groups: Mapping[str, Mapping[str, tuple[Word, ...]]]
    templates: Mapping[str, tuple[str, ...]]
    sandhi: tuple[tuple[re.Pattern[str], str], ...] = ()

    def __repr__(self) -> str:
        return f"Lexicon({self.language!r})"

    @staticmethod
    def load(language: str) -> Lexicon:
        """The lexicon shipped for a language code."""
        if language not in languages():
            raise TranhError(f"no lexicon for language {language!r}; there are: {', '.join(languages())}")
        return _load(language)

    @staticmethod
    def read(path: Path) -> Lexicon:
        """A lexicon from a file outside the package."""
        return parse(path.read_text(encoding="utf-8"), path.name)

    def words(self, group: str, value: str) -> tuple[Word, ...]:
        """Every way to say a value, canonical first; a plain setting is made from its colour."""
        if group == "setting" and value.startswith("plain_"):
            colours = self._find("colour", value.removeprefix("plain_"))
            # A background is a noun inside the template: languages with classes word it so that class 0 agrees.
            return tuple(
                Word((self.finish(fill(str(template), {"colour": colour.form()})),))
                for template in self._find("setting", "plain")
                for colour in colours
            )
        return self._find(group, value)

    def _find(self, group: str, value: str) -> tuple[Word, ...]:
        words = self.groups.get(group, {}).get(value, ())
        if not words:
            raise TranhError(f"lexicon {self.language!r} has no word for {group}.{value}; add it to its file")
        return words

    def missing(self, vocabulary: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
        """``group.value`` of everything this language cannot say; empty when it is complete."""
        lacks = []
        for group, values in vocabulary.items():
            for value in values:
                try:
                    self.words(group, value)
                except TranhError:
                    lacks.append(f"{group}.{value}")
        return tuple(lacks) + tuple(f"template.{name}" for name in TEMPLATES if not self.templates.get(name))

    def finish(self, sentence: str) -> str:
        """Spaces made single and the language's contractions applied ("a arrow" becomes "an arrow")."""
        sentence = " ".join(sentence.split())
        for pattern, replacement in self.sandhi:
            sentence = pattern.sub(replacement, sentence)
        return sentence

    def able(self, name: str, slots: frozenset[str]) -> tuple[str, ...]:
        """The templates of a name that have a place for each of the slots even when no other slot is filled."""
        try:
            return self._able[name, slots]
        except KeyError:
            given = dict.fromkeys(slots, "\0")
            able = tuple(t for t in self.templates[name] if fill(t, given).count("\0") == len(slots))
            if not able:
                wanted = ", ".join(sorted(slots))
                raise TranhError(
                    f"lexicon {self.language!r} has no template {name!r} that says {wanted}; add one"
                ) from None
            self._able[name, slots] = able
            return able

    @cached_property
    def _able(self) -> dict[tuple[str, frozenset[str]], tuple[str, ...]]:
        return {}

    def phrases(self) -> Iterator[tuple[str, str, str]]:
        """(group, value, phrase) of every form of every word; plain settings are left as their parts."""
        for group, values in self.groups.items():
            for value, words in values.items():
                for word in words:
                    for form in dict.fromkeys(word.forms):
                        yield group, value, form

    @cached_property
    def plain_vocabulary(self) -> frozenset[str]:
        """The vocabulary as typed without diacritics."""
        return frozenset(strip_diacritics(word) for word in self.vocabulary)

    @property
    def marked(self) -> bool:
        """Whether the language is written with diacritics, which people leave out."""
        return self.plain_vocabulary != self.vocabulary

    @cached_property
    def vocabulary(self) -> frozenset[str]:
        """Every single word this language's sentences are made of."""
        text = [phrase for _, _, phrase in self.phrases()] + list(self.function)
        text += [*self.article.forms, *self.definite.forms]
        text += [template for templates in self.templates.values() for template in templates]
        text += [replacement for _, replacement in self.sandhi]
        return frozenset(re.findall(r"[^\W_]+", _SLOT.sub(" ", " ".join(text))))


def fill(template: str, slots: Mapping[str, str]) -> str:
    """A template with its slots filled. A part in [brackets] vanishes when a slot of its own is empty or absent."""
    text, end, _ = _fill(template, 0, slots)
    if end != len(template):
        raise TranhError(f"template {template!r} has a ']' without its '['")
    return text


def _fill(template: str, at: int, slots: Mapping[str, str]) -> tuple[str, int, bool]:
    """(text, where it stopped, whether every slot met at this depth was filled)."""
    parts, whole = [], True
    while at < len(template) and template[at] != "]":
        if template[at] == "[":
            text, at, kept = _fill(template, at + 1, slots)
            if at >= len(template):
                raise TranhError(f"template {template!r} has a '[' without its ']'")
            parts.append(text if kept else "")
            at += 1
        elif match := _SLOT.match(template, at):
            value = slots.get(match[1], "")
            whole &= bool(value)
            parts.append(value)
            at = match.end()
        else:
            parts.append(template[at])
            at += 1
    return "".join(parts), at, whole


@cache
def languages() -> tuple[str, ...]:
    """Codes of the languages shipped: one per TOML file."""
    names = (entry.name for entry in files(__name__).iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml")))


@cache
def _load(language: str) -> Lexicon:
    return parse((files(__name__) / f"{language}.toml").read_text(encoding="utf-8"), f"{language}.toml")


def parse(text: str, source: str) -> Lexicon:
    """A lexicon from the text of its TOML file; ``source`` is how faults name it."""
    try:
        data: dict[str, Any] = tomllib.loads(text)
        head = data.pop("language")
        templates = _templates(data.pop("template"))
        classes = head["classes"]
        return Lexicon(
            language=head["code"],
            name=head["name"],
            article=_word(head["article"], classes, source),
            definite=_word(head["definite"], classes, source),
            function=tuple(head["function"]),
            negation=tuple(head["negation"]),
            ambiguous={word: tuple(meanings) for word, meanings in head["ambiguous"].items()},
            groups={
                group: {value: tuple(_word(word, classes, source) for word in words) for value, words in values.items()}
                for group, values in data.items()
            },
            templates=templates,
            sandhi=tuple((re.compile(pattern), replacement) for pattern, replacement in head["sandhi"]),
        )
    except tomllib.TOMLDecodeError as fault:
        raise TranhError(f"{source} is not TOML: {fault}") from fault
    except KeyError as fault:
        raise TranhError(f"{source} has no {fault.args[0]!r}; compare it with en.toml") from fault


def _templates(table: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Templates by name; those of a table in the table are "table.name"."""
    flat: dict[str, tuple[str, ...]] = {}
    for name, patterns in table.items():
        inner = {f"{name}.{k}": v for k, v in patterns.items()} if isinstance(patterns, dict) else {name: patterns}
        flat |= {key: tuple(value) for key, value in inner.items()}
    return flat


def _word(text: str, classes: Sequence[str], source: str) -> Word:
    """``"f:étoile/étoiles"``: an optional noun class, then 1, 2 (one/many) or 2 x classes (singulars/plurals) forms."""
    noun_class, body = 0, text
    head, colon, tail = text.partition(":")
    if colon and head in classes:
        noun_class, body = classes.index(head), tail
    forms = tuple(form.strip() for form in body.split("/"))
    allowed = {1, 2, 2 * max(1, len(classes))}
    if len(forms) not in allowed:
        raise TranhError(f"{source}: {text!r} has {len(forms)} forms; a word has {sorted(allowed)} of them")
    return Word(forms, noun_class)
