"""What was typed after ``tranh train RECIPE``, as a recipe: own pictures, a model to begin from, single settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tranh.engine.rundir import RunDir
from tranh.recipes import models
from tranh.recipes.run import find, override
from tranh.types import Recipe, TranhError


def configured(name: str, settings: Sequence[str]) -> Recipe:
    """The recipe that was asked for: ``data=PATH`` (own pictures) and ``init=MODEL`` first, the other settings on it.

    ``init`` may be a shipped model's name, an exported folder, or the folder a recipe was trained in.

    Raises:
        TranhError: as :func:`find` and :func:`override` say, or the model has none of the recipe's stages.
    """
    told = dict(s.split("=", 1) for s in settings if s.startswith(("data=", "init=")))
    source = told.get("data", "scenes")
    if source != "scenes" and Path(source).exists():  # a folder of that name is ./scenes
        source = str(Path(source).absolute())  # the run is taken up again from anywhere
    recipe = find(name, None if source == "scenes" else {"source": source})
    begin = _trained(told["init"]) if "init" in told else None
    if begin is not None:
        recipe = _begun_from(recipe, told["init"], *begin)
        settings = [s for s in settings if not s.startswith("init=")]
    return override(recipe, [s for s in settings if not s.startswith("data=")])


def _trained(name: str) -> tuple[Path, dict[str, models.Trained]] | None:
    """The folder of a model's or a training's tokenizer, and its parts by name; None if it is neither."""
    root = Path(name)
    if (root / "system.json").is_file() or name in {info.name for info in models.available()}:
        return models.folder(name), models.trained(name)
    runs = {path.name: RunDir(path) for path in sorted(root.iterdir())} if (root / "report.html").is_file() else {}
    begun = {part: run for part, run in runs.items() if run.recipe_file.is_file()}
    if not begun or (root / "state").exists():  # a single stage is begun from as it is
        return None
    parts = {
        k: models.Trained(run.stage().family, run.stage().model, str(run.path.absolute())) for k, run in begun.items()
    }
    return next(iter(begun.values())).path.absolute(), parts


def _begun_from(recipe: Recipe, name: str, words: Path, parts: Mapping[str, models.Trained]) -> Recipe:
    """The recipe with every stage that the model has beginning from its weights, in its sizes, with its tokenizer."""
    stages, begun = {}, False
    for title, stage in recipe.stages.items():
        part = parts.get(title)
        if own := stage.data.get("source", "scenes") != "scenes":
            stage = replace(stage, data={**stage.data, "words_of": str(words)})
        if part is not None and part.family == stage.family:
            sizes = dict(part.config)
            if own and "label_sizes" in sizes:  # labels are what only Scenes knows
                sizes["label_sizes"] = []
            begun, stage = True, replace(stage, model=sizes, init=part.init)
        stages[title] = stage
    if not begun:
        raise TranhError(f"{name} has none of the stages of {recipe.name}: it has {', '.join(parts)}")
    return replace(recipe, stages=stages)
