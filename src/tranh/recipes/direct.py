"""The ablation: the decoder of the hierarchy without CLIP embedding and prior, told by the caption alone."""

from __future__ import annotations

from dataclasses import replace

from tranh.recipes.quick import recipe as quick
from tranh.recipes.unclip import PARTS
from tranh.types import Recipe


def recipe() -> Recipe:
    """The draft and decoder stages of ``quick``, same data, size and number of steps, without CLIP."""
    made = {
        name: replace(stage, parents={}, model={**stage.model, "clip_dim": None})
        for name, stage in quick().stages.items()
        if stage.family == "decoder"
    }
    return Recipe(
        name="direct",
        stages=made,
        system="tranh.recipes.unclip:assemble",
        parts=PARTS,
        cost="two cores: about 80 minutes",
        expected="see the comparison with `quick` in the README",
    )
