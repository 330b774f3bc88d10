"""What two adversaries play for, as functions of logits and pictures; and how to see that one of them has given up.

They know neither networks nor captions: what judges a picture is handed in as a function.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def ahead(winner: Tensor, loser: Tensor) -> Tensor:
    """Softplus of how far ``loser`` is ahead of ``winner``, a mean over pairs: the relativistic loss
    (Jolicoeur-Martineau 2018), by which no picture is good or bad but by comparison. Logits (B,) -> scalar."""
    return F.softplus(loser - winner).mean()


def flatness(judge: Callable[[Tensor], Tensor], x: Tensor, at_x: Tensor, noise: Tensor, width: float = 0.1) -> Tensor:
    """||grad D(x)||^2 without a second derivative: a step along noise changes the verdict by its slope.

    R1 and R2 as approximated by Lin et al. 2025 (APT); the mean over noise is the zero-centred penalty of Mescheder et
    al. 2018.

    Args:
        judge: pictures (B, 3, H, W) -> logits (B,); at_x: its logits of ``x``.
        noise: standard normal, of the shape of ``x``; width: length of the step.
    """
    return ((judge(x + width * noise) - at_x) / width).square().mean()


def alike(tokens: Tensor, mask: Tensor) -> Tensor:
    """(B, B) bool: which rows have the same caption; tokens, mask: (B, T)."""
    words = torch.where(mask, tokens, -1)
    return (words[:, None] == words).all(-1)


def matching(pictures: Tensor, captions: Tensor, same: Tensor, temperature: float = 0.1) -> Tensor:
    """Each picture is to find its caption among those of the batch, and each caption its picture: the loss of CLIP.

    Args:
        pictures, captions: embeddings of unit length (B, D); same: bool (B, B), equal captions are no counterexamples.
    """
    logits = pictures @ captions.T / temperature  # (B, B)
    target = same / same.sum(1, keepdim=True)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def coarse(x: Tensor, grid: int) -> Tensor:
    """Pictures (B, 3, S, S) as ``grid x grid`` mean colours; smaller ones as they are."""
    return F.adaptive_avg_pool2d(x, min(grid, x.shape[-1]))


def anchored(one: Tensor, other: Tensor, real: Tensor, grid: int, single: float = 0.75) -> Tensor:
    """How far what is made for a caption is from the true picture: in the mean over noise, and to a share singly.

    For two independent draws E[(one - real) (other - real)] is (E[made] - real)^2: the mean is drawn to the true one,
    and the variety around it costs nothing. A distance of each picture alone would make all of a caption's the same;
    without any, patterns too fine for ``grid`` would be free.

    Args:
        one, other: (B, 3, H, W), row by row of one caption and different noise; gradients go into ``one``.
        real: (B, 3, H, W); grid: the mean is seen as ``grid x grid`` mean colours.
        single: share of the distance of each picture by itself, pixel by pixel. With half of it or less a batch that is
            learned by heart is lost again.
    """
    made, again, true = (coarse(x, grid) for x in (one, other.detach(), real))
    mean = 2 * (made - true) * (again - true)
    return (1 - single) * mean.mean() + single * (one - real).square().mean()


def diversity(one: Tensor, other: Tensor, real: Tensor) -> Tensor:
    """How much two pictures of one caption differ, over how much true pictures differ; 0 when modes have collapsed.

    True pictures have different captions, so 1 is not to be expected: a caption that says all leaves little open.

    Args:
        one, other: (K, 3, H, W), row by row of one caption and different noise; real: (B, 3, H, W), B > 1.
    """
    apart = (real - real.roll(1, 0)).abs().mean()
    return (one - other).abs().mean() / apart.clamp(min=1e-6)
