"""How well candidate weights do on held-out examples, when no better judge is handed in."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from tranh.engine.frozen import Frozen, attach
from tranh.engine.source import Source, on_device
from tranh.engine.step import computing, seed_of
from tranh.types import Family, Phase, Stage, TranhError


def held_out(
    stage: Stage, family: Family, source: Source, parents: Mapping[str, Frozen], device: torch.device, count: int = 4
) -> Callable[[Family], float]:
    """A score, lower is better: the mean of the family's ``overfit`` figure over ``count`` held-out batches.

    Every candidate sees the same examples and the same noise, so candidates differ by their weights only.
    """
    generator = torch.Generator(device)

    def score(model: Family) -> float:
        values = []
        for k in range(count):
            batch = attach(on_device(source.validation(k, stage.batch), device), parents)
            for name in model.phases:
                phase = Phase(
                    name, stage.steps, stage.steps, generator.manual_seed(seed_of(stage.seed, k, "score", name))
                )
                with torch.no_grad(), computing(device, stage.precision):
                    figures = model(batch, phase)
                if model.overfit in figures:
                    values.append(float(figures[model.overfit]))
        if not values:
            raise TranhError(f"{type(model).__name__} names {model.overfit!r} as its figure but never gives it.")
        return sum(values) / len(values)

    return score
