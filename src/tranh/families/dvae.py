"""The discrete autoencoder: a picture as a small grid of codes, and back; what DALL-E reads and writes.

It knows no captions and nothing of who predicts its codes. Two kinds: ``vq``, the nearest entry of a codebook of moving
means, with the gradient passed straight through and a commitment loss (VQ-VAE, van den Oord et al. 2017); ``gumbel``,
entries mixed by a relaxed draw that hardens during training (dVAE, Ramesh et al. 2021; Jang et al. 2017).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tranh.nn.conv import ChannelNorm, Conv3, Residual
from tranh.nn.quantise import MovingCodebook, first_entries, nearest, perplexity, usage
from tranh.types import Batch, Family, ParamGroup, Phase

PREPARE_VECTORS = 20_000
"""Latents looked at for the first codebook."""

EDGE = 0.5
"""Weight of the absolute error beside the squared one: it keeps edges sharp (DALL-E's logit-Laplace does the same)."""


class Dvae(Family):
    """Encoder, codebook, decoder; convolutions on two grids, the finer one twice as wide as the grid of codes.

    Args:
        image_size: side of the pictures in pixels; a multiple of ``2 grid``.
        grid: codes per side.
        codes: entries of the codebook; dim: of each.
        width, depth: channels and residual blocks on the finer grid; ``wide`` channels on the coarser one.
        kind: ``vq`` or ``gumbel``.
        commitment: of ``vq``, weight of the latents' distance to their entries (their beta).
        temperature: of ``gumbel``, the last one; it falls from 1 over the first 70 % of the training.
        kl: of ``gumbel``, weight of the divergence of the codes from evenly used ones, in nats a code.
    """

    overfit: ClassVar[str] = "reconstruction"
    overfit_below: ClassVar[float] = 0.4
    shared: tuple[str, ...] = ("codes_of", "decode")

    def __init__(
        self,
        *,
        image_size: int = 64,
        grid: int = 8,
        codes: int = 512,
        dim: int = 32,
        width: int = 96,
        wide: int = 192,
        depth: int = 1,
        kind: Literal["vq", "gumbel"] = "vq",
        commitment: float = 0.1,
        temperature: float = 0.0625,
        kl: float = 0.0005,
    ) -> None:
        super().__init__()
        self.config = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        if image_size % (2 * grid):
            raise ValueError(f"image_size {image_size} must be a multiple of 2 x grid ({2 * grid})")
        if kind not in ("vq", "gumbel"):
            raise ValueError(f"kind is {kind!r}; allowed: vq, gumbel")
        patch = image_size // (2 * grid)
        self.grid, self.codes, self.kind = grid, codes, kind
        self.commitment, self.temperature, self.kl = commitment, temperature, kl
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(patch),
            nn.Conv2d(3 * patch**2, width, 1),
            *(Residual(width) for _ in range(depth)),
            nn.PixelUnshuffle(2),
            nn.Conv2d(4 * width, wide, 1),
            *(Residual(wide) for _ in range(depth + 1)),
            ChannelNorm(wide),
            nn.Conv2d(wide, dim, 1),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(dim, wide, 1),
            *(Residual(wide) for _ in range(depth + 1)),
            nn.Conv2d(wide, 4 * width, 1),
            nn.PixelShuffle(2),
            *(Residual(width) for _ in range(depth + 1)),
            ChannelNorm(width),
            nn.Conv2d(width, 3 * patch**2, 1),
            nn.PixelShuffle(patch),
        )
        self.book = MovingCodebook(codes, dim) if kind == "vq" else None
        self.entries = nn.Parameter(F.normalize(torch.randn(codes, dim), dim=-1)) if kind == "gumbel" else None
        self.sharpness = nn.Parameter(torch.tensor(math.log(10.0))) if kind == "gumbel" else None
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def codebook(self) -> Tensor:
        """The entries, (K, D), of unit length."""
        if self.book is not None:
            return self.book.entries
        assert self.entries is not None
        return F.normalize(self.entries.float(), dim=-1)

    def features(self, images: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) -> what the encoder says of each place, (B, h, w, D), float32."""
        z: Tensor = self.encoder(images.contiguous(memory_format=torch.channels_last))
        return z.permute(0, 2, 3, 1).float()

    def latents(self, images: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) -> latents before they are quantised, (B, h, w, D), unit length."""
        return F.normalize(self.features(images), dim=-1)

    def codes_of(self, images: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) -> codes (B, h, w), int64."""
        return nearest(self.latents(images), self.codebook)

    def latents_of(self, codes: Tensor) -> Tensor:
        """Codes (B, h, w) -> quantised latents (B, D, h, w)."""
        return self.codebook[codes].permute(0, 3, 1, 2)

    def encode(self, images: Tensor) -> Tensor:
        """Pictures -> quantised latents (B, D, h, w): as much as the codes tell."""
        return self.latents_of(self.codes_of(images))

    def decode(self, latents: Tensor) -> Tensor:
        """Latents (B, D, h, w) -> pictures (B, 3, H, W)."""
        x: Tensor = self.decoder(latents.contiguous(memory_format=torch.channels_last))
        return x

    def forward(self, batch: Batch, phase: Phase) -> dict[str, Tensor]:
        z = self.latents(batch.images)  # (B, h, w, D)
        codes = nearest(z, self.codebook)
        q, penalty, told = self.straight(z, codes, phase) if self.kind == "vq" else self.relaxed(z, phase)
        error = self.decode(q.permute(0, 3, 1, 2)).float() - batch.images
        reconstruction = error.square().mean() + EDGE * error.abs().mean()
        figures = {
            "loss": reconstruction + penalty,
            "reconstruction": reconstruction.detach(),
            "error": error.detach().square().mean(),
        }
        shares = {"usage": usage(codes, self.codes), "perplexity": perplexity(codes, self.codes)}
        return figures | told | shares

    def straight(self, z: Tensor, codes: Tensor, phase: Phase) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Nearest entries with the gradient of the latents; the codebook follows them in training."""
        assert self.book is not None
        q = self.book.entries[codes]
        committed = (z - q).square().sum(-1).mean()
        told = {"commitment": committed.detach()}
        if self.training:
            told["revived"] = self.book.follow(z.detach().flatten(0, 2), codes.flatten(), phase.generator)
        return z + (q - z).detach(), self.commitment * committed, told

    def relaxed(self, z: Tensor, phase: Phase) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Entries mixed by a draw from the Gumbel-softmax of the cosines."""
        assert self.sharpness is not None
        entries = self.codebook
        with torch.autocast(z.device.type, enabled=False):
            logits = self.sharpness.exp() * (z.flatten(0, 2) @ entries.T)  # (B h w, K)
            log_q = logits.log_softmax(-1)
            kl = (log_q.exp() * log_q).sum(-1).mean() + math.log(self.codes)
            u = torch.rand(logits.shape, generator=phase.generator, device=phase.generator.device).to(z.device)
            gumbel = -torch.log(-torch.log(u.clamp(1e-9, 1 - 1e-7)))
            temperature = max(self.temperature, 1.0 - (1.0 - self.temperature) * phase.progress / 0.7)
            mixed = (
                ((logits + gumbel) / temperature).softmax(-1)
                if self.training
                else F.one_hot(logits.argmax(-1), self.codes).float()
            )
            q = (mixed @ entries).view_as(z)
        return q, self.kl * kl, {"kl": kl.detach()}

    def param_groups(self, phase: str) -> list[ParamGroup]:
        kernels = [m.weight for m in self.modules() if isinstance(m, Conv3)]
        chosen = {id(p) for p in kernels}
        return [ParamGroup(kernels, "muon"), ParamGroup([p for p in self.parameters() if id(p) not in chosen])]

    @torch.no_grad()
    def prepare(self, batches: Iterable[Batch]) -> None:
        """The first codebook: k-means of the latents of some pictures, as the untrained encoder gives them.

        Their mean is taken off first: it says nothing, and a decoder cannot tell codes apart that are nearly alike.
        """
        found: list[Tensor] = []
        for batch in batches:
            found.append(self.features(batch.images).flatten(0, 2))
            if sum(map(len, found)) >= PREPARE_VECTORS:
                break
        if not found:
            raise ValueError("no batch was given to fill the codebook from: prepare needs at least one")
        features = torch.cat(found)
        mean, last = features.mean(0), self.encoder[-1]
        assert isinstance(last, nn.Conv2d) and last.bias is not None
        last.bias -= mean
        z = F.normalize(features - mean, dim=-1).cpu()
        first = first_entries(z, self.codes, torch.Generator().manual_seed(0)).to(self.codebook.device)
        if self.book is not None:
            self.book.begin(first)
        elif self.entries is not None:
            self.entries.copy_(first)

    @torch.no_grad()
    def image_outputs(self, images: Tensor) -> dict[str, Tensor]:
        return {"codes": self.codes_of(images).flatten(1)}  # (B, N), row by row
