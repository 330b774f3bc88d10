"""Caltech-UCSD Birds 200: ``images.txt``, ``train_test_split.txt`` and ten captions a picture in ``text``.

The captions are Reed et al.'s (2016): a text file of ten lines beside the name of every picture, in ``text``, ``text_c10``
or ``cvpr2016_cub/text_c10``.
"""

from __future__ import annotations

from pathlib import Path

from tranh.data.item import Caption, Item

PLACES = ("text", "text_c10", "cvpr2016_cub/text_c10", "../text", "../text_c10", "../cvpr2016_cub/text_c10")


def found(path: Path) -> str | None:
    """Why this is CUB, or None."""
    root = root_of(path)
    return f"CUB-200: {root / 'images.txt'}" if root else None


def root_of(path: Path) -> Path | None:
    """The folder that holds ``images.txt`` and ``images``, here or one below."""
    places = (path, path / "CUB_200_2011") if path.is_dir() else ()
    return next((p for p in places if (p / "images.txt").is_file() and (p / "images").is_dir()), None)


def read(path: Path) -> Cub:
    """All pictures in the order of ``images.txt``."""
    return Cub(root_of(path) or path)


class Cub:
    """Pictures with their ten captions; the class's name where there is no caption file."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.names = _table(root / "images.txt")
        split = root / "train_test_split.txt"
        self.training = _table(split) if split.is_file() else {}
        self.texts = next((root / p for p in PLACES if (root / p).is_dir()), None)
        self.numbers = list(self.names)

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> Item:
        number = self.numbers[index]
        name = Path(self.names[number])  # 001.Black_footed_Albatross/Black_Footed_Albatross_0009_34.jpg
        label = name.parent.name.partition(".")[2].replace("_", " ")
        split = {"1": "train", "0": "test"}.get(self.training.get(number, ""), "")
        captions = tuple(Caption(line, "en") for line in self._lines(name)) or (Caption(label, "en"),)
        return Item(name.as_posix(), (self.root / "images" / name).read_bytes, captions, split, label)

    def _lines(self, name: Path) -> list[str]:
        file = self.texts / name.with_suffix(".txt") if self.texts is not None else None
        if file is None or not file.is_file():
            return []
        return [line for line in file.read_text("utf-8", errors="replace").splitlines() if line.strip()]


def _table(file: Path) -> dict[str, str]:
    """``number value`` lines as a dict."""
    pairs = (line.split(maxsplit=1) for line in file.read_text("utf-8").splitlines() if line.strip())
    return {number: value.strip() for number, value in pairs}
