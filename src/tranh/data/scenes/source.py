"""Scenes as a source of captioned pictures: batch ``step`` is a pure function of (seed, step).

Pictures come from a cache. It knows which scenes and captions are asked for, not what is trained on them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from tranh.nn.pixels import to_images
from tranh.text.normalise import strip_diacritics
from tranh.types import Batch

from .captions import Density, caption
from .draw import render
from .facts import visible
from .frames import render_frames, sequence
from .labels import encode, patches
from .layout import generator, scene
from .pairs import faulty, pair
from .world import LEVELS, SPLITS, VERSION, Fact, Scene

Tokenize = Callable[[Sequence[str]], tuple[Tensor, Tensor]]
LANGUAGES = {"en": 0.45, "vi": 0.35, "vi_unmarked": 0.2}
"""Share of each form of caption in training."""


@dataclass(frozen=True)
class Example:
    """One captioned picture: pixels (S, S, 3) uint8, its scene, its caption and the facts the caption says."""

    pixels: np.ndarray
    scene: Scene
    caption: str
    facts: tuple[Fact, ...]


remembered = lru_cache(maxsize=2**17)(scene)
"""Scenes seen before: finding a layout takes longer than saying it."""


def cache_dir() -> Path:
    """Where drawn pictures are kept: ``$TRANH_CACHE``, or ``~/.cache/tranh``."""
    return Path(os.environ.get("TRANH_CACHE", Path.home() / ".cache" / "tranh"))


def say(scene_: Scene, language: str, density: str, *key: object) -> tuple[str, tuple[Fact, ...]]:
    """A caption of a scene and the facts it says; the key decides the choice of words.

    Args:
        language: ``en``, ``vi`` or ``vi_unmarked`` (Vietnamese typed without diacritics).
    """
    words, facts = caption(
        scene_, visible(scene_), language.removesuffix("_unmarked"), generator(*key), cast(Density, density)
    )
    return (strip_diacritics(words) if language.endswith("_unmarked") else words), facts


Tick = Callable[[int, int], None]
"""Told how many of how many pictures are drawn."""


def cached(name: str, count: int, draw: Callable[[int], np.ndarray], progress: Tick | None = None) -> np.ndarray:
    """``draw(i)`` for the first ``count`` indices, (count, ...) uint8; drawn once by all cores, then kept.

    Args:
        name: of the file; everything the pictures depend on must be in it.
        draw: a function that processes can be sent.
    """
    path = cache_dir() / f"{name}-{count}.npy"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        pictures = np.lib.format.open_memmap(part, mode="w+", dtype=np.uint8, shape=(count, *draw(0).shape))
        with ProcessPoolExecutor(os.cpu_count()) as pool:
            for i, pixels in enumerate(pool.map(draw, range(count), chunksize=256)):
                pictures[i] = pixels
                if progress is not None and ((i + 1) % 256 == 0 or i + 1 == count):
                    progress(i + 1, count)
        pictures.flush()
        os.replace(part, path)
    return np.load(path, mmap_mode="r")


def _one(level: str, split: str, size: int, index: int) -> np.ndarray:
    return render(scene(level, split, index), size)


def _both(level: str, split: str, size: int, index: int) -> np.ndarray:
    one = pair(level, split, index)
    return np.stack([render(one.before, size), render(one.after, size)])


def _spoiled(level: str, split: str, size: int, index: int) -> np.ndarray:
    return render(faulty(level, split, index).scene, size)


def _all(split: str, size: int, index: int) -> np.ndarray:
    return render_frames(sequence(split, index), size)


def drawn(level: str, split: str, size: int, count: int, progress: Tick | None = None) -> np.ndarray:
    """The first ``count`` pictures of a split, (count, size, size, 3) uint8, cached."""
    name = f"scenes-v{VERSION}-{level}-{split}-{size}"
    return cached(name, count, partial(_one, level, split, size), progress)


def drawn_pairs(level: str, split: str, size: int, count: int, progress: Tick | None = None) -> np.ndarray:
    """The first ``count`` pairs of a split, before and after: (count, 2, size, size, 3) uint8, cached."""
    name = f"pairs-v{VERSION}-{level}-{split}-{size}"
    return cached(name, count, partial(_both, level, split, size), progress)


def drawn_faulty(level: str, split: str, size: int, count: int, progress: Tick | None = None) -> np.ndarray:
    """What is shown with the first ``count`` faulty instructions, (count, size, size, 3) uint8, cached."""
    name = f"faulty-v{VERSION}-{level}-{split}-{size}"
    return cached(name, count, partial(_spoiled, level, split, size), progress)


def drawn_frames(split: str, size: int, count: int, progress: Tick | None = None) -> np.ndarray:
    """The first ``count`` sequences of a split, (count, 16, size, size, 3) uint8, cached."""
    return cached(f"frames-v{VERSION}-{split}-{size}", count, partial(_all, split, size), progress)


@dataclass
class Rows:
    """What a batch is made of, one entry per example: pixels (S, S, 3) uint8, scenes, captions, ids, and the place of
    each caption's language among those spoken."""

    pixels: list[np.ndarray]
    scenes: list[Scene]
    captions: list[str]
    ids: list[int]
    languages: np.ndarray


