"""Edits in latent space put together: files to pictures, words to groups of pictures, and the sheet that shows it.

It knows where pictures come from; what is done to them, ``edits.latent`` knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from tranh.data.decode import BrokenPicture, decode
from tranh.data.fit import square
from tranh.data.look import Look
from tranh.data.scenes.facts import visible
from tranh.data.scenes.layout import scene
from tranh.data.scenes.source import say
from tranh.data.scenes.world import FACT_GROUPS
from tranh.edits import latent
from tranh.engine.sheet import sheet
from tranh.files import replacing, write_json
from tranh.nn.pixels import to_images
from tranh.recipes import own, toolbox
from tranh.recipes.judge import renders
from tranh.recipes.pictures import tensor_of
from tranh.recipes.reconstruct import TILE, Coder, coder
from tranh.text.normalise import normalise
from tranh.types import Event, Request, TranhError, Unclips

STRENGTHS = (-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5)
"""How far an attribute is moved, in differences of the two means."""
LOOKED_AT = 10_000
"""Training pictures that are looked through for an attribute."""
ENOUGH = 400
"""Pictures with an attribute, and without, that its direction is learned from."""
ROUNDS = 30
SHOWN = 16
VALUES = frozenset(value for values in FACT_GROUPS.values() for value in values)
"""Every value that a fact of Scenes can have."""


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


def groups(
    data: Mapping[str, Any], word: str, size: int, count: int = LOOKED_AT, against: str = ""
) -> tuple[Tensor, Tensor]:
    """Training pictures, and which of them have an attribute; at most ``ENOUGH`` with it and as many without.

    Args:
        data: Scenes with its level, or ``{"source": PATH}``.
        word: of Scenes a word of a fact (``red``, ``star``, ``large``) or of a caption in English or Vietnamese; of own
            pictures the label of a class or a word of a caption.
        count: pictures looked at.
        against: the opposite word: only pictures that have one of the two are given; empty for whatever has not the
            first.

    Returns:
        (N, 3, size, size) and bool (N,).
    """
    wanted, other = (normalise(one).lower() for one in (word, against))
    pictures = _Scenes(data, size) if data["source"] == "scenes" else _Own(data, size)
    found: dict[int, bool] = {}
    for i in range(min(count, len(pictures))):
        said = pictures.said(i)
        has = pictures.names(said, wanted)
        if (not other or has != pictures.names(said, other)) and sum(one == has for one in found.values()) < ENOUGH:
            found[i] = has
        if len(found) == 2 * ENOUGH:
            break
    return pictures.images(list(found)), torch.tensor(list(found.values()), dtype=torch.bool)


class _Scenes:
    """Training scenes of a level: values of their facts and whole captions, in lower case, and their pictures."""

    def __init__(self, data: Mapping[str, Any], size: int) -> None:
        self.level, self.size = str(next(iter(data.get("levels", {"one": 1.0})))), size

    def __len__(self) -> int:
        return 10**6  # there is no end of them

    def said(self, i: int) -> set[str]:
        one = scene(self.level, "train", i)
        spoken = " ".join(say(one, language, "dense", self.level, i)[0] for language in ("en", "vi"))
        return {fact.value for fact in visible(one)} | {spoken}

    def names(self, said: set[str], wanted: str) -> bool:
        """A word that is a value of a fact is only that: "light" is no colour "in even light"."""
        return wanted in said if wanted in VALUES else _names(said, wanted)

    def images(self, indices: Sequence[int]) -> Tensor:
        return renders(self.level, "train", indices, self.size)


class _Own:
    """The same of own pictures: labels and captions."""

    def __init__(self, data: Mapping[str, Any], size: int) -> None:
        self.pictures = own.untold(data, size)
        self.rows = self.pictures.prepared.of("train").tolist()

    def __len__(self) -> int:
        return len(self.rows)

    def said(self, i: int) -> set[str]:
        label = str(self.pictures.prepared.record(self.rows[i]).get("label")).lower()
        return {label, " ".join(caption for caption, _ in self.pictures.captions(self.rows[i]))}

    def names(self, said: set[str], wanted: str) -> bool:
        return _names(said, wanted)

    def images(self, indices: Sequence[int]) -> Tensor:
        return self.pictures.images([self.rows[i] for i in indices])


def _names(said: set[str], wanted: str) -> bool:
    """Does a value equal the words wanted, or a sentence hold them?"""
    return any(wanted == one or f" {wanted} " in f" {one.lower().replace(',', ' ').replace('.', ' ')} " for one in said)


def attribute(model: Coder, data: Mapping[str, Any], word: str, against: str = "") -> Tensor:
    """The direction of an attribute among the latents of a model, see :func:`groups`."""
    images, has = groups(data, word, model.size, against=against)
    return latent.direction(latent.latents_of(model.part, images.split(TILE)), has)


def meaning(system: toolbox.Hierarchy, data: Mapping[str, Any], word: str, side: int, against: str = "") -> Tensor:
    """The same among CLIP embeddings, (D,)."""
    images, has = groups(data, word, side, against=against)
    return latent.direction(torch.cat([system.embed_images(tile) for tile in images.split(TILE)]), has)


def slider(
    model: Any, name: str, data: Mapping[str, Any], word: str, against: str = "", size: int | None = None
) -> Callable[[Image.Image], Iterator[Event]]:
    """What gives a picture less and more of an attribute: a hierarchy moves it in the space of CLIP's embeddings, any
    other model that encodes and decodes in its own.

    Args:
        size: of the pictures made, where the model has several; None for its own.

    Returns:
        a function of a picture, whose last event's ``result`` is (len(STRENGTHS), 3, S, S).
    """
    if isinstance(model, Unclips):
        hierarchy: toolbox.Hierarchy = model  # type: ignore[assignment]
        meant = meaning(hierarchy, data, word, hierarchy.sizes[0], against)

        def drawn(picture: Image.Image) -> Iterator[Event]:
            for event in toolbox.slid(model, Request("", image=picture, size=size), meant, STRENGTHS):
                made = event.result
                stack = None if made is None else torch.cat([tensor_of(one, one.width) for one in made.images])
                yield replace(event, result=stack)

        return drawn
    found = coder(model, name)
    along = attribute(found, data, word, against)

    def moved(picture: Image.Image) -> Iterator[Event]:
        yield Event("move", 1, 1, result=latent.move(found.part, tensor_of(picture, found.size), along, STRENGTHS))

    return moved


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
