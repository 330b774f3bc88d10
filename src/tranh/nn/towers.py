"""The other two towers of CLIP (Radford et al. 2021): a residual network for pictures, a bag of words for captions.

They know nothing of losses or of training. Two things differ from the paper, both because a batch here is small: norms
are over the channels of each place and not over the batch, so that a picture's embedding does not depend on its
company; and the networks have millions of parameters, not tens of millions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tranh.nn.conv import ChannelNorm, Residual
from tranh.types import TranhError

T = TypeVar("T")


class AttentionPool(nn.Module):
    """One query, made of the mean of all places, looks at every place and at that mean (section 2.4 of the paper).

    Args:
        dim, heads: of the attention; places: how many there are, each with a learned position.
    """

    def __init__(self, dim: int, heads: int, places: int) -> None:
        super().__init__()
        self.heads = heads
        self.positions = nn.Parameter(dim**-0.5 * torch.randn(places + 1, dim))
        self.query, self.key, self.value = nn.Linear(dim, dim), nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C)."""
        rows = x.flatten(2).transpose(1, 2)  # (B, N, C)
        rows = torch.cat([rows.mean(1, keepdim=True), rows], dim=1) + self.positions  # (B, 1 + N, C)

        def split(y: Tensor) -> Tensor:
            return y.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, H, n, D)

        q, k, v = split(self.query(rows[:, :1])), split(self.key(rows)), split(self.value(rows))
        weights = torch.softmax((q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2), dim=-1).to(v.dtype)  # (B, H, 1, 1 + N)
        return self.out((weights @ v).transpose(1, 2).flatten(1))


class MeanPool(nn.Module):
    """The mean over all places: where something is, is forgotten."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


class MaxPool(nn.Module):
    """The strongest answer of each channel: where it was, is forgotten."""

    def forward(self, x: Tensor) -> Tensor:
        return x.amax((2, 3))


POOLS: Mapping[str, Callable[[int, int, int], nn.Module]] = {
    "attention": AttentionPool,
    "mean": lambda dim, heads, places: MeanPool(),
    "max": lambda dim, heads, places: MaxPool(),
}


class ResNetTower(nn.Module):
    """Residual convolutions on a quarter of the side, then on an eighth, made smaller by averaging; then one pool.

    Args:
        image_size: a multiple of 8.
        dim: channels at the end; half as many on the larger grid, a quarter in the stem. A multiple of 4 and of heads.
        depth: residual blocks, half of them (rounded down) on the larger grid.
        heads: of the attention pool; pool: one of ``POOLS``.
    """

    def __init__(self, image_size: int, dim: int, depth: int, heads: int, pool: str = "attention") -> None:
        super().__init__()
        if image_size % 8 or dim % 4 or dim % heads:
            raise TranhError(
                f"a resnet of image_size {image_size}, width {dim}, {heads} heads: the first must be a multiple of 8, "
                "the width one of 4 and of the heads"
            )
        self.stem = nn.Sequential(
            nn.Conv2d(3, dim // 4, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(dim // 4, dim // 2, 3, padding=1)
        )
        few = depth // 2
        large, small = (Residual(dim // 2) for _ in range(few)), (Residual(dim) for _ in range(depth - few))
        self.layers = nn.ModuleList([nn.Sequential(*large), nn.Sequential(*small)])
        self.widen = nn.Conv2d(dim // 2, dim, 1)
        self.norm = ChannelNorm(dim)
        self.pool = named(POOLS, "pool", pool)(dim, heads, (image_size // 8) ** 2)
        self.post_norm = nn.LayerNorm(dim)

    def forward(self, images: Tensor) -> Tensor:
        """images: (B, 3, S, S) in [-1, 1]. -> (B, dim)."""
        large, small = self.layers
        x = self.stem(images.contiguous(memory_format=torch.channels_last))  # (B, dim / 2, S / 2, S / 2)
        x = large(F.avg_pool2d(x, 2))  # (B, dim / 2, S / 4, S / 4)
        x = small(self.widen(F.avg_pool2d(x, 2)))  # (B, dim, S / 8, S / 8)
        return self.post_norm(self.pool(self.norm(x)))


class BagTower(nn.Module):
    """CBOW: the mean of the words' embeddings, then a perceptron. In which order they stand is not seen.

    Args:
        vocab: token numbers are below it; dim: of embeddings and result; depth: layers of the perceptron.
    """

    def __init__(self, vocab: int, dim: int, depth: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocab, dim)
        self.norm = nn.LayerNorm(dim)
        self.layers = nn.ModuleList(_Deepen(dim) for _ in range(depth))
        self.post_norm = nn.LayerNorm(dim)
        nn.init.normal_(self.tokens.weight, std=0.3)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """tokens: (B, T) int64; mask: bool (B, T), True where a token is real. -> (B, dim)."""
        real = mask[..., None]
        x = (self.tokens(tokens).float() * real).sum(1) / real.sum(1).clamp(min=1)  # (B, dim)
        x = self.norm(x)
        for layer in self.layers:
            x = layer(x)
        return self.post_norm(x)


class _Deepen(nn.Module):
    """A perceptron added to what came in."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(dim), nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(F.gelu(self.up(self.norm(x)), approximate="tanh"))


def named(known: Mapping[str, T], what: str, name: str) -> T:
    """One of several by its name.

    Raises:
        TranhError: there is none of that name.
    """
    if name not in known:
        raise TranhError(f"{what}={name!r} is not known: choose {' or '.join(known)}")
    return known[name]
