"""Edits in latent space put together: files to pictures, words to groups of pictures, and the sheet that shows it.

It knows where pictures come from; what is done to them, ``edits.latent`` knows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tranh.data.decode import BrokenPicture, decode
from tranh.data.fit import square
from tranh.data.look import Look
from tranh.data.scenes.facts import visible
from tranh.data.scenes.layout import scene
from tranh.data.scenes.source import say
from tranh.edits import latent
from tranh.engine.sheet import sheet
from tranh.files import replacing, write_json
from tranh.nn.pixels import to_images
from tranh.recipes import own
from tranh.recipes.judge import renders
from tranh.recipes.reconstruct import TILE, Coder
from tranh.text.normalise import normalise
from tranh.types import Event, TranhError

STRENGTHS = (-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5)
"""How far an attribute is moved, in differences of the two means."""
LOOKED_AT = 1500
"""Training pictures that an attribute is learned from."""
ROUNDS = 30
SHOWN = 16


def load(path: Path, side: int) -> Tensor:
    """A picture file as the middle square of it, (1, 3, side, side).

    Raises:
        TranhError: it cannot be read as a picture.
    """
    try:
        return _pixels(path.read_bytes(), side)
    except BrokenPicture as error:
        raise TranhError(f"{path}: {error}") from error


def load_mask(path: Path, side: int) -> Tensor:
    """A mask file, white where a picture is missing, as (1, 1, side, side): 1 where it is known."""
    return (load(path, side).mean(1, keepdim=True) < 0).float()


def _pixels(data: bytes, side: int) -> Tensor:
    return to_images(np.asarray(square(decode(data).image, side))[None])


def groups(data: Mapping[str, Any], word: str, size: int, count: int = LOOKED_AT) -> tuple[Tensor, Tensor]:
    """Training pictures, and which of them have an attribute.

    Args:
        data: Scenes with its level, or ``{"source": PATH}``.
        word: of Scenes a word of a fact (``red``, ``star``, ``large``) or of a caption in English or Vietnamese; of own
            pictures the label of a class or a word of a caption.

    Returns:
        (N, 3, size, size) and bool (N,).
    """
    wanted = normalise(word).lower()
    if data["source"] == "scenes":
        level = next(iter(data.get("levels", {"one": 1.0})))
        said = []
        for i in range(count):
            one = scene(level, "train", i)
            spoken = " ".join(say(one, language, "dense", level, i)[0] for language in ("en", "vi"))
            said.append({fact.value for fact in visible(one)} | {spoken})
        has = [_names(words, wanted) for words in said]
        return renders(level, "train", range(count), size), torch.tensor(has)
    found = own.untold(data, size)
    rows = found.prepared.of("train")[:count].tolist()
    has = []
    for row in rows:
        record = found.prepared.record(row)
        captions = " ".join(caption for caption, _ in found.captions(row))
        has.append(str(record.get("label")).lower() == wanted or _names({captions}, wanted))
    return found.images(rows), torch.tensor(has)


def _names(said: set[str], wanted: str) -> bool:
    """Does a value equal the words wanted, or a sentence hold them?"""
    return any(wanted == one or f" {wanted} " in f" {one.lower().replace(',', ' ').replace('.', ' ')} " for one in said)


def attribute(model: Coder, image: Tensor, data: Mapping[str, Any], word: str) -> Tensor:
    """One picture with less and more of an attribute, (len(STRENGTHS), 3, S, S)."""
    images, has = groups(data, word, model.size)
    along = latent.direction(latent.latents_of(model.part, images.split(TILE)), has)
    return latent.move(model.part, image, along, STRENGTHS)


def missing(side: int, box: Sequence[float]) -> Tensor:
    """A mask (1, 1, side, side), 0 inside a box: left, top, right, bottom as shares of the side.

    Raises:
        TranhError: it is no box inside the picture.
    """
    if len(box) != 4 or not (0 <= box[0] < box[2] <= 1 and 0 <= box[1] < box[3] <= 1):
        raise TranhError(f"the box is {list(box)}; it is left,top,right,bottom from 0 to 1, such as 0.5,0,1,1")
    left, top, right, bottom = (round(side * edge) for edge in box)
    known = torch.ones(1, 1, side, side)
    known[..., top:bottom, left:right] = 0
    return known


def strip(images: Tensor, captions: Sequence[str], out: Path, columns: int | None = None) -> Path:
    """Pictures side by side as one PNG."""
    with replacing(out) as temporary:
        sheet(images, captions, columns=columns or len(captions)).save(temporary, "PNG")
    return out


@dataclass(frozen=True)
class Odd:
    """A picture of a folder and how badly it is rebuilt."""

    name: str
    score: float
    original: Tensor
    rebuilt: Tensor


def anomalies(model: Coder, folder: Path, out: Path, worst: int = SHOWN) -> Iterator[Event]:
    """Score every picture under a folder by its reconstruction error, worst first.

    Args:
        out: gets ``anomalies.json`` (all, worst first) and ``anomalies.png`` (the worst, original above rebuilt).

    Yields:
        Progress; the last event's ``result`` is a list of :class:`Odd`, worst first.

    Raises:
        TranhError: no picture there can be read.
    """
    look = Look(folder)
    place, names, scored = look.files(), list(look.pictures), []
    for start in range(0, len(names), TILE):
        kept, pixels = [], []
        for name in names[start : start + TILE]:
            try:
                pixels.append(_pixels(place.read(name), model.size))
                kept.append(name)
            except BrokenPicture:
                continue  # nothing to see: `tranh data doctor` lists them
        if kept:
            images = torch.cat(pixels)
            again = model.rebuild(images)
            errors = (again - images).square().mean((1, 2, 3)).tolist()
            scored += [Odd(*one) for one in zip(kept, errors, images, again, strict=True)]
        yield Event("rebuild", min(start + TILE, len(names)), len(names))
    if not scored:
        raise TranhError(f"{folder} holds no picture that can be read")
    scored.sort(key=lambda odd: -odd.score)
    write_json(out / "anomalies.json", [{"file": odd.name, "error": odd.score} for odd in scored])
    shown = scored[:worst]
    rows = torch.stack([x for odd in shown for x in (odd.original, odd.rebuilt)])
    strip(rows, [s for odd in shown for s in (f"{odd.name} {odd.score:.4f}", "rebuilt")], out / "anomalies.png", 8)
    yield Event("rebuild", len(names), len(names), result=scored)
