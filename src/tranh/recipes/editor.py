"""The recipe of the editor: it begins from the decoder of ``tranh-1`` and learns holes, instructions and embeddings."""

from __future__ import annotations

from typing import Any

from tranh.data.scenes.labels import PATCH_SIZES
from tranh.recipes import models
from tranh.types import FAULTS, Recipe, Stage

ALL = {"one": 0.3, "two": 0.35, "full": 0.35}

SIZES = ("clip_tokens", "text_dim", "text_depth", "text_heads", "patch_size", "hidden_size", "depth", "num_heads")
"""Sizes of the decoder that are taken over."""


def recipe() -> Recipe:
    """On all levels of Scenes, whose pairs of scenes come with instructions."""
    parts = models.trained()
    clip, decoder = parts["clip"], parts["decoder"]
    sizes: dict[str, Any] = {key: decoder.config[key] for key in SIZES}
    data = {"source": "scenes", "levels": ALL}
    return Recipe(
        name="editor",
        stages={
            "clip": Stage("clip", model=clip.config, data=data, init=clip.init, steps=0, batch=16, ema=(), share=0.0),
            "editor": Stage(
                "editor",
                model=sizes | {"faults": len(FAULTS), "label_sizes": list(PATCH_SIZES)},
                data=data | {"lessons": "instructions", "patches": 8, "asked": 0.5},
                parents={"clip": "clip"},
                init=decoder.init,
                steps=4000,
                batch=64,
                muon_lr=2e-3,
                lr=5e-4,
                decay=0.5,
            ),
        },
        system="tranh.recipes.beside:assemble",
        parts=("editor",),
        cost="two hours of two CPU cores (--minutes 120), from the decoder of tranh-1",
        expected="see docs/edits",
    )
