"""COCO captions: ``annotations/captions_train2017.json`` beside ``train2017/``, five captions a picture."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

from tranh.data.item import Caption, Item, split_of
from tranh.types import TranhError

HEAD = 4096
"""Bytes of a JSON file that are looked at to tell what it is."""


def found(path: Path) -> str | None:
    """Why this is COCO, or None."""
    files = captions_of(path)
    return f"COCO captions in {', '.join(file.name for file in files)}" if files else None


def read(path: Path) -> Coco:
    """Every picture that has captions, in the order of the files."""
    return Coco(path)


def captions_of(path: Path) -> list[Path]:
    """The caption files a path stands for: itself, or those in it or its ``annotations``."""
    if path.is_file():
        return [path] if path.suffix == ".json" and _is_coco(path) else []
    places = (path, path / "annotations")
    return sorted(f for place in places for f in place.glob("captions_*.json")) if path.is_dir() else []


def _is_coco(file: Path) -> bool:
    with file.open("rb") as start:
        head = start.read(HEAD)
    if b'"annotations"' in head or b'"images"' in head:
        return True
    return file.name.startswith("captions_")


class Coco:
    """Pictures of one or several caption files."""

    def __init__(self, path: Path) -> None:
        self.rows: list[tuple[Path, str, tuple[str, ...], str]] = []
        for file in captions_of(path):
            self.rows += _rows(file)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Item:
        folder, name, captions, split = self.rows[index]
        said = tuple(Caption(text) for text in captions)
        return Item(f"{folder.name}/{name}", (folder / name).read_bytes, said, split)


def _rows(file: Path) -> list[tuple[Path, str, tuple[str, ...], str]]:
    try:
        value: Any = json.loads(file.read_bytes())
        pictures = [(one["id"], str(one["file_name"])) for one in value["images"]]
        said: dict[Any, list[str]] = defaultdict(list)
        for one in value["annotations"]:
            said[one["image_id"]].append(str(one["caption"]))
    except (ValueError, KeyError, TypeError) as error:
        raise TranhError(f"{file} is no COCO caption file: {error!r}; it needs images and annotations") from error
    name = re.sub(r"^captions_", "", file.stem)  # train2017
    folder = _folder(file, name, pictures[0][1] if pictures else "")
    split = split_of([re.sub(r"\d+$", "", name)])
    return [(folder, picture, tuple(said[number]), split) for number, picture in pictures]


def _folder(file: Path, name: str, first: str) -> Path:
    """Where the pictures of a caption file lie: the first usual place that holds the first of them."""
    near, above = file.parent, file.parent.parent
    places = (above / name, above / "images" / name, near / name, near / "images", above / "images", near, above)
    return next((place for place in places if (place / first).is_file()), above / name)
