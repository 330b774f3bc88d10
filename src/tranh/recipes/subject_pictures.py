"""The pictures of a subject as they are given, and what is learned from: batches of them in and without their places.

It knows no model. A subject that can be told from its ground is put into pictures handed in, by pixels alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import cast

import numpy as np
import torch
from torch import Tensor

from tranh.data.decode import BrokenPicture, decode
from tranh.data.fit import square
from tranh.data.item import is_picture
from tranh.edits.subject import CutOut, agreed, cut_outs, paste, shifted
from tranh.nn.pixels import resized, to_images
from tranh.recipes.subject_scenes import Place
from tranh.text.normalise import normalise
from tranh.text.tokenizer import Tokenizer
from tranh.text.words import WORD
from tranh.types import Batch, TranhError

LEAST, MOST = 3, 10
"""Pictures of a subject."""
READ_AT = 256
"""Side at which given pictures are read at most."""
SHARES = {"subject": 0.8, "own": 0.15, "untold": 0.05}
"""Of a batch: pictures with the subject, and those without, told by their captions and untold (for guidance)."""
WHOLE = 0.15
"""Of the pictures with the subject, those given, as they are; the others have it put into one of the model's own."""
ALONE = 0.4
"""Of those it is put into, pictures where nothing else stands."""
HEAVY = 6.0
"""Weight of a pixel that shows the subject, beside 1 for the others."""
REACH = 1 / 16
"""How far a given picture is moved, as a share of its side."""


@dataclass(frozen=True)
class Shown:
    """One picture of a subject: (3, s, s) in [-1, 1] as read, what is said of it, the subject without its ground."""

    image: Tensor
    captions: tuple[str, ...]
    cut: CutOut | None = None


def read_folder(folder: Path, name: str) -> list[Shown]:
    """The pictures of a subject; ``picture.txt`` beside ``picture.png`` holds captions of it, one a line.

    Raises:
        TranhError: no folder, fewer than 3 or more than 10 pictures, or one that cannot be read.
    """
    if not folder.is_dir():
        raise TranhError(f"{folder} is no folder: give one with {LEAST} to {MOST} pictures of {name}")
    files = sorted(path for path in folder.iterdir() if path.is_file() and is_picture(path.name))
    if not LEAST <= len(files) <= MOST:
        raise TranhError(
            f"{folder} holds {len(files)} picture{'' if len(files) == 1 else 's'}; a subject is learned from "
            f"{LEAST} to {MOST}: show {name} in different places, best on plain grounds of different colours"
        )
    images = []
    for path in files:
        try:
            picture = decode(path.read_bytes()).image
        except BrokenPicture as error:
            raise TranhError(f"{path}: {error}") from error
        images.append(to_images(np.asarray(square(picture, min(READ_AT, *picture.size)))[None])[0])
    said = (_captions(path.with_suffix(".txt"), name) for path in files)
    return [Shown(*one) for one in zip(images, said, cut_outs(images), strict=True)]


def _captions(path: Path, name: str) -> tuple[str, ...]:
    """The lines of a file, each with the subject's name in it."""
    if not path.is_file():
        return ()
    lines = [normalise(line) for line in path.read_text("utf-8", errors="replace").splitlines() if line.strip()]
    return tuple(line if name in WORD.findall(line) else f"<{name}>, {line}" for line in lines)


class Lessons:
    """Batches of a subject, a pure function of (seed, step): in other pictures, as it was given, and without it.

    ``labels`` hold the weight of each pixel, (B, 1, S, S).

    Args:
        name: of the subject. shown: its pictures, at least one.
        drawn, places: pictures (N, 3, S, S) with room for a subject, and what they show; there may be none.
        size: side of the pictures, S.
    """

    def __init__(
        self, name: str, shown: Sequence[Shown], drawn: Tensor, places: Sequence[Place], tokenizer: Tokenizer, size: int
    ) -> None:
        self.name, self.shown, self.drawn, self.places = name, list(shown), drawn, list(places)
        self.free = [i for i, place in enumerate(places) if place.free]
        self.told = [i for i, place in enumerate(places) if not place.free]
        self.tokenizer, self.size = tokenizer, size
        self.whole = [resized(one.image[None], size)[0] for one in shown]
        self.cuts = agreed([one.cut for one in shown if one.cut is not None])

    def batch(self, step: int, size: int, seed: int) -> Batch:
        return self._batch(0, step, size, seed)

    def validation(self, step: int, size: int) -> Batch:
        return self._batch(1, step, size, 0)

    def _batch(self, split: int, step: int, size: int, seed: int) -> Batch:
        rng = np.random.Generator(np.random.Philox(key=[seed, (split << 48) + step]))
        kinds = rng.permutation(np.searchsorted(np.cumsum(list(SHARES.values())), (np.arange(size) + 0.5) / size))
        rows = [self._row(list(SHARES)[kind], rng, (seed, split, step, k)) for k, kind in enumerate(kinds)]
        images, weights, captions = zip(*rows, strict=True)
        tokens, mask = self.tokenizer.encode(captions, multiple=8, notice=lambda _: None)
        ids = torch.arange(size) + step * size
        return Batch(torch.stack(images), captions, tokens, mask, ids, {"weight": torch.stack(weights)})

    def _row(self, kind: str, rng: np.random.Generator, key: tuple[int, ...]) -> tuple[Tensor, Tensor, str]:
        """Picture, weights and caption."""
        even = torch.ones(1, self.size, self.size)
        if self.places:
            if kind != "subject":
                at = self.told[int(rng.integers(len(self.told)))]
                return self.drawn[at], even, self.places[at].around(*key) if kind == "own" else ""
            if self.cuts and rng.random() >= WHOLE:
                room = self.free if rng.random() < ALONE else self.told
                return self._put(room[int(rng.integers(len(room)))], rng, key)
        which = int(rng.integers(len(self.shown)))
        reach, (left, top, right, bottom) = round(REACH * self.size), self._box(which)
        dx, dy = (int(v) for v in rng.integers(-reach, reach + 1, 2))
        even[:, max(0, top + dy) : max(0, bottom + dy), max(0, left + dx) : max(0, right + dx)] = HEAVY
        said = self.shown[which].captions or (f"a <{self.name}>", f"một <{self.name}>", f"<{self.name}>")
        return shifted(self.whole[which], dx, dy), even, said[int(rng.integers(len(said)))] if kind != "untold" else ""

    def _put(self, at: int, rng: np.random.Generator, key: tuple[int, ...]) -> tuple[Tensor, Tensor, str]:
        """The subject in one of the pictures with room for it."""
        place = self.places[at].moved(cast(Random, _Draws(rng)))
        x, y = (v + rng.uniform(-0.015, 0.015) for v in (place.thing.x, place.thing.y))
        side = 2 * place.thing.radius * rng.uniform(0.92, 1.08)
        image, cover = paste(self.drawn[at], self.cuts[int(rng.integers(len(self.cuts)))], x, y, side)
        return image, 1 + (HEAVY - 1) * (cover > 0.1), place.said(self.name, *key)[0]

    def _box(self, which: int) -> tuple[int, ...]:
        """Where the subject stands in a given picture, in pixels; nowhere if that is not known."""
        cut = self.shown[which].cut
        return (0, 0, 0, 0) if cut is None else tuple(round(self.size * edge) for edge in cut.box)


class _Draws:
    """A generator of numpy where a layout asks ``random.Random`` for its next number."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.random = rng.random
