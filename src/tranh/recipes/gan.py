"""A generative adversarial network from nothing: the words first, a CLIP to match with, then the two adversaries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tranh.data.scenes.labels import PICTURE_SIZES, THING_SIZES
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
    data = LEVEL_ONE if data is None or dict(data) == {"source": "scenes"} else dict(data)
    return Recipe(
        name="gan",
        stages=before(data) | {"gan": rivals("gan", data, batch=32)},
        system="tranh.recipes.system:assemble",
        parts=("clip", "gan"),
        cost="two cores: 20 minutes on level one; --minutes shares any time among the stages",
        expected="what is asked for can be told; see the comparison of the systems",
    )


def before(data: Mapping[str, Any]) -> dict[str, Stage]:
    """What comes before two adversaries: a reader lends them its words where the facts of captions are known (Scenes),
    and a small CLIP says how well pictures match captions."""
    stages = {"clip": Stage("clip", model=SMALL_CLIP, data=data, steps=500, batch=128, share=0.15)}
    if data["source"] == "scenes":
        sizes = {"thing_sizes": list(THING_SIZES), "picture_sizes": list(PICTURE_SIZES)}
        stages["reader"] = Stage(
            "reader", model=sizes, data=data, steps=400, batch=128, muon_lr=4e-3, decay=0.5, share=0.12
        )
    return stages


def rivals(family: str, data: Mapping[str, Any], *, batch: int) -> Stage:
    """The stage of the two adversaries."""
    return Stage(
        family,
        data=data,
        parents={"clip": "clip"},
        init="reader" if data["source"] == "scenes" else None,
        steps=2500,
        batch=batch,
        lr=1e-3,
        muon_lr=2e-3,
        warmup=50,
        decay=0.4,
        share=0.73,
    )
