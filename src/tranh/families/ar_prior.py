"""The autoregressive prior of unCLIP (Ramesh et al. 2022): a CLIP image embedding as codes, predicted one by one.

It knows nothing of pictures, of how CLIP was trained or of the decoder that draws the embedding.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tranh.nn.caption import CaptionPrefix
from tranh.nn.codes import Buckets, PcaCodes
from tranh.nn.groups import split_matrices
from tranh.nn.sequence import SequenceTransformer
from tranh.nn.transformer import timestep_embedding
from tranh.types import Batch, Family, ParamGroup, Phase

PREPARE_ROWS = 16_384
"""Pairs of embeddings looked at before training, for the principal components and the buckets."""


class ArPrior(Family):
    """Causal Transformer over [caption, CLIP text embedding, dot product, code 1, code 2, ...].

    The image embedding is reduced to its first principal components, each cut into buckets. The dot product of text and
    image embedding, cut likewise, is a condition: sampling asks for one of the upper half.

    Args:
        vocab: token numbers are below it.
        clip_dim: width of the CLIP embeddings.
        components: principal components kept, fewer than ``clip_dim``; codes: buckets of each.
        dim, depth, heads, max_len: of the Transformer and of the longest caption.
        drop: share of captions dropped in training, for classifier-free guidance.
    """

    parents: tuple[str, ...] = ("clip",)
    shared: tuple[str, ...] = ("sample",)

    def __init__(
        self,
        *,
        vocab: int,
        clip_dim: int = 128,
        components: int = 48,
        codes: int = 32,
        dim: int = 256,
        depth: int = 4,
        heads: int = 4,
        max_len: int = 96,
        drop: float = 0.1,
    ) -> None:
        super().__init__()
        if not 0 < components < clip_dim:
            raise ValueError(f"components {components} must be at least 1 and below clip_dim {clip_dim}")
        self.config = dict(
            vocab=vocab,
            clip_dim=clip_dim,
            components=components,
            codes=codes,
            dim=dim,
            depth=depth,
            heads=heads,
            max_len=max_len,
            drop=drop,
        )
        self.drop, self.components, self.codes = drop, components, codes
        self.pca = PcaCodes(clip_dim, components, codes)
        self.dots = Buckets(1, codes)
        self.caption = CaptionPrefix(vocab, dim, max_len, clip_dim)
        self.dot_in = nn.Embedding(codes + 1, dim)  # the last row stands for "no caption"
        self.code_in = nn.Embedding(codes, dim)
        self.positions = nn.Parameter(0.02 * torch.randn(components, dim))
        self.transformer = SequenceTransformer(dim, depth, heads, causal=True)
        self.head = nn.Linear(dim, codes)
        for embedding in (self.dot_in, self.code_in):  # codes are in order of value: near ones begin alike
            rows = len(embedding.weight)
            embedding.weight.data.copy_(0.03 * timestep_embedding(torch.linspace(0, 1, rows), dim))
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def param_groups(self, phase: str) -> list[ParamGroup]:
        return split_matrices(self)

    def prepare(self, batches: Iterable[Batch]) -> None:
        images: list[Tensor] = []
        texts: list[Tensor] = []
        for batch in batches:
            images.append(batch.parts["clip.image"].float())
            texts.append(batch.parts["clip.text"].float())
            if sum(map(len, images)) >= PREPARE_ROWS:
                break
        if not images:
            raise ValueError("no batch was given to learn principal components from: prepare needs at least one")
        image, text = torch.cat(images), torch.cat(texts)
        self.pca.fit(image)
        self.dots.fit((image * text).sum(-1, keepdim=True))

    def begin(self, tokens: Tensor, mask: Tensor, text: Tensor, keep: Tensor, dot: Tensor) -> tuple[Tensor, Tensor]:
        """What stands before the codes: caption, text embedding, and the dot product's bucket (B,).

        Returns:
            (B, T + 2, D) and which of them are real, bool (B, T + 2).
        """
        prefix, seen = self.caption(tokens, mask, text, keep)
        dot = self.dot_in(torch.where(keep, dot, self.codes)) + self.positions[0]  # (B, D)
        return torch.cat([prefix, dot[:, None].to(prefix.dtype)], dim=1), F.pad(seen, (0, 1), value=True)

    def embed_codes(self, codes: Tensor, first: int = 0) -> Tensor:
        """Codes (B, N) of components ``first``, ``first + 1``, ... as tokens (B, N, D)."""
        return self.code_in(codes) + self.positions[first + 1 : first + 1 + codes.shape[1]]

    def logits(self, tokens: Tensor, mask: Tensor, text: Tensor, keep: Tensor, dot: Tensor, codes: Tensor) -> Tensor:
        """Scores of every code given those before it: codes (B, K) -> (B, K, codes)."""
        start, seen = self.begin(tokens, mask, text, keep, dot)
        x = torch.cat([start, self.embed_codes(codes[:, :-1]).to(start.dtype)], dim=1)  # (B, T + 1 + K, D)
        h = self.transformer(x, F.pad(seen, (0, self.components - 1), value=True))
        return self.head(h[:, -self.components :])

    def forward(self, batch: Batch, phase: Phase) -> dict[str, Tensor]:
        image, text = batch.parts["clip.image"].float(), batch.parts["clip.text"].float()
        g, codes = phase.generator, self.pca.encode(image)
        keep = torch.rand(len(codes), generator=g, device=g.device).to(codes.device) >= self.drop
        dot = self.dots.encode((image * text).sum(-1, keepdim=True))[:, 0]
        logits = self.logits(batch.tokens, batch.mask, text, keep, dot, codes).float()
        guess = self.pca.decode(logits.detach().argmax(-1))
        return {
            "loss": F.cross_entropy(logits.flatten(0, 1), codes.flatten()),
            "cosine": (guess * image).sum(-1).mean(),
        }

    @torch.no_grad()
    def sample(
        self,
        tokens: Tensor,
        mask: Tensor,
        text_embedding: Tensor,
        noise: Tensor,
        steps: int | None = None,
        guidance: float = 2.0,
        temperature: float = 1.0,
        top_p: float = 1.0,
        cached: bool = True,
    ) -> Tensor:
        """Image embeddings for captions; every row depends on its own inputs alone.

        Args:
            tokens, mask: (B, T); text_embedding: (B, clip_dim), unit length.
            noise: standard normal, (B, clip_dim); its quantiles choose the codes, so the same noise gives the same row.
            steps: here so that both priors are called alike; one code is drawn per component whatever it is.
            guidance: scale of classifier-free guidance on the scores; 1 is none.
            temperature: divides the scores; 0 takes the likeliest code.
            top_p: codes are drawn from the likeliest that hold this share of the probability.
            cached: keep keys and values between codes; the result is the same without, slower.

        Returns:
            (B, clip_dim), unit length.
        """
        u = 0.5 * torch.erfc(noise.double() * -(0.5**0.5))  # (B, clip_dim), uniform in (0, 1)
        half = self.codes // 2
        dot = half + (u[:, self.components] * (self.codes - half)).long().clamp(max=self.codes - half - 1)
        keep = torch.ones(len(tokens), dtype=torch.bool, device=tokens.device)
        rows: tuple[Tensor, ...] = (tokens, mask, text_embedding, keep, dot)
        if guidance != 1:
            rows = tuple(torch.cat([row, row]) for row in rows)  # without the caption first
            rows[3][: len(tokens)] = False
        x, seen = self.begin(*rows)
        length = x.shape[1] + self.components - 1
        cache = self.transformer.new_cache(len(x), length, x.dtype, x.device) if cached else None
        h = self.transformer(x, seen) if cache is None else self.transformer.extend(x, cache, seen)
        codes: list[Tensor] = []
        for k in range(self.components):
            logits = self.head(h[:, -1]).float()  # (B or 2 B, codes)
            if guidance != 1:
                null, cond = logits.chunk(2)
                logits = null + guidance * (cond - null)
            codes.append(draw(logits, u[:, k], temperature, top_p))
            if k + 1 == self.components:
                break
            new = self.embed_codes(codes[k][:, None], first=k).repeat(len(x) // len(tokens), 1, 1)
            if cache is None:
                x, seen = torch.cat([x, new], dim=1), F.pad(seen, (0, 1), value=True)
                h = self.transformer(x, seen)
            else:
                h = self.transformer.extend(new, cache)
        return self.pca.decode(torch.stack(codes, dim=1))


def draw(logits: Tensor, u: Tensor, temperature: float = 1.0, top_p: float = 1.0) -> Tensor:
    """One code per row, by inverting the cumulative distribution: logits (B, codes), u in (0, 1) (B,) -> (B,) int64.

    Codes of a component are in order of value, so a larger u is a larger value, all else equal.
    """
    if temperature == 0:
        return logits.argmax(-1)
    p = torch.softmax(logits.double() / temperature, dim=-1)
    if top_p < 1:
        ranked, order = p.sort(dim=-1, descending=True, stable=True)
        ahead = ranked.cumsum(-1) - ranked  # probability of all likelier codes
        p = p.masked_fill(torch.zeros_like(p, dtype=torch.bool).scatter(1, order, ahead >= top_p), 0)
    cdf = p.cumsum(-1)
    return torch.searchsorted(cdf, u[:, None] * cdf[:, -1:], right=True)[:, 0].clamp(max=logits.shape[-1] - 1)
