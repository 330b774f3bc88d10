"""CLIP alone: two towers that know which caption belongs to which picture, to search, to classify and to choose by.

It makes no pictures. What it becomes is a :class:`tranh.recipes.caption_judge.CaptionJudge`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tranh.types import Recipe, Stage


def recipe(data: Mapping[str, Any] | None = None) -> Recipe:
    """ViT + Transformer; ``clip.model.vision=resnet`` and ``clip.model.text=cbow`` choose the other towers.

    Args:
        data: of own pictures, ``{"source": PATH}``, or of some of Scenes, ``{"source": "scenes", "levels": ...}``;
            None for level one of Scenes.
    """
    stage = Stage(
        "clip",
        data=dict(data or {"source": "scenes", "levels": {"one": 1.0}}),
        steps=500,
        batch=256,
        decay=0.5,
    )
    return Recipe(
        name="clip",
        stages={"clip": stage},
        system="tranh.recipes.caption_judge:assemble",
        parts=("clip",),
        cost="two cores: about 15 minutes for 500 steps of 256 pictures",
        expected="level one: see the table of docs/families/clip.md; tranh retrieve measures it",
    )
