"""Visual Genome: ``region_descriptions.json`` beside ``VG_100K`` and ``VG_100K_2``; each described region is a picture.

The file (700 MB as published) is read once and never held: where each picture's regions begin is what stays in memory.
"""

from __future__ import annotations

import json
import posixpath
import re
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from functools import partial
from typing import Any

from tranh.data.item import Caption, Item
from tranh.data.look import Look
from tranh.data.place import Place
from tranh.types import TranhError

NAME = "region_descriptions.json"
PLACES = ("VG_100K", "VG_100K_2", "images", "images/VG_100K", "images/VG_100K_2", "")
GAP = re.compile(r"[\s,]*")


def found(look: Look) -> str | None:
    """Why this is Visual Genome, or None."""
    place = _place(look)
    return f"regions of Visual Genome in {NAME}" if place and place.has(NAME) else None


def read(look: Look) -> Genome:
    """Every region, in the order of the file."""
    return Genome(_place(look) or look.files())


def _place(look: Look) -> Place | None:
    return Place(look.path.absolute().parent) if look.path.name == NAME else look.place


class Genome:
    """Regions of pictures with a phrase each."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.start, self.size, self.ends = array("Q"), array("Q"), array("Q")
        regions = 0
        try:
            for start, size, value in elements(place, NAME):
                regions += len(value["regions"])
                self.start.append(start)
                self.size.append(size)
                self.ends.append(regions)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise TranhError(f"{place.path / NAME} holds no regions of Visual Genome: {error!r}") from error
        self._last: tuple[int, Any] = (-1, None)

    def __len__(self) -> int:
        return self.ends[-1] if self.ends else 0

    def __getitem__(self, index: int) -> Item:
        which = bisect_right(self.ends, index)
        picture = self._picture(which)
        region = picture["regions"][index - (self.ends[which - 1] if which else 0)]
        number = int(region.get("image_id", picture.get("id", picture.get("image_id"))))
        names = [posixpath.join(place, f"{number}.jpg") for place in PLACES]
        file = next((name for name in names if self.place.has(name)), names[0])
        x, y, width, height = (int(region[side]) for side in ("x", "y", "width", "height"))
        key = f"{number}/{region.get('region_id', index)}"
        phrase = Caption(str(region["phrase"]).strip(), "en")
        return Item(key, partial(self.place.read, file), (phrase,), box=(x, y, width, height))

    def _picture(self, which: int) -> Any:
        if self._last[0] != which:
            self._last = which, json.loads(self.place.slice(NAME, self.start[which], self.size[which]))
        return self._last[1]


def elements(place: Place, name: str) -> Iterator[tuple[int, int, Any]]:
    """(where it begins, its bytes, value) of every element of a JSON array, one at a time.

    Letters are read as Latin-1, one byte each: places are exact and ASCII is right, other text is not.
    """
    reader = json.JSONDecoder()
    text, base, begun = "", 0, False
    for block in place.blocks(name):
        text += block.decode("latin-1")
        at = 0
        while True:
            at = GAP.match(text, at).end()  # type: ignore[union-attr]  # it matches nothing as well
            if not begun and text[at : at + 1]:
                if text[at] != "[":
                    raise ValueError(f"it begins with {text[at]!r}, not with [")
                begun, at = True, at + 1
                continue
            if text[at : at + 1] == "]":
                return
            try:
                value, end = reader.raw_decode(text, at)
            except ValueError:
                break  # cut by the end of the block
            yield base + at, end - at, value
            at = end
        text, base = text[at:], base + at
    raise ValueError("it ends before its last ]")
