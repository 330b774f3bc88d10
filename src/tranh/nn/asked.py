"""Questions: learned ones that look for their answers in a caption, and how wrong answers are about what is labelled.

They do not know what is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Questions(nn.Module):
    """Learned questions look over the tokens of a caption.

    Args:
        count: of the questions; dim, heads: of the tokens and of the attention.
    """

    def __init__(self, count: int, dim: int, heads: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(count, dim))
        self.look = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.think = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, dim), nn.GELU())

    def forward(self, words: Tensor, mask: Tensor) -> Tensor:
        """Words (B, T, dim), of which those in mask (B, T) are real, to answers (B, count, dim)."""
        queries = self.queries.to(words.dtype).expand(len(words), -1, -1)
        found, _ = self.look(queries, words, words, key_padding_mask=~mask, need_weights=False)
        answers: Tensor = self.think(queries + found)
        return answers


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Mean over the asked rows (target >= 0); zero if none is. logits: (N, values); target: int64 (N,)."""
    asked = (target >= 0).sum().clamp(min=1)
    return F.cross_entropy(logits, target.clamp(min=-1), ignore_index=-1, reduction="sum") / asked


def labelled(heads: Sequence[nn.Module], tokens: Tensor, labels: Tensor, told: Tensor) -> Tensor:
    """How wrong a network is about what each patch of a picture shows: the mean cross-entropy of its labels.

    Args:
        heads: one for each label, from a token to the logits of its values.
        tokens: (B, N, width); labels: (B, N, fields) int64, 0 for background, -1 where not asked.
        told: (B,) bool, False where the caption was dropped and the answer cannot be known.
    """
    labels = torch.where(told[:, None, None], labels, -1)
    losses = [
        cross_entropy(head(tokens).flatten(0, 1).float(), labels[..., i].flatten()) for i, head in enumerate(heads)
    ]
    return torch.stack(losses).mean()
