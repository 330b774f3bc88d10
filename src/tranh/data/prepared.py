"""Prepared pictures: each found at random without reading the others, and each in one split for good.

It reads what ``prepare`` wrote. It knows neither captions' words nor training.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tranh.data.prepare import MANIFEST
from tranh.files import read_json, replacing
from tranh.types import TranhError

SPLITS = ("train", "judge", "validation", "test")
"""Whom a picture is for: the model, its judge, choosing weights, or the evaluation. No picture is in two."""

HELD_OUT = 20
"""Of so many pictures one is held out for each of validation and test, where the data set names none itself."""

JUDGE = 5
"""Of so many training pictures one is the judge's."""

CACHED = 128
"""Pictures of up to this side are unpacked once and kept; larger ones are decoded when they are asked for."""

ROW = np.dtype(
    [("shard", "u4"), ("picture", "i8"), ("size", "u4"), ("record", "i8"), ("length", "u4"), ("split", "u1")]
)
"""Where a picture and what is known of it lie."""

Tick = Callable[[int, int], None]


def is_prepared(path: Path) -> bool:
    """Does a folder hold what ``prepare`` wrote, whole?"""
    return (path / MANIFEST).is_file()


class Prepared:
    """The pictures of a folder that ``tranh data prepare`` wrote.

    Args:
        folder: with shards and manifest.
        cache: folder for the index and unpacked pictures; they are named by the manifest's hash.

    Attributes:
        hash: names the content of the shards.
        splits: (N,) index into ``SPLITS``.

    Raises:
        TranhError: the folder is not prepared, or a shard is not what the manifest says.
    """

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder, self.cache = Path(folder), Path(cache)
        if not is_prepared(self.folder):
            raise TranhError(f"{folder} holds no prepared pictures: tranh data prepare PATH {folder}")
        self.manifest: dict[str, Any] = read_json(self.folder / MANIFEST)
        self.hash = str(self.manifest["hash"])
        self.shards = [self.folder / shard["name"] for shard in self.manifest["shards"]]
        index = self.cache / f"pictures-{self.hash[:16]}-index.npy"
        if not index.exists():
            rows = _index(self.shards)
            if len(rows) != self.manifest["kept"]:
                raise TranhError(
                    f"{folder} holds {len(rows)} pictures and its manifest says {self.manifest['kept']}: a shard was "
                    "changed. Prepare it again into a new folder."
                )
            with replacing(index) as temporary, temporary.open("wb") as file:
                np.save(file, rows)
        self.rows: np.ndarray = np.load(index, mmap_mode="r")
        self.splits: np.ndarray = np.asarray(self.rows["split"])

    def __len__(self) -> int:
        return len(self.rows)

    def of(self, split: str) -> np.ndarray:
        """Indices of the pictures of a split, in order.

        Raises:
            TranhError: no such split, or no picture in it.
        """
        if split not in SPLITS:
            raise TranhError(f"there is no split {split!r}; own pictures have: {', '.join(SPLITS)}")
        found = np.flatnonzero(self.splits == SPLITS.index(split))
        if not len(found):
            raise TranhError(f"{self.folder} has {len(self)} pictures and none for {split}: more pictures are needed")
        return found

    def record(self, index: int) -> dict[str, Any]:
        """What is known of a picture: key, captions, label, ..."""
        row = self.rows[index]
        return dict(json.loads(_read(self.shards[row["shard"]], row["record"], row["length"])))

    def picture(self, index: int) -> Image.Image:
        """A picture, RGB, as it was prepared."""
        row = self.rows[index]
        data = _read(self.shards[row["shard"]], row["picture"], row["size"])
        return Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "WEBP")).convert("RGB")

    def pixels(self, index: int, size: int) -> np.ndarray:
        """(size, size, 3) uint8."""
        image = self.picture(index)
        if image.size != (size, size):
            whole = image.width % size == 0 and image.height % size == 0
            image = image.resize((size, size), Image.Resampling.BOX if whole else Image.Resampling.LANCZOS)
        return np.asarray(image)

    def unpacked(self, size: int, progress: Tick | None = None) -> np.ndarray | None:
        """(N, size, size, 3) uint8 of all, unpacked once by all cores and mapped from a file; None if large."""
        if size > CACHED:
            return None
        file = self.cache / f"pictures-{self.hash[:16]}-{size}.npy"
        if not file.exists():
            with replacing(file) as temporary:
                shape = (len(self), size, size, 3)
                out = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
                chunks = [range(i, min(i + 128, len(self))) for i in range(0, len(self), 128)]
                with ProcessPoolExecutor(os.cpu_count()) as pool:
                    work = partial(_unpack, self.folder, self.cache, size)
                    for chunk, pixels in zip(chunks, pool.map(work, chunks), strict=True):
                        out[chunk.start : chunk.stop] = pixels
                        if progress is not None:
                            progress(chunk.stop, len(self))
                out.flush()
        return np.asarray(np.load(file, mmap_mode="r"))


def _unpack(folder: Path, cache: Path, size: int, indices: Sequence[int]) -> np.ndarray:
    prepared = Prepared(folder, cache)
    return np.stack([prepared.pixels(i, size) for i in indices])


def _read(file: Path, offset: int, length: int) -> bytes:
    with file.open("rb") as shard:
        data = os.pread(shard.fileno(), int(length), int(offset))
    if len(data) < length:
        raise TranhError(f"{file} is shorter than it was: prepare the pictures again")
    return data


def _index(shards: Sequence[Path]) -> np.ndarray:
    """One row per picture, its split among them."""
    rows, groups, said = [], [], []
    for number, shard in enumerate(shards):
        place: tuple[int, int] = (0, 0)
        with tarfile.open(shard, "r:") as archive:
            for info in archive:
                if not info.name.endswith(".json"):
                    place = (info.offset_data, info.size)
                    continue
                record = json.loads(_read(shard, info.offset_data, info.size))
                rows.append((number, *place, info.offset_data, info.size, 0))
                groups.append(_group(record["key"]))
                said.append(SPLITS.index(record["split"]) if record["split"] in SPLITS else len(SPLITS))
    table = np.array(rows, dtype=ROW)
    table["split"] = assign(np.array(groups, np.uint64), np.array(said, np.uint8))
    return table


def _group(key: str) -> int:
    """A number for the picture that a key is a part of (``12#3`` is region 3 of picture 12)."""
    return int.from_bytes(hashlib.sha256(key.partition("#")[0].encode()).digest()[:8], "big")


def assign(groups: np.ndarray, said: np.ndarray) -> np.ndarray:
    """The split of every picture: what the data set says, and what it leaves open by the rank of a hash of the key.

    Validation and test are carved out of the training pictures where the data set names none, then the judge's share.

    Args:
        groups: (N,) uint64, equal for pictures that must stay together.
        said: (N,) index into ``SPLITS``, ``len(SPLITS)`` where nothing is said.

    Returns:
        (N,) uint8 index into ``SPLITS``.
    """
    train, judge, validation, test = range(4)
    out = np.where(said < len(SPLITS), said, train).astype(np.uint8)
    free = np.unique(groups[out == train])  # sorted: a split takes the lowest ranks that are left
    total, begun = len(free), 0
    for split, share in ((validation, HELD_OUT), (test, HELD_OUT), (judge, JUDGE)):
        if (out == split).any() or begun + 1 >= total:
            continue
        taken = free[begun : begun + max(1, total // share)]
        out[(out == train) & np.isin(groups, taken)] = split
        begun += len(taken)
    return out
