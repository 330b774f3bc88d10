"""Scenes as a source of more than captions: instructions that lead from one picture to another, motion, and depth.

Batches are those of Scenes with some rows of another kind. It knows which pairs and sequences there are, not who learns
from them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch

from tranh.nn.pixels import to_images
from tranh.types import FAULTS, Batch

from . import pairs as paired
from .depth import depth
from .frame_captions import told
from .frames import FRAMES, Moving, sequence
from .instructions import instruction
from .layout import generator, scene
from .source import Rows, Scenes, Tokenize, cached, drawn_faulty, drawn_frames, drawn_pairs
from .world import LEVELS, SPLITS, VERSION

PAIRS, FAULTY, MOVING = 1, 2, 3
"""Kinds of rows beside captioned pictures, as their ids tell them apart."""

OF_FAULTY = 0.15
"""Share of the instructions that cannot be followed."""

OF_STARTS = 0.15
"""Share of the moving rows that have nothing to start from: their first frame is drawn of the caption."""

_pair = lru_cache(maxsize=2**16)(paired.pair)
_faulty = lru_cache(maxsize=2**14)(paired.faulty)
_sequence = lru_cache(maxsize=2**13)(sequence)


def _draw_depth(level: str, split: str, size: int, index: int) -> np.ndarray:
    return depth(scene(level, split, index), size).astype(np.uint8)


class Deep(Scenes):
    """Scenes with the depth of every pixel: ``depth`` among the labels, ranks (B, S, S)."""

    def _ranks(self, level: str, split: str) -> np.ndarray:
        key = (f"{level} in depth", split)
        if key not in self._pictures:
            count, S = len(self.pictures(level, split)), self.size
            name, draw = f"depth-v{VERSION}-{level}-{split}-{S}", partial(_draw_depth, level, split, S)
            self._pictures[key] = cached(name, count, draw, self._progress)
        return self._pictures[key]

    def _batch(self, split: str, step: int, size: int, seed: int) -> Batch:
        rows = self._rows(split, step, size, seed)
        ranks = []
        for number in rows.ids:
            level, i = LEVELS[(number >> 40) & 15], number & 0xFFFFFFFF
            ranks.append(self._ranks(level, split)[i])
        batch = self._finished(rows)
        return batch.replace(labels={**batch.labels, "depth": torch.from_numpy(np.stack(ranks))})


class Instructed(Scenes):
    """Scenes with instructions among the captions: what ``before`` and ``fault`` of the batch's labels say, see
    :class:`tranh.families.editor.Editor`; of those rows the picture is the one afterwards.

    Args:
        asked: share of the rows that are instructions; changes: pairs drawn per level and split.
    """

    def __init__(
        self,
        tokenize: Tokenize,
        *,
        asked: float = 0.5,
        changes: int = 12000,
        progress: Callable[[int, int], None] | None = None,
        **scenes: Any,
    ) -> None:
        super().__init__(tokenize, progress=progress, **scenes)
        self.asked, self.changes = asked, changes
        self._changed: dict[tuple[str, str, str], np.ndarray] = {}
        for level in self.levels:
            self._drawn("pairs", level, self.split)
            self._drawn("faulty", level, self.split)

    def _drawn(self, what: str, level: str, split: str) -> np.ndarray:
        key = (what, level, split)
        if key not in self._changed:
            count, S = self.changes if split == self.split else min(self.changes, 1024), self.size
            if what == "pairs":
                self._changed[key] = drawn_pairs(level, split, S, count, self._progress)
            else:
                self._changed[key] = drawn_faulty(level, split, S, max(8, count // 4), self._progress)
        return self._changed[key]

    def _batch(self, split: str, step: int, size: int, seed: int) -> Batch:
        rows = self._rows(split, step, size, seed)
        rng = np.random.Generator(np.random.Philox(key=[seed + 1, (SPLITS.index(split) << 48) + step]))
        asked, faulty, ticket = rng.random((3, size))
        names = list(self.levels)
        shares = np.array(list(self.levels.values()))
        level_of = rng.choice(len(names), size, p=shares / shares.sum())
        fault = torch.full((size,), -1)
        before = [np.zeros_like(one) for one in rows.pixels]
        for k in np.flatnonzero(asked < self.asked):
            level, language = names[level_of[k]], self.spoken[rows.languages[k]]
            draw = generator("lesson", seed, split, step, k)
            what = "faulty" if faulty[k] < OF_FAULTY else "pairs"
            pictures = self._drawn(what, level, split)
            i = int(ticket[k] * len(pictures))
            if what == "faulty":
                wrong = _faulty(level, split, i)
                pair, rows.scenes[k], fault[k] = wrong.pair, wrong.scene, 1 + FAULTS.index(wrong.why)
                before[k] = rows.pixels[k] = pictures[i]
            else:
                pair, fault[k] = _pair(level, split, i), 0
                rows.scenes[k], before[k], rows.pixels[k] = pair.after, pictures[i, 0], pictures[i, 1]
            rows.captions[k] = instruction(pair, language, draw)
            kind = FAULTY if what == "faulty" else PAIRS
            rows.ids[k] = (kind << 44) + (LEVELS.index(level) << 40) + (SPLITS.index(split) << 36) + i
        batch = self._finished(rows)
        return batch.replace(labels={**batch.labels, "fault": fault, "before": to_images(np.stack(before))})


class MovingScenes(Scenes):
    """Frames of moving pictures: each row is one frame, with the caption of its sequence, its first frame as
    ``before``, and ``moment`` in [0, 1].

    Args:
        sequences: drawn per split.
    """

    def __init__(
        self,
        tokenize: Tokenize,
        *,
        sequences: int = 3000,
        progress: Callable[[int, int], None] | None = None,
        **scenes: Any,
    ) -> None:
        super().__init__(tokenize, progress=progress, **({"levels": {}} | scenes))
        self.sequences = sequences
        self._frames: dict[str, np.ndarray] = {}
        self._of(self.split)

    def __len__(self) -> int:
        return self.sequences * FRAMES

    def _of(self, split: str) -> np.ndarray:
        if split not in self._frames:
            count = self.sequences if split == self.split else min(self.sequences, 240)
            self._frames[split] = drawn_frames(split, self.size, count, self._progress)
        return self._frames[split]

    def _batch(self, split: str, step: int, size: int, seed: int) -> Batch:
        rng = np.random.Generator(np.random.Philox(key=[seed + 2, (SPLITS.index(split) << 48) + step]))
        weights = np.array(list(self.languages.values()))
        language_of = rng.choice(len(self.spoken), size, p=weights / weights.sum())
        ticket, start, dense = rng.random((3, size))
        frames, moment = self._of(split), rng.integers(0, FRAMES, size)
        moment[start < OF_STARTS] = 0
        rows, before = Rows([], [], [], [], language_of), []
        for k in range(size):
            i, frame = int(ticket[k] * len(frames)), int(moment[k])
            moving: Moving = _sequence(split, i)
            draw = generator("moving", seed, split, step, k)
            rows.pixels.append(frames[i, frame])
            rows.scenes.append(moving.scenes[frame])
            rows.captions.append(told(moving, self.spoken[language_of[k]], draw, bool(dense[k] < self.dense)))
            rows.ids.append((MOVING << 44) + (SPLITS.index(split) << 36) + i * FRAMES + frame)
            before.append(frames[i, 0])
        batch = self._finished(rows)
        fault = torch.where(torch.from_numpy(start < OF_STARTS), -1, 0)
        more = {"fault": fault, "before": to_images(np.stack(before))}
        more["moment"] = torch.from_numpy(moment / (FRAMES - 1)).float()
        return batch.replace(labels={**batch.labels, **more})
