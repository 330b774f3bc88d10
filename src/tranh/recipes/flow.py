"""A normalizing flow told by captions: exact likelihoods, one pass from picture to latents, one walk back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tranh.data.scenes.labels import PATCH_SIZES
from tranh.recipes import words
from tranh.types import Recipe, Stage


def recipe(data: Mapping[str, Any] | None = None) -> Recipe:
    """Flow on level one of Scenes, or on own pictures; on Scenes its caption encoder begins from a reader's.

    Args:
        data: of own pictures, ``{"source": PATH}``, or of some of Scenes, ``{"source": "scenes", "levels": ...}``;
            None for level one of Scenes.
    """
    data = dict(data or {"source": "scenes", "levels": {"one": 1.0}})
    flow = Stage(
        "flow",
        data=data,
        steps=2000,
        batch=48,
        lr=1e-3,
        muon_lr=4e-3,
        decay=0.5,
        share=0.88,
    )
    stages = {"flow": flow}
    if data["source"] == "scenes":
        told = {"context": words.QUESTIONS, "label_sizes": list(PATCH_SIZES)}
        stages = {
            "reader": words.reader(data, steps=250, share=0.12),
            "flow": replace(flow, init="reader", model=told, data=data | {"patches": 8}),
        }
    return Recipe(
        name="flow",
        stages=stages,
        system="tranh.recipes.system:assemble",
        parts=("flow",),
        cost="two cores: 20 minutes for level one of Scenes (--minutes 20); own pictures as long as you like",
        expected="exact bits per dimension in the log, far below those of a histogram of every pixel",
    )
