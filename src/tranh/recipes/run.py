"""Running recipes: finding them, overriding them, training their stages in order, exporting what they made.

It knows recipes and the engine, no network: a recipe is a module of this package with a function ``recipe()``.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import json
import pkgutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from tranh.engine import checkpoint, doctor, run_report
from tranh.engine import find as families
from tranh.engine.doctor.batches import reads_captions
from tranh.engine.doctor.behaviour import captions_tell
from tranh.engine.doctor.finding import Finding
from tranh.engine.fit import fit_steps
from tranh.engine.frozen import Frozen, attach
from tranh.engine.frozen import load as load_frozen
from tranh.engine.run_report import write_overview
from tranh.engine.rundir import RunDir
from tranh.engine.source import Source, on_device
from tranh.engine.start import settle
from tranh.engine.table import table
from tranh.engine.train import train as train_stage
from tranh.files import write_json
from tranh.recipes import past
from tranh.recipes.measuring import measurer_of
from tranh.recipes.own import TOKENIZER, Assets
from tranh.recipes.samples import sampler_of
from tranh.recipes.sources import assets_of, get_ready, index_of, settled, source_of
from tranh.text.tokenizer import Tokenizer
from tranh.types import Event, Family, Recipe, Stage, TranhError

PACKAGE = "tranh.recipes"


def names() -> list[str]:
    """Every recipe there is."""
    package = importlib.import_module(PACKAGE)
    found = [m.name for m in pkgutil.iter_modules(package.__path__) if not m.ispkg]
    return sorted(n for n in found if "\ndef recipe(" in (Path(package.__path__[0]) / f"{n}.py").read_text("utf-8"))


def find(name: str, data: Mapping[str, Any] | None = None) -> Recipe:
    """A recipe by name.

    Args:
        data: of own pictures; None for the recipe's own.

    Raises:
        TranhError: no such recipe, the message suggests the nearest; or one that cannot learn from own pictures.
    """
    known = names()
    if name not in known:
        raise TranhError(f"no recipe is called {name!r}{_nearest(name, known)}; there are: {', '.join(known)}")
    make = importlib.import_module(f"{PACKAGE}.{name}").recipe
    if data is not None and not takes_data(name):
        raise TranhError(
            f"{name} learns from what only Scenes knows of its pictures, and cannot learn from {data.get('source')!r}. "
            f"For captioned pictures there are: {', '.join(n for n in known if takes_data(n))}."
        )
    recipe: Recipe = make(data) if data is not None else make()
    return recipe


def takes_data(name: str) -> bool:
    """Can a recipe be told what to learn from?"""
    return "data" in inspect.signature(importlib.import_module(f"{PACKAGE}.{name}").recipe).parameters


def _nearest(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f" (did you mean {near[0]!r}?)" if near else ""


def override(recipe: Recipe, settings: Sequence[str]) -> Recipe:
    """A recipe with ``stage.key=value`` (one stage) or ``key=value`` (every stage) applied.

    Keys are the fields of :class:`Stage`; ``model.`` and ``data.`` reach into those (``decoder.model.depth=8``).
    Values are JSON, or plain words.

    Raises:
        TranhError: a stage or key that does not exist, or a value of another type.
    """
    stages = dict(recipe.stages)
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not equals:
            raise TranhError(f"{setting!r} is no setting: write key=value, for example steps=100 or decoder.batch=32")
        head, _, rest = path.partition(".")
        if head in stages and rest:
            chosen, key = [head], rest
        elif head in stages or (rest and head not in ("model", "data")):
            raise TranhError(
                f"{path!r}: no such stage or key{_nearest(head, list(stages))}; stages: {', '.join(stages)}"
            )
        else:
            chosen, key = list(stages), path
        for name in chosen:
            stages[name] = _set(stages[name], key, text, only=len(chosen) == 1)
    return replace(recipe, stages=stages)


def _set(stage: Stage, key: str, text: str, only: bool) -> Stage:
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        value = text
    head, _, rest = key.partition(".")
    if head in ("model", "data") and rest:
        inside = dict(getattr(stage, head))
        if head == "model":
            allowed = list(inspect.signature(families.family(stage.family)).parameters)
            if rest not in allowed:
                if not only:
                    return stage
                raise TranhError(
                    f"{stage.family} has no {rest!r}{_nearest(rest, allowed)}; it has: {', '.join(allowed)}"
                )
        inside[rest] = value
        return replace(stage, model=inside) if head == "model" else replace(stage, data=inside)
    known = [f.name for f in fields(Stage)]
    if key not in known or key in ("family", "model", "data", "parents"):
        raise TranhError(f"a stage has no {key!r}{_nearest(key, known)}; it has: {', '.join(known)}")
    old = getattr(stage, key)
    if isinstance(old, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    free = (key == "ema" and isinstance(value, list)) or (key == "init" and value is None)
    if old is not None and not isinstance(value, type(old)) and not free:
        raise TranhError(f"{key}={text}: {key} is a {type(old).__name__}, for example {key}={old}")
    changes: dict[str, Any] = {key: value}
    return replace(stage, **changes)


def resolve(recipe: Recipe, root: Path, assets: Mapping[str, Assets]) -> Recipe:
    """The recipe with all it leaves open: vocabulary and caption length of its data, folders of ``init``, and every
    default of its families, so that what was trained can be built again when the defaults are others."""
    stages = {}
    for name, stage in recipe.stages.items():
        tokenizer = Tokenizer.load(assets[name][TOKENIZER])
        told = {"vocab": len(tokenizer), "max_len": tokenizer.max_length}
        accepted = inspect.signature(families.family(stage.family)).parameters
        defaults = {k: p.default for k, p in accepted.items() if p.default is not p.empty}
        model = defaults | {k: v for k, v in told.items() if k in accepted} | dict(stage.model)
        init = str(root / stage.init) if stage.init is not None and stage.init in recipe.stages else stage.init
        stages[name] = replace(stage, model=model, init=init, data=settled(stage.data))
    return replace(recipe, stages=stages)


def train(
    recipe: Recipe, root: Path, minutes: float | None = None, only: str | None = None, force: bool = False
) -> Iterator[Event]:
    """Train every stage of a recipe that is not finished, in order; each in its own folder under ``root``.

    The same call resumes wherever it was stopped.

    Args:
        minutes: wall-clock time for all stages together, divided by their shares; the speed of each is measured first.
        only: train this stage alone; those it stands on must be finished.
        force: start although the doctor names a sure fault.

    Raises:
        TranhError: an unknown stage, a parent that is not finished, or what :func:`tranh.engine.train.train` says.
    """
    if only is not None and only not in recipe.stages:
        near = _nearest(only, list(recipe.stages))
        raise TranhError(f"{recipe.name} has no stage {only!r}{near}; stages: {', '.join(recipe.stages)}")
    for stage in recipe.stages.values():
        for event in get_ready(stage.data):
            yield Event(event.stage, event.done, event.total, event.figures)  # its result is not a training's
    assets = {name: assets_of(stage.data) for name, stage in recipe.stages.items()}
    recipe = resolve(recipe, root, assets)
    write_json(root / "recipe.json", json.loads(json.dumps(asdict(recipe), default=list)))
    waiting = {name: s.share * _untrained(RunDir(root / name)) for name, s in recipe.stages.items()}
    budget = _Budget(minutes, sum(waiting.values()) / sum(s.share for s in recipe.stages.values()))
    write_overview(root, recipe)
    for name, stage in recipe.stages.items():
        if only is not None and name != only:
            continue
        run = RunDir(root / name)
        if run.finished:
            if run.stage().data.get("hash") != stage.data.get("hash"):
                raise TranhError(f"{run.path} was trained on other pictures than {root} is now: use a new folder")
            yield Event(name, stage.steps, stage.steps)
            continue
        parents = {}
        for part, parent in stage.parents.items():
            if not RunDir(root / parent).finished:
                raise TranhError(f"stage {name!r} stands on {parent!r}, which is not finished: train {parent!r} first")
            parents[part] = load_frozen(RunDir(root / parent))
        began, fresh = time.perf_counter(), not run.recipe_file.exists()
        source = source_of(stage.data, assets[name])
        family = families.build(stage)
        family.meet({part: parent.family for part, parent in parents.items()})
        sample, measure = sampler_of(stage, source, parents), measurer_of(stage, source, parents)
        if sample is not None:  # what draws takes along what it was trained on, so that copies can be told
            assets[name] = assets[name] | (yield from index_of(stage.data))
        guess = None
        if run.recipe_file.exists():
            stage = replace(stage, steps=run.stage().steps)
        elif stage.steps:  # one without steps takes over what it begins from, as it is
            examine_first(stage, family, source, parents, force)
            yield Event(name, 0, stage.steps)  # a minute may have passed: who keeps the time looks at his clock
            if minutes is not None:
                spent, left = time.perf_counter() - began, budget.left() * stage.share / sum(waiting.values())
                stage = fit_steps(
                    stage, left / 60, family, source, run, parents=parents, sample=sample, point=measure
                )  # fmt: skip
                guess = spent + left
                yield Event(name, 0, stage.steps)
            else:
                guess = past.predicted(stage)
        events = train_stage(
            stage, family, source, run, name=name, parents=parents, assets=assets[name],
            sample=sample, measure=measure,
        )  # fmt: skip
        events = doctor.watch(events, run, stage, family, look=partial(_captions_tell, stage, family, source, parents))
        finished = False
        for event in events:
            finished = event.result is not None and event.result.finished
            yield event
            if event.done % stage.sample_every == 0:
                write_overview(root, recipe)
        waiting.pop(name)
        run_report.write(run)  # once more: by now the doctor has said all
        write_overview(root, recipe)
        if not finished:
            return
        past.finished(recipe.name, name, stage, run, guess, time.perf_counter() - began if fresh else None)


def _untrained(run: RunDir) -> float:
    """The share of a run's steps that its newest checkpoint has still before it."""
    if run.finished or not run.recipe_file.exists():
        return float(not run.finished)
    found = checkpoint.newest(run)
    return 1 - found.step / max(1, run.stage().steps) if found else 1.0


