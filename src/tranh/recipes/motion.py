"""The recipe of moving pictures: an editor that is told when, begun from the decoder of ``tranh-1``."""

from __future__ import annotations

from tranh.data.scenes.labels import PATCH_SIZES
from tranh.recipes import models
from tranh.recipes.editor import SIZES
from tranh.types import Recipe, Stage


def recipe() -> Recipe:
    """On the sequences of Scenes: one thing moves, grows, shrinks, appears or changes colour."""
    decoder = models.trained()["decoder"]
    sizes = {key: decoder.config[key] for key in SIZES}
    return Recipe(
        name="motion",
        stages={
            "motion": Stage(
                "editor",
                model=sizes
                | {"clip_dim": None, "moments": True, "faults": 0, "holes": 0.0, "label_sizes": list(PATCH_SIZES)},
                data={"source": "scenes", "lessons": "motions", "patches": 8},
                init=decoder.init,
                steps=4000,
                batch=64,
                muon_lr=2e-3,
                lr=5e-4,
                decay=0.5,
            ),
        },
        system="tranh.recipes.beside:assemble",
        parts=("motion",),
        cost="two hours of two CPU cores (--minutes 120), from the decoder of tranh-1",
        expected="see docs/edits",
    )
