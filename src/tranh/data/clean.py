"""Captions made even: every step is a function from text to text with a name, and a report says what each one changed.

Which steps are taken is the user's choice; ``STEPS`` are those that lose nothing a picture could show. Every step done
twice is the same as done once.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tranh.text.normalise import collapse_spaces, compose, lower, place_tones, strip_invisible
from tranh.types import TranhError

Step = Callable[[str], str]

LONGEST = 8192
"""Letters of a caption that are read: none is a book, and some steps look at every pair of brackets."""

TAG = re.compile(r"<[a-zA-Z/!][^<>]{0,500}>")
URL = re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE)
MAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}\.[\w.]+")
HASHTAG = re.compile(r"(?<!\w)#+(?=\w)")
FILE_NAME = re.compile(r"(?<!\S)[\w-]+\.(?:jpe?g|png|gif|webp|tiff?)(?!\S)", re.IGNORECASE)
MARKS = re.compile(r"([!?.,;:~*_=-])\1{2,}")
WORDS = re.compile(r"\b(\w+)(?:\s+\1\b){2,}", re.IGNORECASE)
TOKEN = re.compile(r"\w+(?:['’-]\w+)*|[^\w\s]")
LETTERS = re.compile(r"[^\W\d_]+")
STOP_WORDS = frozenset(
    "a an the of and in on at is are with to for by this that it its là và của các những một thì mà ở có cho".split()  # noqa: SIM905
)
"""Words that say nothing of a picture. "trên" (above), "dưới" (under) and "không" (no) do."""


def settled(step: Step, text: str) -> str:
    """The text after as many rounds of a step as change it; for steps that can uncover work for themselves."""
    while (after := step(text)) != text:
        text = after
    return text


def sound(text: str) -> str:
    """No lone halves of letters (surrogates), which have no UTF-8 form, and no more than ``LONGEST`` letters."""
    return text[:LONGEST].encode("utf-8", "ignore").decode("utf-8")


def entities(text: str) -> str:
    """``&amp;`` and its like as the characters they stand for."""
    return settled(html.unescape, text)


def markup(text: str) -> str:
    """No HTML tags."""
    return settled(lambda t: TAG.sub(" ", t), text)


def controls(text: str) -> str:
    """No control and formatting characters; line ends and tabs are spaces."""
    return strip_invisible(text)


def nfc(text: str) -> str:
    """One form for every letter: NFC."""
    return compose(text)


def addresses(text: str) -> str:
    """No web or mail addresses, no names of picture files; ``#sunset`` loses its mark."""

    def once(text: str) -> str:
        text = HASHTAG.sub("", text)
        for pattern in (URL, MAIL, FILE_NAME):
            text = pattern.sub(" ", text)
        return text

    return settled(once, text)


def repeats(text: str) -> str:
    """``!!!!!`` as one mark, a word said three times or more as one."""
    return settled(lambda t: WORDS.sub(r"\1", MARKS.sub(r"\1", t)), text)


def tone_marks(text: str) -> str:
    """Vietnamese tone marks on the vowel of one convention: ``hòa`` for ``hoà``."""
    return place_tones(text)


def small(text: str) -> str:
    """Small letters."""
    return lower(text)


def tokens(text: str) -> str:
    """Words and marks one space apart: ``a cat, asleep.`` is ``a cat , asleep .``"""
    return " ".join(TOKEN.findall(text))


def stop_words(text: str) -> str:
    """No words that say nothing of a picture (English and Vietnamese). For search: models need "on" and "with"."""
    return " ".join(word for word in text.split() if word.lower().strip(".,;:!?") not in STOP_WORDS)


def spelling(text: str, repairs: Mapping[str, str]) -> str:
    """Rare words that ``spelling.repairs`` takes for slips of frequent ones of the same data set, repaired."""
    return LETTERS.sub(lambda match: _as_written(match[0], repairs.get(match[0].lower())), text)


def spaces(text: str) -> str:
    """Single spaces, none at the ends."""
    return collapse_spaces(text)


NAMES = (
    "entities", "markup", "controls", "nfc", "addresses", "repeats", "tone_marks", "small", "spelling", "tokens",
    "stop_words", "spaces",
)  # fmt: skip
"""Every step, in the order in which they make sense and are taken."""

STEPS = ("entities", "markup", "controls", "nfc", "addresses", "repeats", "spaces")
"""Those taken by default."""


@dataclass
class Report:
    """What the steps did: how many captions each changed, and a few of them before and after."""

    seen: int = 0
    changed: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    most: int = 5

    def note(self, step: str, before: str, after: str) -> None:
        self.changed[step] += 1
        kept = self.examples.setdefault(step, [])
        if len(kept) < self.most:
            kept.append((before, after))

    def add(self, other: Report) -> None:
        """Take in what another process saw."""
        self.seen += other.seen
        self.changed.update(other.changed)
        for step, pairs in other.examples.items():
            kept = self.examples.setdefault(step, [])
            kept += pairs[: self.most - len(kept)]


def check(steps: Sequence[str]) -> None:
    """Refuse a step that does not exist.

    Raises:
        TranhError: with the steps there are.
    """
    unknown = [step for step in steps if step not in NAMES]
    if unknown:
        raise TranhError(f"no step is called {', '.join(unknown)}; there are: {', '.join(NAMES)}")


def clean(
    text: str,
    steps: Sequence[str] = STEPS,
    report: Report | None = None,
    repairs: Mapping[str, str] | None = None,
) -> str:
    """A caption after the steps named, in the order of ``NAMES``.

    Args:
        repairs: slips and what they stand for, for the step ``spelling``.

    Raises:
        TranhError: a step that does not exist.
    """
    check(steps)
    text = sound(text)
    if report is not None:
        report.seen += 1
    for name in NAMES:
        if name in steps:
            after = spelling(text, repairs or {}) if name == "spelling" else _FUNCTIONS[name](text)
            if report is not None and after != text:
                report.note(name, text, after)
            text = after
    return text


_FUNCTIONS: Mapping[str, Step] = {name: globals()[name] for name in NAMES if name != "spelling"}


def _as_written(word: str, repaired: str | None) -> str:
    """A repair with the capitals of the word it replaces."""
    if repaired is None:
        return word
    return repaired.upper() if word.isupper() else repaired.capitalize() if word[0].isupper() else repaired
