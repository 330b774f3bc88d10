"""How many steps fit into some minutes: measured with real steps on a copy, before the training starts."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from dataclasses import replace

from tranh.engine.frozen import Frozen, attach
from tranh.engine.rundir import RunDir
from tranh.engine.source import Source, on_device
from tranh.engine.start import PREPARE_BATCHES, settle, start
from tranh.engine.step import Stepper, make_accelerator
from tranh.types import Family, Stage, TranhError

RESERVE = 0.07  # share of the time kept for checkpoints, samples and the choice of the weights


def fit_steps(
    stage: Stage,
    minutes: float,
    family: Family,
    source: Source,
    run: RunDir,
    *,
    parents: Mapping[str, Frozen] | None = None,
    measured: int = 8,
) -> Stage:
    """The stage with the number of steps that fit; for a run that has begun, the number fixed then.

    Args:
        minutes: wall-clock time of the whole training.
        family: not changed; a copy takes the steps.
        measured: steps whose median time counts, after two that warm up; their time is taken off.

    Raises:
        TranhError: ``minutes`` is not positive.
    """
    if run.recipe_file.exists():
        return replace(stage, steps=run.stage().steps)  # another difference is train's to refuse
    if not minutes > 0:
        raise TranhError(f"minutes={minutes}: give a positive number, or leave it out to use the recipe's steps.")
    begun, parents = time.perf_counter(), dict(parents or {})
    accelerator = make_accelerator()
    trial = copy.deepcopy(family).to(accelerator.device)
    for parent in parents.values():
        parent.to(accelerator.device)
    settle(parents, source)
    made = (source.batch(k, stage.batch, stage.seed) for k in range(PREPARE_BATCHES))
    start(stage, trial, (attach(on_device(b, accelerator.device), parents) for b in made))
    trial.train()
    stepper = Stepper(stage, trial, accelerator)
    times = []
    for k in range(2 + measured):
        # Batches of the far end of the order: those of the start lie in the parents' cache by now.
        before = time.perf_counter()
        batch = source.batch(PREPARE_BATCHES + k, stage.batch, stage.seed)
        stepper(attach(on_device(batch, accelerator.device), parents), k)
        times.append(time.perf_counter() - before)
    per_step = sorted(times[2:])[len(times[2:]) // 2]
    left = (60 * minutes - (time.perf_counter() - begun)) * (1 - RESERVE)
    return replace(stage, steps=max(1, int(left / per_step)))
