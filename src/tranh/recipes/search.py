"""Pictures found by words or by another picture, and pictures named by the nearest of some labels.

It knows a place with pictures and something that embeds both; where its embeddings come from it does not know. Those of
a place are kept in the cache, each as long as its file stays the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from tranh.data.decode import BrokenPicture, decode
from tranh.data.fit import square
from tranh.data.item import is_picture
from tranh.data.place import Place, place_of
from tranh.data.scenes.source import cache_dir
from tranh.engine.picture import save_picture
from tranh.engine.sheet import sheet
from tranh.files import read_tensors, write_tensors
from tranh.nn.pixels import to_images
from tranh.recipes.caption_judge import CaptionJudge
from tranh.types import Event, TranhError

BATCH = 64
SIDE = 192
"""Of a picture on a sheet."""
MOST = 100
"""Names of files that a sheet keeps inside."""
KEEP = 2048
"""Pictures looked at after which what was done is kept, so that a large place need not be begun again."""

Row = tuple[str, int, int, str]
"""Name of a file within its place, its bytes, its time of change in nanoseconds, and why it cannot be used."""


@dataclass(frozen=True)
class Index:
    """Embeddings of the pictures of a place.

    Attributes:
        names: (N,) of the files, relative to the place.
        embeddings: (N, D), unit length.
        broken: name -> why it is no picture that can be looked at.
        fresh: how many of them were looked at now; the others were remembered.
    """

    names: Sequence[str]
    embeddings: Tensor
    broken: dict[str, str]
    fresh: int


@dataclass(frozen=True)
class Found:
    """A picture, and the cosine of it and what was asked for."""

    name: str
    similarity: float


@dataclass(frozen=True)
class Named:
    """A picture's labels from the nearest to the farthest, each with its share; shares sum to 1."""

    name: str
    shares: Sequence[tuple[str, float]] = field(default_factory=tuple)

    @property
    def label(self) -> str:
        return self.shares[0][0]


def place(path: Path) -> Place:
    """The folder or archive at a path.

    Raises:
        TranhError: there is none.
    """
    found = place_of(path)
    if found is None:
        raise TranhError(f"{path} is no folder, .zip or .tar with pictures in it")
    return found


def index(judge: CaptionJudge, where: Place) -> Iterator[Event]:
    """Look at every picture of a place that has not been looked at, or was changed since.

    Yields:
        Progress; the last event's ``result`` is an :class:`Index`.

    Raises:
        TranhError: there is no picture.
    """
    rows: list[Row] = [(name, *_about(where, name), "") for name in where.names(is_picture)]
    if not rows:
        raise TranhError(f"{where.path} holds no pictures: none of its files has a picture's name")
    file = _file(judge, where)
    remembered = _load(file)
    known: dict[Row, Tensor] = {}  # by row; those of broken ones are zeros
    new = []
    for row in rows:
        before = remembered.get(row[:3])
        if before is None:
            new.append(row)
        else:
            known[before[0]] = before[1]
    for start in range(0, len(new), BATCH):
        yield Event("index", len(rows) - len(new) + start, len(rows))
        known |= _look(judge, where, new[start : start + BATCH])
        if start // KEEP != (start + BATCH) // KEEP:
            _save(file, known)
    if new or len(known) != len(remembered):
        _save(file, known)
    sound = sorted((row for row in known if not row[3]), key=lambda row: row[0])
    if not sound:
        raise TranhError(f"none of the {len(known)} pictures in {where.path} can be read: {next(iter(known))[3]}")
    broken = {row[0]: row[3] for row in known if row[3]}
    result = Index([row[0] for row in sound], torch.stack([known[row] for row in sound]), broken, len(new))
    yield Event("index", len(rows), len(rows), result=result)


