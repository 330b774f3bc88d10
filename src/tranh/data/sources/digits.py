"""scikit-learn's 1797 handwritten digits of 8 x 8 pixels, named ``digits``: nothing needs to be downloaded.

From the UCI test set of Alpaydin and Kaynak (1998); every fifth is for testing.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tranh.data.item import Caption, Item, png
from tranh.data.sources.idx import DIGITS
from tranh.types import TranhError

NAME = "digits"


def found(path: Path) -> str | None:
    """Is the built-in set meant?"""
    return "the handwritten digits of scikit-learn" if str(path) == NAME and not path.exists() else None


def read(path: Path) -> Digits:
    """All of them, in their published order."""
    return Digits()


class Digits:
    """Grey pictures of 16 levels, stretched to 0..255."""

    def __init__(self) -> None:
        try:
            from sklearn.datasets import load_digits
        except ImportError as error:
            raise TranhError("the digits come with scikit-learn: pip install 'tranh[data]'") from error
        self.data = load_digits()

    def __len__(self) -> int:
        return len(self.data.target)

    def __getitem__(self, index: int) -> Item:
        label = int(self.data.target[index])
        pixels = np.round(self.data.images[index] * (255 / 16)).astype(np.uint8)
        said = tuple(Caption(names[label], language) for language, names in DIGITS.items())
        return Item(f"{index:04d}", lambda: png(pixels), said, "test" if index % 5 == 4 else "train", str(label))
