"""The only loop: any family, any source, from the first step or from where it was stopped, bit for bit.

It is a generator, so that the progress bar, the HTTP stream and the tests consume the same thing. It knows no family;
pictures and scores come from functions handed in.
"""

from __future__ import annotations

import io
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from PIL.Image import Image

from tranh.engine import checkpoint, curves, run_report
from tranh.engine.ema import choose, label
from tranh.engine.frozen import Frozen, attach
from tranh.engine.log import Log, draw_loss, plain, read_log
from tranh.engine.memory import give_back
from tranh.engine.optim import rate
from tranh.engine.rundir import RunDir
from tranh.engine.score import held_out
from tranh.engine.source import Source, in_order, on_device, workers_for
from tranh.engine.start import PREPARE_BATCHES, init_hash, settle, start
from tranh.engine.step import Report, Stepper, global_seed, make_accelerator
from tranh.engine.stop import Stop
from tranh.engine.table import table
from tranh.engine.weights import load_tensors, tensors_of
from tranh.files import sha256, write_bytes, write_json, write_tensors
from tranh.types import Batch, Event, Family, Stage, TranhError

_logger = logging.getLogger("tranh.engine")
Measure = Callable[[Family, int], Mapping[str, Any]]
"""(model, step) -> figures by name: numbers, or intervals as ``{"value": ..., "low": ..., "high": ...}``."""


@dataclass(frozen=True)
class Outcome:
    """How a training ended; the last event's ``result``. Not ``finished`` means stopped and saved, ready to resume."""

    run: RunDir
    finished: bool
    step: int


@dataclass
class _Course:
    """What a checkpoint remembers beside tensors."""

    step: int = 0  # steps done, undone ones included
    undone: int = 0
    streak: list[dict[str, Any]] = field(default_factory=list)  # undone steps without a good one between them
    norms: list[Any] = field(default_factory=list)  # of the last good steps


def train(
    stage: Stage,
    family: Family,
    source: Source,
    run: RunDir,
    *,
    name: str | None = None,
    parents: Mapping[str, Frozen] | None = None,
    assets: Mapping[str, bytes] | None = None,
    sample: Callable[[Family, int], Image] | None = None,
    measure: Measure | None = None,
    score: Callable[[Family], float] | None = None,
    max_bad: int = 3,
) -> Iterator[Event]:
    """Train a stage to its end, or go on where the run directory stands.

    Killed at any moment, the same call goes on with the same weights, data order and log (bit for bit on a CPU with
    the same number of threads and the same versions). SIGINT, SIGTERM and closing the generator save first.

    Args:
        stage: the resolved stage; must equal the one the run was begun with.
        family: built from it (:func:`tranh.engine.find.build`), trained in place; in the end it holds what was chosen.
        source: of batches.
        run: where everything is kept.
        name: of the stage, for events and recipe.json; the family's name if None.
        parents: finished runs whose outputs are attached to every batch, by part name.
        assets: files that belong to the weights, name -> content (``tokenizer.json``).
        sample: makes a picture of the model now; called every ``sample_every`` steps with the averaged weights.
        measure: gives a point of the measures' curves; called every ``metrics_every`` steps and at the end with the
            averaged weights. With or without it the training is the same, bit for bit.
        score: judges a candidate for model.safetensors, lower is better; the mean held-out figure if None.
        max_bad: undone steps in a row after which training is given up.

    Yields:
        One event per step with its figures; the last one's ``result`` is an :class:`Outcome`.

    Raises:
        TranhError: another recipe, missing parents, or ``max_bad`` steps in a row that were not finite.
    """
    parents, title = dict(parents or {}), name or stage.family
    if run.finished:
        run.begin(stage, title, {k: p.hash for k, p in parents.items()}, init_hash(stage, run), assets or {})
        yield Event(title, stage.steps, stage.steps, result=Outcome(run, True, stage.steps))
        return
    if set(parents) != set(family.parents):
        raise TranhError(
            f"{type(family).__name__} stands on {sorted(family.parents) or 'no'} parents, {sorted(parents) or 'none'} "
            "were given: name them in the stage's parents."
        )
    with ExitStack() as stack:
        stack.enter_context(run.locked())
        stop = stack.enter_context(Stop())
        run.begin(stage, title, {k: p.hash for k, p in parents.items()}, init_hash(stage, run), assets or {})
        loop = _Loop(stage, family, source, run, title, parents, sample, measure, max_bad)
        stack.callback(loop.log.close)
        yield from loop.steps(stop)
        if loop.course.step == stage.steps:
            figures = loop.finish(score or held_out(stage, family, source, parents, loop.stepper.device))
            yield Event(title, stage.steps, stage.steps, figures, Outcome(run, True, stage.steps))
        else:
            yield Event(title, loop.course.step, stage.steps, result=Outcome(run, False, loop.course.step))


