"""`tranh doctor RUN`: the engine's checks over a run and what it stands on, with the families' own ways to sample.

It repairs nothing and writes nothing. A run may be a stage, finished or not, or the folder of a whole recipe.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from tranh.diffusion.sample import euler, seeded
from tranh.diffusion.sample import run as walk
from tranh.diffusion.schedule import linear
from tranh.engine import checkpoint, find
from tranh.engine.doctor import Diagnosis, Finding, before, behaviour, during, lineage, weights
from tranh.engine.doctor.batches import pictures, reads_captions
from tranh.engine.doctor.course import STEPS
from tranh.engine.doctor.finding import any_fault, fault, placed
from tranh.engine.frozen import Frozen, attach, load
from tranh.engine.log import read_log
from tranh.engine.rundir import RunDir
from tranh.engine.source import Source
from tranh.engine.start import settle, start
from tranh.engine.weights import load_tensors
from tranh.families.ar_prior import ArPrior
from tranh.families.decoder import Decoder
from tranh.families.prior import Prior
from tranh.families.upsampler import Upsampler
from tranh.files import read_json, read_tensors
from tranh.recipes.own import TOKENIZER, WORDS
from tranh.recipes.sources import source_of
from tranh.types import Batch, Denoiser, Draws, Event, Family, Stage, TranhError

Kinds = Mapping[str, type[Family]]
PARTS = ("parents", "first steps", "log", "weights", "behaviour")
FIT = "weights fit the network"
OVERFIT = 120
"""Steps in which one batch must be learned by heart."""
LOOKED_AT = 4
"""Training batches looked at."""
DRAWN = 16
SAMPLER_STEPS = 10


@runtime_checkable
class Guided(Protocol):
    """A family that draws by a denoiser."""

    def guided(self, tokens: Tensor, mask: Tensor, guidance: float | None = None) -> Denoiser: ...


@runtime_checkable
class Within(Protocol):
    """A family that denoises something else than pictures."""

    def clean(self, batch: Batch) -> Tensor: ...


def examine(
    run: Path, *, source: Source | None = None, kinds: Kinds | None = None, trial: bool = True
) -> Iterator[Event]:
    """Examine a run, or every stage of a recipe's folder.

    Args:
        run: folder of a stage, or one that holds such folders.
        trial: begin a training anew beside the one there is, to see whether it can learn; it was seen before the first
            step, too.
        source: of batches for all stages; None takes the one each recipe names.
        kinds: classes of families that are not found by name (tests), by family.

    Yields:
        One event per group of checks; the last one's ``result`` is the :class:`Diagnosis`.

    Raises:
        TranhError: there is no run.
    """
    runs = _runs(Path(run))
    findings: list[Finding] = []
    skipped: list[str] = []
    total = len(PARTS) * len(runs)
    for k, one in enumerate(runs):
        case = _Case(one, source, kinds or {}, one.path.name if len(runs) > 1 else "", trial)
        for part, found in _asked(case):
            findings += placed(found, case.title)
            done = k * len(PARTS) + PARTS.index(part) + 1
            yield Event("doctor", done, total, {"faults": sum(f.fault for f in findings)})
        skipped += case.skipped
    yield Event("doctor", total, total, result=Diagnosis(tuple(findings), tuple(skipped)))


def _runs(path: Path) -> list[RunDir]:
    def is_run(folder: Path) -> bool:
        file = folder / "recipe.json"
        value = read_json(file) if file.exists() else None
        return isinstance(value, dict) and "stage" in value

    if is_run(path):
        return [RunDir(path)]
    inside = [RunDir(p) for p in sorted(path.iterdir()) if is_run(p)] if path.is_dir() else []
    if not inside:
        raise TranhError(f"{path} is no run: give a folder that `tranh train` has made (it holds recipe.json).")
    return sorted(inside, key=lambda r: len(r.stage().parents))  # parents first


@dataclass
class _Case:
    """One stage under examination, and what of it has been opened so far."""

    run: RunDir
    source: Source | None
    kinds: Kinds
    title: str
    trial: bool
    skipped: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.stage: Stage = self.run.stage()
        self.recipe = self.run.recipe()
        self.parent_runs = {part: RunDir(self.run.path.parent / name) for part, name in self.stage.parents.items()}
        self.parents: dict[str, Frozen] = {}
        self.batches: list[Batch] = []

    def build(self) -> Family:
        family = find.build(self.stage, self.kinds.get(self.stage.family))
        family.meet({part: parent.family for part, parent in self.parents.items()})
        return family

    def open(self) -> None:
        """The source, the parents, and the first batches."""
        if self.source is None:
            files = (TOKENIZER, WORDS)
            assets = {n: (self.run.path / n).read_bytes() for n in files if (self.run.path / n).exists()}
            self.source = source_of(self.stage.data, assets)
        for part, run in self.parent_runs.items():
            self.parents[part] = load(run, self.kinds.get(run.stage().family))
        settle(self.parents, self.source)
        made = (self.source.batch(k, self.stage.batch, self.stage.seed) for k in range(LOOKED_AT))
        self.batches = [attach(batch, self.parents) for batch in made]

    def held_out(self, step: int, size: int) -> Batch:
        assert self.source is not None
        return attach(self.source.validation(step, size), self.parents)

    def skip(self, what: str, why: str) -> None:
        self.skipped.append(f"{f'{self.title}: ' if self.title else ''}{what}: {why}")


def _asked(case: _Case) -> Iterator[tuple[str, list[Finding]]]:
    """Findings group by group; a fault that explains all that follows ends it."""
    why = "mend what was found first"
    for k, (part, ask) in enumerate(zip(PARTS, (_parents, _first, _log, _weights, _behaviour), strict=True)):
        found = ask(case)
        yield part, found
        if any_fault(found):
            if PARTS[k + 1 :]:
                case.skip(", ".join(PARTS[k + 1 :]), why)
            return


def _parents(case: _Case) -> list[Finding]:
    own = case.run.path / lineage.FILE
    found = (
        lineage.one_tokenizer(own.read_bytes() if own.exists() else None, case.parent_runs),
        lineage.parents_agree(case.recipe.get("parents") or {}, case.parent_runs),
    )
    return [f for f in found if f is not None]


def _first(case: _Case) -> list[Finding]:
    case.open()
    if not case.trial:
        return []
    return before(case.build(), case.batches, case.stage, parents=case.parents, steps=OVERFIT)


def _log(case: _Case) -> list[Finding]:
    lines = read_log(case.run.log)
    if not lines:
        case.skip("log", "the run has no step yet")
    found = during(lines, case.stage, case.build())
    undone = [x["step"] for x in lines if x.get("undone")]
    return [_with_examples(f, case, undone) if f.name == STEPS and not f.ok else f for f in found]


def _with_examples(finding: Finding, case: _Case, steps: Sequence[int]) -> Finding:
    """The finding about undone steps with what the pictures of those steps show."""
    assert case.source is not None
    for step in list(steps)[:3]:
        shown = pictures(case.source.batch(step, case.stage.batch, case.stage.seed))
        if not shown.ok:
            return replace(finding, seen=f"{finding.seen}; in step {step}, {shown.seen}", remedy=shown.remedy)
    return finding


def _weights(case: _Case) -> list[Finding]:
    run, newest = case.run, checkpoint.newest(case.run)
    if not run.finished and newest is None:
        case.skip("weights", "the run has no checkpoint yet")
        return []
    now = newest.tensors("model") if newest else read_tensors(run.weights)
    used = read_tensors(run.weights) if run.finished else now
    try:
        load_tensors(case.build(), used, str(run.path))
    except TranhError as error:
        remedy = "Use the version of Tranh it was trained with (versions in recipe.json), or train anew."
        return [fault(FIT, str(error).rstrip("."), remedy)]
    found = [weights.finite(used)]
    if any_fault(found) or (newest is not None and newest.step == 0):
        return found
    initial = case.build()
    try:
        if case.stage.init is not None:
            start(case.stage, initial, iter(()))
    except TranhError as error:
        case.skip("all parts moved", f"the weights it began from are gone ({error})")
        return found
    first = {n: p.detach() for n, p in initial.named_parameters() if p.requires_grad}
    found.append(weights.moved({n: now[n] for n in first if n in now}, first))
    tracks = {f"{width:.3f}": newest.tensors(f"ema-{width:.3f}") for width in case.stage.ema} if newest else {}
    followed = weights.averages(now, first, tracks)
    found += [followed] if followed is not None else []
    if run.finished and not any_fault(found):
        told: Any = run.metrics().get("weights", {})
        if told:
            found.append(weights.scores({k: float(v) for k, v in told["scores"].items()}, told["chosen"]))
    return found


def _behaviour(case: _Case) -> list[Finding]:
    run, newest = case.run, checkpoint.newest(case.run)
    if not run.finished and (newest is None or newest.step == 0):
        case.skip("behaviour", "the run has taken no step that was saved")
        return []
    family = case.build()
    tensors = read_tensors(run.weights) if run.finished or newest is None else newest.tensors("model")
    load_tensors(family, tensors, str(run.path))
    family.eval()
    done = 1.0 if run.finished or newest is None else newest.step / max(1, case.stage.steps)
    batch = case.held_out(0, case.stage.batch)
    found = []
    if reads_captions(family):
        found.append(behaviour.captions_tell(family, batch, done))
    if isinstance(family, (Prior, ArPrior)):
        found.append(embeddings_made(family, batch, case.held_out(1, case.stage.batch), case.batches))
    few = case.held_out(2, min(DRAWN, case.stage.batch))
    if not any_fault(found):
        denoiser = denoiser_of(family, few)
        if denoiser is not None:
            clean = family.clean(few) if isinstance(family, Within) else few.images
            found.append(behaviour.times(behaviour.errors_by_time(denoiser, clean)))
        drawn = drawn_by(family, few, denoiser)
        if drawn is not None:
            found.append(behaviour.samples(drawn, few.images, finished=done >= 1))
    if done < 0.25:  # an unfinished network need not do anything well yet
        found = [replace(f, sure=False) for f in found]
    return found


def embeddings_made(family: Prior | ArPrior, batch: Batch, other: Batch, known: Sequence[Batch]) -> Finding:
    """Whether a prior's answers to held-out captions lie where the embeddings of pictures do.

    Args:
        batch, other: held out; captions are taken from the first, pictures from the second.
        known: batches of training.
    """
    text = batch.parts["clip.text"].float()
    noise = torch.randn(text.shape, generator=torch.Generator().manual_seed(0))
    made = family.sample(batch.tokens, batch.mask, text, noise)
    true = torch.cat([b.parts["clip.image"] for b in known])
    return behaviour.manifold(made, true, other.parts["clip.image"], text)


@torch.no_grad()
def denoiser_of(family: Family, batch: Batch) -> Denoiser | None:
    """The denoiser of these examples, without guidance; None for a family that has none."""
    if isinstance(family, Decoder):
        decoder = family
        context, seen = decoder.context(batch.tokens, batch.mask, batch.parts.get("clip.image"))
        return lambda x, t: decoder.denoise(x, t, context, seen)
    if isinstance(family, Upsampler):
        upsampler, small, level = family, family.shrink(batch.images), batch.images.new_zeros(len(batch))
        return lambda x, t: upsampler.denoise(x, t, small, level)
    if isinstance(family, Draws) and isinstance(family, Guided):
        return family.guided(batch.tokens, batch.mask, 1.0)
    return None


@torch.no_grad()
def drawn_by(family: Family, batch: Batch, denoiser: Denoiser | None) -> Tensor | None:
    """Samples for these examples, which differ by their captions alone, or by their seeds where captions are not read;
    None for a family that makes no pictures."""
    if isinstance(family, Draws):
        seeds = [0] * len(batch) if reads_captions(family) else range(len(batch))
        *_, last = family.draw(batch.tokens, batch.mask, seeds)
        return last.x.float()
    return None if denoiser is None else draw(denoiser, batch.images)


@torch.no_grad()
def draw(denoiser: Denoiser, images: Tensor) -> Tensor:
    """Samples of the shape of ``images``, all from the same noise, so that they differ by what was asked only."""
    noise = seeded([0], images.shape[1:], images.device)().expand_as(images)
    return walk(euler(denoiser, noise.clone(), linear(SAMPLER_STEPS, last=1 / SAMPLER_STEPS)))
