"""Sums over all pictures and captions, of which every process makes its own.

It knows nothing of faults.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tranh.data.doctor.captions import Counted
from tranh.data.doctor.colours import Colours
from tranh.data.doctor.pictures import Looked
from tranh.data.doctor.words import Bags
from tranh.data.item import Item


@dataclass
class Tally:
    """Sums over pictures and captions.

    Attributes:
        lengths: language -> tokens in a caption -> captions; words, tokens: language -> sum.
        sides: log2 of the shorter side in eighths -> pictures; shapes: log2 of width by height in eighths.
    """

    captions: int = 0
    lengths: dict[str, Counter[int]] = field(default_factory=dict)
    words: Counter[str] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)
    forms: Counter[str] = field(default_factory=Counter)
    scripts: Counter[str] = field(default_factory=Counter)
    per_picture: Counter[int] = field(default_factory=Counter)
    formats: Counter[str] = field(default_factory=Counter)
    sides: Counter[int] = field(default_factory=Counter)
    shapes: Counter[int] = field(default_factory=Counter)
    bytes: int = 0
    colours: Colours = field(default_factory=Colours)
    languages: Bags = field(default_factory=Bags)
    classes: Bags = field(default_factory=Bags)

    def add(self, other: Tally) -> None:
        """Take in what another process counted."""
        self.captions += other.captions
        self.bytes += other.bytes
        for language, lengths in other.lengths.items():
            self.lengths.setdefault(language, Counter()).update(lengths)
        for name in ("words", "tokens", "forms", "scripts", "per_picture", "formats", "sides", "shapes"):
            getattr(self, name).update(getattr(other, name))
        for name in ("colours", "languages", "classes"):
            getattr(self, name).add(getattr(other, name))


def count_captions(tally: Tally, item: Item, told: Sequence[Counted]) -> None:
    tally.per_picture[len(told)] += 1
    for caption in told:
        language = caption.language
        tally.captions += 1
        tally.lengths.setdefault(language, Counter())[caption.tokens] += 1
        tally.words[language] += len(caption.words)
        tally.tokens[language] += caption.tokens - 2
        tally.languages.count(language, caption.words)
        if item.label is not None:
            tally.classes.count(item.label, caption.words, pairs=False)
        if caption.form:
            tally.forms[caption.form] += 1
        if caption.script:
            tally.scripts[caption.script] += 1


def count_picture(tally: Tally, looked: Looked) -> None:
    width, height = looked.size
    tally.formats[looked.format] += 1
    tally.sides[eighth(min(width, height))] += 1
    tally.shapes[eighth(width / height)] += 1
    tally.colours.count(looked.small)


def eighth(value: float) -> int:
    """log2 of a value in eighths: a bin."""
    return round(8 * math.log2(value))
