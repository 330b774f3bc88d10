"""A data set of the Hugging Face hub by its id (``owner/name``), through their ``datasets``; cached by it, offline after."""

from __future__ import annotations

import re
from bisect import bisect_right
from itertools import accumulate
from pathlib import Path
from typing import Any

from tranh.data.item import Item, captions_in, split_of
from tranh.types import TranhError

ID = re.compile(r"(?:hf:)?([\w.-]+/[\w.-]+)")


def found(path: Path) -> str | None:
    """Is this the id of a data set, and nothing on this disk?"""
    match = ID.fullmatch(path.as_posix())
    return f"the data set {match[1]} of the Hugging Face hub" if match and not path.exists() else None


def read(path: Path) -> Hub:
    """All splits, one after another."""
    match = ID.fullmatch(path.as_posix())
    return Hub(match[1] if match else path.as_posix())


class Hub:
    """Rows of a data set with pictures; they are not decoded."""

    def __init__(self, name: str) -> None:
        try:
            import datasets
        except ImportError as error:
            raise TranhError("data sets of the hub are read with datasets: pip install 'tranh[data]'") from error
        try:
            self.splits: dict[str, Any] = dict(datasets.load_dataset(name))
        except Exception as error:  # the network, the id, the format: theirs to say
            raise TranhError(f"{name} could not be loaded from the hub: {error}") from error
        first = next(iter(self.splits.values()))
        pictures = [key for key, kind in first.features.items() if isinstance(kind, datasets.Image)]
        if not pictures:
            raise TranhError(f"{name} has no pictures; its columns: {', '.join(first.features)}")
        self.picture = pictures[0]
        raw = datasets.Image(decode=False)
        self.splits = {split: rows.cast_column(self.picture, raw) for split, rows in self.splits.items()}
        self.names = list(self.splits)
        self.ends = list(accumulate(len(rows) for rows in self.splits.values()))

    def __len__(self) -> int:
        return self.ends[-1]

    def __getitem__(self, index: int) -> Item:
        which = bisect_right(self.ends, index)
        row = index - (self.ends[which - 1] if which else 0)
        record = self.splits[self.names[which]][row]
        value = record.pop(self.picture)
        label = record.get("label")

        def bytes_of() -> bytes:
            return bytes(value["bytes"]) if value["bytes"] else Path(value["path"]).read_bytes()

        key = f"{self.names[which]}/{row}"
        return Item(
            key, bytes_of, captions_in(record), split_of([self.names[which]]), None if label is None else str(label)
        )
