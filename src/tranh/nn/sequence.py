"""Transformers over sequences: pre-norm blocks with RMSNorm, QK-norm and a gated GELU perceptron, and a text encoder.

They know nothing of what a token stands for: positions, embeddings and heads belong to whoever builds the sequence.
Attention is spelled out (scores, softmax, product): in bfloat16 on a CPU a training step is twice as fast that way as
through ``F.scaled_dot_product_attention``.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tranh.nn.norm import RMSNorm
from tranh.nn.packed import Packing

HIDDEN = -1e9
"""Added to the score of a key that may not be seen; finite, so that a query which sees nothing is no NaN."""


def mask_bias(mask: Tensor) -> Tensor:
    """Which keys are real, bool (B, K), as a bias on scores, (B, 1, 1, K), float32."""
    return torch.zeros(mask.shape, device=mask.device).masked_fill_(~mask, HIDDEN)[:, None, None, :]


def causal_bias(length: int, device: torch.device | str = "cpu") -> Tensor:
    """Each query sees itself and what came before it, (length, length), float32."""
    return torch.full((length, length), HIDDEN, device=device).triu_(1)


class Cache:
    """Keys and values of the tokens seen so far, so that each new token costs one column.

    Args:
        depth: blocks of the transformer.
        batch, heads, length, head_dim: of the keys; ``length`` is the most tokens it will hold.
    """

    def __init__(
        self,
        depth: int,
        batch: int,
        heads: int,
        length: int,
        head_dim: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        self.kv = torch.zeros(depth, 2, batch, heads, length, head_dim, dtype=dtype, device=device)
        self.bias = torch.zeros(batch, 1, 1, length, device=device)
        self.filled = 0

    def append(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Store new keys and values (B, H, N, D) of a layer; returns all of them so far, each (B, H, filled + N, D)."""
        start, stop = self.filled, self.filled + k.shape[2]
        if stop > self.kv.shape[4]:
            raise ValueError(f"the cache holds {self.kv.shape[4]} tokens and was given {stop}: make it longer")
        self.kv[layer, 0, :, :, start:stop] = k
        self.kv[layer, 1, :, :, start:stop] = v
        return self.kv[layer, 0, :, :, :stop], self.kv[layer, 1, :, :, :stop]


