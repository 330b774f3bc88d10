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


ROOM = 64
"""Tokens by which what is seen of a cache grows."""


def mask_bias(mask: Tensor) -> Tensor:
    """Which keys are real, bool (B, K), as a bias on scores, (B, 1, 1, K), float32."""
    return torch.zeros(mask.shape, device=mask.device).masked_fill_(~mask, HIDDEN)[:, None, None, :]


def real(x: Tensor) -> Tensor:
    """The bias of tokens (B, N, D) that are all real, (B, 1, 1, N), float32."""
    return torch.zeros(len(x), 1, 1, x.shape[1], device=x.device)


def causal_bias(length: int, device: torch.device | str = "cpu") -> Tensor:
    """Each query sees itself and what came before it, (length, length), float32."""
    return torch.full((length, length), HIDDEN, device=device).triu_(1)


def causal_after(before: Tensor, own: Tensor) -> Tensor:
    """Biases of all keys for new tokens: before (B, 1, 1, L), own (B, 1, 1, N) -> (B, 1, N, L + N)."""
    N = own.shape[-1]
    return torch.cat([before.expand(-1, -1, N, -1), torch.minimum(own, causal_bias(N, own.device))], dim=-1)


class Cache:
    """Keys and values of the tokens seen so far, so that each new token costs one column.

    Rows come first, and what is not filled yet is hidden by ``bias``: rows of many caches go into one call, however
    far each of them is.

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
        self.kv = torch.zeros(batch, depth, 2, heads, length, head_dim, dtype=dtype, device=device)
        self.bias = torch.full((batch, 1, 1, length), HIDDEN, device=device)
        self.filled = 0

    @property
    def seen(self) -> tuple[Tensor, Tensor]:
        """Keys and values, and biases, of the tokens so far and of room for some to come: few shapes, so that rows of
        many caches share calls."""
        stop = -(-self.filled // ROOM) * ROOM
        return self.kv[..., :stop, :], self.bias[..., :stop]

    def append(self, kv: Tensor, bias: Tensor) -> None:
        """Store keys and values (B, depth, 2, H, N, D) of N tokens, and whether they are real, (B, 1, 1, N)."""
        start, stop = self.filled, self.filled + kv.shape[4]
        if stop > self.kv.shape[4]:
            raise ValueError(f"the cache holds {self.kv.shape[4]} tokens and was given {stop}: make it longer")
        self.kv[..., start:stop, :] = kv
        self.bias[..., start:stop] = bias
        self.filled = stop


class Past:
    """What new tokens see of those before them in one call, and what they leave behind.

    Args:
        kv: of :class:`Cache`, which stays as it is.
    """

    def __init__(self, kv: Tensor) -> None:
        self.kv = kv
        self.new: list[Tensor] = []

    def append(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, H, N, D) of new tokens in a layer behind those before them, (B, H, length + N, D)."""
        self.new.append(torch.stack([k, v], dim=1))
        return torch.cat([self.kv[:, layer, 0], k], dim=2), torch.cat([self.kv[:, layer, 1], v], dim=2)

    @property
    def left(self) -> Tensor:
        """Keys and values of the new tokens, (B, depth, 2, H, N, D)."""
        return torch.stack(self.new, dim=1)


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
        past: Past | None = None,
        layer: int = 0,
        packing: Packing | None = None,
    ) -> Tensor:
        qkv = self.qkv(x) if packing is None else packing.unpack(self.qkv(x))
        B, N, _ = qkv.shape
        q, k, v = qkv.view(B, N, 3, self.heads, self.head_dim).permute(2, 0, 3, 1, 4)  # (B, H, N, D)
        q, k = self.norm_q(q) * self.head_dim**-0.5, self.norm_k(k)
        if past is not None:
            k, v = past.append(layer, k, v)  # (B, H, K, D)
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
        past: Past | None = None,
        layer: int = 0,
        packing: Packing | None = None,
    ) -> Tensor:
        x = x + self.attention(self.norm_a(x), bias, past, layer, packing)
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
        own = real(x) if mask is None else mask_bias(mask)
        h, kv = self.follow(x, *cache.seen, own)
        cache.append(kv, own)
        return h

    def follow(self, x: Tensor, kv: Tensor, before: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
        """What :meth:`extend` computes; nothing is changed.

        Args:
            x: (B, N, dim); kv: (B, depth, 2, H, L, D), of any tokens before.
            before, own: which of those and of the new ones are real, as biases (B, 1, 1, L) and (B, 1, 1, N).

        Returns:
            (B, N, dim), and keys and values (B, depth, 2, H, N, D) of the new tokens.
        """
        bias, past = causal_after(before, own), Past(kv)
        for layer, block in enumerate(self.blocks):
            x = block(x, bias, past, layer)
        return self.norm(x), past.left


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
