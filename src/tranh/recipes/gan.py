"""A generative adversarial network from nothing: the words first, then a VAE's painter, then the two adversaries.

A generator learns where things are many times sooner as the painter of a VAE than beside a discriminator that knows
nothing yet either (LOG.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tranh.recipes import words
from tranh.recipes.natural import natural
from tranh.recipes.vae import PAINTER
from tranh.types import Recipe, Stage

LEVEL_ONE: Mapping[str, Any] = {"source": "scenes", "levels": {"one": 1.0}}

SMALL_CLIP = {
    "vision_width": 128,
    "vision_depth": 4,
    "vision_heads": 2,
    "text_width": 128,
    "text_depth": 2,
    "text_heads": 2,
}
"""A picture passes through it twice in every step of a generator, so it is smaller than that of the hierarchy."""


def recipe(data: Mapping[str, Any] | None = None) -> Recipe:
    """A GAN on level one of Scenes, or on own pictures; captions that are names of classes make it class-conditional.

    Args:
        data: ``{"source": PATH}`` of own pictures, ``{"source": "digits"}`` of handwritten digits, or levels of Scenes.
    """
    data = natural(LEVEL_ONE if data is None or dict(data) == {"source": "scenes"} else data)
    patch = patch_of(data["size"])
    model = {"patch": patch, "critic_patch": max(1, patch // 2), "match": 0.0, "trust": 0.5, "pace": 0.25}
    return Recipe(
        name="gan",
        stages=before(data, clip=False) | {"gan": rivals("gan", data, model, clip=False)},
        system="tranh.recipes.system:assemble",
        parts=("gan",),
        cost="two cores: 20 minutes on level one; --minutes shares any time among the stages",
        expected="what is asked for can be told; see the comparison of the systems",
    )


def before(data: Mapping[str, Any], *, clip: bool, patch: int | None = None) -> dict[str, Stage]:
    """What comes before two adversaries: a reader lends them its words where the facts of captions are known (Scenes),
    a VAE its painter, and a small CLIP says, if asked, how well pictures match captions.

    Args:
        patch: of the painter, which who takes it over must have too; one that suits the pictures if None.
    """
    stages = {}
    if clip:
        stages["clip"] = Stage("clip", model=SMALL_CLIP, data=data, steps=400, batch=128, share=0.1)
    if data["source"] == "scenes":
        stages["reader"] = words.reader(data, steps=400, share=0.1)
    sizes = {"image_size": data["size"], "patch": patch or patch_of(data["size"])}
    stages["painter"] = Stage(
        "vae", model=PAINTER | sizes, data=data, init="reader" if "reader" in stages else None,
        steps=1200, batch=32, muon_lr=4e-3, decay=0.4, share=0.5,
    )  # fmt: skip
    return stages


def rivals(family: str, data: Mapping[str, Any], model: Mapping[str, Any], *, clip: bool) -> Stage:
    """The stage of the two adversaries, which begins where the painter ended."""
    return Stage(
        family,
        model={"image_size": data["size"], "penalty": 10.0} | dict(model),
        data=data,
        parents={"clip": "clip"} if clip else {},
        init="painter",
        steps=600,
        batch=32,
        lr=5e-4,
        muon_lr=1e-3,
        warmup=50,
        decay=0.5,
        share=0.3 if clip else 0.4,
    )


def patch_of(size: int) -> int:
    """Side of the patches that leave a grid of 7 x 7 at least."""
    return max(patch for patch in (1, 2, 4, 8) if size % patch == 0 and (size // patch >= 7 or patch == 1))
