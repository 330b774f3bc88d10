"""DM-GAN from nothing: the words first, a CLIP to match with, then the generator of three stages and its judges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tranh.recipes.gan import LEVEL_ONE, before, rivals
from tranh.recipes.natural import SIDE
from tranh.types import Recipe

CALM = {"trust": 0.1, "match": 0.1, "pace": 0.05, "anchor_until": 4.0}
"""Judges of some hundred steps lead refinements that begin as noise far from what is painted well, so they are believed
little, and the true pictures stay an anchor (LOG.md)."""

PATCH = 8
"""Of its initial stage, which draws a quarter of the side from features of an eighth."""


def recipe(data: Mapping[str, Any] | None = None) -> Recipe:
    """DM-GAN on level one of Scenes, or on own pictures.

    Args:
        data: ``{"source": PATH}`` of own pictures, ``{"source": "digits"}`` of handwritten digits, or levels of Scenes.
    """
    data = {"size": SIDE, **(LEVEL_ONE if data is None or dict(data) == {"source": "scenes"} else data)}
    return Recipe(
        name="dmgan",
        stages=before(data, clip=True, patch=PATCH) | {"dmgan": rivals("dmgan", data, CALM, clip=True)},
        system="tranh.recipes.system:assemble",
        parts=("clip", "dmgan"),
        cost="two cores: 20 minutes on level one; --minutes shares any time among the stages",
        expected="what is asked for can be told; see the comparison of the systems",
    )