class SelfAttention(nn.Module):
    """Multi-head attention of a sequence to itself, heads normalised before the product (QK-norm)."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads, self.head_dim = heads, dim // heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.norm_q = RMSNorm(self.head_dim)
        self.norm_k = RMSNorm(self.head_dim)
        self.out = nn.Linear(dim, dim, bias=False)
        nn.init.zeros_(self.out.weight)

    def forward(
        self,
        x: Tensor,
        bias: Tensor | None,
        cache: Cache | None = None,
        layer: int = 0,
        packing: Packing | None = None,
    ) -> Tensor:
        qkv = self.qkv(x) if packing is None else packing.unpack(self.qkv(x))
        B, N, _ = qkv.shape
        q, k, v = qkv.view(B, N, 3, self.heads, self.head_dim).permute(2, 0, 3, 1, 4)  # (B, H, N, D)
        q, k = self.norm_q(q) * self.head_dim**-0.5, self.norm_k(k)
        if cache is not None:
            k, v = cache.append(layer, k, v)  # (B, H, K, D)
        scores = q @ k.transpose(-1, -2)  # (B, H, N, K)
        if bias is not None:
            scores = scores + bias.to(scores.dtype)
        out = torch.softmax(scores, dim=-1).to(v.dtype) @ v
        out = out.transpose(1, 2).reshape(B, N, -1)
        return self.out(out if packing is None else packing.pack(out))


class SequenceBlock(nn.Module):
    """Attention, then a gated GELU perceptron, each added to what came in; starts as the identity."""

    def __init__(self, dim: int, heads: int, mlp_ratio: float) -> None:
        super().__init__()
        hidden = int(dim * mlp_ratio)
        self.norm_a, self.norm_m = RMSNorm(dim), RMSNorm(dim)
        self.attention = SelfAttention(dim, heads)
        self.gate_proj = nn.Linear(dim, hidden, bias=False)
        self.up_proj = nn.Linear(dim, hidden, bias=False)
        self.down_proj = nn.Linear(hidden, dim, bias=False)
        nn.init.zeros_(self.down_proj.weight)

    def forward(
        self,
        x: Tensor,
        bias: Tensor | None,
        cache: Cache | None = None,
        layer: int = 0,
        packing: Packing | None = None,
    ) -> Tensor:
        x = x + self.attention(self.norm_a(x), bias, cache, layer, packing)
        h = self.norm_m(x)
        return x + self.down_proj(F.gelu(self.gate_proj(h), approximate="tanh") * self.up_proj(h))


class SequenceTransformer(nn.Module):
    """A stack of blocks and a last norm over embedded tokens.

    Args:
        dim, depth, heads, mlp_ratio: of the trunk; ``dim`` is a multiple of ``heads``.
        causal: each token sees only itself and those before it.
    """

    def __init__(self, dim: int, depth: int, heads: int, *, causal: bool = False, mlp_ratio: float = 2.75) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"dim {dim} must be a multiple of heads {heads}: choose another pair")
        self.dim, self.depth, self.heads, self.causal = dim, depth, heads, causal
        self.blocks = nn.ModuleList(SequenceBlock(dim, heads, mlp_ratio) for _ in range(depth))
        self.norm = RMSNorm(dim)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """x: embedded tokens, (B, N, dim); mask: which are real, bool (B, N), None means all.

        Returns:
            (B, N, dim), zero at padding.
        """
        bias = None if mask is None else mask_bias(mask)
        if self.causal:
            causal = causal_bias(x.shape[1], x.device)
            bias = causal if bias is None else torch.minimum(causal, bias)
        if mask is None:
            for block in self.blocks:
                x = block(x, bias)
            return self.norm(x)
        packing = Packing(mask)
        x = packing.pack(x)  # (n, dim): padding costs nothing outside attention
        for block in self.blocks:
            x = block(x, bias, packing=packing)
        return packing.unpack(self.norm(x))

    def new_cache(self, batch: int, length: int, dtype: torch.dtype, device: torch.device | str) -> Cache:
        """An empty cache for :meth:`extend`, with room for ``length`` tokens."""
        return Cache(self.depth, batch, self.heads, length, self.dim // self.heads, dtype, device)

    def extend(self, x: Tensor, cache: Cache, mask: Tensor | None = None) -> Tensor:
        """The same as :meth:`forward` for tokens that follow those in the cache, which grows by them.

        Args:
            x: new tokens, (B, N, dim).
            mask: which of the new tokens are real, bool (B, N); None means all.

        Returns:
            (B, N, dim), of the new tokens only.
        """
        if not self.causal:
            raise ValueError("only a causal transformer can be extended: build it with causal=True")
        N, start = x.shape[1], cache.filled
        if mask is not None:
            cache.bias[..., start : start + N] = mask_bias(mask)
        bias = cache.bias[..., : start + N]
        if N > 1:
            bias = torch.minimum(bias, F.pad(causal_bias(N, x.device), (start, 0)))
        for layer, block in enumerate(self.blocks):
            x = block(x, bias, cache, layer)
        cache.filled += N
        return self.norm(x)


class TextEncoder(nn.Module):
    """Token numbers to context tokens: embeddings, learned positions, attention among the real tokens.

    Args:
        vocab: token numbers are below it.
        dim, depth, heads: of the transformer.
        max_len: most tokens of a caption.
        causal: each token sees only those before it, as in a stack that goes on after the caption.
    """

    def __init__(self, vocab: int, dim: int, depth: int, heads: int, max_len: int, *, causal: bool = False) -> None:
        super().__init__()
        self.max_len = max_len
        self.tokens = nn.Embedding(vocab, dim)
        self.positions = nn.Parameter(0.02 * torch.randn(max_len, dim))
        self.transformer = SequenceTransformer(dim, depth, heads, causal=causal)
        nn.init.normal_(self.tokens.weight, std=0.02)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """tokens: int64 (B, T); mask: bool (B, T), True where a token is real. -> (B, T, dim)."""
        x = embed_tokens(self.tokens, self.positions, tokens)
        return self.transformer(x, mask)


def embed_tokens(embedding: nn.Embedding, positions: Tensor, tokens: Tensor) -> Tensor:
    """Embedding plus learned position (max_len, D) of each token (B, T). -> (B, T, D)."""
    T, most = tokens.shape[1], len(positions)
    if T > most:
        raise ValueError(
            f"a caption of {T} tokens is longer than max_len {most}: shorten it or build with a larger one"
        )
    return embedding(tokens) + positions[:T]
