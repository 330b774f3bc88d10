"""The words a model was trained on, counted: what it knows, and what is near a word it does not.

Saved beside the weights, so it is true of whatever captions the model saw. It knows no lexicon.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property
from itertools import pairwise
from typing import Any

from tranh.text.normalise import strip_diacritics
from tranh.types import TranhError

FORMAT = 1
WORD = re.compile(r"[^\W_]+")
"""A word: letters and digits. Vietnamese syllables are words here."""

SHORTEST_TYPO = 4
"""Words shorter than this are never taken for a misspelling: at that length everything is near everything."""

NEAR = 0.7
"""Least likeness, of 1, between an unknown word and a suggestion."""


@dataclass(frozen=True)
class Words:
    """Counts of training captions.

    Attributes:
        counts: every word -> how often it was seen.
        pairs: (word, next word) -> how often, in captions with diacritics only: undiacritised copies of the same
            captions would vouch for the very words that are to be restored. ``""`` stands for either end.
    """

    counts: Mapping[str, int]
    pairs: Mapping[tuple[str, str], int]

    @staticmethod
    def count(captions: Iterable[str]) -> Words:
        """Count normalised captions."""
        counts: Counter[str] = Counter()
        pairs: Counter[tuple[str, str]] = Counter()
        for caption in captions:
            words = WORD.findall(caption)
            counts.update(words)
            if not caption.isascii():
                pairs.update(pairwise(["", *words, ""]))
        return Words(dict(sorted(counts.items())), dict(sorted(pairs.items())))

    def joined(self, other: Words) -> Words:
        """The words of both."""
        counts, pairs = Counter(self.counts), Counter(self.pairs)
        counts.update(other.counts)
        pairs.update(other.pairs)
        return Words(dict(sorted(counts.items())), dict(sorted(pairs.items())))

    def save(self) -> bytes:
        """The counts as JSON."""
        pairs: dict[str, dict[str, int]] = defaultdict(dict)
        for (first, second), count in self.pairs.items():
            pairs[first][second] = count
        content = {"format": FORMAT, "counts": self.counts, "pairs": pairs}
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8")

    @staticmethod
    def load(data: bytes) -> Words:
        """The counts that :meth:`save` wrote."""
        try:
            content: dict[str, Any] = json.loads(data)
            if content["format"] != FORMAT:
                raise TranhError(f"words.json has format {content['format']!r}; this version reads format {FORMAT}")
            pairs = {(a, b): count for a, after in content["pairs"].items() for b, count in after.items()}
            return Words(content["counts"], pairs)
        except (ValueError, KeyError, TypeError, AttributeError) as fault:
            raise TranhError(
                f"words.json cannot be read ({fault}); copy it again from the run it belongs to"
            ) from fault

    def __contains__(self, word: str) -> bool:
        return word in self.counts

    def nearest(self, word: str, most: int = 3) -> tuple[str, ...]:
        """Known words that the word may be a misspelling of, nearest first; compared without diacritics."""
        plain = strip_diacritics(word)
        if len(plain) < SHORTEST_TYPO:
            return ()
        found = []
        for known, count in self.counts.items():
            other = strip_diacritics(known)
            if len(other) < SHORTEST_TYPO or abs(len(other) - len(plain)) > 2:
                continue
            likeness = SequenceMatcher(None, plain, other, autojunk=False).ratio()
            if likeness >= NEAR:
                # Of the marked and the unmarked spelling of one word, the one with the same marks is nearer.
                exact = SequenceMatcher(None, word, known, autojunk=False).ratio()
                found.append((-likeness, -exact, -count, known))
        return tuple(known for *_, known in sorted(found)[:most])

    @cached_property
    def marked(self) -> Mapping[str, tuple[str, ...]]:
        """Undiacritised word -> the words of marked captions it may stand for, most frequent first."""
        found: dict[str, list[str]] = defaultdict(list)
        for word in self.seen_marked:
            if word:
                found[strip_diacritics(word)].append(word)
        return {plain: tuple(sorted(words, key=lambda w: (-self.seen_marked[w], w))) for plain, words in found.items()}

    @cached_property
    def seen_marked(self) -> Mapping[str, int]:
        """How often each word was seen in captions with diacritics."""
        seen: Counter[str] = Counter()
        for (first, _), count in self.pairs.items():
            seen[first] += count
        return seen

    @cached_property
    def seen_total(self) -> int:
        """How many words captions with diacritics have, ends included."""
        return sum(self.seen_marked.values())
