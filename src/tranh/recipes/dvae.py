"""The discrete autoencoder alone: pictures as codes and back, on Scenes or on own pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tranh.types import Recipe, Stage

SCENES = {"source": "scenes", "levels": {"one": 1.0}}


def stage(data: Mapping[str, Any], share: float = 1.0) -> Stage:
    """The stage ``dvae``: small batches, as many steps as there is time for."""
    return Stage("dvae", data=dict(data), steps=1500, batch=32, lr=2e-3, muon_lr=4e-3, decay=0.5, share=share)


def recipe(data: Mapping[str, Any] | None = None) -> Recipe:
    """One stage; ``dvae.model.kind=gumbel`` trains the other kind."""
    return Recipe(
        name="dvae",
        stages={"dvae": stage(data or SCENES)},
        system="tranh.recipes.autoencoder:assemble",
        parts=("dvae",),
        cost="two cores: about 8 minutes",
        expected="a picture of 64 px as 8 x 8 codes of 512; see docs/families/dalle.md",
    )
