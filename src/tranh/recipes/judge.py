"""Whether a picture shows what was asked: the verifier's numbers as words of Scenes, checked fact by fact.

Expected things are matched to seen things as sets: no order of things, seen or said, can change a verdict.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tranh.data.scenes.draw import render
from tranh.data.scenes.facts import visible
from tranh.data.scenes.labels import PICTURE_FIELDS, THING_FIELDS
from tranh.data.scenes.layout import scene
from tranh.data.scenes.world import FACT_GROUPS, RADIUS, Fact, Scene, place_of
from tranh.families.verifier import Reading, Seen
from tranh.nn.pixels import to_images
from tranh.types import TranhError

SIDE = 64
"""Pictures are judged at this size; larger ones are averaged down to it."""

APART = 0.05
"""Centres must differ by this much, in canvas units, to be above or left of one another. Asked pairs differ by 0.2."""

MIDDLE = 0.5
"""Share of a thing's radius around its centre that another's centre must lie in to be inside it."""

MOST = 8
"""Things that are matched, the surest first; all are counted."""

BATCH = 64

CHANCE: Mapping[str, float] = {group: 1 / len(words) for group, words in FACT_GROUPS.items()}
"""Share of facts right by guessing, by group."""


class Detector(Protocol):
    """What is asked of a verifier."""

    def read(self, images: Tensor) -> Sequence[Reading]: ...

    def features(self, images: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Verdict:
    """The facts asked of one picture, which of them are right, and how many objects it shows."""

    facts: tuple[Fact, ...]
    right: tuple[bool, ...]
    seen: int

    @property
    def exact(self) -> bool:
        """Is the whole picture right?"""
        return all(self.right)

    @property
    def wrong(self) -> tuple[Fact, ...]:
        return tuple(fact for fact, ok in zip(self.facts, self.right, strict=True) if not ok)


class Judge:
    """Reads pictures with a verifier and checks facts about them.

    Args:
        verifier: a trained family ``verifier``, or anything that reads like one.
    """

    def __init__(self, verifier: Detector) -> None:
        self.verifier = verifier
        parameters = verifier.parameters() if isinstance(verifier, torch.nn.Module) else iter(())
        self.device = next(parameters, torch.empty(0)).device

    def read(self, images: Tensor) -> list[Reading]:
        """What each picture (B, 3, S, S) in [-1, 1] shows, S >= 64."""
        return [reading for tile in self._tiles(images) for reading in self.verifier.read(tile)]

    def features(self, images: Tensor) -> Tensor:
        """(B, D) features of pictures (B, 3, S, S), for distances between sets."""
        return torch.cat([self.verifier.features(tile).cpu() for tile in self._tiles(images)])

    def check(self, reading: Reading, scene: Scene, facts: Sequence[Fact]) -> list[bool]:
        """For each fact about a scene, whether the picture read shows it."""
        asked = sorted({i for f in facts for i in (f.subject, f.object) if i is not None})
        seen = reading.things[:MOST]
        words = [_words(thing) for thing in seen]
        places = [place_of(min(max(s.x, 0.0), 1.0), min(max(s.y, 0.0), 1.0)) for s in seen]

        def holds(fact: Fact, of: Mapping[int, int | None]) -> bool:
            if fact.subject is None:
                return self._whole(reading, fact)
            subject = of[fact.subject]
            if subject is None:
                return False
            if fact.group == "relation":
                other = of[fact.object] if fact.object is not None else None
                return other is not None and related(fact.value, seen[subject], seen[other])
            return (places[subject] if fact.group == "place" else words[subject][fact.group]) == fact.value

        known: dict[tuple[Fact, int | None, int | None], bool] = {}

        def right(of: Mapping[int, int | None]) -> list[bool]:
            out = []
            for fact in facts:
                key = (fact, _at(of, fact.subject), _at(of, fact.object))
                if key not in known:
                    known[key] = holds(fact, of)
                out.append(known[key])
            return out

        missing: list[int | None] = [None] * max(0, len(asked) - len(seen))
        options = permutations([*range(len(seen)), *missing], len(asked))
        return max((right(dict(zip(asked, option, strict=True))) for option in options), key=sum)

    def verdict(self, reading: Reading, scene: Scene, facts: Sequence[Fact], counted: bool = True) -> Verdict:
        """All facts of a caption at once.

        Args:
            counted: ask for the number of objects even where the caption does not say it: a dense caption names every
                object, so a picture with one more is wrong.
        """
        number = Fact("count", None, str(len(scene.things)))
        asked = tuple(facts) if not counted or number in facts else (*facts, number)
        return Verdict(asked, tuple(self.check(reading, scene, asked)), len(reading.things))

    def describe(self, reading: Reading) -> str:
        """The reading in words of the world, for people: ``large dark red flat star, top_left; ... | beach, plain``."""
        things = [f"{_look(_words(t))} {place_of(min(max(t.x, 0), 1), min(max(t.y, 0), 1))}" for t in reading.things]
        whole = [words[value] for words, value in zip(PICTURE_FIELDS.values(), reading.picture, strict=True)]
        return f"{'; '.join(things) or 'nothing'} | {', '.join(whole)}"

    def _whole(self, reading: Reading, fact: Fact) -> bool:
        if fact.group == "count":
            return str(len(reading.things)) == fact.value
        value = reading.picture[list(PICTURE_FIELDS).index(fact.group)]
        return PICTURE_FIELDS[fact.group][value] == fact.value

    def _tiles(self, images: Tensor) -> Iterator[Tensor]:
        for tile in images.float().split(BATCH):
            yield shrunk(tile.to(self.device))


def shrunk(images: Tensor) -> Tensor:
    """Pictures (B, 3, S, S) averaged down to the size they are judged at, (B, 3, 64, 64).

    Raises:
        TranhError: S is less than 64, or the shape is no picture's.
    """
    if images.ndim != 4 or images.shape[1] != 3 or images.shape[2] != images.shape[3] or images.shape[2] < SIDE:
        raise TranhError(
            f"pictures have shape {list(images.shape)}; the judge reads (B, 3, S, S) with S at least {SIDE}."
        )
    return images if images.shape[-1] == SIDE else F.interpolate(images, size=(SIDE, SIDE), mode="area")


def phrase(fact: Fact, scene: Scene) -> str:
    """A fact for people: ``red circle: size small``, ``red circle above blue star``, ``light: sunset``."""
    things = [None if i is None else scene.things[i] for i in (fact.subject, fact.object)]
    names = ["" if thing is None else f"{thing.colour} {thing.kind}" for thing in things]
    if fact.group == "relation":
        return f"{names[0]} {fact.value} {names[1]}"
    return f"{names[0]}: {fact.group} {fact.value}" if names[0] else f"{fact.group}: {fact.value}"


def _at(of: Mapping[int, int | None], thing: int | None) -> int | None:
    return None if thing is None else of[thing]


def _words(seen: Seen) -> dict[str, str]:
    return {group: words[value] for (group, words), value in zip(THING_FIELDS.items(), seen.fields, strict=True)}


def _look(words: Mapping[str, str]) -> str:
    kept = [words[g] for g in ("size", "proportion", "shade", "colour", "material", "kind")]
    return " ".join(word for word in kept if word != "normal")


def related(name: str, subject: Seen, other: Seen) -> bool:
    """Is it so, by centres where those decide, by roles where only depth does?"""
    dx, dy = other.x - subject.x, other.y - subject.y
    if name == "above":
        return dy > APART
    if name == "left_of":
        return dx > APART
    a, b = _words(subject), _words(other)
    near = (dx * dx + dy * dy) ** 0.5
    if name == "inside":
        return near < MIDDLE * RADIUS[b["size"]] and RADIUS[a["size"]] < RADIUS[b["size"]]
    return a["role"] == "front" and b["role"] == "back" and near < RADIUS[a["size"]] + RADIUS[b["size"]]


def renders(level: str, split: str, indices: Sequence[int], size: int = SIDE) -> Tensor:
    """The true pictures of scenes, (B, 3, size, size) in [-1, 1]."""
    return to_images(np.stack([render(scene(level, split, i), size) for i in indices]))


def ceiling(judge: Judge, level: str, split: str, count: int, size: int = SIDE) -> Iterator[Verdict]:
    """The judge's own mistakes: its verdicts on true pictures, asked for every visible fact. No score means more."""
    for start in range(0, count, BATCH):
        indices = range(start, min(start + BATCH, count))
        yield from on_renders(judge, level, split, indices, renders(level, split, indices, size))


def on_renders(judge: Judge, level: str, split: str, indices: Sequence[int], images: Tensor) -> list[Verdict]:
    """Verdicts on the true pictures of scenes, asked for every visible fact."""
    scenes = [scene(level, split, i) for i in indices]
    return [judge.verdict(r, s, visible(s)) for r, s in zip(judge.read(images), scenes, strict=True)]
