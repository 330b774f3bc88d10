"""Cross-entropy over the questions that are asked: labels below 0 are answers nobody can know."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Mean over the asked rows (target >= 0); zero if none is. logits: (N, values); target: int64 (N,)."""
    asked = (target >= 0).sum().clamp(min=1)
    return F.cross_entropy(logits, target.clamp(min=-1), ignore_index=-1, reduction="sum") / asked
