"""A data set of the Hugging Face hub by its id (``owner/name``), through their ``datasets``; cached by it."""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

from tranh.data.item import Item, captions_in, is_picture, label_of, split_of
from tranh.data.look import Look
from tranh.data.place import Place
from tranh.types import TranhError

ID = re.compile(r"hf:(?P<forced>[\w.-]+(?:/[\w.-]+)?)|(?P<plain>[\w-][\w.-]*/[\w.-]+)")


def found(look: Look) -> str | None:
    """Is this the id of a data set, and nothing on this disk?"""
    name = _name(look)
    return f"the data set {name} of the Hugging Face hub" if name and not look.path.exists() else None


def read(look: Look) -> Hub:
    """All splits, one after another."""
    return Hub(_name(look) or look.text)


def _name(look: Look) -> str | None:
    match = ID.fullmatch(look.text)
    return (match["forced"] or match["plain"]) if match and not is_picture(look.text) else None


class Hub:
    """Rows of a data set with pictures; they are not decoded by it."""

    def __init__(self, name: str) -> None:
        try:
            import datasets
        except ImportError as error:
            raise TranhError("data sets of the hub are read with datasets: pip install 'tranh[data]'") from error
        try:
            splits: dict[str, Any] = dict(datasets.load_dataset(name))
        except Exception as error:  # the network, the id, the format: theirs to say
            raise TranhError(
                f"{name} is nothing on this disk, and could not be loaded from the hub as a data set: {error}"
            ) from error
        first = next(iter(splits.values()))
        pictures = [key for key, kind in first.features.items() if isinstance(kind, datasets.Image)]
        if not pictures:
            raise TranhError(f"{name} has no pictures; its columns: {', '.join(first.features)}")
        self.picture = pictures[0]
        raw = datasets.Image(decode=False)
        self.splits = {split: rows.cast_column(self.picture, raw) for split, rows in splits.items()}
        self.classes = {
            split: rows.features["label"].names
            for split, rows in splits.items()
            if isinstance(rows.features.get("label"), datasets.ClassLabel)
        }
        self.names = list(self.splits)
        self.ends = list(accumulate(len(rows) for rows in self.splits.values()))

    def __len__(self) -> int:
        return self.ends[-1]

    def __getitem__(self, index: int) -> Item:
        which = bisect_right(self.ends, index)
        split = self.names[which]
        row = index - (self.ends[which - 1] if which else 0)
        record: dict[str, Any] = self.splits[split][row]
        value = record.pop(self.picture) or {}
        names = self.classes.get(split)
        if names and isinstance(record.get("label"), int) and 0 <= record["label"] < len(names):
            record["label"] = names[record["label"]]
        label = label_of(record)
        captions = captions_in(record) or (captions_in({"text": label}) if names else ())
        read = partial(_bytes, value.get("bytes"), value.get("path"))
        return Item(f"{split}/{row}", read, captions, split_of([split]), label)


def _bytes(data: bytes | None, path: str | None) -> bytes:
    if data:
        return data
    if path and is_picture(path):  # of the library's own cache
        return Place(Path(path).parent).read(Path(path).name)
    raise FileNotFoundError("its picture is empty")
