"""The budget planner: measures every stage of a recipe on this machine and says how long, how much and what to expect.

It trains nothing and knows no picture: stages that are not trained yet are stood in for by untrained ones, as slow.
"""

from __future__ import annotations

import gc
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, replace
from pathlib import Path

from tranh.engine import checkpoint, memory
from tranh.engine import find as families
from tranh.engine.fit import Cost, existing, measure
from tranh.engine.frozen import Frozen
from tranh.engine.frozen import load as load_frozen
from tranh.engine.page import span
from tranh.engine.rundir import RunDir
from tranh.engine.source import Source
from tranh.recipes import models, past
from tranh.recipes.measuring import measurer_of
from tranh.recipes.past import Line, Trust
from tranh.recipes.run import resolve
from tranh.recipes.samples import sampler_of
from tranh.recipes.sources import assets_of, get_ready, source_of
from tranh.types import Event, Recipe, Stage, TranhError

DOCTOR_STEPS, DOCTOR_ROWS = 40, 8
"""What the examination before a stage takes: about so many steps of so many examples."""
FEW: Mapping[str, int] = {
    "clip": 16_000, "prior": 8_000, "ar_prior": 3_000, "reader": 20_000, "decoder": 50_000, "upsampler": 16_000,
    "verifier": 96_000,
}  # fmt: skip
"""Pictures seen below which a family is not worth beginning from nothing: a quarter of what it sees in ``quick`` (the
upsampler in ``unclip``), which is the shortest training whose results are known."""
FEW_OTHERWISE = 20_000
STEPS_LEAST = 200
"""Fewer optimiser steps learn little whatever the batch: a smaller batch is proposed."""
BATCH_LEAST = 16
SMALL_DATA, MANY_EPOCHS = 2_000, 100
"""Pictures below which, and times each is seen above which, a network can learn them by heart."""
BUSY = 0.5
"""Programs a processor above which the measured times say little about a quiet machine."""
ROOM = 0.85
"""Share of the memory that may be planned for."""


@dataclass(frozen=True)
class StagePlan:
    """What was found out about one stage.

    Attributes:
        stage: as it would be trained; with minutes, its steps are those that fit.
        wanted: steps the recipe asks for.
        cost: None for a stage that is finished.
        done: steps done already.
        open: seconds its data took to open.
        pictures: how many the data has, None if it does not say.
        trust: what past runs say of predicted times.
        share: seconds of the minutes it gets, None without minutes.
        relatives: past runs like this one.
    """

    name: str
    stage: Stage
    wanted: int
    parameters: int
    cost: Cost | None
    done: int
    open: float
    pictures: int | None
    trust: Trust
    share: float | None
    relatives: Sequence[Line] = ()

    @property
    def before(self) -> float:
        """Seconds until its training begins: the data is opened, the doctor looks at the first batches."""
        if self.cost is None or self.done:
            return self.open
        return self.open + DOCTOR_STEPS * self.cost.step * min(1.0, DOCTOR_ROWS / self.stage.batch)

    @property
    def seconds(self) -> float:
        """Predicted wall-clock time of what is left of it, before it is corrected by past runs."""
        return 0.0 if self.cost is None else self.before + self.cost.seconds(self.stage, self.done)

    @property
    def seen(self) -> int:
        """Pictures it will have seen."""
        return self.stage.steps * self.stage.batch


@dataclass(frozen=True)
class Plan:
    """The last event's ``result``: the stages, what is advised, and settings that would fit better.

    ``busy`` is the share of the machine's processors that others used when it was asked; 0 where that is not told.
    """

    recipe: Recipe
    root: Path
    minutes: float | None
    stages: tuple[StagePlan, ...]
    advice: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    memory_limit: int | None = None
    disk_free: int = 0
    busy: float = 0.0

    @property
    def total(self) -> tuple[float, float, float]:
        """Seconds of all stages together: at least, probably, at most."""
        ends = [(p.seconds * p.trust.low, p.seconds * p.trust.middle, p.seconds * p.trust.high) for p in self.stages]
        low, middle, high = (sum(column) for column in zip(*ends, strict=True)) if ends else (0.0, 0.0, 0.0)
        return low, middle, high


