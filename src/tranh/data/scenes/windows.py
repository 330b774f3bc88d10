"""Windows cut out of Scenes drawn at several sizes: what learns to enlarge or to mend needs no whole picture.

It knows neither captions nor what is learned from the windows. Batch ``step`` is a pure function of (seed, step).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import torch

from tranh.nn.pixels import to_images
from tranh.types import Batch

from .draw import render
from .layout import generator, scene
from .source import Tokenize, cached
from .world import LEVELS, SPLITS, VERSION

EACH = 8
"""Windows of one picture: drawing it takes longer than cutting."""

NEAR = 0.75
"""Share of windows that lie around the outline of a thing; the others may show a ground of one colour."""

STEP = 4
"""Windows begin at multiples of this, so that a window made four times smaller is a window of the smaller picture."""


def window(level: str, split: str, index: int, size: int, whole: Sequence[int]) -> np.ndarray:
    """Window ``index`` of a split, (size, size, 3) uint8: eight of each scene, whose picture is as large as ``whole``
    says, one entry after another. Where the picture is no larger than the window, eight scenes are drawn whole."""
    number, part = divmod(index, EACH)
    side = whole[number % len(whole)]
    number = index if side == size else number
    one = scene(level, split, number)
    rng = generator("window", level, split, index, size)
    x, y = rng.random(), rng.random()
    if one.things and rng.random() < NEAR:
        thing = one.things[part % len(one.things)]
        angle = 2 * np.pi * rng.random()
        x, y = thing.x + thing.radius * np.cos(angle), thing.y + thing.radius * np.sin(angle)
    left, top = (int(np.clip(side * share - size / 2, 0, side - size)) // STEP * STEP for share in (x, y))
    return _rendered(level, split, number, side)[top : top + size, left : left + size]


_last: dict[tuple[str, str, int, int], np.ndarray] = {}


def _rendered(level: str, split: str, number: int, side: int) -> np.ndarray:
    """The picture drawn last is kept: the next window is cut from it too."""
    key = (level, split, number, side)
    if key not in _last:
        _last.clear()
        _last[key] = render(scene(level, split, number), side)
    return _last[key]


def cut(
    level: str,
    split: str,
    size: int,
    whole: Sequence[int],
    count: int,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """The first ``count`` windows of a split, (count, size, size, 3) uint8; cut once by all cores, then cached."""
    name = f"windows-v{VERSION}-{level}-{split}-{size}-of-{'-'.join(map(str, whole))}"
    return cached(name, count, partial(window, level, split, size=size, whole=tuple(whole)), progress)


class Windows:
    """A source of windows, each with an empty caption.

    Args:
        levels: level -> share of it in a batch.
        windows: sides of the whole pictures, in pixels, one scene after another.
        size: side of a window, at most the least of these.
        count: windows per level; eight are cut of each scene.
        split: which split to train on; ``validation`` batches always come from the validation split.

    Raises:
        ValueError: no such level or split, or a window larger than its picture.
    """

    def __init__(
        self,
        tokenize: Tokenize,
        levels: Mapping[str, float],
        windows: Sequence[int],
        size: int = 128,
        count: int = 8000,
        split: str = "train",
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        unknown = [level for level in levels if level not in LEVELS]
        if unknown or split not in SPLITS:
            raise ValueError(f"no level {unknown} or split {split!r}: levels are {LEVELS}, splits {SPLITS}")
        if not windows or min(windows) < size:
            raise ValueError(f"windows of {size} px cannot be cut from pictures of {list(windows)} px")
        self.tokenize, self.levels, self.split = tokenize, dict(levels), split
        self.whole, self.size, self.count = tuple(windows), size, count
        self._progress = progress
        self._pictures: dict[tuple[str, str], np.ndarray] = {}
        for level in levels:
            self.pictures(level, split)

    def __len__(self) -> int:
        return self.count * len(self.levels)

    def pictures(self, level: str, split: str) -> np.ndarray:
        key = (level, split)
        if key not in self._pictures:
            count = self.count if split == self.split else min(self.count, 512)
            self._pictures[key] = cut(level, split, self.size, self.whole, count, self._progress)
        return self._pictures[key]

    def batch(self, step: int, size: int, seed: int) -> Batch:
        """Training batch ``step`` of the order that ``seed`` gives."""
        return self._batch(self.split, step, size, seed)

    def validation(self, step: int, size: int) -> Batch:
        """Batch ``step`` of the validation split, the same for every run."""
        return self._batch("validation", step, size, 0)

    def _batch(self, split: str, step: int, size: int, seed: int) -> Batch:
        rng = np.random.Generator(np.random.Philox(key=[seed, (SPLITS.index(split) << 48) + step]))
        names, shares = list(self.levels), np.array(list(self.levels.values()))
        chosen, ticket = rng.choice(len(names), size, p=shares / shares.sum()), rng.random(size)
        pixels, ids = [], []
        for k in range(size):
            level = names[chosen[k]]
            there = self.pictures(level, split)
            i = int(ticket[k] * len(there))
            pixels.append(there[i])
            ids.append((LEVELS.index(level) << 40) + (SPLITS.index(split) << 36) + i)
        tokens, mask = self.tokenize([""] * size)
        return Batch(to_images(np.stack(pixels)), [""] * size, tokens, mask, torch.tensor(ids))
