"""The ablation: the decoder of the hierarchy without CLIP embedding and prior, told by the caption alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tranh.recipes.quick import recipe as quick
from tranh.recipes.unclip import PARTS, of_pictures, stages_of_pictures
from tranh.types import Recipe


def recipe(data: Mapping[str, Any] | None = None) -> Recipe:
    """The reader, draft and decoder stages of ``quick``, same data, size and number of steps, without CLIP."""
    if data is not None and data["source"] != "scenes":
        decoder = stages_of_pictures(data)["decoder"]
        return of_pictures("direct", {"decoder": replace(decoder, parents={}, model={"clip_dim": None})})
    stages = quick(data).stages
    alone = {
        name: replace(stages[name], parents={}, model={**stages[name].model, "clip_dim": None})
        for name in ("draft", "decoder")
    }
    return Recipe(
        name="direct",
        stages={"reader": stages["reader"], **alone},
        system="tranh.recipes.unclip:assemble",
        parts=PARTS,
        cost="two cores: about 95 minutes, as much as `quick` gives the same stages",
        expected="see the comparison with `quick` in the README",
    )
