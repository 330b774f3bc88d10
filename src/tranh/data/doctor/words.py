"""Words counted: a bag of words, the captions each word is in, and what is said of one group more than of others.

Memory is bounded: of very many words the rarest are forgotten. It knows no language's grammar.
"""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from tranh.text.words import WORD

MOST = 50_000
"""Different words kept per group; the rarest half goes when there are more."""

CONSIDERED = 5000
"""Words, the most common ones, whose tf-idf is asked for."""

GROUPS = 200
"""Groups (classes) whose words are counted; more are passed over."""


def words_of(text: str) -> list[str]:
    """The words of a caption, composed and in lower case. Vietnamese syllables are words here."""
    return WORD.findall(unicodedata.normalize("NFC", text).lower())


@dataclass
class Bag:
    """Words of a group of captions.

    Attributes:
        captions: how many there are.
        times: word -> how often it is said; within: word -> in how many captions; pairs: the same as times for two
            neighbours.
        shares: word -> the sum over captions of its share of their words.
        lost: were rare words forgotten?
    """

    captions: int = 0
    times: Counter[str] = field(default_factory=Counter)
    within: Counter[str] = field(default_factory=Counter)
    shares: Counter[str] = field(default_factory=Counter)
    pairs: Counter[str] = field(default_factory=Counter)
    lost: bool = False

    def count(self, words: Sequence[str], pairs: bool = True) -> None:
        """Count one caption's words."""
        self.captions += 1
        counts = Counter(words)
        self.times.update(counts)
        self.within.update(counts.keys())
        for word, count in counts.items():
            self.shares[word] += count / len(words)  # type: ignore[assignment]  # a Counter counts in fractions, too
        if pairs:
            self.pairs.update(f"{a} {b}" for a, b in pairwise(words))

    def add(self, other: Bag) -> None:
        """Take in what another process counted."""
        self.captions += other.captions
        self.times.update(other.times)
        self.within.update(other.within)
        self.shares.update(other.shares)
        self.pairs.update(other.pairs)
        self.lost |= other.lost
        self._forget()

    def _forget(self) -> None:
        if len(self.times) > MOST:
            kept = {word for word, _ in self.times.most_common(MOST // 2)}
            self.times = Counter({w: n for w, n in self.times.items() if w in kept})
            self.within = Counter({w: n for w, n in self.within.items() if w in kept})
            self.shares = Counter({w: n for w, n in self.shares.items() if w in kept})
            self.lost = True
        if len(self.pairs) > MOST:
            self.pairs = Counter(dict(self.pairs.most_common(MOST // 2)))
            self.lost = True

    def tf_idf(self, most: int = 20, among: Sequence[Bag] = ()) -> list[tuple[str, float]]:
        """The words that matter most, by the mean over the captions of tf-idf.

        tf is the word's share of the caption; idf = ln((1 + N) / (1 + n)), of N captions, n of which hold the word:
        scikit-learn's smoothed idf less its 1, so that a word in every caption counts nothing.

        Args:
            among: the groups whose captions are counted for idf, this one included; none means this one alone.
        """
        bags = among or (self,)
        total = sum(bag.captions for bag in bags)
        scores = {
            word: share * math.log((1 + total) / (1 + sum(bag.within[word] for bag in bags))) / self.captions
            for word, share in self.shares.most_common(CONSIDERED)
        }
        return sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))[:most]


@dataclass
class Bags:
    """Bags by group: by language, or by class."""

    of: dict[str, Bag] = field(default_factory=dict)

    def count(self, group: str, words: Sequence[str], pairs: bool = True) -> None:
        if group in self.of or len(self.of) < GROUPS:
            self.of.setdefault(group, Bag()).count(words, pairs)

    def add(self, other: Bags) -> None:
        for group, bag in other.of.items():
            if group in self.of or len(self.of) < GROUPS:
                self.of.setdefault(group, Bag()).add(bag)
