"""The diffusion prior of unCLIP (Ramesh et al. 2022): from a caption and its CLIP embedding to a CLIP image embedding.

It knows nothing of pictures, of how CLIP was trained or of the decoder that draws the embedding.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tranh.diffusion.guide import classifier_free
from tranh.diffusion.loss import corrupt
from tranh.diffusion.sample import dpmpp_2m, run
from tranh.diffusion.schedule import linear
from tranh.nn.caption import CaptionPrefix
from tranh.nn.groups import split_matrices
from tranh.nn.sequence import SequenceTransformer
from tranh.nn.transformer import MLPEmbedder, timestep_embedding
from tranh.types import Batch, Denoiser, Family, ParamGroup, Phase

PREPARE_ROWS = 16_384
"""Embeddings looked at before training, enough for a mean and a standard deviation."""


def best_of(candidates: Tensor, text_embedding: Tensor) -> Tensor:
    """Of K candidates per caption, the one with the larger dot product with the caption's embedding.

    Args:
        candidates: (K, B, D); text_embedding: (B, D).

    Returns:
        (B, D).
    """
    best = (candidates * text_embedding).sum(-1).argmax(0)  # (B,)
    return candidates[best, torch.arange(len(best), device=best.device)]


class Prior(Family):
    """Causal Transformer over [caption, CLIP text embedding, time, noised image embedding, query].

    It predicts the un-noised embedding at the query, by mean squared error. Embeddings are standardised, feature by
    feature, so that noise of unit variance fits them.

    Args:
        vocab: token numbers are below it.
        clip_dim: width of the CLIP embeddings.
        dim, depth, heads, max_len: of the Transformer and of the longest caption.
        drop: share of captions dropped in training, for classifier-free guidance.
    """

    parents: tuple[str, ...] = ("clip",)
    shared: tuple[str, ...] = ("estimate",)
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        *,
        vocab: int,
        clip_dim: int = 128,
        dim: int = 256,
        depth: int = 4,
        heads: int = 4,
        max_len: int = 96,
        drop: float = 0.1,
    ) -> None:
        super().__init__()
        self.config = dict(
            vocab=vocab, clip_dim=clip_dim, dim=dim, depth=depth, heads=heads, max_len=max_len, drop=drop
        )
        self.drop = drop
        self.caption = CaptionPrefix(vocab, dim, max_len, clip_dim)
        self.time_in = MLPEmbedder(256, dim)
        self.image_in = nn.Linear(clip_dim, dim)
        self.query = nn.Parameter(0.02 * torch.randn(dim))
        self.transformer = SequenceTransformer(dim, depth, heads, causal=True)
        self.head = nn.Linear(dim, clip_dim)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.register_buffer("mean", torch.zeros(clip_dim))
        self.register_buffer("std", torch.full((clip_dim,), clip_dim**-0.5))

    def param_groups(self, phase: str) -> list[ParamGroup]:
        return split_matrices(self)

    def prepare(self, batches: Iterable[Batch]) -> None:
        z = gather(batches, "clip.image", PREPARE_ROWS)
        self.mean.copy_(z.mean(0))
        self.std.copy_(z.std(0, correction=0).clamp(min=1e-4))

    def standardise(self, embedding: Tensor) -> Tensor:
        """CLIP image embeddings (B, clip_dim) to features of mean 0 and variance 1."""
        return (embedding - self.mean) / self.std

    def restore(self, x: Tensor) -> Tensor:
        """Inverse of :meth:`standardise`, brought to unit length."""
        return F.normalize(self.mean + self.std * x, dim=-1)

    def estimate(
        self, xt: Tensor, t: Tensor, tokens: Tensor, mask: Tensor, text_embedding: Tensor, keep: Tensor
    ) -> Tensor:
        """x_0 from x_t, in standardised features.

        Args:
            xt: (B, clip_dim); t: (B,).
            tokens, mask: (B, T); text_embedding: (B, clip_dim), unit length.
            keep: bool (B,); False asks without the caption.

        Returns:
            (B, clip_dim).
        """
        prefix, seen = self.caption(tokens, mask, text_embedding, keep)  # (B, T + 1, D)
        time = self.time_in(timestep_embedding(t, 256).to(prefix.dtype))  # (B, D)
        tail = torch.stack([time, self.image_in(xt).to(time.dtype), self.query.to(time.dtype).expand_as(time)], dim=1)
        x = torch.cat([prefix, tail.to(prefix.dtype)], dim=1)  # (B, T + 4, D)
        return self.head(self.transformer(x, F.pad(seen, (0, 3), value=True))[:, -1])

    def forward(self, batch: Batch, phase: Phase) -> dict[str, Tensor]:
        image, text = batch.parts["clip.image"].float(), batch.parts["clip.text"].float()
        g, x0 = phase.generator, self.standardise(image)
        t = torch.rand(len(x0), generator=g, device=g.device).to(x0.device)
        eps = torch.randn(x0.shape, generator=g, device=g.device).to(x0.device)
        keep = torch.rand(len(x0), generator=g, device=g.device).to(x0.device) >= self.drop
        x0_hat = self.estimate(corrupt(x0, eps, t), t, batch.tokens, batch.mask, text, keep).float()
        cosine = (self.restore(x0_hat.detach()) * image).sum(-1).mean()
        return {"loss": F.mse_loss(x0_hat, x0), "cosine": cosine}

    def denoiser(self, tokens: Tensor, mask: Tensor, text_embedding: Tensor, guidance: float) -> Denoiser:
        """The denoiser of these B captions in standardised features, guided when ``guidance`` is not 1."""
        given = (tokens, mask, text_embedding)
        yes = torch.ones(len(tokens), dtype=torch.bool, device=tokens.device)
        twice = [torch.cat([part, part]) for part in (*given, yes)]
        twice[3][: len(tokens)] = False  # without the caption first

        def pair(x: Tensor, t: Tensor) -> Tensor:
            return self.estimate(x, t, *twice)

        def conditional(x: Tensor, t: Tensor) -> Tensor:
            return self.estimate(x, t, *given, yes)

        return classifier_free(pair, guidance, conditional=conditional)

    @torch.no_grad()
    def sample(
        self,
        tokens: Tensor,
        mask: Tensor,
        text_embedding: Tensor,
        noise: Tensor,
        steps: int | None = None,
        guidance: float = 2.0,
    ) -> Tensor:
        """Image embeddings for captions; every row depends on its own inputs alone.

        Args:
            tokens, mask: (B, T); text_embedding: (B, clip_dim), unit length.
            noise: standard normal, (B, clip_dim).
            steps: of DPM-Solver++, 16 if None.
            guidance: scale of classifier-free guidance; 1 is none.

        Returns:
            (B, clip_dim), unit length.
        """
        steps = steps or 16
        denoiser = self.denoiser(tokens, mask, text_embedding, guidance)
        return self.restore(run(dpmpp_2m(denoiser, noise, linear(steps, last=1 / steps))).float())


def gather(batches: Iterable[Batch], part: str, rows: int) -> Tensor:
    """The first ``rows`` rows of a part, or as many as there are. (N, D), float32."""
    found: list[Tensor] = []
    for batch in batches:
        found.append(batch.parts[part].float())
        if sum(map(len, found)) >= rows:
            break
    if not found:
        raise ValueError(f"no batch was given to learn {part} from: prepare needs at least one")
    return torch.cat(found)[:rows]
