"""The verifier's recipe: the detector every Scenes score is given by, trained on renders of all levels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tranh.data.scenes.labels import PATCH_SIZES, PICTURE_SIZES, ROLES, THING_SIZES
from tranh.families.verifier import GRID, Verifier
from tranh.types import Family, Recipe, Stage, TranhError


def recipe() -> Recipe:
    """The detector of docs/evaluation.md.

    Goal: 99 % of whole held-out pictures right per level; ``benchmarks/ceiling.py`` measures what it reaches.
    """
    stage = Stage(
        family="verifier",
        model={
            "thing_sizes": list(THING_SIZES),
            "picture_sizes": list(PICTURE_SIZES),
            "inner": ROLES.index("inner"),
            "patch_sizes": list(PATCH_SIZES),
        },
        data={
            "source": "scenes",
            "levels": {"one": 0.15, "two": 0.25, "full": 0.6},
            "split": "judge",
            "count": 40000,
            "patches": GRID,
        },
        steps=6000,
        batch=64,
        muon_lr=3e-3,
        warmup=100,
        decay=0.6,
        sample_every=1000,
        save_every=250,
    )
    return Recipe(
        name="verifier",
        stages={"verifier": stage},
        system="tranh.recipes.verifier:assemble",
        parts=("verifier",),
        cost="6000 steps of 64 pictures: about an hour and a half on two CPU cores",
        expected="what verifier-1 reaches on true pictures: the first table of the README",
    )


def assemble(parts: Mapping[str, Family], assets: Mapping[str, bytes], card: Mapping[str, Any]) -> Verifier:
    """The system of an exported verifier is the family itself: it reads, and knows nothing of words.

    Raises:
        TranhError: the folder holds something else.
    """
    part = parts.get("verifier")
    if not isinstance(part, Verifier):
        raise TranhError(f"this folder holds {', '.join(parts) or 'nothing'}; a verifier's holds the part verifier.")
    return part
