"""Measures of whole sets of pictures in an evaluation: distance to true pictures, and diversity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tranh.engine.evaluate import pictures
from tranh.metrics import diversity
from tranh.metrics.frechet import frechet, name
from tranh.metrics.neighbours import neighbours
from tranh.recipes.judge import BATCH, Judge, renders
from tranh.types import TranhError

DISTANCE = name("verifier")


def compare(
    judge: Judge, out: Path, floor: Tensor, where: tuple[str, str, str], count: int, size: int
) -> dict[str, Any]:
    """Generated pictures, and as the floor true ones of the same scenes, against true pictures of other scenes.

    Args:
        floor: (count, D) features of the true pictures.
        where: level, split and language of the generated ones.
    """
    level, split, language = where
    made = _features(judge, lambda part: pictures(out, [f"{level}/{split}/{language}/{i}" for i in part]), count)
    real = _features(judge, lambda part: renders(level, split, [count + i for i in part], size), count)
    row: dict[str, Any] = {"level": level, "split": split, "language": language, "pictures": count}
    for who, features in (("generated", made), ("floor", floor)):
        row[who] = {DISTANCE: None}
        try:
            row[who] |= asdict(neighbours(real, features))
            row[who][DISTANCE] = frechet(real, features)
        except TranhError as refused:  # too few pictures: the report says so in place of a number
            row["refused"] = str(refused)
    return row


def diverse(judge: Judge, out: Path, level: str, keys: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Distances among the samples of each prompt.

    Args:
        keys: K samples of P prompts, ``keys[k][p]``.
    """
    images = torch.stack([pictures(out, one) for one in keys], dim=1)  # (P, K, 3, S, S)
    features = judge.features(images.flatten(0, 1)).unflatten(0, images.shape[:2])
    return {
        "level": level,
        "prompts": images.shape[0],
        "samples": images.shape[1],
        "features": float(diversity.within(features).mean()),
        "between_prompts": diversity.between(features),
        "pixels": float(diversity.pixels(images).mean()),
    }


def _features(judge: Judge, images: Callable[[Sequence[int]], Tensor], count: int) -> Tensor:
    parts = [range(start, min(start + BATCH, count)) for start in range(0, count, BATCH)]
    return torch.cat([judge.features(images(part)) for part in parts])