class _Loop:
    """The state of :func:`train` between two steps."""

    def __init__(
        self,
        stage: Stage,
        family: Family,
        source: Source,
        run: RunDir,
        title: str,
        parents: dict[str, Frozen],
        sample: Callable[[Family, int], Image] | None,
        measure: Measure | None,
        max_bad: int,
    ) -> None:
        self.stage, self.family, self.source, self.run = stage, family, source, run
        self.title, self.parents, self.max_bad = title, parents, max_bad
        self.sample, self.measure = sample, measure
        accelerator = make_accelerator()
        for parent in parents.values():
            parent.to(accelerator.device)
        settle(parents, source)
        found = checkpoint.newest(run)
        if found is None:
            start(stage, family.to(accelerator.device), self.batches(PREPARE_BATCHES, accelerator.device))
        self.stepper = Stepper(stage, family, accelerator)
        self.course = _Course()
        self.saved = -1
        size = self._restore(found) if found else 0
        self.log = Log(run.log, size)
        checkpoint.forget_after(run, self.course.step if found else -1)
        curves.keep_until(run.measures, self.course.step)
        if found is None:
            write_bytes(run.path / "parameters.txt", table(family).encode())
            self._save()

    def batches(self, count: int, device: Any) -> Iterator[Batch]:
        """The first batches of the training order, with parents' outputs, for ``Family.prepare``."""
        for k in range(count):
            batch = self.source.batch(k, self.stage.batch, self.stage.seed)
            yield attach(on_device(batch, device), self.parents)

    def steps(self, stop: Stop) -> Iterator[Event]:
        stage, device = self.stage, self.stepper.device
        self.family.train()
        run_report.write(self.run)
        batches = in_order(self.source, stage, self.course.step, workers_for(device))
        while self.course.step < stage.steps:
            begun = time.perf_counter()
            step = self.course.step
            batch = attach(on_device(next(batches), device), self.parents)
            report = self.stepper(batch, step)
            self._note(step, batch, report, time.perf_counter() - begun)
            if len(self.course.streak) >= self.max_bad:
                raise self._give_up()
            figures = dict(report.figures)
            last = self.course.step == stage.steps
            if stage.metrics_every and (self.course.step % stage.metrics_every == 0 or last):
                self._measure()
            if self.course.step % stage.sample_every == 0 or last:
                self._draw()
            if self.course.step % stage.save_every == 0 or last or stop.asked:
                self._save()
            figures["images_per_second"] = len(batch) / max(1e-9, time.perf_counter() - begun)
            try:
                yield Event(self.title, self.course.step, stage.steps, figures)
            except GeneratorExit:  # whoever listened has left: keep what was learned
                if not sys.is_finalizing() and self.stepper.finite():  # a dying interpreter cannot save
                    self._save()
                raise
            if stop.asked:
                self._save()
                return

    def _note(self, step: int, batch: Batch, report: Report, seconds: float) -> None:
        """Count the step and write its line."""
        course = self.course
        course.step += 1
        line: dict[str, Any] = {"step": step, **report.figures}
        if report.bad:
            ids = batch.ids.tolist()
            course.undone += 1
            # The log's size before the line: giving up leads back to the first of the streak.
            course.streak.append({"ids": ids, "bad": report.bad, "log_bytes": self.log.sync(), **plain(line)})
            line |= {"undone": True, "ids": ids}
            _logger.warning("step %d is undone: %s is %s", step, report.bad, report.figures[report.bad])
        else:
            course.streak.clear()
            norms = [v for k, v in report.figures.items() if k.split(".")[-1] == "grad_norm"]
            course.norms = [*course.norms, max(norms)][-10:]
        self.log.write({**line, "seconds": round(seconds, 6), "images_per_second": round(len(batch) / seconds, 3)})

    def _save(self, log_bytes: int | None = None) -> None:
        if self.saved == self.course.step:
            return
        if not self.stepper.finite():  # a finite gradient can still lead out of float32
            raise self._give_up()
        size = self.log.sync() if log_bytes is None else log_bytes
        averages = self.stepper.averages
        tensors = {"model": tensors_of(self.family), "optimizer": self.stepper.state()}
        tensors |= {f"ema-{key}": averages.tensors(key) for key in averages.tracks}
        state = {**vars(self.course), "updates": self.stepper.updates, "log_bytes": size}
        checkpoint.save(self.run, self.course.step, tensors, plain(state))
        give_back()
        self.saved = self.course.step

    def _restore(self, found: checkpoint.Checkpoint) -> int:
        """Go back to a checkpoint; returns the size of the log at its time."""
        load_tensors(self.family, found.tensors("model"), str(found.path))
        self.stepper.load_state(found.tensors("optimizer"))
        for key in self.stepper.averages.tracks:
            self.stepper.averages.load(key, found.tensors(f"ema-{key}"))
        state = found.state
        self.stepper.updates = state["updates"]
        self.course = _Course(state["step"], state["undone"], state["streak"], state["norms"])
        self.saved = state["step"]
        return int(state["log_bytes"])

    def _give_up(self) -> TranhError:
        """Go back to the last good state, on disk too, and say what was seen."""
        course, stage = self.course, self.stage
        streak = course.streak
        seen = "; ".join(f"step {s['step']}: {s['bad']} {s[s['bad']]}, examples {s['ids'][:8]}" for s in streak)
        if self.stepper.finite():  # undone steps changed nothing: what we hold is the state before the first of them
            first = streak[0]
            self.course = _Course(first["step"], course.undone - len(streak), [], course.norms)
            self.saved = -1
            checkpoint.forget_after(self.run, first["step"])
            self._save(first["log_bytes"])
            what = f"{len(streak)} steps in a row were not finite and were undone ({seen})"
        else:
            found = checkpoint.newest(self.run)
            if found:
                self._restore(found)
            what = f"weights or averages were not finite after step {course.step - 1 - len(streak)}"
            what += f" ({seen})" if seen else ""
        factor = rate(course.step - 1, stage.steps, stage.warmup, stage.decay)
        norms = ", ".join(f"{n:.3g}" for n in course.norms if isinstance(n, float)) or "none"
        return TranhError(
            f"{what}. Rates: lr {stage.lr * factor:.3g}, muon_lr {stage.muon_lr * factor:.3g}; gradient norms before: "
            f"{norms}. The run stands at step {self.course.step}, its last good state. Look at these examples "
            f"(`tranh doctor`); if the norms grew before, begin a new run with init={self.run.path} "
            f"lr={stage.lr / 2:g} muon_lr={stage.muon_lr / 2:g}."
        )

    @contextmanager
    def _averaged(self) -> Iterator[Family]:
        """The model as it would be used now: the quickest average, evaluation mode, and random numbers of its own."""
        key = label(min(self.stage.ema)) if self.stage.ema else None
        self.family.eval()
        try:
            with self.stepper.averages.swapped(key), global_seed(0, self.stepper.device):
                yield self.family
        finally:
            self.family.train()

    def _measure(self) -> None:
        """A point of the curves; a measure that fails costs a warning, not the training."""
        step, run = self.course.step, self.run
        if self.measure is None:
            return
        try:
            with self._averaged() as family:
                found = dict(self.measure(family, step))
            curves.add(run.measures, step, found)
        except Exception as error:
            _logger.warning("nothing measured at step %d", step, exc_info=True)
            curves.add(run.measures, step, {curves.FAILED: f"{type(error).__name__}: {error}"})

    def _draw(self) -> None:
        """Curves, sample and report; what fails costs a warning, not the training."""
        step, samples, log = self.course.step, self.run.samples, read_log(self.run.log)
        samples.mkdir(exist_ok=True)
        draw_loss(log, samples / "loss.png", self.title)
        try:
            curves.draw_measures(read_log(self.run.measures), samples / "measures.png", self.title)
            if self.sample is not None:
                with self._averaged() as family:
                    picture = self.sample(family, step)
                data = io.BytesIO()
                picture.save(data, "PNG")
                write_bytes(samples / f"step_{step:06d}.png", data.getvalue())
        except Exception:
            _logger.warning("no sample at step %d", step, exc_info=True)
        if step < self.stage.steps:  # the last one comes with what is chosen
            run_report.write(self.run, log)

    def finish(self, score: Callable[[Family], float]) -> dict[str, float]:
        """Choose among the averages, write the results, and mark the run as finished. May be repeated after a kill."""
        averages, run = self.stepper.averages, self.run
        self.family.eval()
        for key in averages.tracks:
            write_tensors(run.average(key), {**tensors_of(self.family), **averages.tensors(key)})
        with global_seed(0, self.stepper.device):
            best, scores = choose(averages, lambda: score(self.family))
        if best is not None:
            load_tensors(self.family, {**tensors_of(self.family), **averages.tensors(best)}, f"average {best}")
        write_tensors(run.weights, tensors_of(self.family))
        run.add_metrics({"weights": {"chosen": best or "raw", "scores": plain(scores)}})
        write_json(
            run.done_file, {"steps": self.stage.steps, "undone": self.course.undone, "hash": sha256(run.weights)}
        )
        checkpoint.keep_newest(run)
        run_report.write(run)
        return {f"score.{k}": v for k, v in scores.items()}
