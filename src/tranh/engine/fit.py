"""What a stage takes on this machine, measured with real steps on a copy before the training starts: time and memory.

It knows no family and no recipe; from it follows how many steps fit into some minutes.
"""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from tranh.engine import checkpoint, memory
from tranh.engine.frozen import Frozen, attach
from tranh.engine.rundir import RunDir
from tranh.engine.score import held_out
from tranh.engine.source import Source, on_device
from tranh.engine.start import PREPARE_BATCHES, settle, start
from tranh.engine.step import Stepper, make_accelerator
from tranh.engine.weights import tensors_of
from tranh.types import Event, Family, Stage, TranhError

RESERVE = 0.03
"""Share of the time kept for what was not measured: a machine slows down when it is busy for long."""
LOOK, LONGEST, MOST = 0.02, 60.0, 2000
"""Share of a stage's minutes in which its speed is measured, at most these seconds and steps: a few steps are at the
mercy of whatever else the machine does just then."""
WARM = 2
"""Steps that are slower than the rest: memory is taken, kernels are chosen."""
Hook = Callable[[Family, int], Any]


@dataclass(frozen=True)
class Cost:
    """What a stage takes, in seconds and bytes.

    Attributes:
        step: median time of a step; low, high: the quickest and the slowest measured.
        begin: before the first step: buffers learned, parents settled.
        sample, point: of one grid of samples and of one point of the measures' curves; 0 where there is none.
        save: of a checkpoint; choice: of choosing among the averages at the end.
        weights, optimizer, averages: bytes, as a checkpoint keeps them.
        peak: most memory of the process while it took the steps; before: what it held already.
        device: most memory of the GPU, 0 on a CPU.
        measured: steps that count.
    """

    step: float
    low: float
    high: float
    begin: float = 0.0
    sample: float = 0.0
    point: float = 0.0
    save: float = 0.0
    choice: float = 0.0
    weights: int = 0
    optimizer: int = 0
    averages: int = 0
    peak: int = 0
    before: int = 0
    device: int = 0
    measured: int = 0

    def seconds(self, stage: Stage, done: int = 0) -> float:
        """Wall-clock time of a training from step ``done`` to its end."""
        return self.begin + self._course(stage, stage.steps - done) / (1 - RESERVE)

    def steps(self, stage: Stage, seconds: float) -> int:
        """How many steps fit, at least one."""
        low, high = 1, max(1, int((seconds - self.begin) / max(1e-9, self.step)) + 1)  # a course grows with its steps
        while low < high:
            middle = (low + high + 1) // 2
            if self.seconds(replace(stage, steps=middle)) <= seconds:
                low = middle
            else:
                high = middle - 1
        return low

    def _course(self, stage: Stage, steps: int) -> float:
        def times(every: int) -> int:
            return -(-steps // every) if every else 0  # the last step is always one of them

        return (
            steps * self.step
            + times(stage.sample_every) * self.sample
            + times(stage.metrics_every) * self.point
            + (times(stage.save_every) + 1) * self.save  # one before the first step
            + self.choice
        )

    @property
    def checkpoint(self) -> int:
        """Bytes of one checkpoint."""
        return self.weights + self.optimizer + self.averages

    def disk(self, stage: Stage) -> tuple[int, int]:
        """Bytes a run takes at most while it trains, and when it is finished."""
        kept = self.weights * (1 + len(stage.ema))
        return (checkpoint.KEEP + 1) * self.checkpoint + kept, self.checkpoint + kept


def measure(
    stage: Stage,
    family: Family,
    source: Source,
    *,
    parents: Mapping[str, Frozen] | None = None,
    sample: Hook | None = None,
    point: Hook | None = None,
    scratch: Path | None = None,
    seconds: float = 0.0,
    least: int = 3,
    most: int = 100,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[Event]:
    """Take real steps and look at clock and memory.

    Args:
        family: not changed; a copy takes the steps.
        sample, point: the hooks of :func:`tranh.engine.train.train`, each called once.
        scratch: folder on the disk the run will lie on, for one checkpoint that is thrown away; None for none.
        seconds: of steps, after :data:`WARM` that do not count; at least ``least`` steps and at most ``most``.

    Yields:
        One event per step; the last one's ``result`` is the :class:`Cost`.
    """
    parents = dict(parents or {})
    begun, before = clock(), memory.held()
    memory.forget_peak()
    accelerator = make_accelerator()
    device = accelerator.device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    trial = copy.deepcopy(family).to(device)
    for parent in parents.values():
        parent.to(device)
    settle(parents, source)
    made = (source.batch(k, stage.batch, stage.seed) for k in range(PREPARE_BATCHES))
    start(stage, trial, (attach(on_device(b, device), parents) for b in made))
    trial.train()
    stepper = Stepper(stage, trial, accelerator)
    begin = clock() - begun
    times: list[float] = []
    while len(times) < WARM + least or (len(times) < WARM + most and sum(times[WARM:]) < seconds):
        # Batches of the far end of the order: those of the start lie in the parents' cache by now.
        first = clock()
        batch = source.batch(PREPARE_BATCHES + len(times), stage.batch, stage.seed)
        stepper(attach(on_device(batch, device), parents), len(times))
        times.append(clock() - first)
        yield Event(stage.family, len(times), WARM + least, {"seconds": times[-1]})
    peak = memory.peak()
    counted = times[WARM:]
    trial.eval()
    tensors: dict[str, dict[str, Tensor]] = {"model": tensors_of(trial), "optimizer": stepper.state()}
    tensors |= {f"ema-{key}": stepper.averages.tensors(key) for key in stepper.averages.tracks}
    sizes = {name: sum(t.numel() * t.element_size() for t in part.values()) for name, part in tensors.items()}
    score = held_out(stage, trial, source, parents, device, count=1)

    def timed(work: Callable[[], object] | None) -> float:
        if work is None:
            return 0.0
        first = clock()
        with torch.no_grad():
            work()
        return clock() - first

    def save() -> None:
        assert scratch is not None
        with tempfile.TemporaryDirectory(prefix=".tranh-", dir=scratch) as folder:
            checkpoint.save(RunDir(Path(folder)), 0, tensors, {})

    cost = Cost(
        step=median(counted),
        low=min(counted),
        high=max(counted),
        begin=begin,
        sample=timed(sample and (lambda: sample(trial, 0))),
        point=timed(point and (lambda: point(trial, 0))),
        save=timed(save if scratch is not None else None),
        choice=4 * (1 + len(stage.ema)) * timed(lambda: score(trial)),
        weights=sizes.pop("model"),
        optimizer=sizes.pop("optimizer"),
        averages=sum(sizes.values()),
        peak=peak,
        before=before,
        device=torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0,
        measured=len(counted),
    )
    yield Event(stage.family, len(times), len(times), result=cost)


def fit_steps(
    stage: Stage,
    minutes: float,
    family: Family,
    source: Source,
    run: RunDir,
    *,
    parents: Mapping[str, Frozen] | None = None,
    sample: Hook | None = None,
    point: Hook | None = None,
    measured: int = 8,
) -> Stage:
    """The stage with the number of steps that fit; for a run that has begun, the number fixed then.

    Args:
        minutes: wall-clock time of the whole training, what is measured here included.
        family, sample, point: as in :func:`measure`.
        measured: fewest steps whose median time counts; there are more until :data:`LOOK` of the time has passed.

    Raises:
        TranhError: ``minutes`` is not positive.
    """
    if run.recipe_file.exists():
        return replace(stage, steps=run.stage().steps)  # another difference is train's to refuse
    if not minutes > 0:
        raise TranhError(f"minutes={minutes}: give a positive number, or leave it out to use the recipe's steps.")
    begun, cost = time.perf_counter(), None
    point = point if stage.metrics_every else None
    for event in measure(
        stage, family, source, parents=parents, sample=sample, point=point, scratch=existing(run.path),
        seconds=min(LONGEST, LOOK * 60 * minutes), least=measured, most=MOST,
    ):  # fmt: skip
        cost = event.result
    assert cost is not None
    return replace(stage, steps=cost.steps(stage, 60 * minutes - (time.perf_counter() - begun)))


def existing(path: Path) -> Path:
    """The folder nearest above ``path`` that is there: what is written to ``path`` comes to its disk."""
    path = path.absolute()
    return next(folder for folder in (path, *path.parents) if folder.is_dir())
