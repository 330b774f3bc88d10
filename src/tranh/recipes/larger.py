"""Edits at the size that is asked for: what a network draws small, the model's own upsampler enlarges.

It knows neither families nor edits.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

import torch
from torch import Tensor

from tranh.recipes.pictures import seen
from tranh.types import Enlarges, Event, Request, Step, TranhError

SEED = (1 << 40) + 29
"""Of the noise in all enlargements, so that only what was asked for differs between two edits of a picture."""


def side_of(system: Any, request: Request, side: int) -> int:
    """The side of the pictures that are asked for, ``request.size`` or the system's own.

    Args:
        side: of what is drawn.

    Raises:
        TranhError: the system makes no such pictures.
    """
    if isinstance(system, Enlarges):
        return int(system.checked_size(request.size))  # type: ignore[attr-defined]
    if request.size not in (None, side):
        raise TranhError(f"{system.name} edits at {side} px, {request.size} was asked")
    return side


def larger(system: Any, x: Tensor, side: int) -> Generator[Event, None, Tensor]:
    """Pictures (B, 3, S, S), enlarged until they have at least a side; returned."""
    while x.shape[-1] < side:
        x = yield from drawn(system.enlarge(x, [SEED] * len(x)), "enlarge")
    return x


def drawn(steps: Iterator[Step], stage: str = "draw") -> Generator[Event, None, Tensor]:
    """Progress of a drawing; its pictures are returned."""
    x = torch.empty(0)
    for step in computed(steps):
        x = step.x
        yield Event(stage, step.index, step.steps, preview=seen(step))
    return x


def computed(steps: Iterator[Step]) -> Iterator[Step]:
    """The same steps without gradients, which only the time inside a step is spent without: others compute between."""
    while True:
        with torch.no_grad():
            step = next(steps, None)
        if step is None:
            return
        yield step
