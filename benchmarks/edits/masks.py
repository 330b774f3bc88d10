"""Masks to draw in, and what is asked for there: a thing, strokes, half of the picture, the ground, a free place.

It knows scenes; what draws gets the mask and a caption.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from tranh.data.scenes.changes import singles
from tranh.data.scenes.facts import canonical, visible
from tranh.data.scenes.layout import extents
from tranh.data.scenes.pairs import changed
from tranh.data.scenes.world import PLAINS, Fact, Scene

MARGIN = 0.03
"""Around the box of a thing, in canvas units."""


@dataclass(frozen=True)
class Task:
    """What is asked of a picture: where, the scene it should show, and which of its facts are new."""

    mask: np.ndarray
    target: Scene
    asked: tuple[Fact, ...]


def box(scene: Scene, index: int, size: int, margin: float = MARGIN) -> np.ndarray:
    """Where a thing is, (size, size) bool."""
    thing = scene.things[index]
    at = (np.arange(size) + 0.5) / size
    across, down = (e + margin for e in extents(thing))
    return (np.abs(at[:, None] - thing.y) < down) & (np.abs(at[None] - thing.x) < across)


def outside(scene: Scene, mask: np.ndarray) -> Callable[[Fact], bool]:
    """Which facts of a scene are of nothing that a mask touches."""
    touched = {i for i in range(len(scene.things)) if (mask & box(scene, i, len(mask), 0.0)).any()}
    return lambda fact: not touched & {fact.subject, fact.object}


def another(scene: Scene, draw: random.Random, kind: str) -> tuple[Scene, tuple[Fact, ...]] | None:
    """The scene changed in one way, and its facts that are new: they are asked."""
    for _ in range(20):
        pair = changed(scene, kind, draw)
        if pair is not None:
            return pair.after, tuple(f for f in pair.asked if f not in visible(scene))
    return None


def object_(scene: Scene, draw: random.Random, size: int) -> Task | None:
    made = another(scene, draw, draw.choice(("replace", "recolour")))
    if made is None:
        return None
    subject = next((f.subject for f in made[1] if f.subject is not None), None)
    return None if subject is None else Task(box(scene, subject, size), *made)


def brush(scene: Scene, draw: random.Random, size: int) -> Task | None:
    mask, at = np.zeros((size, size), bool), (np.arange(size) + 0.5) / size
    for _ in range(3):
        (x0, y0, x1, y1), wide = (draw.random() for _ in range(4)), 0.04 + 0.04 * draw.random()
        for s in np.linspace(0, 1, 32):
            x, y = x0 + s * (x1 - x0), y0 + s * (y1 - y0)
            mask |= (at[None] - x) ** 2 + (at[:, None] - y) ** 2 < wide**2
    touched = [i for i in singles(scene) if (mask & box(scene, i, size)).any()]
    asked = tuple(f for f in visible(scene) if f.subject in touched and f.group in ("kind", "colour"))
    return Task(mask, scene, asked) if asked else None


def half(scene: Scene, draw: random.Random, size: int) -> Task | None:
    task = object_(scene, draw, size)
    if task is None:
        return None
    rows, columns = np.nonzero(task.mask)
    at, middle = np.arange(size), size // 2
    for name, inside in (
        ("left", columns.max() < middle), ("right", columns.min() >= middle),
        ("top", rows.max() < middle), ("bottom", rows.min() >= middle),
    ):  # fmt: skip
        if inside:
            first = at < middle if name in ("left", "top") else at >= middle
            mask = np.broadcast_to(first[None] if name in ("left", "right") else first[:, None], (size, size)).copy()
            return replace(task, mask=mask)
    return None


def background(scene: Scene, draw: random.Random, size: int) -> Task | None:
    if not scene.setting.startswith("plain_") or scene.style != "flat" or scene.light != "plain":
        return None
    colours = {thing.colour for thing in scene.things}
    choices = [f"plain_{c}" for c in PLAINS if f"plain_{c}" != scene.setting and c not in colours]
    target = canonical(replace(scene, setting=draw.choice(choices)))
    mask = np.ones((size, size), bool)
    for i in range(len(scene.things)):
        mask &= ~box(scene, i, size)
    return Task(mask, target, tuple(f for f in visible(target) if f.group == "setting"))


def empty(scene: Scene, draw: random.Random, size: int) -> Task | None:
    made = another(scene, draw, "add")
    if made is None or len(made[0].relations) > len(scene.relations):
        return None
    target, asked = made
    return Task(box(target, len(target.things) - 1, size), target, asked)


TASKS: dict[str, Callable[[Scene, random.Random, int], Task | None]] = {
    "object": object_,
    "brush": brush,
    "half": half,
    "background": background,
    "empty": empty,
}


def seam(image: Tensor, mask: np.ndarray) -> tuple[float, float]:
    """Summed absolute differences of neighbours that the border of a mask parts, and how many there are."""
    inside = torch.from_numpy(mask)
    total, count = 0.0, 0
    for axis in (0, 1):
        edge = inside.diff(dim=axis)
        total += float((image.diff(dim=axis + 1).abs().mean(0) * edge).sum())
        count += int(edge.sum())
    return total, count


def gradient(image: Tensor) -> float:
    """Mean absolute difference of neighbours in a picture (3, S, S)."""
    return float(torch.stack([image.diff(dim=axis).abs().mean() for axis in (1, 2)]).mean())
