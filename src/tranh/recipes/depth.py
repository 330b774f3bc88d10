"""The recipe of depth: which parts of a picture lie before others, learned from scenes whose layers are known."""

from __future__ import annotations

from tranh.types import Recipe, Stage

ALL = {"one": 0.15, "two": 0.45, "full": 0.4}


def recipe() -> Recipe:
    """On all levels of Scenes, most of it on those where things overlap."""
    stage = Stage(
        "depth", data={"source": "scenes", "levels": ALL, "lessons": "depth"}, steps=1500, batch=32, lr=2e-3, decay=0.5,
    )  # fmt: skip
    return Recipe(
        name="depth",
        stages={"depth": stage},
        system="tranh.recipes.beside:assemble",
        parts=("depth",),
        cost="half an hour of two CPU cores (--minutes 30)",
        expected="see docs/edits/turn.md",
    )
