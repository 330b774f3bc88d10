"""COCO captions: ``annotations/captions_train2017.json`` beside ``train2017/``, five captions a picture."""

from __future__ import annotations

import json
import posixpath
import re
from array import array
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

from tranh.data.item import Caption, Item, split_of
from tranh.data.look import Look
from tranh.data.place import MOST_TEXT, Place, Strings, inside
from tranh.types import TranhError

HEAD = 4096
"""Bytes of a JSON file that are looked at to tell what it is."""
CAPTIONS = re.compile(r"(?:annotations/)?captions_[^/]*\.json")


def found(look: Look) -> str | None:
    """Why this is COCO, or None."""
    files = _files(look)[1]
    return f"COCO captions in {', '.join(files)}" if files else None


def read(look: Look) -> Coco:
    """Every picture that has captions, in the order of the files."""
    place, files = _files(look)
    return Coco(place, files)


def _files(look: Look) -> tuple[Place, list[str]]:
    """The caption files a path stands for: itself, or those in it or its ``annotations``; and where they lie."""
    if look.place is not None:
        return look.place, list(look.place.names(lambda name: bool(CAPTIONS.fullmatch(name))))
    file = look.path.absolute()
    if file.suffix != ".json" or not file.is_file() or not _is_coco(file):
        return Place(file.parent), []
    near = file.parent.name == "annotations"
    return (Place(file.parent.parent), [f"annotations/{file.name}"]) if near else (Place(file.parent), [file.name])


def _is_coco(file: Path) -> bool:
    with file.open("rb") as start:
        head = start.read(HEAD)
    return file.name.startswith("captions_") or b'"annotations"' in head or b'"images"' in head


class Coco:
    """Pictures of one or several caption files; the files are read whole once, then kept as plain text."""

    def __init__(self, place: Place, files: list[str]) -> None:
        self.place = place
        names: list[str] = []
        captions: list[str] = []
        self.ends = array("Q")  # of each picture's captions
        self.parts: list[tuple[int, str, str]] = []  # first picture, folder, split of each file
        for file in files:
            rows, folder, split = _rows(place, file)
            self.parts.append((len(names), folder, split))
            for name, said in rows:
                names.append(name)
                captions += said
                self.ends.append(len(captions))
        self.names, self.captions = Strings(names), Strings(captions)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Item:
        _, folder, split = next(part for part in reversed(self.parts) if part[0] <= index)
        said = self.captions[self.ends[index - 1] if index else 0 : self.ends[index]]
        key = posixpath.join(folder, self.names[index])
        broken = "" if inside(key) else "its file_name points outside the folder"
        return Item(key, partial(self.place.read, key), tuple(Caption(text) for text in said), split, None, broken)


def _rows(place: Place, file: str) -> tuple[list[tuple[str, list[str]]], str, str]:
    """(name, captions) of the pictures of a file, their folder and their split."""
    try:
        value: Any = json.loads(place.read(file, MOST_TEXT))
        pictures = [(one["id"], str(one["file_name"])) for one in value["images"]]
        said: dict[Any, list[str]] = defaultdict(list)
        for one in value["annotations"]:
            said[one["image_id"]].append(str(one["caption"]))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise TranhError(f"{file} is no COCO caption file: {error!r}; it needs images and annotations") from error
    name = re.sub(r"^captions_", "", posixpath.basename(file).removesuffix(".json"))  # train2017
    near = posixpath.dirname(file)
    places = (name, f"images/{name}", posixpath.join(near, name), posixpath.join(near, "images"), "images", near, "")
    first = pictures[0][1] if pictures else ""
    folder = next((folder for folder in places if place.has(posixpath.join(folder, first))), name)
    split = split_of([re.sub(r"\d+$", "", name)])
    return [(picture, said[number]) for number, picture in pictures], folder, split
