"""MNIST and Fashion-MNIST as they are published: ``train-images-idx3-ubyte`` and ``train-labels-idx1-ubyte``, gzipped or not.

A digit's caption is its name in English and Vietnamese; a garment's its class's.
"""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np

from tranh.data.item import Caption, Item, png
from tranh.types import TranhError

DIGITS = {
    "en": ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"],
    "vi": ["không", "một", "hai", "ba", "bốn", "năm", "sáu", "bảy", "tám", "chín"],
}
FASHION = ["T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"]
PARTS = {"train": "train", "t10k": "test"}
TYPES = {8: np.uint8, 9: np.int8, 11: np.dtype(">i2"), 12: np.dtype(">i4"), 13: np.dtype(">f4"), 14: np.dtype(">f8")}


def found(path: Path) -> str | None:
    """Why these are IDX files, or None."""
    pairs = pairs_of(path)
    return f"IDX files: {', '.join(images.name for images, _, _ in pairs)}" if pairs else None


def pairs_of(path: Path) -> list[tuple[Path, Path, str]]:
    """(pictures, labels, split) of the folder."""
    out = []
    for part, split in PARTS.items() if path.is_dir() else ():
        files = [
            next((p for p in sorted(path.glob(f"{part}-{what}?idx{rank}-ubyte*")) if p.suffix in ("", ".gz")), None)
            for what, rank in (("images", 3), ("labels", 1))
        ]
        if files[0] and files[1]:
            out.append((files[0], files[1], split))
    return out


def read(path: Path) -> Idx:
    """Training pictures, then test pictures."""
    return Idx(path)


def array(file: Path) -> np.ndarray:
    """The array of an IDX file.

    Raises:
        TranhError: it is none, or shorter than it says.
    """
    data = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in TYPES:
        raise TranhError(f"{file} is no IDX file: it begins with {data[:4].hex(' ')}")
    shape = struct.unpack_from(f">{data[3]}I", data, 4)
    values = np.frombuffer(data, TYPES[data[2]], offset=4 + 4 * data[3])
    if values.size != np.prod(shape):
        raise TranhError(f"{file} says it holds {' x '.join(map(str, shape))} numbers, {values.size} are there")
    return values.reshape(shape)


class Idx:
    """Labelled grey pictures."""

    def __init__(self, path: Path) -> None:
        self.parts = [(array(images), array(labels), split) for images, labels, split in pairs_of(path)]
        self.fashion = "fashion" in str(path.resolve()).lower()

    def __len__(self) -> int:
        return sum(len(images) for images, _, _ in self.parts)

    def __getitem__(self, index: int) -> Item:
        for images, labels, split in self.parts:
            if index < len(images):
                label = int(labels[index])
                return Item(
                    f"{split}/{index:05d}", lambda i=index, a=images: png(a[i]), self._say(label), split, str(label)
                )
            index -= len(images)
        raise IndexError(index)

    def _say(self, label: int) -> tuple[Caption, ...]:
        if self.fashion:
            return (Caption(FASHION[label], "en"),)
        return tuple(Caption(names[label], language) for language, names in DIGITS.items() if label < len(names))
