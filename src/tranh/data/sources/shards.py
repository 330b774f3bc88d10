"""Tar shards as webdataset and img2dataset have them: ``00000.tar`` holds ``000000000.jpg``, ``.txt`` and ``.json``.

Given as one tar, a folder of them, or a list in braces (``cc12m-{00000..01242}.tar``). Files of one sample stand side by
side and share the name up to the first dot. A shard is indexed once, by its headers; its pictures are read in place.
"""

from __future__ import annotations

import json
import re
import tarfile
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import accumulate
from pathlib import Path
from typing import Any

from tranh.data.item import SUFFIXES, Caption, Item, captions_in, split_of
from tranh.types import TranhError

BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}|\{([^{}]*,[^{}]*)\}")


def found(path: Path) -> str | None:
    """Why these are shards, or None."""
    files = shards_of(path)
    return f"{len(files)} tar shard{'s' if len(files) > 1 else ''}: {files[0].name}, ..." if files else None


def read(path: Path) -> Shards:
    """The samples of all shards, in order."""
    return Shards(path)


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
        return sorted(p for p in path.rglob("*.tar") if not p.name.startswith("."))
    names = [Path(name) for name in expand(str(path))]
    return names if names[0].suffix == ".tar" and (len(names) > 1 or names[0].is_file()) else []


@dataclass(frozen=True)
class Member:
    """Where a file lies in a shard."""

    offset: int
    size: int


@dataclass
class Sample:
    """The files of one sample by extension."""

    name: str
    files: dict[str, Member] = field(default_factory=dict)


class Shards:
    """Samples of shards; headers are read when a shard is first asked for a sample, or all of them are counted."""

    def __init__(self, path: Path) -> None:
        self.files = shards_of(path)
        missing = [str(file) for file in self.files if not file.is_file()]
        if missing:
            raise TranhError(f"{len(missing)} of {len(self.files)} shards are not there: {', '.join(missing[:3])}, ...")
        self.samples = lru_cache(maxsize=8)(_index)
        self.ends = list(accumulate(len(self.samples(file)) for file in self.files))

    def __len__(self) -> int:
        return self.ends[-1] if self.ends else 0

    def __getitem__(self, index: int) -> Item:
        which = bisect_right(self.ends, index)
        file = self.files[which]
        sample = self.samples(file)[index - (self.ends[which - 1] if which else 0)]
        key = f"{file.stem}/{sample.name}"
        pictures = [member for suffix, member in sample.files.items() if f".{suffix.split('.')[-1]}" in SUFFIXES]
        captions, broken = _captions(file, sample)
        if not pictures:
            return Item(key, partial(_nothing, key), captions, split_of([file.stem]), None, broken or "has no picture")
        return Item(
            key, partial(_read, file, pictures[0]), captions, split_of([*file.parts[-3:-1], file.stem]), None, broken
        )


def _index(file: Path) -> list[Sample]:
    """The samples of a shard, from its headers alone; a shard cut short gives those before the cut."""
    out: list[Sample] = []
    try:
        for name, member in _members(file):
            folder, _, base = name.rpartition("/")
            stem, _, suffix = base.partition(".")
            stem = f"{folder}/{stem}" if folder else stem
            if not base.startswith(".") and suffix:
                if not out or out[-1].name != stem:
                    out.append(Sample(stem))
                out[-1].files[suffix.lower()] = member
    except tarfile.ReadError as error:
        if not out:
            raise TranhError(f"{file} is no tar file: {error}") from error
    return out


def _members(file: Path) -> Iterator[tuple[str, Member]]:
    with tarfile.open(file, "r:") as archive:
        for info in archive:
            archive.members = []  # type: ignore[attr-defined]  # tarfile keeps every header it has seen
            if info.isfile():
                yield info.name, Member(info.offset_data, info.size)


def _read(file: Path, member: Member) -> bytes:
    with file.open("rb") as archive:
        archive.seek(member.offset)
        data = archive.read(member.size)
    if len(data) < member.size:
        raise OSError(f"{file} ends inside a picture: {len(data)} of {member.size} bytes are there")
    return data


def _nothing(key: str) -> bytes:
    raise FileNotFoundError(f"sample {key} has no picture")


def _captions(file: Path, sample: Sample) -> tuple[tuple[Caption, ...], str]:
    """Captions of the ``.txt`` files (``.en.txt`` says the language) or else of the ``.json``, and what is wrong."""
    texts = [(suffix, member) for suffix, member in sample.files.items() if suffix.split(".")[-1] == "txt"]
    out, broken = [], ""
    for suffix, member in texts:
        language = suffix.split(".")[0] if "." in suffix else ""
        raw = _read(file, member)
        try:
            text = raw.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            text, broken = raw.decode("utf-8-sig", errors="replace"), f"its .{suffix} is not UTF-8: {error}"
        out.append(Caption(text.strip(), language))
    record: Any = {}
    if "json" in sample.files:
        try:
            record = json.loads(_read(file, sample.files["json"]))
        except ValueError as error:
            broken = f"its .json cannot be read: {error}"
    if isinstance(record, Mapping) and not texts:
        out += captions_in(record)
    return tuple(out), broken
