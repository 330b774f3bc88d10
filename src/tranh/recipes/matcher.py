"""The recipe of the caption judge: a matcher, on pictures that the system it judges was never trained on."""

from __future__ import annotations

from tranh.types import Recipe, Stage

SEED = 7
"""Not that of the systems it judges: begun from other weights, in another order."""


def recipe() -> Recipe:
    """The judge of ``docs/evaluation.md``; with ``data=PATH`` of one's own pictures, in a split kept for it."""
    stage = Stage(
        family="matcher",
        data={"source": "scenes", "levels": {"one": 0.25, "two": 0.35, "full": 0.4}, "split": "judge"},
        steps=1500,
        batch=128,
        muon_lr=3e-3,
        decay=0.5,
        seed=SEED,
    )
    return Recipe(
        name="matcher",
        stages={"matcher": stage},
        system="tranh.recipes.caption_judge:assemble",
        parts=("matcher",),
        cost="1500 steps of 128 pictures: about 15 minutes of one CPU core",
        expected="levels one and two, 460 steps: the caption found among 100 for 95 to 99 % of held-out pictures",
    )
