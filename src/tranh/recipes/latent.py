"""Latent diffusion, trained whole: CLIP for the captions, a KL autoencoder for the pictures, a U-Net between them.

For twenty minutes of two cores the pictures are 32 px wide and their latents 8 x 8; ``recipe({"source": "scenes",
"size": 64})`` is the same for 64 px, where latents are 16 x 16.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tranh.data.scenes.labels import PATCH_SIZES
from tranh.recipes import words
from tranh.types import Recipe, Stage

LENGTHS = {"one": 40, "two": 64}
"""Tokens that hold every caption of a level of Scenes; others need up to 80."""

SIZE = 32
"""Side of the pictures, where none is asked for."""


def recipe(data: Mapping[str, Any] | None = None) -> Recipe:
    """Level ``one`` of Scenes, or own pictures.

    Args:
        data: ``{"source": PATH}`` of own pictures, ``{"source": "scenes", "levels": ...}`` for other levels.
    """
    data = {"size": SIZE, **(data or {"source": "scenes"})}
    side = {"image_size": data["size"]}
    scenes = data["source"] == "scenes"
    size: dict[str, Any] = {}
    if scenes:
        data = {"levels": {"one": 1.0}} | data
        size = {"max_len": max(LENGTHS.get(level, 80) for level in data["levels"]), "label_sizes": list(PATCH_SIZES)}
    text = {"text_depth": 2, "text_heads": 3}
    stages = {
        "clip": Stage(
            "clip",
            model=side
            | {"patch": data["size"] // 8, "vision_width": 128, "vision_depth": 3, "vision_heads": 2}
            | {"text_width": 192, **text},
            data=data,
            init="reader" if scenes else None,
            steps=400,
            batch=128,
            share=0.1 if scenes else 0.2,
        ),
        "kl": Stage(
            "kl", model=side | {"channels": [32, 64, 96]}, data=data, steps=900, batch=32, decay=0.5, share=0.17
        ),
        "latent": Stage(
            "latent",
            model=side | size,
            data=data | ({"patches": 8} if scenes else {}),
            parents={"clip": "clip", "kl": "kl"},
            steps=1500,
            batch=48,
            muon_lr=4e-3,
            decay=0.5,
            share=0.6,
        ),
    }
    if scenes:  # told by CLIP's states alone, the U-Net draws what they know: the tower learns its words first
        stages = {"reader": words.reader(data, steps=500, share=0.13, text_dim=192, tower=True, **text)} | stages
    return Recipe(
        name="latent",
        stages=stages,
        system="tranh.recipes.system:assemble",
        parts=("clip", "kl", "latent"),
        cost="two cores: 20 minutes for a first model (--minutes 20); what it has, divided about 1 : 1 : 3",
        expected="place, size, setting and colours of level `one`; kinds come last",
    )
