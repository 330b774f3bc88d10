"""The variational autoencoder that reads captions, as a recipe: the text-conditional VAE of the comparison."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tranh.recipes import words
from tranh.recipes.natural import natural, tiny
from tranh.types import Recipe, Stage

DENSE = {
    "form": "dense", "width": 400, "latent": 20, "likelihood": "gaussian", "scale": 0.15, "text_dim": 64,
    "text_depth": 1, "drop": 0.3,
}  # fmt: skip
"""For tiny pictures: the textbook's layers, told the caption."""
PAINTER = {
    "form": "transformer", "width": 256, "depth": 6, "encoder_depth": 2, "heads": 4, "patch": 8, "latent": 16,
    "likelihood": "gaussian", "scale": 0.25,
}  # fmt: skip
"""Every patch asks the caption's tokens what to show; the prior of z is told it too."""


def recipe(data: Mapping[str, Any] | None = None) -> Recipe:
    """A ``reader`` learns the words of Scenes, then the VAE begins from it; on own pictures there is no reader."""
    data = natural(data or {"source": "scenes", "levels": {"one": 1.0}})
    sizes = (DENSE if tiny(data) else PAINTER) | {"image_size": data["size"]}
    stages = {}
    if data["source"] == "scenes":
        stages["reader"] = words.reader(data, steps=400, share=0.1, batch=64)
    stages["vae"] = Stage(
        "vae", model=sizes, data=data, init="reader" if stages else None, steps=2500, batch=32, muon_lr=4e-3,
        decay=0.5, share=0.9,
    )  # fmt: skip
    return Recipe(
        name="vae",
        stages=stages,
        system="tranh.recipes.system:assemble",
        parts=("vae",),
        cost="two cores: 20 minutes",
        expected="colours, places and sizes as asked, simple shapes; see docs/families/vae.md",
    )
