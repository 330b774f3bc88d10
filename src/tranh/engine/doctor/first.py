"""The checks before a training: data, parents, and a short trial on a copy. Seconds, to save hours.

A fault that explains what comes after it ends the examination: only the cause is named.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

from tranh.engine.doctor import batches as data
from tranh.engine.doctor import learning, trial
from tranh.engine.doctor.finding import Finding, any_fault
from tranh.engine.frozen import Frozen, select
from tranh.engine.source import on_device
from tranh.engine.start import start
from tranh.engine.step import make_accelerator
from tranh.types import Batch, Family, Stage


def before(
    family: Family,
    batches: Sequence[Batch],
    stage: Stage,
    *,
    parents: Mapping[str, Frozen] | None = None,
    steps: int = 24,
    rows: int = 8,
) -> list[Finding]:
    """Everything that can be known before the first step.

    Args:
        family: as built, not prepared; not changed.
        batches: the first few of training, with the parents' outputs attached; all are looked at, and the family's
            copy is prepared with them.
        stage: with the rates it will be trained at.
        parents: part name -> parent; those who embed are asked again about the last batch.
        steps: of the trial; from 100 on, the family's promise ``overfit_below`` is asked for.
        rows: examples of the trial.

    Returns:
        Findings in the order asked. After a sure fault the rest is not asked.
    """
    found = _data(family, batches, parents or {})
    if any_fault(found):
        return found
    found += learning.trained_parts(family)
    zero = learning.zero_rates(stage, family)
    if any_fault(found) or zero:
        nothing = trial.Trial((), None, 0.0, 0.0, {}, 0)
        return found + ([learning.learning_rate(stage, family, nothing, None)] if zero else [])
    device = make_accelerator().device
    model = copy.deepcopy(family).to(device)
    here = [on_device(batch, device) for batch in batches]
    start(stage, model, iter(here))
    small = select(here[0], trial.distinct(here[0], min(rows, len(here[0]))))
    return found + _trial(model, small, stage, steps)


def _data(family: Family, batches: Sequence[Batch], parents: Mapping[str, Frozen]) -> list[Finding]:
    """The first fault of any batch, or else a warning of any, or what the last batch showed."""
    answers: list[list[Finding]] = []
    for batch in reversed(batches):
        found = [f for f in (data.pictures(batch), data.captions(batch, family)) if f is not None]
        given = learning.parents_given(family, batch)
        found += [given] if given is not None else []
        if not any_fault(found):
            # The last batch was embedded when a cache was in use already.
            found += data.embeddings(batch, None if answers else parents)
        if any_fault(found):
            return found
        answers.append(found)
    worst = next((found for found in answers if not all(f.ok for f in found)), None)
    return worst or (answers[0] if answers else [])


def _trial(model: Family, batch: Batch, stage: Stage, steps: int) -> list[Finding]:
    own = trial.attempt(model, batch, stage, steps)
    safe = trial.attempt(model, batch, stage, steps, trial.SAFE) if learning.doubtful(own) else None
    found = [learning.learning_rate(stage, model, own, safe)]
    if any_fault(found):
        return found
    best = own if safe is None or own.fell <= safe.fell else safe
    found.append(learning.learns(model, best, steps))
    if any_fault(found):
        return found
    if data.reads_captions(model):
        found.append(learning.reaches(best))
        if any_fault(found):
            return found
    return [*found, learning.alive(best)]
