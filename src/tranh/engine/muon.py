"""Muon by blocks of rows: the orthogonalised momentum of Jordan et al. (2024), some rows of a matrix at a time.

It knows nothing of schedules or of which matrices are given to it. Newton-Schulz costs about 22 R products per weight,
R being the smaller side, whatever the batch: on two cores, a whole 1152 x 384 matrix costs as much as a picture. Blocks
of R rows do as well (Khaled et al. 2025, MuonBP; the rows of one head are a natural block) and cost a fourth, so steps
can be small and many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

ROWS = 64
"""Most rows of a block: one attention head."""

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic iteration, chosen by Jordan for the steepest slope at zero; singular values end near 1, not at it."""


def block_rows(rows: int, most: int = ROWS) -> int:
    """The largest divisor of ``rows`` that is at most ``most``; all rows if the best would be under half of it."""
    best = next(n for n in range(min(rows, most), 0, -1) if rows % n == 0)
    return best if 2 * best >= min(rows, most) else rows


def orthogonalize(blocks: Tensor, steps: int = 5, eps: float = 1e-7) -> Tensor:
    """Each matrix with its singular values moved to about 1, by Newton-Schulz in bfloat16. (K, m, n) -> (K, m, n)."""
    a, b, c = COEFFICIENTS
    turned = blocks.shape[-2] > blocks.shape[-1]
    x = blocks.bfloat16()
    x = x.mT if turned else x
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if turned else x


class Muon(torch.optim.Optimizer):
    """``torch.optim.Muon`` with Nesterov momentum, on blocks of at most 64 rows; equal to it on matrices that small.

    An update's size is that of AdamW (0.2 sqrt(larger side of a block), Liu et al. 2025), so both optimisers' learning
    rates mean the same and do not depend on width.

    A kernel (out, in, h, w) counts as the matrix (out, in h w).

    Args:
        params: matrices, or groups of them; lr: learning rate; momentum: of the running mean of gradients;
            weight_decay: decoupled.
    """

    def __init__(
        self, params: Iterable[Any], lr: float = 1e-3, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        value = None
        if closure is not None:
            with torch.enable_grad():
                value = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["momentum_buffer"] = torch.zeros_like(p)
                mean: Tensor = state["momentum_buffer"].lerp_(p.grad, 1 - group["momentum"])
                ahead = p.grad.lerp(mean, group["momentum"]).flatten(1)
                blocks = ahead.view(-1, block_rows(len(p)), ahead.shape[1])
                p.mul_(1 - group["lr"] * group["weight_decay"])
                size = 0.2 * max(blocks.shape[1:]) ** 0.5
                p.add_(orthogonalize(blocks).reshape(p.shape).to(p.dtype), alpha=-group["lr"] * size)
        return value
