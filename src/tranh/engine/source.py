"""Where batches come from, as the engine sees it. What is in them is the data package's business."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import fields
from typing import Protocol

import torch

from tranh.types import Batch


class Source(Protocol):
    """Captioned pictures in an order that is a pure function of the seed, so a resumed run sees what it would have.

    On a GPU ``batch`` is called from a background thread, one step ahead.
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


@contextmanager
def ahead(make: Callable[[int], Batch], on: bool) -> Iterator[Callable[[int], Batch]]:
    """A function that gives batch k and, if ``on``, already makes batch k + 1 in the background.

    On a CPU it is off: the network uses every core, and a second OpenMP pool only gets in its way.
    """
    if not on:
        yield make
        return
    waiting: dict[int, Future[Batch]] = {}
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as pool:

        def get(step: int) -> Batch:
            future = waiting.pop(step, None) or pool.submit(make, step)
            waiting.clear()
            waiting[step + 1] = pool.submit(make, step + 1)
            return future.result()

        yield get