class _Budget:
    """Wall-clock time for what is not trained yet; of a stage that has begun that is the steps it still has. What one
    takes too much (the doctor's first look takes the same for a short stage as for a long one), all that come after it
    share."""

    def __init__(self, minutes: float | None, share: float) -> None:
        self.end = time.perf_counter() + 60 * (minutes or 0) * share

    def left(self) -> float:
        """Seconds."""
        return max(1.0, self.end - time.perf_counter())


def examine_first(
    stage: Stage, family: Family, source: Source, parents: Mapping[str, Frozen], force: bool = False
) -> None:
    """Let the doctor look at the first batches and a short trial, before hours are spent.

    Raises:
        TranhError: a sure fault, unless ``force``.
    """
    settle(parents, source)
    batches = [attach(source.batch(k, stage.batch, stage.seed), parents) for k in range(4)]
    found = doctor.before(family, batches, stage, parents=parents)
    if not force:
        doctor.refuse(found)


def _captions_tell(
    stage: Stage, family: Family, source: Source, parents: Mapping[str, Frozen], progress: float
) -> Finding | None:
    """Does a network that is being trained read its captions? It is left as it was, in training mode."""
    if not reads_captions(family):
        return None
    device = next(family.parameters()).device
    batch = attach(on_device(source.validation(0, stage.batch), device), parents)
    family.eval()
    try:
        return captions_tell(family, batch, progress)
    finally:
        family.train()


def describe(recipe: Recipe, root: Path) -> str:
    """What a training under ``root`` would do, for ``--dry-run``: stages, parameters, steps, every setting.

    Settings stand as they would be typed: ``decoder.model.depth=6``.
    """
    assets = {name: assets_of(stage.data) for name, stage in recipe.stages.items()}
    recipe = resolve(recipe, root, assets)
    out = [f"{recipe.name}: {recipe.cost}", f"expected: {recipe.expected}"]
    for name, stage in recipe.stages.items():
        family = families.build(stage)
        size = sum(p.numel() for p in family.parameters())
        stands = f", stands on {', '.join(stage.parents.values())}" if stage.parents else ""
        out.append(
            f"\n{name}: {stage.family}, {size / 1e6:.1f} M parameters, {stage.steps} steps of {stage.batch} "
            f"({stage.steps * stage.batch / 1000:.0f} k pictures), {stage.precision}{stands}"
        )
        out.append(table(family))
        parents = [f"{name}.parents={json.dumps(dict(stage.parents))}"] if stage.parents else []
        settings = run_report.told(replace(stage, parents={}))
        out += [f"{name}.{key}={json.dumps(value, default=list)}" for key, value in settings.items()] + parents
    return "\n".join(out)
