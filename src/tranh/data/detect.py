"""What lies at a path: every source is asked, the surest first. It decodes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from tranh.data.item import Collection
from tranh.data.look import Look
from tranh.data.sources import classes, coco, cub, digits, folder, genome, hub, idx, parquet, shards, sidecars
from tranh.types import TranhError


class _Module(Protocol):
    found: Callable[[Look], str | None]
    read: Callable[[Look], Collection]


SOURCES = {
    "digits": digits,
    "coco": coco,
    "cub": cub,
    "genome": genome,
    "idx": idx,
    "folder": folder,
    "shards": shards,
    "parquet": parquet,
    "sidecars": sidecars,
    "classes": classes,
    "hub": hub,
}
"""In the order they are asked: what has a mark of its own first (img2dataset lays tables beside its tars)."""


@dataclass(frozen=True)
class Found:
    """What a path was seen to be: the source's name, why, and how to read it."""

    kind: str
    why: str
    path: Path
    look: Look

    def read(self) -> Collection:
        """Its pictures."""
        return cast(_Module, SOURCES[self.kind]).read(self.look)


def detect(path: str | Path, kind: str | None = None) -> Found:
    """Look at a path.

    Args:
        path: a folder, a ``.zip`` or ``.tar`` of one, shards (one, a folder, a list in braces), a ``.parquet``, a COCO
            ``.json``, ``digits``, or the id of a data set of the hub.
        kind: what it is to be read as; None looks.

    Raises:
        TranhError: it is nothing that can be read, with what was looked for.
    """
    if kind is not None and kind not in SOURCES:
        raise TranhError(f"{kind!r} is no kind of source; there are: {', '.join(SOURCES)}")
    look = Look(path)
    for name, module in SOURCES.items():
        why = cast(_Module, module).found(look) if kind in (None, name) else None
        if why:
            return Found(name, why, look.path, look)
    raise TranhError(_why_not(look, kind))


def _why_not(look: Look, kind: str | None) -> str:
    path = look.path
    if path.name.endswith((".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst", ".7z", ".rar")):
        return f"{path} is packed as a whole, so nothing in it can be read by itself: unpack it and give the folder."
    if not path.exists():
        return (
            f"{path}: there is nothing. Give a folder, a .zip or .tar of one, .tar shards, a .parquet or a COCO .json, "
            "`digits`, or the id of a data set of the hub (owner/name)."
        )
    if kind is not None:
        return f"{path} cannot be read as {kind}. Leave the kind out to see what it looks like."
    if look.pictures:
        return (
            f"{path} holds {len(look.pictures)} pictures, but nothing that says what they show: put a metadata.jsonl "
            'beside them ({"file_name": "a.jpg", "text": "a red circle"} a line), a .txt of the same name beside each, '
            "or each into a folder named after what it shows."
        )
    return f"{path} holds no pictures: no metadata.jsonl, shards, parquet, COCO, CUB, IDX files or picture files."
