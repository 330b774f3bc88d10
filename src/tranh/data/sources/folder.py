"""Pictures in folders beside ``metadata.jsonl`` or ``metadata.csv``, as Hugging Face's ``imagefolder`` has them.

A metadata file speaks of the pictures of its own folder and those below it, by ``file_name``. Its lines are found once
and read one by one: what stays in memory is where each of them begins.
"""

from __future__ import annotations

import csv
import json
import posixpath
from array import array
from collections.abc import Iterator
from functools import partial
from typing import Any

from tranh.data.item import Item, captions_in, label_of, split_of
from tranh.data.look import Look
from tranh.data.place import Place, inside
from tranh.types import TranhError

NAMES = ("metadata.jsonl", "metadata.csv")
FILE = ("file_name", "file", "image", "path")
"""Fields that may name the picture, the usual one first."""


def found(look: Look) -> str | None:
    """Why this is such a folder, or None."""
    files = _files(look.place)[:3] if look.place else []
    return f"{', '.join(files)} beside the pictures" if files else None


def read(look: Look) -> Folder:
    """The folder's pictures in the order of its metadata files."""
    return Folder(look.files())


def _files(place: Place) -> list[str]:
    return list(place.names(lambda name: posixpath.basename(name) in NAMES))


class Folder:
    """What the metadata files list; a line that cannot be read is an item that says so."""

    def __init__(self, place: Place) -> None:
        self.place, self.files = place, _files(place)
        self.heads = [_head(place, file) for file in self.files]
        self.which, self.number, self.start, self.size = (array("Q") for _ in range(4))
        for which, file in enumerate(self.files):
            for number, start, size in _rows(place, file):
                self.which.append(which)
                self.number.append(number)
                self.start.append(start)
                self.size.append(size)
        if not self.start:
            raise TranhError(
                f"{place.path}: its metadata lists no picture; each line needs file_name and a caption (text)"
            )

    def __len__(self) -> int:
        return len(self.start)

    def __getitem__(self, index: int) -> Item:
        file, number = self.files[self.which[index]], self.number[index]
        line = self.place.slice(file, self.start[index], self.size[index])
        record, broken = _record(line, self.heads[self.which[index]])
        name = next((record[field] for field in FILE if isinstance(record.get(field), str)), None)
        if not broken and not name:
            broken = "names no file_name"
        key = posixpath.join(posixpath.dirname(file), name) if name else f"{file}:{number}"
        if not broken and not inside(key):
            broken = "points outside the folder"
        if broken:
            broken = f"{file}, line {number}, {broken}"
        key = inside(key) or key
        split = split_of([*key.split("/")[:-1], str(record.get("split", ""))])
        return Item(key, partial(self.place.read, key), captions_in(record), split, label_of(record), broken)


def _head(place: Place, file: str) -> list[str] | None:
    """The columns of a table, None for JSON lines."""
    if file.endswith(".jsonl"):
        return None
    first = next(place.lines(file), b"").decode("utf-8-sig", errors="replace")
    return next(csv.reader([first]), [])


def _rows(place: Place, file: str) -> Iterator[tuple[int, int, int]]:
    """(number of its line, where it begins, its bytes) of every record."""
    if file.endswith(".jsonl"):
        start = 0
        for number, line in enumerate(place.lines(file), 1):
            if line.strip():
                yield number, start, len(line)
            start += len(line)
        return
    read = lines = 0

    def counted() -> Iterator[str]:
        nonlocal read, lines
        for line in place.lines(file):
            read, lines = read + len(line), lines + 1
            yield line.decode("utf-8", errors="replace")

    start, number = 0, 1
    for count, row in enumerate(csv.reader(counted())):  # it takes no more lines than the record has
        if count and row:
            yield number, start, read - start
        start, number = read, lines + 1


def _record(line: bytes, head: list[str] | None) -> tuple[dict[str, Any], str]:
    """What a line says, and what is wrong with it."""
    if head is not None:
        row = next(csv.reader(line.decode("utf-8", errors="replace").splitlines(keepends=True)), [])
        return dict(zip(head, row, strict=False)), ""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        return {}, f"is no JSON: {error}"
    return (record, "") if isinstance(record, dict) else ({}, "is no object")
