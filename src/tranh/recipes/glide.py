"""GLIDE as a recipe: a reader lends its words, then the U-Net learns to draw, and to fill in, from them.

For twenty minutes of two cores the pictures are 32 px wide, as the flow's are small too: a 64 px picture costs three
times as much, and would follow its caption worse. With more time, ``glide.data.size=64 glide.model.image_size=64``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tranh.data.scenes.labels import PATCH_SIZES
from tranh.recipes import words
from tranh.types import Recipe, Stage

SIZE = 32
"""Side of the pictures, where none is asked for."""


def recipe(data: Mapping[str, Any] | None = None) -> Recipe:
    """Text-conditional diffusion at 32 px, with text-guided filling in.

    Args:
        data: of own pictures, ``{"source": PATH}`` (no reader then: nothing is known but their captions), or of some
            levels of Scenes; None for level one.
    """
    data = dict(data or {"source": "scenes", "levels": {"one": 1.0}})
    data = {"size": SIZE, **data}
    model: dict[str, Any] = {"image_size": data["size"], "widths": [192, 256], "attention": [True, True]}
    glide = Stage(
        "glide",
        model=model,
        data=data,
        steps=1000,
        batch=48,
        lr=2e-3,
        muon_lr=4e-3,
        decay=0.6,
        share=0.86,
    )
    stages = {"glide": glide}
    if data["source"] == "scenes":
        told: dict[str, Any] = {"questions": words.QUESTIONS, "label_sizes": list(PATCH_SIZES)}
        glide = replace(glide, init="reader", model=model | told, data=data | {"patches": 8})
        stages = {"reader": words.reader(data, steps=400, share=0.14), "glide": glide}
    return Recipe(
        name="glide",
        stages=stages,
        system="tranh.recipes.system:assemble",
        parts=("glide",),
        cost="two cores: about 20 minutes",
        expected="facts of level one: `tranh evaluate EXPORT --levels one`",
    )
