"""Vietnamese typed without diacritics, read back: "hinh tron do" -> "hình tròn đỏ".

It knows only the words a model was trained on and which of them follow which; it has no dictionary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

from tranh.text.normalise import strip_diacritics
from tranh.text.words import WORD, Words

CLOSE = log(20)
"""A reading up to this much less likely than the best (20 times) is still worth a mention."""

BACKOFF = 0.5
"""Pairs a word is credited with beyond those seen, shared out by how frequent each second word is on its own."""


@dataclass(frozen=True)
class Unsure:
    """A word that could be read in more than one way: what was typed, what was chosen, what else it could be."""

    typed: str
    reading: str
    others: tuple[str, ...]


@dataclass(frozen=True)
class Restored:
    """Text with its marks put back, and the words for which the context did not settle it."""

    text: str
    unsure: tuple[Unsure, ...] = ()


def restore_diacritics(text: str, words: Words) -> Restored:
    """The likeliest sequence of known marked words that strips to what was typed (Viterbi over pairs of words).

    Words with marks are left as they are, and so is every other word of a text that has some marks, unless no marked
    caption has it: who marks one word marks them all.
    """
    typed = list(WORD.finditer(text))
    trust = not text.isascii()
    options = [_readings(match[0], words, trust) for match in typed]
    forward = _forward(options, words)
    backward = _backward(options, words)
    parts, unsure, end = [], [], 0
    for match, some, there, back in zip(typed, options, forward, backward, strict=True):
        # The best score of a whole sentence with each reading in this place: the best sentence wins everywhere.
        through = {option: there[option] + back[option] for option in some}
        reading = max(some, key=through.__getitem__)
        others = tuple(o for o in some if o != reading and through[reading] - through[o] < CLOSE)
        if others:
            unsure.append(Unsure(match[0], reading, others))
        parts += [text[end : match.start()], reading]
        end = match.end()
    return Restored("".join(parts) + text[end:], tuple(unsure))


def _readings(word: str, words: Words, trust: bool) -> tuple[str, ...]:
    if strip_diacritics(word) != word or (trust and word in words.seen_marked):
        return (word,)
    return words.marked.get(word, (word,))


def _step(first: str, second: str, words: Words) -> float:
    """Log probability that the second word follows the first; a pair never seen falls back on the second word alone."""
    seen = words.seen_marked
    alone = (seen.get(second, 0) + 1) / (words.seen_total + len(seen) + 1)
    return log((words.pairs.get((first, second), 0) + BACKOFF * alone) / (seen.get(first, 0) + BACKOFF))


def _forward(options: Sequence[Sequence[str]], words: Words) -> list[dict[str, float]]:
    """Per word and reading, the best score of everything up to it."""
    scores: list[dict[str, float]] = []
    before = {"": 0.0}
    for some in options:
        before = {o: max(score + _step(b, o, words) for b, score in before.items()) for o in some}
        scores.append(before)
    return scores


def _backward(options: Sequence[Sequence[str]], words: Words) -> list[dict[str, float]]:
    """Per word and reading, the best score of everything after it."""
    scores: list[dict[str, float]] = []
    after = {"": 0.0}
    for some in reversed(options):
        after = {o: max(_step(o, a, words) + score for a, score in after.items()) for o in some}
        scores.append(after)
    return scores[::-1]
