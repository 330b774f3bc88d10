"""Caltech-UCSD Birds 200: ``images.txt``, ``train_test_split.txt`` and ten captions a picture in ``text``.

The captions are Reed et al.'s (2016): a text file of ten lines beside the name of every picture, in ``text``,
``text_c10`` or ``cvpr2016_cub/text_c10``.
"""

from __future__ import annotations

from functools import partial

from tranh.data.item import Caption, Item
from tranh.data.look import Look
from tranh.data.place import Place

ROOTS = ("", "CUB_200_2011/")
PLACES = ("text", "text_c10", "cvpr2016_cub/text_c10")


def found(look: Look) -> str | None:
    """Why this is CUB, or None."""
    root = _root(look.place) if look.place else None
    return None if root is None else f"CUB-200: {root}images.txt and {root}images"


def read(look: Look) -> Cub:
    """All pictures in the order of ``images.txt``."""
    place = look.files()
    return Cub(place, _root(place) or "")


def _root(place: Place) -> str | None:
    """The folder that holds ``images.txt`` and ``images``, here or one below."""
    return next((r for r in ROOTS if place.has(f"{r}images.txt") and place.has_folder(f"{r}images")), None)


class Cub:
    """Pictures with their ten captions; the class's name where there is no caption file."""

    def __init__(self, place: Place, root: str) -> None:
        self.place, self.root = place, root
        self.names = _table(place, f"{root}images.txt")
        split = f"{root}train_test_split.txt"
        self.training = _table(place, split) if place.has(split) else {}
        roots = (root, "") if root else ("",)
        self.texts = next((r + p for r in roots for p in PLACES if place.has_folder(r + p)), None)
        self.numbers = list(self.names)

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> Item:
        number = self.numbers[index]
        name = self.names[number]  # 001.Black_footed_Albatross/Black_Footed_Albatross_0009_34.jpg
        label = name.rpartition("/")[0].partition(".")[2].replace("_", " ")
        split = {"1": "train", "0": "test"}.get(self.training.get(number, ""), "")
        captions = tuple(Caption(line, "en") for line in self._lines(name)) or (Caption(label, "en"),)
        return Item(name, partial(self.place.read, f"{self.root}images/{name}"), captions, split, label)

    def _lines(self, name: str) -> list[str]:
        file = f"{self.texts}/{name.rpartition('.')[0]}.txt"
        if self.texts is None or not self.place.has(file):
            return []
        lines = self.place.read(file).decode("utf-8", errors="replace").splitlines()
        return [line for line in lines if line.strip()]


def _table(place: Place, file: str) -> dict[str, str]:
    """``number value`` lines as a dict."""
    lines = place.read(file).decode("utf-8", errors="replace").splitlines()
    pairs = (line.split(maxsplit=1) for line in lines if len(line.split(maxsplit=1)) == 2)
    return {number: value.strip() for number, value in pairs}
