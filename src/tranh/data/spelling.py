"""Slips of the pen in captions, found by the captions alone: a rare word one edit from exactly one frequent word.

It has no dictionary, so it repairs only what the data set itself spells right a hundred times more often. Words that
differ by diacritics alone are left: in Vietnamese they are other words. A right but rare word can be taken for a slip,
so the step is never taken unasked, and the manifest lists every repair.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

from tranh.data.clean import LETTERS
from tranh.text.normalise import strip_diacritics

SHORTEST = 5
"""Letters of the shortest word that is repaired; among shorter ones nearly everything is one edit from something."""
OFTEN = 100
"""How many times more often the right word must be seen than the slip."""
KEYS, VOWELS = ("qwertyuiop", "asdfghjkl", "zxcvbnm"), "aeiouy"
MOST_WORDS = 2**20
"""Different words that are counted; when there are more, those seen once are forgotten."""


def count_words(texts: Iterable[str], counts: Counter[str]) -> None:
    """Add the words of some captions, in small letters, to the counts; memory stays bounded."""
    for text in texts:
        counts.update(word.lower() for word in LETTERS.findall(text))
    if len(counts) > MOST_WORDS:
        for word in [word for word, seen in counts.items() if seen == 1]:
            del counts[word]


def repairs(counts: Mapping[str, int]) -> dict[str, str]:
    """Slip -> word, for every rare word that is one edit (a letter more, less, other, or two swapped) from one word."""
    frequent = {word for word, seen in counts.items() if seen >= OFTEN and len(word) >= SHORTEST}
    near: dict[str, list[str]] = defaultdict(list)  # a frequent word with up to one letter less -> it
    for word in sorted(frequent):
        for shorter in {word, *_shorter(word)}:
            near[shorter].append(word)
    found = {}
    for slip, seen in counts.items():
        if len(slip) < SHORTEST or slip in frequent:
            continue
        candidates = {word for shorter in (slip, *_shorter(slip)) for word in near.get(shorter, ()) if _one(slip, word)}
        if len(candidates) == 1 and counts[word := candidates.pop()] >= OFTEN * seen:
            found[slip] = word
    return dict(sorted(found.items()))


def _shorter(word: str) -> Iterator[str]:
    return (word[:i] + word[i + 1 :] for i in range(len(word)))


def _one(slip: str, word: str) -> bool:
    """Is it one edit that a hand makes: two letters swapped, one more or less, or one taken for its neighbour?

    The first and the last letter are right nearly always, and other ones there make other words (plane, planet).
    """
    if slip[0] != word[0] or slip[-1] != word[-1] or strip_diacritics(slip) == strip_diacritics(word):
        return False
    if len(slip) != len(word):
        long, short = (slip, word) if len(slip) > len(word) else (word, slip)
        return short in _shorter(long)
    apart = [(a, b) for a, b in zip(slip, word, strict=True) if a != b]
    if len(apart) == 2:
        return apart[0] == apart[1][::-1] and any(slip[i : i + 2] == word[i : i + 2][::-1] for i in range(len(word)))
    return len(apart) == 1 and (set(apart[0]) <= set(VOWELS) or any(abs(_key(row, *apart[0])) == 1 for row in KEYS))


def _key(row: str, a: str, b: str) -> int:
    """How many keys two letters of a row are apart, 0 if they are not both in it."""
    return row.index(a) - row.index(b) if a in row and b in row else 0