def make(
    recipe: Recipe,
    root: Path,
    minutes: float | None = None,
    seconds: float = 30.0,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[Event]:
    """Measure a recipe, overridden but not resolved, on its real data.

    Args:
        root: where it would be trained; stages finished there are not planned again, those begun are planned from where
            they stand.
        minutes: wall-clock time there is for all stages together.
        seconds: of steps measured, all stages together; each takes five at least.

    Yields:
        One event per step; the last one's ``result`` is the :class:`Plan`.

    Raises:
        TranhError: what the data or a family refuses, or times that are not positive.
    """
    if (minutes is not None and not minutes > 0) or not seconds > 0:
        raise TranhError(f"minutes={minutes}, seconds={seconds}: give positive numbers.")
    for stage in recipe.stages.values():
        yield from get_ready(stage.data)
    assets = {name: assets_of(stage.data) for name, stage in recipe.stages.items()}
    recipe = resolve(recipe, root, assets)
    busy = _busy()
    shares, lines = sum(stage.share for stage in recipe.stages.values()), past.read()
    found: list[StagePlan] = []
    for name, stage in recipe.stages.items():
        run, began = RunDir(root / name), clock()
        source = source_of(stage.data, assets[name])
        opened = clock() - began
        family = families.build(stage)
        known = StagePlan(
            name, stage, stage.steps, sum(p.numel() for p in family.parameters()), None, 0, opened, size_of(source),
            past.trust(lines, stage.family), None if minutes is None else 60 * minutes * stage.share / shares,
            past.relatives(lines, stage),
        )  # fmt: skip
        if run.finished:
            found.append(replace(known, stage=run.stage(), done=run.stage().steps))
            yield Event(name, 1, 1)
            continue
        stage = replace(stage, steps=run.stage().steps) if run.recipe_file.exists() else stage
        newest = checkpoint.newest(run)
        parents = {part: stand_in(recipe, root, parent) for part, parent in stage.parents.items()}
        family.meet({part: parent.family for part, parent in parents.items()})
        measuring = measure(
            replace(stage, init=None), family, source, parents=parents, sample=sampler_of(stage, source, parents),
            point=measurer_of(stage, source, parents) if stage.metrics_every else None, scratch=existing(root),
            seconds=seconds / len(recipe.stages), clock=clock,
        )  # fmt: skip
        cost: Cost | None = None
        for event in measuring:
            cost = event.result
            yield Event(name, event.done, event.total, event.figures)
        assert cost is not None
        done = newest.step if newest is not None else 0
        one = replace(known, stage=stage, wanted=stage.steps, cost=cost, done=done)
        past.planned(stage, cost, one.before)
        found.append(_fitted(one))
        del family, source, parents, measuring
        gc.collect()
    plan = Plan(recipe, root, minutes, tuple(found), memory_limit=memory.limit(),
                disk_free=shutil.disk_usage(existing(root)).free, busy=busy)  # fmt: skip
    advice, settings = advise(plan)
    yield Event("plan", 1, 1, result=replace(plan, advice=tuple(advice), settings=tuple(settings)))


def _busy() -> float:
    """Programs that want a processor, per processor, before this one asks for any."""
    return os.getloadavg()[0] / (os.cpu_count() or 1) if hasattr(os, "getloadavg") else 0.0


def size_of(source: Source) -> int | None:
    """How many pictures a source has, None if it does not say."""
    return len(source) if isinstance(source, Sized) else None


def stand_in(recipe: Recipe, root: Path, name: str) -> Frozen:
    """A stage that others stand on: as trained under ``root``, or untrained in its place."""
    run = RunDir(root / name)
    return load_frozen(run) if run.finished else Frozen(families.build(recipe.stages[name]), "", "bf16")


def _fitted(plan: StagePlan) -> StagePlan:
    """With minutes, a stage that has not begun gets the steps that fit."""
    if plan.share is None or plan.cost is None or plan.done:
        return plan
    steps = plan.cost.steps(plan.stage, plan.share / plan.trust.middle - plan.before)
    return replace(plan, stage=replace(plan.stage, steps=steps))


def advise(plan: Plan) -> tuple[list[str], list[str]]:
    """What a person should know, in words, and ``stage.key=value`` that would fit better."""
    advice, settings = _too_few(plan.stages), []
    for one in plan.stages:
        if one.cost is None:
            continue
        stage = one.stage
        if one.pictures is not None and one.pictures:
            epochs = one.seen / one.pictures
            if epochs > MANY_EPOCHS or (one.pictures < SMALL_DATA and epochs > 10):
                advice.append(
                    f"{one.name}: {one.pictures:,} pictures, each seen {epochs:,.0f} times: it can learn them "
                    "by heart; watch the measures of held-out examples (metrics_every=100), take fewer steps or "
                    "more pictures"
                )
            if stage.batch > one.pictures:
                advice.append(
                    f"{one.name}: a batch of {stage.batch} is more than the {one.pictures} pictures there are"
                )
        if (batch := _smaller(one, plan.memory_limit)) is not None:
            settings.append(f"{one.name}.batch={batch}")
            advice.append(
                f"{one.name}: it takes {_bytes(one.cost.peak)} of this machine's {_bytes(plan.memory_limit or 0)} of "
                f"memory; a batch of {batch} fits"
            )
        elif one.share is not None and stage.steps < STEPS_LEAST and stage.batch > BATCH_LEAST:
            batch = max(BATCH_LEAST, stage.batch * max(1, stage.steps) // STEPS_LEAST // 8 * 8)
            settings.append(f"{one.name}.batch={batch}")
            advice.append(f"{one.name}: only {stage.steps} steps fit; smaller batches give more of them")
    need = sum(one.cost.disk(one.stage)[0] for one in plan.stages if one.cost is not None)
    if need > plan.disk_free:
        advice.append(f"{_bytes(need)} of disk are needed, {_bytes(plan.disk_free)} are free at {existing(plan.root)}")
    if plan.busy > BUSY:
        advice.append(
            f"others are at work on this machine ({plan.busy:.1f} programs a processor): times are those of a busy one"
        )
    low, _, high = plan.total
    if plan.minutes is not None and low > 60 * plan.minutes:
        advice.append(f"{plan.minutes:g} minutes are not enough: {span(low)} to {span(high)} are what is left to do")
    return advice, settings


def _too_few(stages: Sequence[StagePlan]) -> list[str]:
    """Which stages would see too few pictures to learn from nothing, and where else they could begin."""
    found = {}
    for one in stages:
        few = FEW.get(one.stage.family, FEW_OTHERWISE)
        if one.cost is not None and one.stage.init is None and one.seen < few:
            found[one.name] = f"{one.name} {one.seen:,} of {few:,}"
    if not found:
        return []
    shipped = next((m.path / "parts" for m in models.available() if m.name == models.DEFAULT), Path())
    ready = [name for name in found if (shipped / f"{name}.safetensors").exists()]
    instead = f"start from {models.DEFAULT} (init={models.DEFAULT}: {', '.join(ready)}), or " if ready else ""
    return [
        f"not worth it from nothing: {'; '.join(found.values())} pictures seen (the least is a "
        f"quarter of what the shipped recipes see): {instead}give it more time"
    ]


def _smaller(one: StagePlan, limit: int | None) -> int | None:
    """A batch that fits into memory where this one does not: what is not weights grows with the batch."""
    cost = one.cost
    if cost is None or limit is None or cost.peak <= ROOM * limit:
        return None
    fixed = min(cost.peak, cost.before + cost.checkpoint + cost.weights)
    each = max(1.0, (cost.peak - fixed) / one.stage.batch)
    fits = int((ROOM * limit - fixed) / each) // 8 * 8
    return fits if 0 < fits < one.stage.batch else None


def text(plan: Plan) -> str:
    """The plan for people."""
    head = ("stage", "s/step", "pictures/s", "steps", "pictures", "takes", "memory", "weights+state", "disk")
    rows = [head, *(_row(one) for one in plan.stages)]
    wide = [max(len(row[i]) for row in rows) for i in range(len(head))]
    table = ["  ".join(f"{c:<{w}}" if i == 0 else f"{c:>{w}}" for i, (c, w) in enumerate(zip(row, wide, strict=True)))
             for row in rows]  # fmt: skip
    low, middle, high = plan.total
    trusts = {one.trust.runs for one in plan.stages if one.cost is not None}
    based = f"from {max(trusts)} past runs of this machine" if any(trusts) else "a guess: no run here was compared yet"
    peak = max((one.cost.peak for one in plan.stages if one.cost is not None), default=0)
    disk = sum(one.cost.disk(one.stage)[1] for one in plan.stages if one.cost is not None)
    out = [
        f"{plan.recipe.name} on {past.machine()}", "", *table, "",
        f"in all: about {span(middle)} ({span(low)} to {span(high)}; {based})",
        f"memory: {_bytes(peak)} at most"
        + (f" of {_bytes(plan.memory_limit)}" if plan.memory_limit else "")
        + f"; disk: {_bytes(disk)} when finished, {_bytes(plan.disk_free)} free",
        *_fits(plan),
        "", "what to expect", f"  {plan.recipe.name} as it is: {plan.recipe.expected or 'no results are stored'}",
        *(f"  {line}" for one in plan.stages for line in _expected(one)),
    ]  # fmt: skip
    if plan.advice:
        out += ["", "advice", *(f"  {line}" for line in plan.advice)]
    if plan.settings:
        out += ["", f"would fit better: {' '.join(plan.settings)}"]
    return "\n".join(out)


def _row(one: StagePlan) -> tuple[str, ...]:
    if one.cost is None:
        return (one.name, "", "", f"{one.stage.steps}", f"{one.seen:,}", "finished", "", "", "")
    cost, left = one.cost, one.seconds * one.trust.middle
    steps = f"{one.stage.steps}" if not one.done else f"{one.done}..{one.stage.steps}"
    return (
        one.name, f"{cost.step:.3g}", f"{one.stage.batch / max(1e-9, cost.step):.1f}", steps, f"{one.seen:,}",
        span(left), _bytes(cost.peak), _bytes(cost.checkpoint), _bytes(cost.disk(one.stage)[0]),
    )  # fmt: skip


def _fits(plan: Plan) -> list[str]:
    if plan.minutes is None:
        return []
    asked = [one for one in plan.stages if one.share is not None and one.cost is not None and not one.done]
    told = ", ".join(f"{one.name} {one.stage.steps} steps of {one.wanted}" for one in asked)
    return [f"what fits into {plan.minutes:g} minutes by shares: {told or 'nothing is left to do'}"]


def _expected(one: StagePlan) -> Iterator[str]:
    scores = [float(line["score"]) for line in one.relatives]
    if not scores:
        return
    seen = [line["pictures"] for line in one.relatives]
    span_ = f"{scores[0]:.4g}" if len(scores) == 1 else f"{min(scores):.4g} to {max(scores):.4g}"
    yield (
        f"{one.name}: held-out figure {span_} in {len(scores)} past run{'s' if len(scores) > 1 else ''} that saw "
        f"{min(seen):,}{f' to {max(seen):,}' if max(seen) > min(seen) else ''} pictures; this one will see {one.seen:,}"
    )
    measures = one.relatives[0].get("measures") or {}
    if measures:
        yield f"  the nearest of them ended with {', '.join(f'{k} {v:.4g}' for k, v in measures.items())}"


def _bytes(count: float) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"
