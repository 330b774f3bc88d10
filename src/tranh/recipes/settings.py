"""What was typed after ``tranh train RECIPE``, as a recipe: own pictures, a model to begin from, single settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tranh.files import read_json
from tranh.recipes import models
from tranh.recipes.run import find, override
from tranh.types import Recipe, TranhError


def configured(name: str, settings: Sequence[str]) -> Recipe:
    """The recipe that was asked for: ``data=PATH`` (own pictures) and ``init=MODEL`` first, the other settings on it.

    Raises:
        TranhError: as :func:`find` and :func:`override` say.
    """
    told = dict(s.split("=", 1) for s in settings if s.startswith(("data=", "init=")))
    source = told.get("data", "scenes")
    recipe = find(name, None if source == "scenes" else {"source": source})
    model = told.get("init")
    if model is not None and _is_model(model):
        recipe = _begun_from(recipe, model)
        settings = [s for s in settings if not s.startswith("init=")]
    return override(recipe, [s for s in settings if not s.startswith("data=")])


def _is_model(name: str) -> bool:
    """Is it a shipped model's name, or a folder that ``tranh export`` wrote?"""
    return (Path(name) / "system.json").is_file() or name in {info.name for info in models.available()}


def _begun_from(recipe: Recipe, model: str) -> Recipe:
    """The recipe with every stage that the model has beginning from its weights, in its sizes, with its tokenizer."""
    there = models.folder(model)
    parts = read_json(there / "system.json")["parts"]
    stages, begun = {}, False
    for name, stage in recipe.stages.items():
        part = parts.get(name)
        if own := stage.data.get("source", "scenes") != "scenes":
            stage = replace(stage, data={**stage.data, "words_of": str(there)})
        if part is not None and part["family"] == stage.family:
            sizes = dict(part["config"])
            if own and "label_sizes" in sizes:  # labels are what only Scenes knows
                sizes["label_sizes"] = []
            begun, stage = True, replace(stage, model=sizes, init=str(there / part["file"]))
        stages[name] = stage
    if not begun:
        raise TranhError(f"{model} has none of the stages of {recipe.name}: it has {', '.join(parts)}")
    return replace(recipe, stages=stages)
