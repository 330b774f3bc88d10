"""A path opened as far as it can be: a source, those of its files that are sound, and pictures that nothing speaks of.

It looks into no picture and reads no caption; what cannot be opened is noted, not fatal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from tranh.data.detect import Found, detect
from tranh.data.doctor import beside
from tranh.data.doctor.finding import Ledger
from tranh.data.item import Collection, Item
from tranh.types import TranhError


@dataclass(frozen=True)
class Opened:
    """A source that can be opened again by any process.

    Attributes:
        parts: what is read, one after another: sources, or names of pictures that nothing speaks of.
        kind, why: what it was seen to be.
    """

    root: Path
    parts: tuple[Found | tuple[str, ...], ...]
    kind: str
    why: str

    def read(self) -> Chain:
        made: list[Collection] = []
        for part in self.parts:
            made.append(beside.Bare(self.root, part) if isinstance(part, tuple) else part.read())
        return Chain(made)


class Chain:
    """Collections one after another."""

    def __init__(self, parts: Sequence[Collection]) -> None:
        self.parts, self.ends = parts, list(accumulate(len(part) for part in parts))

    def __len__(self) -> int:
        return self.ends[-1] if self.ends else 0

    def __getitem__(self, index: int) -> Item:
        for part, end in zip(self.parts, self.ends, strict=True):
            if index < end:
                return part[index - end + len(part)]
        raise IndexError(index)


def opened_from(path: str | Path, kind: str | None, ledger: Ledger) -> tuple[Opened, beside.Beside]:
    """The source, as much of it as can be opened, and what lies beside it.

    Raises:
        TranhError: there is nothing to look at.
    """
    root = Path(path)
    place = beside.walk(root) if root.is_dir() else beside.Beside()
    try:
        found = detect(path, kind)
    except TranhError:
        if kind is not None or not place.pictures:
            raise
        found = None
    opened = _parts(root, found, place, ledger)
    for what, key, note in (*place.met, *(beside.of_files(found, place) if found else ())):
        ledger.note(what, key, note)
    for key, reason in place.irregular.items():
        ledger.note("unreadable file", key, reason)
    return opened, place


def _parts(root: Path, found: Found | None, place: beside.Beside, ledger: Ledger) -> Opened:
    bare = tuple(place.pictures)
    if found is None:
        return Opened(root, (bare,), "", "pictures, and nothing that speaks of them")
    parts: list[Found | tuple[str, ...]] = [found]
    try:
        collection: Collection = found.read()
    except Exception as error:  # a damaged source is a finding; its pictures can still be looked at
        sound = list(_sound_files(found, ledger, error))
        if not sound:
            if not bare:
                raise TranhError(f"nothing in {root} can be read: {error}") from error
            return Opened(root, (bare,), "", f"{found.why}, which cannot be read")
        parts, collection = [*sound], Chain([part.read() for part in sound])
    if len(collection) == 0:
        raise TranhError(f"{root} ({found.why}) holds no pictures")
    lost = beside.orphans(found, place, _keys(collection) if found.kind in beside.BY_PATH else set())
    return Opened(root, (*parts, tuple(lost)) if lost else tuple(parts), found.kind, found.why)


def _sound_files(found: Found, ledger: Ledger, error: Exception) -> Iterator[Found]:
    """Those of a source's files that can be read by themselves; the others are noted."""
    files = beside.files_of(found)
    for file in files:
        try:
            one = detect(file, found.kind)
            one.read()
        except Exception as fault:
            ledger.note("damaged source", file.name, str(fault))
            continue
        yield one
    if not files:
        ledger.note("damaged source", found.path.name, str(error))


def _keys(collection: Collection) -> set[str]:
    out = set()
    for index in range(len(collection)):
        try:
            out.add(collection[index].key)
        except Exception:  # said when it is looked at
            continue
    return out
