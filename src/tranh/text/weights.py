"""Weights in a prompt: "a (red:1.4) circle" says red more strongly, "(red:0.5)" less.

It knows what is typed and which words it means, not what a model makes of it. A weight is written as one pair of round
brackets with a colon and a number before the closing one; any other bracket is a bracket, and so is one behind a
backslash.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tranh.text.words import WORD
from tranh.types import TranhError

MOST = 3.0
"""The largest weight."""

_GROUP = re.compile(r"\(([^()]*):\s*([^():]*)\)")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)?|[.,]\d+")
_ESCAPED = {"\\(": "\ue000", "\\)": "\ue001", "\\\\": "\ue002"}
"""Letters of the private range that stand for what was escaped while the rest is read."""


@dataclass(frozen=True)
class Span:
    """Words ``first`` to ``last`` (exclusive, counted from 0) of a prompt, and their weight; 1 is as usual."""

    first: int
    last: int
    weight: float


@dataclass(frozen=True)
class Weighted:
    """A prompt without its marks, and the words that had some."""

    text: str
    spans: tuple[Span, ...] = ()


def parse(prompt: str) -> Weighted:
    """Read the weights of a prompt.

    A decimal comma is a point. "\\(" and "\\)" are brackets, "\\\\" is a backslash.

    Raises:
        TranhError: a weight within a weight, one that is no number or beyond 0 to 3, or one of no words.
    """
    for typed, letter in _ESCAPED.items():
        if letter in prompt:
            raise TranhError("the prompt has a letter of Unicode's private range: leave it out")
        prompt = prompt.replace(typed, letter)
    text, spans, at = "", [], 0
    for found in _GROUP.finditer(prompt):
        words, number = found[1], found[2].strip()
        before = prompt[at : found.start()]
        _refuse_nested(before, prompt, found)
        if not WORD.search(words):
            raise TranhError(f"{_plain(found[0])!r} weighs no words: write (words:1.4), or \\( for a bracket")
        if not _NUMBER.fullmatch(number) or not float(number.replace(",", ".")) <= MOST:
            raise TranhError(
                f"{_plain(found[0])!r}: {_plain(number)!r} is no weight; allowed: 0 (as if unsaid) to {MOST:g}, "
                "1 is as usual. Write \\( where a bracket is meant"
            )
        text += before
        first = len(WORD.findall(text))
        # Glued to a neighbour it would be part of another word.
        text = _apart(text, words)
        spans.append(Span(first, first + len(WORD.findall(words)), float(number.replace(",", "."))))
        at = found.end()
    rest = prompt[at:]
    text = _apart(text, rest) if spans else rest
    return Weighted(_plain(text), tuple(spans))


def without(text: str, spans: Sequence[Span]) -> str:
    """A prompt with the words of some spans left out; single spaces, no comma doubled."""
    words = list(WORD.finditer(text))
    gone = [(words[span.first].start(), words[span.last - 1].end()) for span in spans]
    for start, end in sorted(gone, reverse=True):
        text = text[:start] + text[end:]
    text = re.sub(r"\s+([,.;])", r"\1", " ".join(text.split()))
    return re.sub(r"([,.;])[,.;]+", r"\1", text).strip(" ,;")


def _refuse_nested(before: str, prompt: str, found: re.Match[str]) -> None:
    """An open bracket before, and after the group a colon with a number: the outer of two weights."""
    if before.count("(") > before.count(")") and re.match(r"[^()]*:\s*[^():]*\)", prompt[found.end() :]):
        raise TranhError(
            f"{_plain(found[0])!r} stands within another weight; weights are not nested: multiply them yourself, such "
            "as (large:1.2) (red:1.4)"
        )


def _apart(before: str, after: str) -> str:
    """Both with a space between if two words would grow together."""
    glued = before[-1:].isalnum() and after[:1].isalnum()
    return before + (" " if glued else "") + after


def _plain(text: str) -> str:
    for typed, letter in _ESCAPED.items():
        text = text.replace(letter, typed[1:])
    return text
