"""MNIST and Fashion-MNIST as published: ``train-images-idx3-ubyte`` and ``train-labels-idx1-ubyte``, gzipped or not.

A digit's caption is its name in English and Vietnamese; a garment's its class's.
"""

from __future__ import annotations

import gzip
import re
import struct
import zlib
from functools import partial
from io import BytesIO

import numpy as np

from tranh.data.item import Caption, Item, png
from tranh.data.look import Look
from tranh.data.place import MOST_TEXT, Place
from tranh.types import TranhError

DIGITS = {
    "en": ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"],
    "vi": ["không", "một", "hai", "ba", "bốn", "năm", "sáu", "bảy", "tám", "chín"],
}
FASHION = ["T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"]
PARTS = {"train": "train", "t10k": "test"}
TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
FILE = re.compile(r"(?:.*/)?(?P<part>train|t10k)-(?P<what>images|labels).idx[13]-ubyte(?:\.gz)?")


def found(look: Look) -> str | None:
    """Why these are IDX files, or None."""
    pairs = _pairs(look.place) if look.place else []
    return f"IDX files: {', '.join(images for images, _, _ in pairs)}" if pairs else None


def read(look: Look) -> Idx:
    """Training pictures, then test pictures."""
    return Idx(look.files())


def _pairs(place: Place) -> list[tuple[str, str, str]]:
    """(pictures, labels, split) of the place."""
    names = {
        (match["part"], match["what"]): name
        for name in place.names(lambda name: bool(FILE.fullmatch(name)))
        if (match := FILE.fullmatch(name))
    }
    return [
        (names[part, "images"], names[part, "labels"], split)
        for part, split in PARTS.items()
        if (part, "images") in names and (part, "labels") in names
    ]


def array(place: Place, name: str) -> np.ndarray:
    """The array of an IDX file.

    Raises:
        TranhError: it is none, or shorter than it says.
    """
    data = place.read(name, MOST_TEXT)
    if name.endswith(".gz"):
        try:
            with gzip.open(BytesIO(data)) as file:
                data = file.read(MOST_TEXT)
        except (OSError, EOFError, zlib.error) as error:
            raise TranhError(f"{name} cannot be unpacked: {error}") from error
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in TYPES or len(data) < 4 + 4 * data[3]:
        raise TranhError(f"{name} is no IDX file: it begins with {data[:4].hex(' ')}")
    shape = struct.unpack_from(f">{data[3]}I", data, 4)
    kind = np.dtype(TYPES[data[2]])
    count = (len(data) - 4 - 4 * data[3]) // kind.itemsize
    if count != np.prod(shape, dtype=np.uint64):
        raise TranhError(f"{name} says it holds {' x '.join(map(str, shape))} numbers, {count} are there")
    return np.frombuffer(data, kind, offset=4 + 4 * data[3]).reshape(shape)


class Idx:
    """Labelled grey pictures."""

    def __init__(self, place: Place) -> None:
        self.parts = [(array(place, images), array(place, labels), split) for images, labels, split in _pairs(place)]
        for (images, labels, _), (name, _, _) in zip(self.parts, _pairs(place), strict=True):
            if images.ndim != 3 or images.dtype != np.uint8 or labels.shape != images.shape[:1]:
                raise TranhError(
                    f"{name} holds {images.dtype} {images.shape} and {labels.shape} labels; grey pictures (N, H, W) of "
                    "bytes and N labels are read"
                )
        self.fashion = "fashion" in str(place.path.resolve()).lower()

    def __len__(self) -> int:
        return sum(len(images) for images, _, _ in self.parts)

    def __getitem__(self, index: int) -> Item:
        for images, labels, split in self.parts:
            if index < len(images):
                label = int(labels[index])
                picture = partial(png, images[index])
                return Item(f"{split}/{index:05d}", picture, self._say(label), split, str(label))
            index -= len(images)
        raise IndexError(index)

    def _say(self, label: int) -> tuple[Caption, ...]:
        words = {"en": FASHION} if self.fashion else DIGITS
        return tuple(Caption(names[label], code) for code, names in words.items() if 0 <= label < len(names))
