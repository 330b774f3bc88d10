"""The variational autoencoder without captions, as a recipe: z alone says what a picture shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tranh.recipes.autoencoder import CONV, DENSE
from tranh.recipes.natural import natural, tiny
from tranh.types import Recipe, Stage


def recipe(data: Mapping[str, Any] | None = None) -> Recipe:
    """The networks of ``autoencoder``, on the same data, with the variational loss."""
    data = natural(data or {"source": "scenes", "levels": {"one": 1.0}})
    sizes = (DENSE if tiny(data) else CONV) | {"image_size": data["size"], "vocab": None, "scale": 0.1}
    return Recipe(
        name="vae_plain",
        stages={"vae": Stage("vae", model=sizes, data=data, steps=3000, batch=64, decay=0.5)},
        system="tranh.recipes.system:assemble",
        parts=("vae",),
        cost="two cores: minutes",
        expected="docs/families/vae.md compares it with the autoencoder, the mean picture and PCA",
    )
