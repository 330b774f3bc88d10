"""Pictures seen before: the same bytes, or nearly the same picture, in this split or another.

A perceptual hash (64 signs of the lowest frequencies of the cosine transform) finds candidates, a thumbnail decides. The
index is a file, so memory does not grow with the number of pictures.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

SIDE, LOW, THUMB = 32, 8, 8
NEAR_BITS = 3
"""Signs that may differ; a quarter of the hash is then still equal, which is what is looked up."""
NEAR_COLOUR = 10.0
"""Mean difference of the thumbnails, of 255, up to which two pictures are nearly the same."""


@dataclass(frozen=True)
class Print:
    """What a picture is recognised by: the hash of its bytes, 64 signs, and an 8 x 8 thumbnail (192 bytes)."""

    sha256: str
    signs: int
    thumb: bytes


@dataclass(frozen=True)
class Double:
    """An earlier picture that this one repeats, and whether it does so byte for byte."""

    key: str
    split: str
    exact: bool


@cache
def _cosines() -> np.ndarray:
    """The first LOW + 1 rows of the cosine transform of SIDE numbers."""
    n = np.arange(SIDE)
    return np.cos(np.pi / SIDE * (n[None] + 0.5) * np.arange(LOW + 1)[:, None]).astype(np.float32)


def print_of(image: Image.Image, sha256: str) -> Print:
    """The print of an RGB picture."""
    small = image.resize((SIDE, SIDE), Image.Resampling.BOX)
    grey = np.asarray(small.convert("L"), dtype=np.float32)
    waves = (_cosines() @ grey @ _cosines().T)[1:, 1:].ravel()  # without the means of rows and columns
    signs = int.from_bytes(np.packbits(waves > np.median(waves)).tobytes(), "big")
    return Print(sha256, signs, small.resize((THUMB, THUMB), Image.Resampling.BOX).tobytes())


def difference(a: bytes, b: bytes) -> float:
    """Mean absolute difference of two thumbnails, of 255."""
    x, y = (np.frombuffer(t, np.uint8).astype(np.int16) for t in (a, b))
    return float(np.abs(x - y).mean())


class Seen:
    """The prints of the pictures so far.

    Args:
        file: where they are kept, a new file; ``:memory:`` for few.
    """

    def __init__(self, file: Path | str = ":memory:") -> None:
        self.base = sqlite3.connect(str(file))
        self.base.executescript(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-8192;"
            "CREATE TABLE seen(id INTEGER PRIMARY KEY, key TEXT, split TEXT, sha TEXT, signs BLOB, thumb BLOB);"
            "CREATE INDEX by_sha ON seen(sha);"
            "CREATE TABLE quarters(quarter INTEGER, id INTEGER, PRIMARY KEY(quarter, id)) WITHOUT ROWID;"
        )

    def find(self, new: Print, near: bool = True) -> Double | None:
        """The first earlier picture that this one repeats, exactly if there is such a one."""
        row = self.base.execute(
            "SELECT key, split FROM seen WHERE sha = ? ORDER BY id LIMIT 1", (new.sha256,)
        ).fetchone()
        if row:
            return Double(*row, exact=True)
        if not near:
            return None
        marks = ",".join("?" * 4)
        rows = self.base.execute(
            "SELECT key, split, signs, thumb FROM seen WHERE id IN "
            f"(SELECT id FROM quarters WHERE quarter IN ({marks})) ORDER BY id",
            _quarters(new.signs),
        )
        for key, split, signs, thumb in rows:
            apart = (int.from_bytes(signs, "big") ^ new.signs).bit_count()
            if apart <= NEAR_BITS and difference(thumb, new.thumb) <= NEAR_COLOUR:
                return Double(key, split, exact=False)
        return None

    def add(self, key: str, split: str, new: Print) -> None:
        """Remember a picture."""
        signs = new.signs.to_bytes(8, "big")
        cursor = self.base.execute(
            "INSERT INTO seen(key, split, sha, signs, thumb) VALUES (?,?,?,?,?)",
            (key, split, new.sha256, signs, new.thumb),
        )
        rows = [(quarter, cursor.lastrowid) for quarter in _quarters(new.signs)]
        self.base.executemany("INSERT INTO quarters VALUES (?,?)", rows)

    def close(self) -> None:
        self.base.close()


def _quarters(signs: int) -> list[int]:
    """Four numbers, one for each 16 signs and its place."""
    return [(i << 16) | (signs >> (16 * i)) & 0xFFFF for i in range(4)]