class Scenes:
    """Random access to captioned Scenes.

    Args:
        levels: level -> share of it in a batch.
        split: which split to train on; ``validation`` batches always come from the validation split.
        size: side of the pictures.
        count: scenes drawn per level and split; captions and order are new each time one is seen.
        languages: form of caption -> share.
        dense: share of dense captions; the rest are short.
        patches: patches per side for the labels of patches, 0 for none.
        pairs: every caption is short, and ``labels`` hold the tokens of a dense one in the same language (``dense``,
            ``dense_mask``), for what learns to say more.
        tokenize: captions -> (tokens (B, T), mask (B, T)).
    """

    def __init__(
        self,
        tokenize: Tokenize,
        levels: Mapping[str, float],
        split: str = "train",
        size: int = 64,
        count: int = 40000,
        languages: Mapping[str, float] = LANGUAGES,
        dense: float = 0.85,
        patches: int = 0,
        pairs: bool = False,
        progress: Tick | None = None,
    ) -> None:
        unknown = [level for level in levels if level not in LEVELS]
        if unknown or split not in SPLITS:
            raise ValueError(f"no level {unknown} or split {split!r}: levels are {LEVELS}, splits {SPLITS}")
        self.tokenize, self.levels, self.split, self.size = tokenize, dict(levels), split, size
        self.spoken = tuple(languages)
        self.languages, self.dense, self.patches = dict(languages), dense, patches
        self.pairs = pairs
        self.count = count
        self._pictures = {(level, split): drawn(level, split, size, count, progress) for level in levels}
        self._progress = progress

    def __len__(self) -> int:
        """Pictures trained on; their captions are new each time."""
        return self.count * len(self.levels)

    def pictures(self, level: str, split: str) -> np.ndarray:
        key = (level, split)
        if key not in self._pictures:
            self._pictures[key] = drawn(level, split, self.size, min(self.count, 2048), self._progress)
        return self._pictures[key]

    def batch(self, step: int, size: int, seed: int) -> Batch:
        """Training batch ``step`` of the order that ``seed`` gives."""
        return self._batch(self.split, step, size, seed)

    def validation(self, step: int, size: int) -> Batch:
        """Batch ``step`` of the validation split, the same for every run."""
        return self._batch("validation", step, size, 0)

    def _rows(self, split: str, step: int, size: int, seed: int) -> Rows:
        rng = np.random.Generator(np.random.Philox(key=[seed, (SPLITS.index(split) << 48) + step]))
        names, shares = list(self.levels), np.array(list(self.levels.values()))
        level_of = rng.choice(len(names), size, p=shares / shares.sum())
        weights = np.array(list(self.languages.values()))
        language_of = rng.choice(len(self.spoken), size, p=weights / weights.sum())
        dense = rng.random(size) < self.dense
        ticket = rng.random(size)
        rows = Rows([], [], [], [], language_of)
        for k in range(size):
            level = names[level_of[k]]
            drawn_pictures = self.pictures(level, split)
            i = int(ticket[k] * len(drawn_pictures))
            rows.scenes.append(remembered(level, split, i))
            rows.pixels.append(drawn_pictures[i])
            density = "dense" if dense[k] and not self.pairs else "short"
            language = self.spoken[language_of[k]]
            rows.captions.append(say(rows.scenes[-1], language, density, seed, split, step, k)[0])
            rows.ids.append((LEVELS.index(level) << 40) + (SPLITS.index(split) << 36) + i)
        return rows

    def _batch(self, split: str, step: int, size: int, seed: int) -> Batch:
        rows = self._rows(split, step, size, seed)
        batch = self._finished(rows)
        if not self.pairs:
            return batch
        spoken = [self.spoken[language] for language in rows.languages]
        fuller = [say(s, spoken[k], "dense", seed, split, step, k)[0] for k, s in enumerate(rows.scenes)]
        tokens, mask = self.tokenize(fuller)
        return batch.replace(labels={**batch.labels, "dense": tokens, "dense_mask": mask})

    def _finished(self, rows: Rows) -> Batch:
        tokens, mask = self.tokenize(rows.captions)
        images = to_images(np.stack(rows.pixels))  # (B, 3, S, S)
        labels = encode(rows.scenes) | {"language": torch.from_numpy(rows.languages)}
        if self.patches:
            labels["patches"] = patches(labels, self.patches)
        return Batch(images, rows.captions, tokens, mask, torch.tensor(rows.ids), labels)

    def example(self, level: str, split: str, index: int, language: str = "en", density: str = "dense") -> Example:
        """One example by its index, drawn on the spot."""
        scene_ = scene(level, split, index)
        words, facts = say(scene_, language, density, level, split, index)
        return Example(render(scene_, self.size), scene_, words, facts)
