"""What a system costs: parameters, pictures seen, floating-point operations, seconds of a picture.

It counts and times what it is handed; what the pictures are worth is judged elsewhere.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from tranh.engine import find as families
from tranh.engine.frozen import Frozen, attach
from tranh.engine.log import read_log
from tranh.engine.rundir import RunDir
from tranh.engine.source import Source, on_device
from tranh.engine.start import settle, start
from tranh.engine.step import Stepper, make_accelerator
from tranh.metrics.interval import Interval, bootstrap
from tranh.metrics.measured import Measured, card
from tranh.recipes.plan import stand_in
from tranh.recipes.run import resolve
from tranh.recipes.sources import assets_of, source_of
from tranh.types import Event, Recipe, Stage

MANY = 16
"""Pictures of a batch of many."""
ROUNDS = 5
"""Times that every system is timed, all in turn."""
BEGIN = 2
"""Batches from which a stage that is only counted learns what it learns before training."""

OFF = 0.05
"""How far the minutes spent may be from those asked for before the card warns, as a share."""

_attention = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu


def _attended(query: Any, key: Any, value: Any, *rest: Any, out_shape: Any = None, **named: Any) -> int:
    return int(sdpa_flop_count(query, key, value))


def _attended_back(grad: Any, query: Any, key: Any, value: Any, *rest: Any, out_shape: Any = None, **named: Any) -> int:
    return int(sdpa_backward_flop_count(grad, query, key, value))


COUNTED = {_attention: _attended, torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attended_back}
"""What torch's counter does not know: attention on a CPU."""


class _Whole:
    """Counts of the whole alone, in the place of torch's ``ModuleTracker``: its hooks on every module fail where one is
    used without gradient on what needs one."""

    parents = frozenset({"Global"})

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


def operations(work: Callable[[], object]) -> int:
    """Floating-point operations of matrix products, convolutions and attention; a multiply-add is two."""
    counter = FlopCounterMode(display=False, custom_mapping=COUNTED)
    counter.mod_tracker = _Whole()  # type: ignore[assignment]
    with counter:
        work()
    return int(counter.get_total_flops())


def of_step(stage: Stage, source: Source, parents: Mapping[str, Frozen]) -> int:
    """Operations of one training step of a resolved stage: forward, backward, the optimiser's own products, and the
    frozen stages it stands on (each example's, as if it were seen for the first time)."""
    family = families.build(stage)
    family.meet({part: parent.family for part, parent in parents.items()})
    accelerator = make_accelerator()
    for parent in parents.values():
        parent.to(accelerator.device)
    settle(parents, source)
    family.to(accelerator.device)

    def batch(k: int) -> Any:
        return attach(on_device(source.batch(k, stage.batch, stage.seed), accelerator.device), parents)

    start(replace(stage, init=None), family, (batch(k) for k in range(BEGIN)))
    family.train()
    stepper = Stepper(stage, copy.deepcopy(family), accelerator)
    return operations(lambda: stepper(batch(BEGIN), 0))


def of_steps(recipe: Recipe, root: Path) -> dict[str, int]:
    """Operations of one step of every stage; stages not trained yet are stood in for by untrained ones."""
    assets = {name: assets_of(stage.data) for name, stage in recipe.stages.items()}
    recipe, found = resolve(recipe, root, assets), {}
    for name, stage in recipe.stages.items():
        parents = {part: stand_in(recipe, root, parent) for part, parent in stage.parents.items()}
        found[name] = of_step(stage, source_of(stage.data, assets[name]), parents)
    return found


def within(recipe: Recipe, per_step: Mapping[str, int], budget: float) -> Recipe:
    """The recipe with as many steps as a budget of operations allows, divided among the stages by their shares."""
    shares = sum(stage.share for stage in recipe.stages.values())
    return replace(
        recipe,
        stages={
            name: replace(stage, steps=max(1, int(budget * stage.share / shares / max(1, per_step[name]))))
            for name, stage in recipe.stages.items()
        },
    )


@dataclass(frozen=True)
class Trained:
    """A finished stage: parameters, steps, pictures of a step, seconds of each step."""

    name: str
    family: str
    parameters: int
    steps: int
    batch: int
    seconds: Sequence[float]


def trained(recipe: Recipe, root: Path) -> list[Trained]:
    """What the finished runs of a recipe say of themselves."""
    out = []
    for name in recipe.stages:
        run = RunDir(root / name)
        stage = run.stage()
        size = sum(p.numel() for p in families.build(stage).parameters())
        spent = [float(line["seconds"]) for line in read_log(run.log) if "seconds" in line]
        out.append(Trained(name, stage.family, size, stage.steps, stage.batch, spent))
    return out


