"""Captions made even: every step is a function from text to text with a name, and a report says what each one changed.

Which steps are taken is the user's choice; ``STEPS`` are those that lose nothing a picture could show.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tranh.text import normalise
from tranh.types import TranhError

Step = Callable[[str], str]

TAG = re.compile(r"<[a-zA-Z/!][^<>]{0,500}>")
URL = re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE)
MAIL = re.compile(r"[\w.+-]+@[\w-]+\.[\w.]+")
HASHTAG = re.compile(r"(?<!\w)#(\w+)")
FILE_NAME = re.compile(r"(?<!\S)[\w-]+\.(?:jpe?g|png|gif|webp|tiff?)(?!\S)", re.IGNORECASE)
STOP_WORDS = frozenset(
    [
        "a",
        "an",
        "the",
        "of",
        "and",
        "in",
        "on",
        "at",
        "is",
        "are",
        "with",
        "to",
        "for",
        "by",
        "this",
        "that",
        "it",
        "its",
        "là",
        "và",
        "của",
        "các",
        "những",
        "một",
        "thì",
        "mà",
        "ở",
        "có",
        "cho",
    ]
)


def nfc(text: str) -> str:
    """One form for every letter: NFC."""
    return unicodedata.normalize("NFC", text)


def controls(text: str) -> str:
    """No control, formatting or private characters."""
    return "".join(c if c in "\n\t" else " " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else
                   "" if unicodedata.category(c) in ("Cf", "Co", "Cs", "Cn") else c for c in text)  # fmt: skip


def entities(text: str) -> str:
    """``&amp;`` and its like as the characters they stand for."""
    return html.unescape(text)


def markup(text: str) -> str:
    """No HTML tags."""
    return TAG.sub(" ", text)


def addresses(text: str) -> str:
    """No web or mail addresses, no names of picture files; ``#sunset`` loses its mark."""
    for pattern in (URL, MAIL, FILE_NAME):
        text = pattern.sub(" ", text)
    return HASHTAG.sub(r"\1", text)


def repeats(text: str) -> str:
    """``!!!!!`` as one mark, a word said three times or more as one."""
    text = re.sub(r"([!?.,;:~*_=-])\1{2,}", r"\1", text)
    return re.sub(r"\b(\w+)(?:\s+\1\b){2,}", r"\1", text, flags=re.IGNORECASE)


def spaces(text: str) -> str:
    """Single spaces, none at the ends."""
    return " ".join(text.split())


def lower(text: str) -> str:
    """Small letters."""
    return text.lower()


def tone_marks(text: str) -> str:
    """Vietnamese tone marks on the vowel of one convention (``hoà``)."""
    return normalise.normalise(text)


def stop_words(text: str) -> str:
    """No words that say nothing of a picture (English and Vietnamese)."""
    return " ".join(word for word in text.split() if word.lower().strip(".,;:!?") not in STOP_WORDS)


ALL: dict[str, Step] = {
    f.__name__: f for f in (nfc, entities, markup, controls, addresses, repeats, tone_marks, lower, stop_words, spaces)
}
"""Every step, in the order in which they make sense."""

STEPS = ("nfc", "entities", "markup", "controls", "addresses", "repeats", "spaces")
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


def clean(text: str, steps: Sequence[str] = STEPS, report: Report | None = None) -> str:
    """A caption after the steps named, in that order.

    Raises:
        TranhError: a step that does not exist.
    """
    unknown = [step for step in steps if step not in ALL]
    if unknown:
        raise TranhError(f"no step is called {', '.join(unknown)}; there are: {', '.join(ALL)}")
    if report is not None:
        report.seen += 1
    for step in steps:
        after = ALL[step](text)
        if report is not None and after != text:
            report.note(step, text, after)
        text = after
    return text
