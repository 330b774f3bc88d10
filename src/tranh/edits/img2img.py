"""A picture begun again from the middle of its way to noise (SDEdit, Meng et al. 2022).

It asks for a denoiser and knows no family.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from tranh.diffusion.loss import corrupt
from tranh.diffusion.sample import euler
from tranh.diffusion.schedule import linear
from tranh.types import Denoiser, Step, TranhError


def times(strength: float, steps: int, last: float = 0.08) -> Tensor:
    """The tail of the sampler's grid that begins nearest to ``strength``; the whole grid for 1.

    Args:
        strength: share of noise to begin from, above 0 to 1.
        steps: of the whole grid.

    Raises:
        TranhError: the strength is out of range.
    """
    if not 0 < strength <= 1:
        raise TranhError(f"strength is {strength:g}; allowed: above 0 (the picture stays) to 1 (nothing of it is left)")
    grid = linear(steps, last=last if steps > 1 else 1.0)
    return torch.cat([grid.new_tensor([strength]), grid[grid < strength - 1e-6]])


def again(denoiser: Denoiser, images: Tensor, noise: Tensor, ts: Tensor) -> Iterator[Step]:
    """From pictures (B, 3, S, S) mixed with noise at ts[0] down to 0; the last step is clipped to [-1, 1]."""
    start = corrupt(images, noise, ts[:1].expand(len(images)))
    for step in euler(denoiser, start, ts):
        x = step.x.clamp(-1, 1) if step.index == step.steps else step.x
        yield Step(step.index, step.steps, step.t, x, step.x0)
