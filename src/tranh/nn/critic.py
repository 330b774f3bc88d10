"""What both adversaries are made of: tokens of a picture that read words, and a critic of pictures and captions.

They know no loss, and nothing of where a picture comes from. Blocks are those of the one image transformer.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tranh.nn.conv import ChannelNorm, Residual
from tranh.nn.packed import Packing
from tranh.nn.sequence import mask_bias
from tranh.nn.transformer import Block, rope_2d


class Looking(nn.Module):
    """Tokens of a picture that look at each other and at the words of its caption; the words stay as they are.

    Args:
        dim, depth, heads: of the blocks; ``dim / heads`` is a multiple of 4.
        grid: the picture has ``grid x grid`` tokens.
        words_dim: width of the words as they arrive.
    """

    cos: Tensor
    sin: Tensor

    def __init__(self, dim: int, depth: int, heads: int, grid: int, words_dim: int) -> None:
        super().__init__()
        self.txt_in = nn.Linear(words_dim, dim)
        self.blocks = nn.ModuleList(Block(dim, heads, 2.75) for _ in range(depth))
        side = torch.arange(grid, dtype=torch.float64)
        rows, columns = torch.meshgrid(side, side, indexing="ij")
        cos, sin = rope_2d(rows.flatten(), columns.flatten(), dim // heads)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def forward(self, h: Tensor, words: Tensor, mask: Tensor, vec: Tensor) -> Tensor:
        """Tokens h (B, N, dim) after reading.

        Args:
            words, mask: (B, T, words_dim), bool (B, T); vec: what modulates, (B, dim).
        """
        packing = Packing(mask)
        context = self.txt_in(packing.pack(words))  # (n, dim)
        bias = mask_bias(F.pad(mask, (0, h.shape[1]), value=True)).to(context.dtype)  # (B, 1, 1, T + N)
        rope = (self.cos.to(context.dtype), self.sin.to(context.dtype))
        for block in self.blocks:
            h = block(h, context, vec, rope, bias, packing)
        return h


class Verdict(nn.Module):
    """Tokens to a logit. Every token has a say; the spread of their sum does not depend on their number."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm, self.say = nn.LayerNorm(dim), nn.Linear(dim, 1)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, N, dim) -> (B,), float32."""
        said = self.say(self.norm(tokens)).float()  # (B, N, 1)
        return said.sum((1, 2)) / said.shape[1] ** 0.5


class Critic(nn.Module):
    """Is it a true picture of this caption? Convolutions see the picture, a few blocks read the words.

    What is seen of a picture serves for every caption it is asked about.

    Args:
        image_size: side of the pictures, a multiple of ``patch``.
        patch: side of the squares that convolutions begin with; they see a grid of ``image_size / patch``.
        width, convolutions: channels and residual blocks at that grid; tokens are squares of two by two of it.
        dim, depth, heads: of the blocks that read.
        words_dim: width of the words.
    """

    def __init__(
        self,
        *,
        image_size: int,
        patch: int,
        width: int,
        convolutions: int,
        dim: int,
        depth: int,
        heads: int,
        words_dim: int,
    ) -> None:
        super().__init__()
        self.patch = patch
        self.first = nn.Conv2d(3 * patch**2, width, 1)
        self.body = nn.Sequential(*(Residual(width) for _ in range(convolutions)))
        self.norm = ChannelNorm(4 * width)
        self.tokens = nn.Conv2d(4 * width, dim, 1)
        self.sentence = nn.Linear(words_dim, dim)
        self.looking = Looking(dim, depth, heads, image_size // patch // 2, words_dim)
        self.fits = Verdict(dim)

    def see(self, x: Tensor) -> Tensor:
        """Pictures (B, 3, S, S) to tokens (B, N, dim)."""
        h = F.pixel_unshuffle(x, self.patch).contiguous(memory_format=torch.channels_last)
        h = self.body(self.first(h))
        return self.tokens(self.norm(F.pixel_unshuffle(h, 2))).flatten(2).transpose(1, 2)

    def judge(self, seen: Tensor, words: Tensor, mask: Tensor) -> Tensor:
        """Logits (B,) that tokens (B, N, dim) are of a true picture of the caption (B, T, words_dim)."""
        vec = self.sentence(mean_word(words, mask))
        verdict: Tensor = self.fits(self.looking(seen, words, mask, vec))
        return verdict


def mean_word(words: Tensor, mask: Tensor) -> Tensor:
    """The mean of the real words: (B, T, D), bool (B, T) -> (B, D)."""
    real = mask[..., None].to(words.dtype)
    return (words * real).sum(1) / real.sum(1).clamp(min=1)
