"""A normalizing flow told by captions: exact likelihoods, one pass from picture to latents, one walk back.

The words first, then a VAE's painter, which says what a caption leads to expect, then the flow of what remains.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tranh.recipes import words
from tranh.recipes.gan import LEVEL_ONE, before, patch_of
from tranh.recipes.natural import natural
from tranh.recipes.vae import PAINTER
from tranh.types import Recipe, Stage


def recipe(data: Mapping[str, Any] | None = None) -> Recipe:
    """Flow on level one of Scenes, or on own pictures.

    Args:
        data: of own pictures, ``{"source": PATH}``, or of some of Scenes, ``{"source": "scenes", "levels": ...}``;
            None for level one of Scenes.
    """
    data = natural(LEVEL_ONE if data is None or dict(data) == {"source": "scenes"} else data)
    stages = before(data, clip=False)
    flow = Stage(
        "flow",
        model={"image_size": data["size"], "context": words.QUESTIONS, "painter_width": PAINTER["width"]}
        | patches(data["size"]),
        data=data,
        parents={"painter": "painter"},
        init="reader" if "reader" in stages else None,
        steps=1000,
        batch=48,
        lr=1e-3,
        muon_lr=4e-3,
        decay=0.5,
        share=0.4,
    )
    return Recipe(
        name="flow",
        stages=stages | {"flow": flow},
        system="tranh.recipes.system:assemble",
        parts=("painter", "flow"),
        cost="two cores: 20 minutes for level one of Scenes (--minutes 20); own pictures as long as you like",
        expected="exact bits per dimension in the log, far below those of a histogram of every pixel",
    )


def patches(size: int) -> dict[str, int]:
    """How often a picture is halved, and the patches of what is left, so that each is one of the painter's."""
    patch = patch_of(size)
    halvings = min(2, patch.bit_length() - 1)
    return {"halvings": halvings, "patch_size": patch >> halvings}
