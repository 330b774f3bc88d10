"""A free teacher: a network on its way to a picture is asked what each patch shows, where labels say it.

It takes the place of REPA's (Yu et al. 2024), whose teacher is a network trained elsewhere. It does not know what the
labels mean or what the network is for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch.nn.functional as F
from torch import Tensor, nn

from tranh.nn.asked import labelled


class PatchTeacher(nn.Module):
    """One linear head for each label of a patch, on the features of a middle layer.

    Args:
        width: channels of the features; sizes: number of values of each label, the 0 of the background not counted.
            Empty for a teacher that asks nothing.
        weight: of its loss at the start; it falls to 0 by ``until``, a share of the run.
    """

    def __init__(self, width: int, sizes: Sequence[int], weight: float = 0.3, until: float = 0.8) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Linear(width, n + 1) for n in sizes)
        self.first, self.until = weight, until

    def loss(
        self, denoise: Tensor, seen: Sequence[Tensor], labels: Tensor | None, told: Tensor, progress: float
    ) -> Tensor:
        """The loss of a network, and what it does not know of the patches, weighed.

        Args:
            denoise: scalar; seen: what was tapped, features (B, width, h, w) first.
            labels: (B, N, fields) int64 of N patches in a square, 0 for background, -1 where not asked; None for none.
            told: (B,) bool, False where the caption was dropped; progress: share of the run.
        """
        weight = self.first * max(0.0, 1 - progress / self.until)
        if labels is None or not len(self.heads) or not weight:
            return denoise
        tokens = F.adaptive_avg_pool2d(seen[0], math.isqrt(labels.shape[1])).flatten(2).transpose(1, 2)
        return denoise + weight * labelled(list(self.heads), tokens, labels, told)


@contextmanager
def tapping(block: nn.Module) -> Iterator[list[Tensor]]:
    """What a block gives, each time it is used inside of the context."""
    seen: list[Tensor] = []
    hook = block.register_forward_hook(lambda _module, _given, out: seen.append(out))
    try:
        yield seen
    finally:
        hook.remove()
