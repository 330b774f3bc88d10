"""Captions that are dropped: what classifier-free guidance is trained with (Ho and Salimans 2022).

It knows nothing of networks or of how many are dropped.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from tranh.text.tokenizer import EMPTY


def drop_captions(tokens: Tensor, mask: Tensor, dropped: Tensor) -> tuple[Tensor, Tensor]:
    """Replace the captions of some rows by the empty one: <bos> <null> <eos>, the rest padding.

    Args:
        tokens, mask: (B, T), T >= 3; dropped: (B,) bool.
    """
    T = tokens.shape[1]
    empty = torch.zeros(T, dtype=tokens.dtype, device=tokens.device)
    empty[: len(EMPTY)] = torch.tensor(EMPTY, dtype=tokens.dtype, device=tokens.device)
    real = torch.arange(T, device=tokens.device) < len(EMPTY)
    return torch.where(dropped[:, None], empty, tokens), torch.where(dropped[:, None], real, mask)


def beside_empty(tokens: Tensor, mask: Tensor, away: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
    """Tokens and mask of 2 B rows for guidance: B times what to move away from, then the B captions.

    Args:
        tokens, mask: captions, (B, T), T >= 3.
        away: tokens and mask (1, T') of a caption to move away from; the empty one by default.
    """
    everyone = torch.ones(1, dtype=torch.bool, device=tokens.device)
    other, real = away if away is not None else drop_captions(tokens[:1], mask[:1], everyone)
    T, B = max(tokens.shape[1], other.shape[1]), len(tokens)

    def both(a: Tensor, b: Tensor) -> Tensor:
        return torch.cat([F.pad(x, (0, T - x.shape[1])) for x in (a.expand(B, -1), b)])

    return both(other, tokens), both(real, mask)
