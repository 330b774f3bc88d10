"""Tar shards as webdataset and img2dataset have them: ``00000.tar`` holds ``000000000.jpg``, ``.txt`` and ``.json``.

Given as one tar, a folder of them, or a list in braces (``cc12m-{00000..01242}.tar``). Files of one sample stand side
by side and share the name up to the first dot. Headers are read to count the samples, and again for the shard in use;
pictures are read in place.
"""

from __future__ import annotations

import json
import re
import tarfile
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate, islice
from pathlib import Path
from typing import Any

from tranh.data.item import SUFFIXES, Caption, Item, captions_in, label_of, split_of
from tranh.data.look import Look
from tranh.data.place import Place, read_at, tar_members
from tranh.types import TranhError

BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}|\{([^{}]*,[^{}]*)\}")
BESIDE = ("txt", "json", "caption", "cls")
"""What lies beside the pictures of a sample."""
GLANCE = 64
"""Members of the first tar that are looked at to tell shards from a folder in a tar."""
KEPT = 2
"""Shards whose headers are kept."""


def found(look: Look) -> str | None:
    """Why these are shards, or None."""
    files = shards_of(look.path)
    if not files or (len(files) == 1 and files[0].is_file() and not _has_samples(files[0])):
        return None
    more = ", ..." if len(files) > 1 else ""
    return f"{len(files)} tar shard{'s' if len(files) > 1 else ''}: {files[0].name}{more}"


def read(look: Look) -> Shards:
    """The samples of all shards, in order."""
    return Shards(shards_of(look.path))


def expand(text: str) -> list[str]:
    """``a-{000..002}.tar`` and ``{train,test}.tar`` as the names they stand for."""
    match = BRACES.search(text)
    if match is None:
        return [text]
    first, last, words = match.groups()
    if words is not None:
        options = words.split(",")
    else:
        options = [str(n).zfill(len(first)) for n in range(int(first), int(last) + 1)]
    return [name for option in options for name in expand(text[: match.start()] + option + text[match.end() :])]


def shards_of(path: Path) -> list[Path]:
    """The tar files a path stands for."""
    if path.is_dir():
        return [path / name for name in Place(path).names(lambda name: name.endswith(".tar"))]
    names = [Path(name) for name in expand(str(path))]
    return names if names[0].suffix == ".tar" and (len(names) > 1 or names[0].is_file()) else []


def _has_samples(file: Path) -> bool:
    """Is there text beside the pictures, and no table that speaks of them all?"""
    try:
        names = [name for name, _, _ in islice(tar_members(file), GLANCE)]
    except (tarfile.TarError, OSError):
        return True  # reading it will say what is wrong
    tables = [name for name in names if name.endswith(("metadata.jsonl", "metadata.csv"))]
    texts, pictures = (
        {_stem(name)[0] for name in names if name.rpartition(".")[2].lower() in suffixes} - {""}
        for suffixes in (BESIDE, {suffix[1:] for suffix in SUFFIXES})
    )
    return not tables and bool(texts & pictures)


@dataclass
class Sample:
    """The files of one sample: extension -> where in the shard, how many bytes."""

    name: str
    files: dict[str, tuple[int, int]] = field(default_factory=dict)


class Shards:
    """Samples of shards."""

    def __init__(self, files: list[Path]) -> None:
        self.files = files
        missing = [str(file) for file in self.files if not file.is_file()]
        if missing:
            raise TranhError(f"{len(missing)} of {len(self.files)} shards are not there: {', '.join(missing[:3])}, ...")
        self.ends = list(accumulate(len(_index(file)) for file in self.files))
        self._kept: dict[int, list[Sample]] = {}

    def __len__(self) -> int:
        return self.ends[-1] if self.ends else 0

    def __getitem__(self, index: int) -> Item:
        which = bisect_right(self.ends, index)
        file = self.files[which]
        sample = self._samples(which)[index - (self.ends[which - 1] if which else 0)]
        record, texts, broken = _said(file, sample)
        split = split_of([*file.parts[-3:-1], *re.split(r"[-_.]", file.stem), str(record.get("split", ""))])
        picture = next((f for suffix, f in sample.files.items() if f".{suffix.split('.')[-1]}" in SUFFIXES), None)
        key = f"{file.stem}/{sample.name}"
        if picture is None:
            return Item(key, partial(_nothing, key), texts, split, label_of(record), broken or "has no picture")
        return Item(key, partial(read_at, file, *picture), texts, split, label_of(record), broken)

    def _samples(self, which: int) -> list[Sample]:
        if which not in self._kept:
            while len(self._kept) >= KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[which] = _index(self.files[which])
        return self._kept[which]


def _index(file: Path) -> list[Sample]:
    """The samples of a shard, from its headers alone; a shard cut short gives those before the cut."""
    out: list[Sample] = []
    try:
        for name, offset, size in tar_members(file):
            stem, suffix = _stem(name)
            if stem and suffix:
                if not out or out[-1].name != stem:
                    out.append(Sample(stem))
                out[-1].files[suffix.lower()] = (offset, size)
    except tarfile.TarError as error:
        raise TranhError(f"{file} is no tar file: {error}. A packed one (.tar.gz) is to be unpacked first.") from error
    return out


def _stem(name: str) -> tuple[str, str]:
    """The name of the sample a file belongs to, empty for hidden files, and the file's extension."""
    folder, _, base = name.rpartition("/")
    stem, _, suffix = base.partition(".")
    return (f"{folder}/{stem}" if folder and stem else stem), suffix


def _nothing(key: str) -> bytes:
    raise FileNotFoundError(f"sample {key} has no picture")


def _said(file: Path, sample: Sample) -> tuple[Mapping[str, Any], tuple[Caption, ...], str]:
    """The ``.json``, the captions, and what is wrong: those of ``.txt`` files (``.vi.txt``), else the ``.json``'s."""
    out, record, broken = [], {}, ""
    for suffix, where in sample.files.items():
        *before, last = suffix.split(".")
        if last in ("txt", "caption"):
            raw = read_at(file, *where)
            try:
                text = raw.decode("utf-8-sig")
            except UnicodeDecodeError as error:
                text, broken = raw.decode("utf-8-sig", errors="replace"), f"its .{suffix} is not UTF-8: {error}"
            out.append(Caption(text.strip(), before[0] if before else ""))
        elif suffix == "json":
            try:
                record = json.loads(read_at(file, *where))
            except (ValueError, RecursionError) as error:
                broken = f"its .json cannot be read: {error}"
    record = record if isinstance(record, Mapping) else {}
    return record, tuple(out) or captions_in(record), broken
