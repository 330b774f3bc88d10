"""Sequences that follow a caption, as two readings of one thing: one causal stack over both, or encoder and decoder.

They know nothing of what follows the caption: it arrives embedded. Both give the same for tokens that come all at once
and for tokens that come one by one, with keys and values kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tranh.nn.norm import RMSNorm
from tranh.nn.sequence import (
    Cache,
    Past,
    SequenceBlock,
    SequenceTransformer,
    TextEncoder,
    causal_after,
    causal_bias,
    embed_tokens,
    mask_bias,
    real,
)


@dataclass
class State:
    """What is kept between tokens: keys and values of those before, and of the caption where it stands apart."""

    cache: Cache
    context: tuple[tuple[Tensor, Tensor], ...] = ()
    bias: Tensor | None = None


class OneStack(nn.Module):
    """One causal transformer over caption tokens, then the others (DALL-E, Ramesh et al. 2021).

    Args:
        vocab, max_len: of the captions.
        dim, depth, heads: of the transformer.
    """

    def __init__(self, vocab: int, max_len: int, dim: int, depth: int, heads: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocab, dim)
        self.positions = nn.Parameter(0.02 * torch.randn(max_len, dim))
        self.transformer = SequenceTransformer(dim, depth, heads, causal=True)
        nn.init.normal_(self.tokens.weight, std=0.02)

    def forward(self, tokens: Tensor, mask: Tensor, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """What comes out at the others' places (B, N, dim), and at the caption's (B, T, dim).

        Args:
            tokens, mask: captions, (B, T).
            x: what follows, embedded, (B, N, dim).
        """
        T = tokens.shape[1]
        read = embed_tokens(self.tokens, self.positions, tokens)
        h = self.transformer(torch.cat([read, x.to(read.dtype)], dim=1), F.pad(mask, (0, x.shape[1]), value=True))
        return h[:, T:], h[:, :T]

    def begin(self, tokens: Tensor, mask: Tensor, room: int) -> State:
        """Read captions (B, T); ``room`` tokens will follow."""
        x = embed_tokens(self.tokens, self.positions, tokens)
        cache = self.transformer.new_cache(len(x), x.shape[1] + room, _dtype(x), x.device)
        self.transformer.extend(x, cache, mask)
        return State(cache)

    def extend(self, x: Tensor, state: State) -> Tensor:
        """The same as :meth:`forward` for tokens (B, N, dim) that follow those before: (B, N, dim)."""
        h, kv = self.follow(x, *state.cache.seen)
        state.cache.append(kv, real(x))
        return h

    def follow(self, x: Tensor, kv: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        """What :meth:`extend` computes; see :meth:`SequenceTransformer.follow`."""
        return self.transformer.follow(x, kv, before, real(x))


class Cross(nn.Module):
    """Queries of a sequence over the keys and values of a context, heads normalised; added to what came in."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads, self.head_dim = heads, dim // heads
        self.norm = RMSNorm(dim)
        self.q = nn.Linear(dim, dim, bias=False)
        self.kv = nn.Linear(dim, 2 * dim, bias=False)
        self.norm_q, self.norm_k = RMSNorm(self.head_dim), RMSNorm(self.head_dim)
        self.out = nn.Linear(dim, dim, bias=False)
        nn.init.zeros_(self.out.weight)

    def remember(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of a context (B, T, dim), each (B, H, T, D)."""
        k, v = self.kv(context).view(*context.shape[:2], 2, self.heads, self.head_dim).permute(2, 0, 3, 1, 4)
        return self.norm_k(k), v

    def forward(self, x: Tensor, context: tuple[Tensor, Tensor], bias: Tensor) -> Tensor:
        (B, N, _), (k, v) = x.shape, context
        q = self.norm_q(self.q(self.norm(x)).view(B, N, self.heads, -1).transpose(1, 2)) * self.head_dim**-0.5
        scores = q @ k.transpose(-1, -2)  # (B, H, N, T)
        out = torch.softmax(scores + bias.to(scores.dtype), dim=-1).to(v.dtype) @ v
        return x + self.out(out.transpose(1, 2).reshape(B, N, -1))


class CrossBlock(nn.Module):
    """Cross-attention to the caption, then a block of the sequence itself."""

    def __init__(self, dim: int, heads: int, mlp_ratio: float = 2.75) -> None:
        super().__init__()
        self.cross, self.own = Cross(dim, heads), SequenceBlock(dim, heads, mlp_ratio)

    def forward(
        self,
        x: Tensor,
        context: tuple[Tensor, Tensor],
        seen: Tensor,
        before: Tensor,
        past: Past | None = None,
        layer: int = 0,
    ) -> Tensor:
        """x: (B, N, dim); context: of :meth:`Cross.remember`; seen, before: biases on its keys and on the own ones."""
        out: Tensor = self.own(self.cross(x, context, seen), before, past, layer)
        return out


class EncoderDecoder(nn.Module):
    """A caption encoder that sees both ways, and a causal decoder that looks at it in every block.

    Args:
        vocab, max_len: of the captions.
        dim, heads: of both; depth: of the decoder; text_depth: of the encoder.
    """

    def __init__(self, vocab: int, max_len: int, dim: int, depth: int, heads: int, text_depth: int) -> None:
        super().__init__()
        self.heads = heads
        self.text = TextEncoder(vocab, dim, text_depth, heads, max_len)
        self.blocks = nn.ModuleList(CrossBlock(dim, heads) for _ in range(depth))
        self.norm = RMSNorm(dim)

    def remember(self, tokens: Tensor, mask: Tensor) -> tuple[tuple[Tensor, Tensor], ...]:
        """Keys and values of captions (B, T) for every block."""
        context = self.text(tokens, mask)
        return tuple(block.cross.remember(context) for block in self.blocks if isinstance(block, CrossBlock))

    def forward(self, tokens: Tensor, mask: Tensor, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """As :meth:`OneStack.forward`; of the caption nothing comes out."""
        seen, before = mask_bias(mask), causal_bias(x.shape[1], x.device)
        for block, context in zip(self.blocks, self.remember(tokens, mask), strict=True):
            x = block(x, context, seen, before)
        return self.norm(x), None

    def begin(self, tokens: Tensor, mask: Tensor, room: int) -> State:
        """As :meth:`OneStack.begin`."""
        context = self.remember(tokens, mask)
        k, _ = context[0]
        cache = Cache(len(context), len(k), self.heads, room, k.shape[-1], k.dtype, k.device)
        return State(cache, context, mask_bias(mask))

    def extend(self, x: Tensor, state: State) -> Tensor:
        """As :meth:`OneStack.extend`."""
        assert state.bias is not None
        h, kv = self.follow(x, *state.cache.seen, state.context, state.bias)
        state.cache.append(kv, real(x))
        return h

    def follow(
        self, x: Tensor, kv: Tensor, before: Tensor, context: tuple[tuple[Tensor, Tensor], ...], seen: Tensor
    ) -> tuple[Tensor, Tensor]:
        """As :meth:`OneStack.follow`, told of the caption what :meth:`remember` gives, and which of it is real."""
        bias, past = causal_after(before, real(x)), Past(kv)
        for layer, (block, told) in enumerate(zip(self.blocks, context, strict=True)):
            x = block(x, told, seen, bias, past, layer)
        return self.norm(x), past.left


def _dtype(x: Tensor) -> torch.dtype:
    """Of keys and values: what matrix products give here."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
