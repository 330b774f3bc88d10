"""What a source looks like from a sample: splits, languages, captions, sizes and modes of pictures, what is broken.

It changes nothing and writes nothing. Counts other than the number of pictures are those of the sample.
"""

from __future__ import annotations

import shlex
from collections import Counter
from dataclasses import dataclass, field
from io import BytesIO
from statistics import median

from PIL import Image

from tranh.data.decode import FORMATS, decode
from tranh.data.detect import Found
from tranh.data.item import Collection, Item
from tranh.data.ledger import MANIFEST
from tranh.data.ready import Options

SAMPLE = 200
EXAMPLES = 4
BROKEN = 5
"""Broken pictures that are told one by one."""


@dataclass
class Overview:
    """What was seen.

    Attributes:
        found: what the source was taken for, and why.
        total: its pictures; ``sample`` of them were opened, spread evenly.
        splits, languages, formats, modes: how often each was met in the sample.
        captions: number of captions of each picture opened.
        sides: (width, height) of each, in pixels, before it is turned upright.
        examples: (key, caption) of a few, spread evenly.
        broken: (key, what is wrong).
    """

    found: Found
    total: int
    sample: int = 0
    splits: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    formats: Counter[str] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    captions: list[int] = field(default_factory=list)
    sides: list[tuple[int, int]] = field(default_factory=list)
    examples: list[tuple[str, str]] = field(default_factory=list)
    broken: list[tuple[str, str]] = field(default_factory=list)

    def lines(self) -> list[str]:
        """For people to read."""
        out = [
            f"kind        {self.found.kind}",
            f"because     {self.found.why}",
            f"pictures    {self.total}" + (f" ({self.sample} looked at)" if self.sample < self.total else ""),
            f"splits      {_counted(self.splits, self.sample)}",
            f"captions    {self._captions()}",
            f"languages   {_counted(self.languages, sum(self.captions))}",
        ]
        if self.sides:
            shorter = sorted(min(side) for side in self.sides)
            small, large = self.sides[0], self.sides[0]
            for side in self.sides:
                small, large = min(small, side, key=_area), max(large, side, key=_area)
            out += [
                f"sizes       {_size(small)} to {_size(large)}; shorter side {median(shorter):g} in the middle",
                f"formats     {_counted(self.formats, len(self.sides))}",
                f"modes       {_counted(self.modes, len(self.sides))}",
            ]
        out += [f"broken      {len(self.broken)} of {self.sample}" + (":" if self.broken else "")]
        out += [f"            {key}: {why}" for key, why in self.broken[:BROKEN]]
        for k, (key, caption) in enumerate(self.examples):
            out.append(f"{'' if k else 'for example':12}{key}: {caption}")
        return [*out, f"next        {self.next()}"]

    def next(self) -> str:
        """The command that makes it ready for training, or trains on it if it is."""
        source = shlex.quote(self.found.look.text)
        if (self.found.path / MANIFEST).is_file():
            return f"tranh train unclip data={source}"
        shorter = sorted(min(side) for side in self.sides) or [Options.size]
        usual = shorter[len(shorter) // 4]  # three of four have at least this
        size = next((side for side in (256, 128, 64) if usual >= side), 32)
        least = f" --least {max(shorter[0], 1)}" if usual < Options.least else ""
        chosen = f" --size {size}" if size != Options.size else ""
        return f"tranh data prepare {source} prepared{chosen}{least}"

    def _captions(self) -> str:
        if not self.captions:
            return "none seen"
        without = sum(count == 0 for count in self.captions)
        few, many = min(self.captions), max(self.captions)
        each = f"{few} a picture" if few == many else f"{few} to {many} a picture"
        return each + (f"; {without} of {len(self.captions)} pictures have none" if without else "")


def look_at(found: Found, sample: int = SAMPLE) -> Overview:
    """Look at a source.

    Args:
        sample: pictures that are opened, spread evenly over it.
    """
    collection = found.read()
    total = len(collection)
    seen = Overview(found, total)
    step = max(1, -(-total // max(sample, 1)))
    for index in range(0, total, step):
        seen.sample += 1
        item = _item(collection, index, seen)
        if item is not None:
            _look(item, seen)
    spread = max(1, -(-len(seen.examples) // EXAMPLES))
    seen.examples = seen.examples[::spread]
    return seen


def _item(collection: Collection, index: int, seen: Overview) -> Item | None:
    try:
        return collection[index]
    except Exception as error:  # whatever its library raises there
        seen.broken.append((f"item {index}", f"the source cannot be read there: {error}"))
        return None


def _look(item: Item, seen: Overview) -> None:
    seen.splits[item.split or "unsaid"] += 1
    seen.captions.append(len(item.captions))
    seen.languages.update(caption.language or "unsaid" for caption in item.captions)
    if item.captions:
        seen.examples.append((item.key, item.captions[0].text))
    if item.broken:
        seen.broken.append((item.key, item.broken))
        return
    try:
        data = item.read()
        decode(data, box=item.box)
    except Exception as error:
        seen.broken.append((item.key, str(error)))
        return
    with Image.open(BytesIO(data), formats=FORMATS) as picture:  # how it came, which decoding evens out
        seen.formats[str(picture.format)] += 1
        seen.modes[picture.mode] += 1
        seen.sides.append((item.box[2], item.box[3]) if item.box else picture.size)


def _counted(counts: Counter[str], total: int) -> str:
    if not counts:
        return "none seen"
    return ", ".join(name if count == total else f"{name} {count}" for name, count in counts.most_common())


def _area(side: tuple[int, int]) -> int:
    return side[0] * side[1]


def _size(side: tuple[int, int]) -> str:
    return f"{side[0]} x {side[1]}"
