"""The autoencoder as a recipe, and as what users hold: a thing that encodes and decodes pictures and draws none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from tranh.engine.weights import fingerprint
from tranh.recipes.natural import natural, tiny
from tranh.types import Autoencodes, Family, Recipe, Stage, TranhError

DENSE = {"form": "dense", "width": 400, "latent": 20}
"""The textbook's layers: pixels, 400, 20, and back."""
CONV = {"form": "conv", "width": 96, "depth": 1, "latent": 64}


def recipe(data: Mapping[str, Any] | None = None) -> Recipe:
    """Level one of Scenes, or own pictures; ``model.form=dense`` or ``conv`` chooses the networks."""
    data = natural(data or {"source": "scenes", "levels": {"one": 1.0}})
    sizes = (DENSE if tiny(data) else CONV) | {"image_size": data["size"]}
    return Recipe(
        name="autoencoder",
        stages={"autoencoder": Stage("autoencoder", model=sizes, data=data, steps=3000, batch=64, decay=0.5)},
        system="tranh.recipes.autoencoder:assemble",
        parts=("autoencoder",),
        cost="two cores: minutes",
        expected="docs/families/vae.md compares it with the VAE, the mean picture and PCA",
    )


class Autoencoding:
    """A trained autoencoder: ``encode`` pictures, ``decode`` latents, and nothing else.

    Attributes:
        size: side of the pictures it was trained on.
        parts, card, name, hash: as :class:`tranh.recipes.system.System` has them.
    """

    def __init__(self, parts: Mapping[str, Family], card: Mapping[str, Any]) -> None:
        able = [part for part in parts.values() if isinstance(part, Autoencodes)]
        if not able:
            raise TranhError(f"none of the parts {', '.join(parts) or '(there are none)'} encodes and decodes pictures")
        self.parts, self.card, self.part = dict(parts), dict(card), able[-1]
        self.name, self.size = str(card.get("name", "autoencoder")), int(able[-1].config["image_size"])

    @property
    def hash(self) -> str:
        """Names the weights."""
        return fingerprint({f"{n}.{k}": v for n, part in self.parts.items() for k, v in part.state_dict().items()})

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) in [-1, 1] -> latents (B, ...)."""
        return self.part.encode(images)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Latents (B, ...) -> (B, 3, S, S) in [-1, 1]."""
        return self.part.decode(latents).float().clamp(-1, 1)


def assemble(parts: dict[str, Family], assets: dict[str, bytes], card: dict[str, Any]) -> Autoencoding:
    """What ``load`` returns for the export of a family that encodes and decodes, and draws nothing."""
    return Autoencoding(parts, card)
