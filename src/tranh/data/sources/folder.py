"""Pictures in folders beside ``metadata.jsonl`` or ``metadata.csv``, as Hugging Face's ``imagefolder`` has them.

A metadata file speaks of the pictures of its own folder and those below it, by ``file_name``.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tranh.data.item import Item, captions_in, split_of
from tranh.types import TranhError

NAMES = ("metadata.jsonl", "metadata.csv")


def found(path: Path) -> str | None:
    """Why this is such a folder, or None."""
    files = _files(path) if path.is_dir() else []
    return f"{', '.join(str(f.relative_to(path)) for f in files[:3])} beside the pictures" if files else None


def read(path: Path) -> Folder:
    """The folder's pictures in the order of its metadata files."""
    return Folder(path)


class Folder:
    """What the metadata files list; a line that cannot be read is an item that says so."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows = [row for file in _files(path) for row in _rows(path, file)]
        if not self.rows:
            raise TranhError(f"{path}: its metadata lists no picture; each line needs file_name and a caption (text)")

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Item:
        key, record, broken = self.rows[index]
        split = split_of([*Path(key).parts[:-1], str(record.get("split", ""))])
        label = record.get("label")
        return Item(
            key, (self.path / key).read_bytes, captions_in(record), split, None if label is None else str(label), broken
        )


def _files(path: Path) -> list[Path]:
    return sorted(file for name in NAMES for file in path.rglob(name))


def _rows(root: Path, file: Path) -> Iterator[tuple[str, Mapping[str, Any], str]]:
    place = file.parent.relative_to(root)
    for number, record, broken in _csv(file) if file.suffix == ".csv" else _jsonl(file):
        name = record.get("file_name") or record.get("file") or record.get("image")
        if not broken and not isinstance(name, str):
            broken = f"{file.name}, line {number}, names no file_name"
        key = (place / name).as_posix() if isinstance(name, str) else f"{(place / file.name).as_posix()}:{number}"
        if not broken and not (root / key).resolve().is_relative_to(root.resolve()):
            broken = f"{file.name}, line {number}, points outside the folder"
        yield key, record, broken


def _jsonl(file: Path) -> Iterator[tuple[int, Mapping[str, Any], str]]:
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                yield number, {}, f"{file.name}, line {number}, is no JSON: {error}"
                continue
            if isinstance(record, dict):
                yield number, record, ""
            else:
                yield number, {}, f"{file.name}, line {number}, is no object"


def _csv(file: Path) -> Iterator[tuple[int, Mapping[str, Any], str]]:
    with file.open(encoding="utf-8-sig", errors="replace", newline="") as lines:
        for number, record in enumerate(csv.DictReader(lines), 2):
            yield number, {k: v for k, v in record.items() if k is not None}, ""
