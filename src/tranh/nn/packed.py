"""Real tokens side by side: captions of many lengths without the padding between them.

Linear layers and norms look at one token at a time, so they need no padding; only attention does. In a batch of
captions half of the tokens are padding, and this halves what they cost.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

_padded: ContextVar[bool] = ContextVar("padded", default=False)


@contextmanager
def padded() -> Iterator[None]:
    """Inside, padding is computed like the rest and left out at the end: what is computed for a row then has a shape
    that does not depend on the other rows, and so has its last bit."""
    token = _padded.set(True)
    try:
        yield
    finally:
        _padded.reset(token)


class Packing:
    """The real tokens of a batch.

    Args:
        mask: bool (B, T), True where a token is real.
    """

    def __init__(self, mask: Tensor) -> None:
        self.shape = mask.shape
        self.mask = mask if _padded.get() else None
        if self.mask is None:
            self.index = mask.flatten().nonzero().squeeze(1)  # (n,)

    def pack(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (n, D), the real tokens in order."""
        if self.mask is not None:
            return x.flatten(0, 1)
        return x.flatten(0, 1).index_select(0, self.index)

    def unpack(self, x: Tensor) -> Tensor:
        """(n, D) -> (B, T, D), zero where there is no token."""
        B, T = self.shape
        if self.mask is not None:
            return torch.where(self.mask[..., None], x.view(B, T, -1), torch.zeros((), dtype=x.dtype, device=x.device))
        # index_copy, not indexing: its gradient is a plain selection, several times faster than an accumulating one.
        return (
            torch.zeros(B * T, x.shape[-1], dtype=x.dtype, device=x.device).index_copy(0, self.index, x).view(B, T, -1)
        )
