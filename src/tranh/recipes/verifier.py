"""The verifier's recipe: the detector every Scenes score is given by, trained on renders of all levels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tranh.data.scenes.labels import PATCH_SIZES, PICTURE_SIZES, ROLES, THING_SIZES
from tranh.families.verifier import GRID, Verifier
from tranh.types import Family, Recipe, Stage, TranhError


def recipe() -> Recipe:
    """The detector of docs/evaluation.md, 2.5 million weights.

    Cost: two hours on two CPU cores (90 pictures a second), minutes on a GPU.
    Expected: 99 % of whole held-out pictures right per level; ``recipes.judge.ceiling`` measures it.
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
        steps=12000,
        batch=32,
        lr=1e-3,
        warmup=100,
        decay=0.4,
        sample_every=1000,
        save_every=250,
    )
    return Recipe(
        name="verifier",
        stages={"verifier": stage},
        system="tranh.recipes.verifier:assemble",
        parts=("verifier",),
        cost="6000 steps of 64 pictures: about two hours on two CPU cores",
        expected="99 % of whole held-out pictures right per level, in words of Scenes",
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
