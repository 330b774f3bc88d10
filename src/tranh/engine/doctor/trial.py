"""A few steps on a copy of the family, on one small batch: can it learn, at these rates, and do captions matter to it?

The copy is thrown away; the family and the global random state are left as they were. Checks are functions of what the
trial saw (:mod:`tranh.engine.doctor.learning`), so that one trial serves them all.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tranh.engine.contract import figures_of
from tranh.engine.doctor.batches import reads_captions
from tranh.engine.step import Stepper, computing, global_seed, make_accelerator, seed_of
from tranh.types import Batch, Family, Phase, Stage

SAFE = (1e-3, 2e-3)
"""Rates at which every family of the project learns one batch; what is tried if the stage's own fail."""
SETTLED = 10
"""Steps after which parts that start at zero let gradients through; a trial is not shorter."""
GRADIENTS = 8
"""Draws of noise after which a parameter without any gradient counts as dead."""


@dataclass(frozen=True)
class Trial:
    """What was seen.

    Attributes:
        figures: the family's ``overfit`` figure before the first and after every step; ends early if ``bad``.
        bad: figure that was not finite.
        moved: length of the change of all trained weights over their length at the start.
        gap: largest relative change of the figure when captions are shuffled, on the same noise.
        silent: trained parameters without any gradient, and their sizes.
        size: number of trained weights.
    """

    figures: tuple[float, ...]
    bad: str | None
    moved: float
    gap: float
    silent: Mapping[str, int]
    size: int

    @property
    def fell(self) -> float:
        """Last figure over the first; 1 at worst says nothing was learned, infinity that it went wrong."""
        if self.bad or not self.figures or not math.isfinite(self.figures[-1]):
            return math.inf
        return self.figures[-1] / self.figures[0] if self.figures[0] else 1.0


def shuffled(batch: Batch) -> Batch:
    """Every picture with its neighbour's caption: tokens, mask and parts ``*.text``."""
    parts = {k: v.roll(1, 0) if k.endswith(".text") else v for k, v in batch.parts.items()}
    names = [batch.captions[i - 1] for i in range(len(batch))]
    return batch.replace(captions=names, tokens=batch.tokens.roll(1, 0), mask=batch.mask.roll(1, 0), parts=parts)


def figure(family: Family, batch: Batch, seed: int = 0) -> float:
    """The family's ``overfit`` figure of a batch, for a noise given by ``seed``."""
    with global_seed(seed, batch.images.device):
        found = figures_of(family, batch, seed)
    values = [float(v) for k, v in found.items() if k.split(".", 1)[1] == family.overfit]
    return values[-1] if values else math.nan


def distinct(batch: Batch, rows: int) -> list[int]:
    """Up to ``rows`` examples whose captions and pictures differ as far as the batch allows."""
    first: dict[tuple[int, ...], int] = {}
    for i, (row, real) in enumerate(zip(batch.tokens, batch.mask, strict=True)):
        first.setdefault(tuple(row[real].tolist()), i)
    chosen = list(first.values())[:rows]
    return chosen + [i for i in range(len(batch)) if i not in chosen][: rows - len(chosen)]


def attempt(family: Family, batch: Batch, stage: Stage, steps: int, rates: tuple[float, float] | None = None) -> Trial:
    """Take steps on a copy.

    Args:
        family: prepared; not changed.
        batch: a few examples with the parents' outputs; one draw of noise for all steps.
        steps: at most; it ends once the family's promise ``overfit_below`` is kept.
        rates: of AdamW and Muon; the stage's own if None.
    """
    lr, muon_lr = rates or (stage.lr, stage.muon_lr)
    model = copy.deepcopy(family)
    course = replace(
        stage, lr=lr, muon_lr=muon_lr, steps=max(stage.steps, 10 * steps), warmup=min(5, steps), decay=0.0, ema=()
    )
    stepper = Stepper(course, model, make_accelerator())
    model.train()
    before = [p.detach().clone() for p in stepper.trainable]
    figures: list[float] = []
    bad = None
    for step in range(steps + 1):
        report = stepper(batch, step, noise=0)
        bad = report.bad
        named = [v for k, v in report.figures.items() if k.split(".")[-1] == family.overfit]
        figures += named[-1:]
        if bad or (step >= SETTLED and figures and figures[-1] < 0.9 * family.overfit_below * figures[0]):
            break
    length = math.sqrt(sum(float(p.square().sum()) for p in before)) or 1.0
    pairs = zip(stepper.trainable, before, strict=True)
    change = math.sqrt(sum(float((p.detach() - b).square().sum()) for p, b in pairs))
    silent = {} if bad else _silent(model, batch, stage)
    model.eval()
    gap = math.nan if bad or not reads_captions(family) else caption_gap(model, batch)
    size = sum(p.numel() for p in stepper.trainable)
    return Trial(tuple(figures), bad, change / length, gap, silent, size)


def caption_gap(family: Family, batch: Batch, draws: int = 4) -> float:
    """Largest relative change of the figure by shuffled captions, over a few draws of noise."""
    other, gaps = shuffled(batch), []
    for seed in range(draws):
        true = figure(family, batch, seed)
        gaps.append(abs(figure(family, other, seed) - true) / max(abs(true), 1e-12))
    return max(gaps)


def _silent(model: Family, batch: Batch, stage: Stage) -> dict[str, int]:
    """Trained parameters whose gradient is nothing but zeros for every draw of noise."""
    device = batch.images.device
    alive: set[int] = set()
    for name in model.phases:
        own = [p for group in model.param_groups(name) for p in group.params]
        for draw in range(GRADIENTS):
            seed = seed_of("doctor", draw, name)
            phase = Phase(name, 0, max(1, stage.steps), torch.Generator(device).manual_seed(seed))
            with global_seed(seed, device), computing(device, stage.precision):
                loss: Tensor = model(batch, phase)["loss"]
            model.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            alive |= {id(p) for p in own if p.grad is not None and bool(p.grad.any())}
            if all(id(p) in alive for p in own):
                break
    model.zero_grad(set_to_none=True)
    return {
        n: p.numel() for n, p in model.named_parameters() if p.requires_grad and id(p) not in alive and p.numel() > 0
    }