def told(
    stages: Sequence[Trained], per_step: Mapping[str, int], wall: float, asked: float | None = None
) -> list[Measured]:
    """The cost of a training.

    Args:
        per_step: operations of one step by stage.
        wall: seconds it took, everything in it; asked: the minutes it was given, if it was given any.
    """
    seen = sum(s.steps * s.batch for s in stages)
    seconds = [x for s in stages for x in s.seconds]
    batches = [s.batch for s in stages for _ in s.seconds]
    work = sum(per_step[s.name] * s.steps for s in stages)
    notes: tuple[str, ...] = ()
    if asked is not None and abs(wall / 60 / asked - 1) > OFF:
        notes = (f"{wall / 60 / asked - 1:+.0%} of the {asked:g} minutes asked for",)
    shared = {"stages": {s.name: f"{s.steps} x {s.batch}" for s in stages}}
    found = [
        counted("minutes of training", round(wall / 60, 2), "wall clock: opening data, the doctor's look, steps, "
                "samples, checkpoints, choosing weights", None if asked is None else {"minutes asked for": asked},
                notes=notes),
        counted("parameters, all parts", sum(s.parameters for s in stages), "every stage, helpers that are not part "
                "of the system too"),
        counted("pictures seen", seen, "steps x batch of all stages; a picture counts each time it is seen", shared),
        counted("FLOPs of training", work, "operations of one step of each stage (torch.utils.flop_counter: products, "
                "convolutions, attention; forward, backward, optimiser, frozen parents) x its steps",
                {"one step": dict(per_step)}),
    ]  # fmt: skip
    if len(seconds) > 1:
        said = card(
            "pictures seen a second while training steps were taken, all stages", {"steps": len(seconds)},
            "bootstrap of steps, 2000 resamples", settings=shared,
        )  # fmt: skip
        found.insert(3, Measured("training pictures/s", bootstrap(batches, seconds), said))
    return found


def counted(
    name: str,
    value: float,
    how: str,
    settings: Mapping[str, Any] | None = None,
    better: Any = "neither",
    notes: tuple[str, ...] = (),
) -> Measured:
    """A number that is counted and not estimated: its interval is itself."""
    said = card(how, {}, "none: counted", settings=settings, notes=notes)
    return Measured(name, Interval(value, value, value, 1), said, better)


class _Read(TorchDispatchMode):
    """Notes the memory of every tensor that an operation reads."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for value in tree_leaves((args, kwargs or {})):
            if isinstance(value, torch.Tensor):
                self.seen.add(value.untyped_storage().data_ptr())
        return func(*args, **(kwargs or {}))


def parameters_read(parts: Mapping[str, nn.Module], work: Callable[[], object]) -> int:
    """How many parameters of some parts an operation of the work reads; an encoder nobody asks is none of them."""
    with _Read() as reading:
        work()
    known = {id(p): p for part in parts.values() for p in part.parameters()}
    return sum(p.numel() for p in known.values() if p.untyped_storage().data_ptr() in reading.seen)


def drawing(system: Any, prompt: str) -> list[Measured]:
    """What drawing one picture takes, counted."""

    def one() -> object:
        return system.generate_batch([prompt], [0])

    return [
        counted("parameters read in drawing", parameters_read(system.parts, one), "those that an operation of drawing "
                "one picture reads"),
        counted("FLOPs of one picture", operations(one), "torch.utils.flop_counter: products, convolutions, "
                "attention; the system's own steps and guidance"),
    ]  # fmt: skip


def timed(
    systems: Mapping[str, Any], prompts: Sequence[str], rounds: int = ROUNDS, many: int = MANY
) -> Iterator[Event]:
    """Seconds of a picture: all systems in turn, round after round, so that a busy minute falls on all of them.

    Yields:
        Progress; the last event's ``result`` is system -> measured.
    """
    said = [prompts[k % len(prompts)] for k in range(many)]
    spent: dict[str, dict[int, list[float]]] = {name: {1: [], many: []} for name in systems}
    for k in range(rounds + 1):  # the first warms up
        for name, system in systems.items():
            for count, found in spent[name].items():
                begun = time.perf_counter()
                system.generate_batch(said[:count], list(range(count)))
                found += [(time.perf_counter() - begun) / count] if k else []
        yield Event("timing", k + 1, rounds + 1)
    result = {}
    for name, by_count in spent.items():
        result[name] = [
            Measured(
                f"seconds a picture, {'alone' if count == 1 else f'{count} at once'}",
                Interval(median(found), min(found), max(found), rounds),
                card("wall clock of drawing, the systems in turn in one process", {"rounds": rounds}, "quickest and "
                     "slowest round; the value is the median", settings={"threads": torch.get_num_threads()}),
                "lower",
            )
            for count, found in by_count.items()
        ]  # fmt: skip
    yield Event("timing", rounds + 1, rounds + 1, result=result)
