"""Where batches come from, as the engine sees it. What is in them is the data package's business."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import fields
from typing import Protocol

import torch
from torch.utils.data import DataLoader, Dataset

from tranh.types import Batch, Stage


class Source(Protocol):
    """Captioned pictures in an order that is a pure function of the seed, so a resumed run sees what it would have.

    For a GPU ``batch`` is called by several processes, some steps ahead.
    """

    def batch(self, step: int, size: int, seed: int) -> Batch:
        """Batch number ``step`` of training, ``size`` examples; the same arguments give the same tensors."""
        ...

    def validation(self, step: int, size: int) -> Batch:
        """Held-out batch number ``step``; the same arguments give the same tensors."""
        ...


def on_device(batch: Batch, device: torch.device) -> Batch:
    """The batch with its tensors on a device; pinned memory is copied without waiting."""
    if device.type == "cpu":
        return batch
    moved = {
        f.name: getattr(batch, f.name).to(device, non_blocking=True)
        for f in fields(batch)
        if isinstance(getattr(batch, f.name), torch.Tensor)
    }
    named = {
        name: {k: v.to(device, non_blocking=True) for k, v in getattr(batch, name).items()}
        for name in ("labels", "parts")
    }
    return batch.replace(**moved, **named)


class _Order(Dataset[Batch]):
    def __init__(self, source: Source, size: int, seed: int) -> None:
        self.source, self.size, self.seed = source, size, seed

    def __getitem__(self, step: int) -> Batch:
        return self.source.batch(step, self.size, self.seed)


def in_order(source: Source, stage: Stage, first: int, workers: int = 0) -> Iterator[Batch]:
    """Batches ``first``, ``first + 1``, ... of a stage's training order, to its last.

    Args:
        workers: processes that make them ahead of time; 0 makes each when it is asked for. On a CPU the network uses
            every core and anything beside it only gets in its way; a GPU has to be fed. The order is the same.
    """
    order = _Order(source, stage.batch, stage.seed)
    steps = range(first, stage.steps)
    own = torch.Generator()  # a loader draws a number when it begins, which must not be one of the training's
    return iter(DataLoader(order, batch_size=None, sampler=steps, num_workers=workers, generator=own))


def workers_for(device: torch.device) -> int:
    """How many processes should make batches for a network on this device."""
    return 0 if device.type == "cpu" else max(1, (os.cpu_count() or 1) - 2)
