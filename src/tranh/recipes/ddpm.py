"""DDPM as a recipe: the unconditional U-Net on Scenes, on digits, on own pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tranh.recipes.natural import natural, tiny
from tranh.types import Recipe, Stage

FEW = {"fold": 1, "widths": [64, 128]}
"""The network for pictures of a few pixels: nothing to fold."""
LEAST = 16
"""Side below which there are too few places to halve."""


def recipe(data: Mapping[str, Any] | None = None) -> Recipe:
    """Pictures of any kind, without captions; ``ddpm.model.reads=true`` is the same with them.

    Args:
        data: of own pictures, ``{"source": PATH}``; None for level one of Scenes.
    """
    data = dict(data or {"source": "scenes", "levels": {"one": 1.0}})
    few = {}
    if tiny(seen := natural(data)):
        few = {"image_size": max(LEAST, seen["size"])}
        data |= {"size": few["image_size"]}
    stage = Stage(
        "ddpm",
        model=few and FEW | few,
        data=data,
        steps=700,
        batch=64,
        lr=2e-3,
        muon_lr=4e-3,
        decay=0.6,
    )
    return Recipe(
        name="ddpm",
        stages={"ddpm": stage},
        system="tranh.recipes.system:assemble",
        parts=("ddpm",),
        cost="two cores: about 20 minutes",
        expected="bits per dimension far below those of a histogram of every pixel: `tranh likelihood runs/ddpm`",
    )
