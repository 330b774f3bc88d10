"""The autoencoder (Rumelhart, Hinton and Williams 1986): a picture through a narrow layer and back, deterministically.

It knows no distribution over its latents, so it cannot draw: what lies between two codes need not be a picture. The
textbook's layers 784-400-20 are ``form="dense", width=400, latent=20`` on pictures of 28 px.
"""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from tranh.nn.coders import DECODERS, ENCODERS, Shape, checked
from tranh.nn.groups import split_matrices
from tranh.types import Batch, Family, ParamGroup, Phase


class Autoencoder(Family):
    """z = f(x), x' = g(z); the loss is the mean squared error of the pixels.

    Args:
        image_size: side of the pictures.
        form: of both halves: dense, conv or transformer.
        latent: numbers in z.
        width, depth, heads, patch: of the networks, see :class:`tranh.nn.coders.Shape`.
    """

    overfit: ClassVar[str] = "loss"
    shared: tuple[str, ...] = ("encoder", "decoder")

    def __init__(
        self,
        *,
        image_size: int = 64,
        form: str = "dense",
        latent: int = 20,
        width: int = 400,
        depth: int = 1,
        heads: int = 4,
        patch: int = 8,
    ) -> None:
        super().__init__()
        self.config = {
            "image_size": image_size, "form": checked(form), "latent": latent, "width": width, "depth": depth,
            "heads": heads, "patch": patch,
        }  # fmt: skip
        shape = Shape(image_size, width, depth, heads, patch)
        self.encoder, self.decoder = ENCODERS[form](shape, latent), DECODERS[form](shape, latent)

    def encode(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) -> z (B, latent)."""
        return self.encoder(images)

    def decode(self, latents: Tensor) -> Tensor:
        """z (B, latent) -> (B, 3, S, S)."""
        return self.decoder(latents)

    def forward(self, batch: Batch, phase: Phase) -> dict[str, Tensor]:
        return {"loss": F.mse_loss(self.decode(self.encode(batch.images)).float(), batch.images)}

    def param_groups(self, phase: str) -> list[ParamGroup]:
        return split_matrices(self)
