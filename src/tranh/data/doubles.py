"""Pictures seen before: the same bytes, or nearly the same picture, in this split or another.

A perceptual hash (64 signs of the lowest frequencies of the cosine transform) finds candidates, a thumbnail decides.
The index is a file, so memory does not grow with the number of pictures. Crops and mirror images are not found.
"""

from __future__ import annotations

import hashlib
import sqlite3
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

SIDE, LOW, THUMB = 32, 8, 16
FLAT = 2.0
"""Largest wave, of 255, of a picture that has nothing in it: its signs would be chance, so its colour names it."""
NEAR_BITS = 10
"""Signs that may differ. A quarter of the hash must be equal, as it always is where three differ: it is looked up."""
NEAR_COLOUR, NEAR_SPOT, NEAR_LIGHT = 5.0, 32, 16.0
"""Mean and largest difference of the thumbnails, of 255, up to which two pictures are nearly the same, the difference
of their mean colours taken off; and how large that may be: a copy may be lit otherwise."""
NEAR_SHAPE, NOISE = 0.93, 4.0
"""Least correlation of the thumbnails, without their mean colours: small things on a plain ground differ little, but in
place. What varies by less than ``NOISE`` (variance, of 255 levels) has no shape to compare."""
CANDIDATES = 256
"""Thumbnails that are compared at most: a thousand pictures of one hash are no doubles but one kind of picture."""


@dataclass(frozen=True)
class Print:
    """What a picture is recognised by: the hash of its bytes, 64 signs, and a 16 x 16 thumbnail (768 bytes)."""

    sha256: str
    signs: int
    thumb: bytes


@dataclass(frozen=True)
class Double:
    """An earlier picture that this one repeats, its number among those remembered, and whether byte for byte."""

    key: str
    split: str
    number: int
    exact: bool


@cache
def _cosines() -> np.ndarray:
    """The first LOW + 1 rows of the cosine transform of SIDE numbers."""
    n = np.arange(SIDE)
    return np.cos(np.pi / SIDE * (n[None] + 0.5) * np.arange(LOW + 1)[:, None]).astype(np.float32)


def print_of(image: Image.Image, sha256: str) -> Print:
    """The print of an RGB picture.

    Args:
        sha256: of its bytes, as hexadecimal digits.
    """
    if image.size == (SIDE, SIDE):
        small = image
    elif image.width % SIDE or image.height % SIDE:
        small = image.resize((SIDE, SIDE), Image.Resampling.BOX, reducing_gap=2.0)
    else:  # the same, in half the time
        small = image.reduce((image.width // SIDE, image.height // SIDE))
    grey = np.asarray(small.convert("L"), dtype=np.float32)
    waves = (_cosines() @ grey @ _cosines().T)[1:, 1:].ravel()  # without the means of rows and columns
    thumb = small.reduce(SIDE // THUMB)
    if np.abs(waves).max() < FLAT * SIDE * SIDE / 4:
        mean = np.asarray(thumb, dtype=np.float32).mean((0, 1))
        signs = int(hashlib.sha256(np.round(mean / 8).astype(np.uint8).tobytes()).hexdigest()[:16], 16)
    else:
        signs = int.from_bytes(np.packbits(waves > np.partition(waves, 31)[31]).tobytes(), "big")
    return Print(sha256, signs, thumb.tobytes())


def alike(a: bytes, b: bytes) -> bool:
    """Do two thumbnails show nearly the same: little difference on the whole, and nowhere much?"""
    x, y = (np.frombuffer(thumb, np.uint8).astype(np.float32).reshape(-1, 3) for thumb in (a, b))
    light = np.abs((x - y).mean(0)).max()
    x, y = x - x.mean(0), y - y.mean(0)
    apart, noise = np.abs(x - y), NOISE * x.size
    shape = (float((x * y).sum()) + noise) / (float(np.sqrt((x * x).sum() * (y * y).sum())) + noise)
    near = light <= NEAR_LIGHT and apart.mean() <= NEAR_COLOUR and apart.max() <= NEAR_SPOT
    return bool(near and shape >= NEAR_SHAPE)


class Seen:
    """The prints of the pictures so far.

    Args:
        file: where they are kept; ``:memory:`` for few. Nothing is committed here.

    Attributes:
        base: the database, for those who keep more beside the prints.
    """

    def __init__(self, file: Path | str = ":memory:") -> None:
        self.base = sqlite3.connect(str(file), timeout=0)
        self.base.execute(
            "CREATE TABLE IF NOT EXISTS prints(number INTEGER PRIMARY KEY, key BLOB, split TEXT, sha BLOB, thumb BLOB)"
        )
        self.base.execute("CREATE INDEX IF NOT EXISTS by_sha ON prints(sha)")
        self.base.execute(
            "CREATE TABLE IF NOT EXISTS quarters(quarter INTEGER, number INTEGER, signs INTEGER, "
            "PRIMARY KEY(quarter, number)) WITHOUT ROWID"
        )

    def find(self, new: Print, near: bool = True) -> Double | None:
        """The first earlier picture that this one repeats, exactly if there is such a one."""
        row = self.base.execute(
            "SELECT key, split, number FROM prints WHERE sha = ? ORDER BY number LIMIT 1", (bytes.fromhex(new.sha256),)
        ).fetchone()
        if row:
            key, split, number = row
            return Double(_text(key), split, number, True)
        if not near:
            return None
        rows = self.base.execute("SELECT number, signs FROM quarters WHERE quarter IN (?,?,?,?)", _quarters(new.signs))
        close = {number for number, signs in rows if ((signs + 2**63) ^ new.signs).bit_count() <= NEAR_BITS}
        for number in sorted(close)[:CANDIDATES]:
            key, split, thumb = self.base.execute(
                "SELECT key, split, thumb FROM prints WHERE number = ?", (number,)
            ).fetchone()
            if alike(thumb, new.thumb):
                return Double(_text(key), split, number, False)
        return None

    def add(self, key: str, split: str, new: Print, number: int | None = None) -> int:
        """Remember a picture; the number it is remembered by, the next one if None is given."""
        cursor = self.base.execute(
            "INSERT INTO prints VALUES (?,?,?,?,?)",
            (number, key.encode("utf-8", "surrogatepass"), split, bytes.fromhex(new.sha256), new.thumb),
        )
        number = int(cursor.lastrowid or 0)
        signs = new.signs - 2**63  # whole numbers have a sign there
        rows = [(quarter, number, signs) for quarter in _quarters(new.signs)]
        self.base.executemany("INSERT INTO quarters VALUES (?,?,?)", rows)
        return number

    def forget(self, number: int) -> None:
        """Take a picture out again."""
        self.base.execute("DELETE FROM prints WHERE number = ?", (number,))
        self.base.execute("DELETE FROM quarters WHERE number = ?", (number,))

    def close(self) -> None:
        self.base.close()


def _text(key: bytes) -> str:
    """A key; names of files may hold halves of letters, which are no text to a database."""
    return key.decode("utf-8", "surrogatepass")


def _quarters(signs: int) -> list[int]:
    """Four numbers, one for each 16 signs and its place."""
    return [(i << 16) | (signs >> (16 * i)) & 0xFFFF for i in range(4)]