def nearest(of: Index, asked: Tensor, count: int) -> list[Found]:
    """The ``count`` pictures nearest to an embedding (D,), nearest first; equals stand by name."""
    similarity = (of.embeddings @ asked).tolist()
    order = sorted(range(len(of.names)), key=lambda i: (-similarity[i], of.names[i]))[:count]
    return [Found(of.names[i], similarity[i]) for i in order]


def classify(judge: CaptionJudge, pictures: Sequence[tuple[str, Image.Image]], labels: Sequence[str]) -> list[Named]:
    """Name pictures, one after another, by the nearest of some labels (zero-shot classification).

    Args:
        pictures: (name, picture). labels: captions, as the judge understands them.

    Returns:
        Of each picture every label with its share: the softmax of the cosines at the temperature it was trained to.

    Raises:
        TranhError: fewer than two different labels.
    """
    if len(labels) < 2 or len(set(labels)) < len(labels):
        raise TranhError(f"{len(set(labels))} different labels of {len(labels)}: at least two are needed, each once")
    text = judge.embed_captions(labels)
    scale = float(getattr(judge.model, "logit_scale", torch.tensor(0.0)).detach().float().clamp(max=4.6052).exp())
    out = []
    for name, picture in pictures:
        shares = torch.softmax(scale * (judge.embed_pictures([picture]) @ text.T)[0], dim=-1).tolist()
        out.append(Named(name, sorted(zip(labels, shares, strict=True), key=lambda one: -one[1])))
    return out


def sheet_of(where: Place, found: Sequence[Found], asked: str, path: Path) -> Path:
    """Write the pictures found on one sheet, whole and not cut; the settings in the file say what was asked."""
    squares = [
        np.asarray(square(decode(where.read(one.name), at_least=SIDE).image, SIDE, "letterbox")) for one in found
    ]
    captions = [f"{one.similarity:+.3f} {one.name}" for one in found]
    page = sheet(to_images(np.stack(squares)), captions, columns=min(3, len(found)), side=SIDE)
    return save_picture(page, path, {"prompt": asked, "found": captions[:MOST]})


def _about(where: Place, name: str) -> tuple[int, int]:
    """What changes when a file does: its bytes and time; in an archive those of the archive."""
    about = (where.path / name if where.path.is_dir() else where.path).stat()
    return about.st_size, about.st_mtime_ns


def _look(judge: CaptionJudge, where: Place, rows: Sequence[Row]) -> dict[Row, Tensor]:
    sound, images, out = [], [], {}
    for row in rows:
        try:
            images.append(decode(where.read(row[0]), at_least=judge.image_size).image)
            sound.append(row)
        except (BrokenPicture, OSError) as error:
            out[(*row[:3], str(error) or type(error).__name__)] = torch.zeros(int(judge.model.config["dim"]))
    if sound:
        out |= dict(zip(sound, judge.embed_pictures(images), strict=True))
    return out


def _file(judge: CaptionJudge, where: Place) -> Path:
    """Where the embeddings of a place by a judge are kept."""
    key = hashlib.sha256(f"{where.path.absolute()}\n{judge.hash}\n".encode("utf-8", "surrogateescape")).hexdigest()
    return cache_dir() / "search" / f"{key[:24]}.safetensors"


def _save(file: Path, known: dict[Row, Tensor]) -> None:
    names = json.dumps(list(known)).encode()
    rows = torch.frombuffer(bytearray(names), dtype=torch.uint8)
    write_tensors(file, {"rows": rows, "embeddings": torch.stack(list(known.values()))})


def _load(file: Path) -> dict[tuple[str, int, int], tuple[Row, Tensor]]:
    """By name, bytes and time: the row and its embedding. What cannot be read is not remembered."""
    if not file.exists():
        return {}
    try:
        kept = read_tensors(file)
        rows = [tuple(row) for row in json.loads(bytes(kept["rows"].tolist()))]
        return {row[:3]: (row, one) for row, one in zip(rows, kept["embeddings"], strict=True)}
    except (TranhError, ValueError, KeyError):
        return {}
