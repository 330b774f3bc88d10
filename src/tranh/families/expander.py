"""The expander: a short caption becomes a dense one, token by token (the lesson of DALL-E 3: Betker et al. 2023).

A model that learned from dense captions draws best what is described densely; people write few words. It is a causal
transformer over a caption and its fuller form, learned from pairs of one picture. It sees no picture, and no rule tells
it what a caption says: what it adds is what pictures with such captions showed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tranh.nn.groups import split_matrices
from tranh.nn.sequence import SequenceTransformer, embed_tokens
from tranh.text.tokenizer import BOS, EOS, NULL, PAD
from tranh.types import Batch, Family, ParamGroup, Phase

ENDED = -1e9
"""Score of the tokens that may not come."""


class Expander(Family):
    """p(dense | short) = prod_n p(d_n | short, d_1 ... d_{n-1}).

    Args:
        vocab, max_len: of the tokenizer.
        dim, depth, heads: of the transformer.
    """

    overfit_below: ClassVar[float] = 0.2
    shared: tuple[str, ...] = ("transformer.follow",)

    def __init__(self, *, vocab: int, max_len: int = 128, dim: int = 192, depth: int = 4, heads: int = 6) -> None:
        super().__init__()
        self.config = {"vocab": vocab, "max_len": max_len, "dim": dim, "depth": depth, "heads": heads}
        self.max_len = max_len
        self.tokens = nn.Embedding(vocab, dim)
        self.places = nn.Parameter(0.02 * torch.randn(2, max_len, dim))  # of the short caption, of the dense one
        self.transformer = SequenceTransformer(dim, depth, heads, causal=True)
        nn.init.normal_(self.tokens.weight, std=0.02)

    def scores(self, hidden: Tensor) -> Tensor:
        """(..., dim) -> (..., vocab), by the embeddings themselves (Press and Wolf 2017)."""
        return F.linear(hidden, self.tokens.weight).float()

    def forward(self, batch: Batch, phase: Phase) -> dict[str, Tensor]:
        """Cross-entropy of ``labels["dense"]`` (B, T'), given ``tokens``; in nats per token."""
        dense, real = batch.labels["dense"], batch.labels["dense_mask"]
        short = embed_tokens(self.tokens, self.places[0], batch.tokens)  # (B, T, D)
        said = embed_tokens(self.tokens, self.places[1], dense[:, :-1])  # (B, T' - 1, D)
        seen = torch.cat([batch.mask, real[:, :-1]], dim=1)
        hidden = self.transformer(torch.cat([short, said], dim=1), seen)[:, batch.tokens.shape[1] :]
        scores, target = self.scores(hidden), torch.where(real[:, 1:], dense[:, 1:], -100)
        loss = F.cross_entropy(scores.flatten(0, 1), target.flatten())
        right = (scores.argmax(-1) == target)[real[:, 1:]].float().mean()
        return {"loss": loss, "right": right.detach()}

    def param_groups(self, phase: str) -> list[ParamGroup]:
        return split_matrices(self)

    @torch.no_grad()
    def expand(
        self, tokens: Tensor, mask: Tensor, seeds: Sequence[int], temperature: float = 0.7, top_p: float = 0.95
    ) -> list[list[int]]:
        """Dense captions for short ones.

        Args:
            tokens, mask: short captions, (B, T).
            seeds: one per row, which row k alone depends on.
            temperature: divides the scores; 0 takes the likeliest token.
            top_p: tokens are drawn from the likeliest that hold this share of the probability (Holtzman et al. 2020).

        Returns:
            B lists of token numbers, without those that begin and end a caption.
        """
        B, device = len(tokens), tokens.device
        draws = [torch.Generator().manual_seed(seed) for seed in seeds]
        x = embed_tokens(self.tokens, self.places[0], tokens)
        cache = self.transformer.new_cache(B, x.shape[1] + self.max_len, x.dtype, device)
        self.transformer.extend(x, cache, mask)
        last = torch.full((B, 1), BOS, device=device)
        out: list[list[int]] = [[] for _ in range(B)]
        open_rows = set(range(B))
        for place in range(self.max_len - 1):
            x = self.tokens(last) + self.places[1, place]
            scores = self.scores(self.transformer.extend(x, cache)[:, 0])  # (B, vocab)
            scores[:, [PAD, BOS, NULL]] = ENDED  # what no caption holds
            u = torch.stack([torch.rand((), generator=g, dtype=torch.float64) for g in draws]).to(device)
            last = pick(scores, u, temperature, top_p)[:, None]
            for row in sorted(open_rows):
                token = int(last[row])
                if token == EOS:
                    open_rows.remove(row)
                else:
                    out[row].append(token)
            if not open_rows:
                break
        return out


def pick(scores: Tensor, u: Tensor, temperature: float, top_p: float) -> Tensor:
    """One token per row, by inverting the distribution of the likeliest: scores (B, V), u in [0, 1) (B,) -> (B,)."""
    if temperature == 0:
        return scores.argmax(-1)
    ranked, order = torch.softmax(scores.double() / temperature, dim=-1).sort(dim=-1, descending=True, stable=True)
    ranked = ranked.masked_fill(ranked.cumsum(-1) - ranked >= top_p, 0)
    cdf = ranked.cumsum(-1)
    place = torch.searchsorted(cdf, u[:, None] * cdf[:, -1:], right=True).clamp(max=scores.shape[-1] - 1)
    return order.gather(1, place)[:, 0]
