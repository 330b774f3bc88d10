"""The hierarchy from nothing in two hours on two cores, at 64 px: levels ``one`` and ``two`` of Scenes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tranh.recipes.unclip import PARTS, SCENES, of_pictures, stages, stages_of_pictures
from tranh.types import Recipe


def recipe(data: Mapping[str, Any] | None = None) -> Recipe:
    """CLIP, both priors and the decoder on scenes of one and two things; or on own pictures, without upsampler."""
    if data is not None and data["source"] != "scenes":
        return of_pictures("quick", stages_of_pictures(data, upsample=False))
    return Recipe(
        name="quick",
        stages=stages(SCENES | {"levels": {"one": 0.4, "two": 0.6}} | dict(data or {}), upsample=False),
        system="tranh.recipes.unclip:assemble",
        parts=PARTS,
        cost="two cores: under 2 hours of wall clock, all stages together",
        expected="whole pictures right: see the README's table of `quick`",
    )
