"""Where a run stands by its log: steps undone, rates, the loss against what it should be by now, gradient norms.

Pure functions of log lines, and a listener that asks them on the way. It reads no weights and no data.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from statistics import median
from typing import Any

from tranh.engine.doctor.finding import Finding, any_fault, fault, fine, keep, warning
from tranh.engine.doctor.learning import RATE
from tranh.engine.rundir import RunDir
from tranh.types import Embeds, Event, Family, Stage

STEPS, FALLS, NORMS = "steps are finite", "loss falls", "gradient norm"
ENOUGH = 60
"""Steps after which a curve is judged at all."""
Line = Mapping[str, Any]
_logger = logging.getLogger("tranh.doctor")


def chance(family: Family | None, stage: Stage) -> float | None:
    """The loss of one who knows nothing, where it is known: telling the pairs of a batch apart costs log(batch)."""
    model: object = family
    contrastive = isinstance(model, Embeds) and family is not None and not family.parents
    return math.log(stage.batch) if contrastive and stage.batch > 1 else None


def finite_steps(lines: Sequence[Line]) -> Finding:
    """Hardly any step was undone because its loss or gradient was not finite."""
    bad = [x for x in lines if x.get("undone")]
    if not bad:
        return fine(STEPS, f"none of {len(lines)} steps was undone")
    ids = [set(x["ids"]) for x in bad if x.get("ids")]
    shared = sorted(set.intersection(*ids)) if len(ids) > 1 else []
    seen = f"{len(bad)} of {len(lines)} steps were undone (steps {', '.join(str(x['step']) for x in bad[:6])})"
    if shared:
        seen += f"; examples {shared[:8]} were in all of them"
    remedy = "Look at the examples of these steps for NaN; if there is none, halve lr and muon_lr."
    return fault(STEPS, seen, remedy) if len(bad) > max(2, len(lines) // 100) else warning(STEPS, seen, remedy)


def _series(lines: Sequence[Line], key: str) -> list[float]:
    found = (x.get(key) for x in lines if not x.get("undone"))
    return [v for v in found if isinstance(v, (int, float)) and math.isfinite(v)]


def _ends(values: Sequence[float]) -> tuple[float, float, float]:
    """First, best and last level of a noisy curve, each the median of a window."""
    n = max(5, len(values) // 20)
    windows = [median(values[i : i + n]) for i in range(0, len(values) - n + 1, n)]
    return median(values[:5]), min(windows), median(values[-n:])


def rates(lines: Sequence[Line], stage: Stage) -> Finding:
    """Rates are not 0, and the loss does not rise after it had fallen."""
    used = [k for k in ("lr", "muon_lr") if lines and any(k in x for x in lines)]
    for key in used:
        if len(lines) > 1 and not max(_series(lines, key), default=1.0) > 0:
            return fault(RATE, f"{key} was 0 in all {len(lines)} steps", f"Set {key}: 1e-3 is a start.")
    seen = ", ".join(f"{k} {max(_series(lines, k), default=0):.3g}" for k in used)
    loss = _series(lines, "loss")
    if len(loss) < max(ENOUGH, 2 * stage.warmup):
        return fine(RATE, f"{seen}; too early to judge the curve")
    first, best, last = _ends(loss)
    curve = f"loss {first:.4g} at first, {best:.4g} at best, {last:.4g} now"
    remedy = f"Begin a new run with lr={stage.lr / 2:g} muon_lr={stage.muon_lr / 2:g}, or less."
    if last > 1.2 * abs(first):
        return fault(RATE, f"{seen}: it diverges, {curve}", remedy)
    if last - best > max(0.5 * abs(best), 0.15 * abs(first)):
        return warning(RATE, f"{seen}: the loss rises again, {curve}", remedy)
    return fine(RATE, f"{seen}; {curve}")


def falls(lines: Sequence[Line], stage: Stage, known: float | None = None) -> Finding | None:
    """The loss has left its first value (and the level of chance, if that is known); None if there is no such loss.

    A GAN's losses need not fall, and a stage that goes on from trained weights starts low: neither is asked.
    """
    loss = _series(lines, "loss")
    if stage.init is not None or not loss:
        return None
    first = median(loss[:5])
    if known is not None and len(loss) >= 5 and first > 3 * known + 1:
        return warning(
            FALLS,
            f"the first loss is {first:.3g}, an untrained network has about {known:.3g}",
            "Is the temperature or the scale of the embeddings wrong?",
        )
    if len(loss) < max(ENOUGH, 2 * stage.warmup, stage.steps // 20):
        return fine(FALLS, f"{first:.4g} at first; too early to judge")
    _, _, last = _ends(loss)
    progress = len(loss) / max(1, stage.steps)
    seen = f"{first:.4g} at first, {last:.4g} after {len(loss)} of {stage.steps} steps"
    if known is not None and last > 0.95 * known:
        what, expected = f"stuck at {last:.3g}, the loss of guessing ({known:.3g})", "below it"
        remedy = "Do captions belong to their pictures, do they reach the network? Otherwise lower lr, more warm-up."
    elif last > 0.97 * abs(first):
        what, expected = "it has not left its first value", f"< {0.97 * first:.4g}"
        remedy = "Is lr far too low, are parts frozen, is a branch detached? See the other findings."
    else:
        return fine(FALLS, seen)
    what = f"{what}: {seen}, expected {expected}"
    return fault(FALLS, what, remedy) if progress >= 0.25 else warning(FALLS, what, remedy)


def norms(lines: Sequence[Line], stage: Stage) -> Finding | None:
    """The gradient neither vanishes nor explodes."""
    keys = sorted({k for x in lines[:1] for k in x if k.split(".")[-1] == "grad_norm"})
    for key in keys:
        values = _series(lines, key)
        if len(values) < max(ENOUGH, 2 * stage.warmup):
            return None
        after = values[stage.warmup :]
        early, late = median(after[:20]), median(after[-20:])
        seen = f"{key} {early:.3g} after warm-up, {late:.3g} now"
        if late < 1e-8:
            return fault(NORMS, f"{seen}: nothing is learned any more", "Are activations dead? Lower lr, begin anew.")
        if late > 100 * early and late > 10 * stage.clip:
            return warning(NORMS, f"{seen}: it explodes", f"Begin anew with lr={stage.lr / 2:g}, more warm-up.")
    return fine(NORMS, seen) if keys else None


def during(lines: Sequence[Line], stage: Stage, family: Family | None = None) -> list[Finding]:
    """All checks of a log.

    Args:
        lines: of ``log.jsonl`` from the first step on.
        family: tells the loss of pure chance where it is known; may be None.
    """
    if not lines:
        return []
    found = [finite_steps(lines), rates(lines, stage)]
    if any_fault(found):  # the curve of such a run says nothing else
        return found
    more = (falls(lines, stage, chance(family, stage)), norms(lines, stage))
    return [*found, *(f for f in more if f is not None)]


def watch(
    events: Iterator[Event],
    run: RunDir,
    stage: Stage,
    family: Family | None = None,
    *,
    every: int = 200,
    look: Callable[[float], Finding | None] | None = None,
) -> Iterator[Event]:
    """Pass the events of a training on, and judge its log every ``every`` steps.

    A finding that is not ok is said once, as a warning line, and all are kept in ``doctor.json``.

    Args:
        look: asks the network itself, given the share of the training behind it; called after ``every`` steps and then
            each time their number has doubled, so that it costs next to nothing.
    """
    lines: list[Line] = []
    told: set[tuple[str, bool]] = set()
    size = 0
    ending = closing(events) if isinstance(events, Generator) else nullcontext()
    with ending:  # whoever stops listening stops the training, which then saves
        for event in events:
            if event.done and (event.done % every == 0 or event.result is not None) and run.log.exists():
                size = _read_more(run, size, lines)
                findings = during(lines, stage, family)
                steps, left = divmod(event.done, every)
                if look is not None and not left and steps & (steps - 1) == 0:
                    seen = look(event.done / max(1, stage.steps))
                    findings += [] if seen is None else [seen]
                for f in findings:
                    if not f.ok and (f.name, f.sure) not in told:
                        told.add((f.name, f.sure))
                        _logger.warning("step %d: %s", event.done, f)
                keep(run, event.done, findings)
            yield event


def _read_more(run: RunDir, size: int, lines: list[Line]) -> int:
    """Append what was logged since; the log of a run that is going on only grows."""
    with run.log.open("rb") as file:
        file.seek(size)
        data = file.read()
    whole = data[: data.rfind(b"\n") + 1]
    lines += [json.loads(line) for line in whole.split(b"\n") if line]
    return size + len(whole)
