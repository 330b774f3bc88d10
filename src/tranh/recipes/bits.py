"""How many bits a trained model needs for held-out pictures, against histograms of their pixels.

It knows no family: whoever has ``bits`` is asked (DDPM's bound, a flow's exact likelihood).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from tranh.engine import find
from tranh.engine.frozen import attach
from tranh.engine.frozen import load as load_frozen
from tranh.engine.rundir import RunDir
from tranh.engine.source import Source
from tranh.engine.start import settle
from tranh.engine.step import computing
from tranh.engine.weights import load_tensors
from tranh.files import read_json, read_tensors
from tranh.metrics.interval import Interval, bootstrap
from tranh.recipes.own import TOKENIZER, WORDS
from tranh.recipes.sources import source_of
from tranh.types import Batch, Event, Family, TranhError

LEARNED_FROM = 4096
"""Training pictures the histograms are made of."""

SMOOTHING = (1.0, 10.0, 100.0)
"""Weights, in pictures, of the histogram of all pixels inside that of each pixel; the best on the held-out ones is
taken, which favours the baseline."""


@runtime_checkable
class Costs(Protocol):
    """A family that says what pictures cost it: terms (B,) in bits per dimension, whose sum is the cost."""

    def bits(self, batch: Batch, seed: int = 0) -> Iterator[Tensor]: ...


@dataclass(frozen=True)
class Bits:
    """Bits per dimension of held-out pictures.

    Attributes:
        stage: which stage of the run was asked; count: pictures.
        model: mean over pictures, with an interval; histogram: what a histogram of every pixel needs.
        terms: mean of each term the model gave, in its order.
    """

    stage: str
    count: int
    model: Interval
    histogram: float
    terms: tuple[float, ...]


def measure(path: Path, count: int = 16, size: int = 8) -> Iterator[Event]:
    """Ask a finished run, or the stage of a recipe's folder that can tell.

    Args:
        count: held-out pictures; size: how many at once.

    Yields:
        One event per batch; the last one's ``result`` is :class:`Bits`.

    Raises:
        TranhError: no run, none finished, or none that can tell.
    """
    run, family, source = _opened(path)
    stage = run.stage()
    parents = {part: load_frozen(RunDir(run.path.parent / name)) for part, name in stage.parents.items()}
    family.meet({part: parent.family for part, parent in parents.items()})
    settle(parents, source)
    assert isinstance(family, Costs)
    batches = [attach(source.validation(k, min(size, count - k * size)), parents) for k in range(-(-count // size))]
    found = []
    for k, batch in enumerate(batches):
        costs, told = family.bits(batch, seed=k * size), []
        while True:
            with torch.no_grad(), computing(batch.images.device, stage.precision):
                term = next(costs, None)
            if term is None:
                break
            told.append(term.float())
        found.append(torch.stack(told))  # (terms, B)
        yield Event("bits", min(count, (k + 1) * size), count)
    costs_of = torch.cat(found, dim=1)
    plain = histogram(training(source, stage.batch), torch.cat([b.images for b in batches]))
    model = bootstrap(costs_of.sum(0).tolist())
    yield Event("bits", count, count, result=Bits(run.path.name, count, model, plain, tuple(costs_of.mean(1).tolist())))


def _opened(path: Path) -> tuple[RunDir, Family, Source]:
    inside = sorted(path.iterdir()) if path.is_dir() else []
    found = []
    for folder in (path, *inside):
        file = folder / "recipe.json"
        if file.is_file() and "stage" in read_json(file) and RunDir(folder).finished:
            found.append(folder.name)
            run = RunDir(folder)
            if issubclass(find.family(run.stage().family), Costs):
                family = find.build(run.stage())
                load_tensors(family, read_tensors(run.weights), str(run.path))
                assets = {name: (run.path / name).read_bytes() for name in (TOKENIZER, WORDS)}
                return run, family.eval(), source_of(run.stage().data, assets)
    raise TranhError(
        f"{path} holds no finished stage that can say what a picture costs it in bits"
        + (f" (there are: {', '.join(found)})" if found else "")
        + ": train one first (tranh train ddpm)"
    )


def training(source: Source, size: int, count: int = LEARNED_FROM) -> Iterator[Tensor]:
    """Training pictures, a batch at a time."""
    return (source.batch(step, size, 0).images for step in range(-(-count // size)))


def levels(images: Tensor) -> Tensor:
    """8-bit levels 0 to 255 of pictures in [-1, 1], int64."""
    return ((images + 1) * 127.5).round().long().clamp(0, 255)


def histogram(known: Iterator[Tensor], asked: Tensor, smoothing: Sequence[float] = SMOOTHING) -> float:
    """Bits per dimension of pictures for which every pixel of every colour has a histogram of its own.

    Args:
        known: batches (B, 3, S, S) the histograms are counted from; asked: (N, 3, S, S).
    """
    D = asked[0].numel()
    place = torch.arange(D) * 256
    counts, pictures = torch.zeros(D * 256), 0
    for images in known:
        counts += torch.bincount((levels(images).flatten(1) + place).flatten(), minlength=D * 256)
        pictures += len(images)
    own = counts.view(D, 256)
    shared = (own.sum(0) + 1) / (own.sum() + 256)
    found = levels(asked).flatten(1)  # (N, D)
    of_own, of_all = own.flatten()[found + place], shared[found]
    costs = [-((of_own + w * of_all) / (pictures + w)).log2().mean().item() for w in smoothing]
    return min(costs)
