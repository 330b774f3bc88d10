"""scikit-learn's 1797 handwritten digits of 8 x 8 pixels, named ``digits``: nothing needs to be downloaded.

From the UCI test set of Alpaydin and Kaynak (1998); every fifth is for testing.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from tranh.data.item import Caption, Item, png
from tranh.data.look import Look
from tranh.data.sources.idx import DIGITS
from tranh.types import TranhError

NAME = "digits"


def found(look: Look) -> str | None:
    """Is the built-in set meant?"""
    return "the handwritten digits of scikit-learn" if look.text == NAME and not look.path.exists() else None


def read(look: Look) -> Digits:
    """All of them, in their published order."""
    return Digits()


class Digits:
    """Grey pictures of 16 levels, stretched to 0..255."""

    def __init__(self) -> None:
        try:
            from sklearn.datasets import load_digits
        except ImportError as error:
            raise TranhError("the digits come with scikit-learn: pip install scikit-learn") from error
        data = load_digits()
        self.images = np.round(data.images * (255 / 16)).astype(np.uint8)  # (1797, 8, 8)
        self.labels = data.target

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Item:
        label = int(self.labels[index])
        said = tuple(Caption(names[label], language) for language, names in DIGITS.items())
        split = "test" if index % 5 == 4 else "train"
        return Item(f"{index:04d}", partial(png, self.images[index]), said, split, str(label))
