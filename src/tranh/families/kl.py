"""The autoencoder of latent diffusion (Rombach et al. 2022): pictures to a small grid of latents and back.

It knows neither captions nor what denoises its latents. The network is diffusers' ``AutoencoderKL``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from tranh.nn import stock
from tranh.types import Batch, Family, ParamGroup, Phase

LOGVAR = (-30.0, 20.0)
"""Range the log-variance is kept in, as in diffusers' ``DiagonalGaussianDistribution``."""


class Kl(Family):
    """Loss: mean absolute and squared error, the same of the differences of neighbours (edges are what an average
    blurs), and a little of the Kullback-Leibler divergence to the standard normal, which keeps the latents near zero.

    Args:
        image_size: side of the pictures.
        channels, layers, groups: widths of the levels, residual blocks of each, groups of their norms. Latents are
            ``2 ** (levels - 1)`` times narrower than the pictures.
        latent_channels: of the latents.
        kl_weight: of the divergence, both taken as means (nats per number against error per pixel).
        edge_weight: of the errors of differences.
    """

    overfit: ClassVar[str] = "error"
    overfit_below: ClassVar[float] = 0.3
    shared: tuple[str, ...] = ("encode", "decode")

    def __init__(
        self,
        *,
        image_size: int = 64,
        channels: Sequence[int] = (16, 48, 96),
        layers: int = 1,
        groups: int = 16,
        latent_channels: int = 4,
        kl_weight: float = 1e-3,
        edge_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.config: dict[str, Any] = {
            "image_size": image_size, "channels": list(channels), "layers": layers, "groups": groups,
            "latent_channels": latent_channels, "kl_weight": kl_weight, "edge_weight": edge_weight,
        }  # fmt: skip
        self.kl_weight, self.edge_weight = kl_weight, edge_weight
        self.vae: Any = stock.autoencoder(
            size=image_size, latent_channels=latent_channels, channels=channels, layers=layers, groups=groups
        )

    @property
    def factor(self) -> int:
        """How many times narrower the latents are."""
        return 2 ** (len(self.config["channels"]) - 1)

    def moments(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the latents, each (B, C, S / factor, S / factor), float32."""
        mean, logvar = self.vae.quant_conv(self.vae.encoder(images)).float().chunk(2, dim=1)
        return mean, logvar.clamp(*LOGVAR)

    def encode(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) in [-1, 1] -> the mean of the latents."""
        return self.moments(images)[0]

    def decode(self, latents: Tensor) -> Tensor:
        """Latents -> (B, 3, S, S), about [-1, 1]."""
        return self.vae.decoder(self.vae.post_quant_conv(latents))

    def forward(self, batch: Batch, phase: Phase) -> dict[str, Tensor]:
        mean, logvar = self.moments(batch.images)
        eps = torch.randn(mean.shape, generator=phase.generator, device=phase.generator.device).to(mean.device)
        made = self.decode(mean + (0.5 * logvar).exp() * eps).float()
        error = made - batch.images
        edges = (error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()) / 2
        rebuild = error.abs().mean() + error.square().mean()
        divergence = 0.5 * (mean.square() + logvar.exp() - logvar - 1).mean()
        loss = rebuild + self.edge_weight * edges + self.kl_weight * divergence
        return {
            "loss": loss,
            "error": rebuild.detach(),
            "divergence": divergence.detach(),
            "latent_std": mean.detach().std(),
        }

    def param_groups(self, phase: str) -> list[ParamGroup]:
        return stock.groups_of(self)

    @torch.no_grad()
    def image_outputs(self, images: Tensor) -> dict[str, Tensor]:
        return {"latent": self.encode(images)}
