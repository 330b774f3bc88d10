"""The variational autoencoder (Kingma and Welling 2014; with captions Sohn et al. 2015): a code that can be drawn.

It knows nothing of other stages. Told captions, encoder, decoder and prior read them: p(z | caption) is a normal whose
mean and variance a caption gives, so whatever z has come to say, the caption says it too when a picture is drawn.
Without ``vocab`` there are no captions, and the prior is N(0, I).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tranh.diffusion.sample import seeded
from tranh.nn.coders import DECODERS, ENCODERS, Caption, CaptionPrior, PatchDecoder, Shape, checked
from tranh.nn.groups import split_matrices
from tranh.nn.sequence import TextEncoder
from tranh.text.tokenizer import EMPTY
from tranh.types import Batch, Family, ParamGroup, Phase, Step

ACTIVE = 0.01
"""A unit is active if the variance of its mean over pictures is larger (Burda, Grosse and Salakhutdinov 2016)."""


def bernoulli(out: Tensor, x: Tensor, scale: float) -> Tensor:
    """-log p of pixels read as chances of white, per pixel: cross-entropy; ``out`` is tanh(logit / 2)."""
    p = (out + 1) / 2
    return F.binary_cross_entropy(p.clamp(1e-6, 1 - 1e-6), (x + 1) / 2, reduction="none")


def gaussian(out: Tensor, x: Tensor, scale: float) -> Tensor:
    """-log p under N(out, scale^2), without its constant."""
    return 0.5 * ((x - out) / scale).square()


def laplace(out: Tensor, x: Tensor, scale: float) -> Tensor:
    """-log p under a Laplace distribution, without its constant: medians are sharper than means."""
    return (x - out).abs() / scale


LIKELIHOODS: Mapping[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "bernoulli": bernoulli, "gaussian": gaussian, "laplace": laplace,
}  # fmt: skip


class Vae(Family):
    """z = mu + exp(0.5 logvar) eps; loss = -log p(x|z) + beta KL, per pixel value.

    Without captions KL = 0.5 sum(mu^2 + exp(logvar) - logvar - 1); with them it is that of the standardised
    (mu - mu_p) / sigma_p, see :func:`divergence`.

    Args:
        vocab, max_len: of the tokenizer; without ``vocab`` it reads no captions.
        image_size: side of the pictures.
        form: of both halves: dense, conv or transformer.
        latent: numbers in z.
        width, depth, heads, patch: of the decoder, see :class:`tranh.nn.coders.Shape`; encoder_depth: of the encoder.
        text_dim, text_depth, text_heads: of the caption encoder.
        likelihood: of the pixels: bernoulli, gaussian or laplace, with a fixed ``scale``: the larger, the less of the
            picture is worth telling in z.
        beta: weight of the divergence (Higgins et al. 2017); 1 is the paper's bound.
        drop: share of captions left out in training, so that pictures can be encoded and drawn without.
        spread: standard deviation z is drawn with; 1 is the prior's own.
    """

    overfit: ClassVar[str] = "error"
    shared: tuple[str, ...] = ("text", "prior", "encoder", "decoder")

    def __init__(
        self,
        *,
        vocab: int | None = None,
        max_len: int = 128,
        image_size: int = 64,
        form: str = "dense",
        latent: int = 20,
        width: int = 400,
        depth: int = 1,
        heads: int = 4,
        patch: int = 8,
        encoder_depth: int | None = None,
        text_dim: int = 256,
        text_depth: int = 3,
        text_heads: int = 4,
        likelihood: str = "gaussian",
        scale: float = 1.0,
        beta: float = 1.0,
        drop: float = 0.1,
        spread: float = 1.0,
    ) -> None:
        super().__init__()
        if likelihood not in LIKELIHOODS:
            raise ValueError(f"likelihood is {likelihood!r}; allowed: {', '.join(LIKELIHOODS)}")
        self.config = {
            "image_size": image_size, "form": checked(form), "latent": latent, "width": width, "depth": depth,
            "heads": heads, "patch": patch, "encoder_depth": encoder_depth, "likelihood": likelihood, "scale": scale,
            "beta": beta, "spread": spread,
        }  # fmt: skip
        self.latent, self.likelihood, self.scale, self.spread = latent, LIKELIHOODS[likelihood], scale, spread
        self.beta, self.drop = beta, drop
        self.text: TextEncoder | None = None
        self.prior: CaptionPrior | None = None
        if vocab is not None:
            self.config |= {
                "vocab": vocab, "max_len": max_len, "text_dim": text_dim, "text_depth": text_depth,
                "text_heads": text_heads, "drop": drop,
            }  # fmt: skip
            self.text = TextEncoder(vocab, text_dim, text_depth, text_heads, max_len)
            self.prior = CaptionPrior(text_dim, text_heads, latent)
            self.nothing = nn.Parameter(0.02 * torch.randn(text_dim))  # stands for no caption
        context = 0 if vocab is None else text_dim
        self.encoder = ENCODERS[form](
            Shape(image_size, width, encoder_depth or depth, heads, patch, context), 2 * latent
        )
        self.decoder = DECODERS[form](Shape(image_size, width, depth, heads, patch, context), latent)

    def caption(self, tokens: Tensor, mask: Tensor, dropped: Tensor | None = None) -> Caption | None:
        """What captions (B, T) say, with the token for nothing in the place of empty and dropped (B,) ones."""
        if self.text is None:
            return None
        none = (tokens == EMPTY[1]).any(1) if dropped is None else (tokens == EMPTY[1]).any(1) | dropped
        context = self.text(tokens, mask)
        context = torch.where(none[:, None, None], self.nothing.to(context.dtype), context)
        first = torch.arange(tokens.shape[1], device=tokens.device) < 1
        return context, torch.where(none[:, None], first, mask)

    def no_caption(self, rows: int) -> Caption | None:
        """The caption of pictures that have none."""
        if self.text is None:
            return None
        return self.nothing.expand(rows, 1, -1), torch.ones(rows, 1, dtype=torch.bool, device=self.nothing.device)

    def posterior(self, images: Tensor, caption: Caption | None) -> tuple[Tensor, Tensor]:
        """mu and logvar of q(z | x, caption), (B, latent) each, float32."""
        mu, logvar = self.encoder(images, caption).float().chunk(2, dim=1)
        return mu, logvar.clamp(-12, 12)

    def before(self, rows: Tensor, caption: Caption | None) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of p(z | caption), each like ``rows`` (B, latent)."""
        if self.prior is None or caption is None:
            return torch.zeros_like(rows), torch.zeros_like(rows)
        return self.prior(caption)

    def paint(self, z: Tensor, caption: Caption | None) -> Tensor:
        """The mean of p(x | z, caption), (B, 3, S, S) float32."""
        return self.pixels(self.decoder(z, caption))

    def pixels(self, out: Tensor) -> Tensor:
        """What a decoder says of pixels as pixels, float32."""
        return torch.tanh(out.float() / 2) if self.likelihood is bernoulli else out.float()

    def expected(self, tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The picture that captions (B, T) lead to expect, (B, 3, S, S), painted by a transformer from the mean of
        p(z | caption), and the tokens of its patches before they become pixels, (B, N, width)."""
        caption = self.caption(tokens, mask)
        mean, _ = self.before(torch.zeros(len(tokens), self.latent, device=tokens.device), caption)
        assert isinstance(self.decoder, PatchDecoder)
        patches = self.decoder.tokens(mean, caption)
        return self.pixels(self.decoder.picture(patches)), self.decoder.norm(patches).float()

    def outputs(self, batch: Batch) -> dict[str, Tensor]:
        if self.text is None or not isinstance(self.decoder, PatchDecoder):
            return {}
        expected, patches = self.expected(batch.tokens, batch.mask)
        return {"expected": expected, "patches": patches}

    def forward(self, batch: Batch, phase: Phase) -> dict[str, Tensor]:
        x, g = batch.images, phase.generator
        dropped = torch.rand(len(x), generator=g, device=g.device).to(x.device) < self.drop
        caption = self.caption(batch.tokens, batch.mask, dropped)
        mu, logvar = self.posterior(x, caption)
        eps = torch.randn(mu.shape, generator=g, device=g.device).to(x.device)
        out = self.paint(mu + (0.5 * logvar).exp() * eps, caption)
        reconstruction = self.likelihood(out, x, self.scale).flatten(1).sum(1).mean()
        each = divergence(mu, logvar, *self.before(mu, caption)).mean(0)  # (latent,)
        figures = {
            "loss": (reconstruction + self.beta * each.sum()) / x[0].numel(),
            "error": (out - x).abs().mean().detach(),
            "reconstruction": reconstruction.detach(),
            "kl": each.sum().detach(),
            "active": (mu.detach().var(0, correction=0) > ACTIVE).float().sum(),
        }
        return figures | {f"kl_{k:02d}": nats for k, nats in enumerate(each.detach())}

    def encode(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) -> the mean of q(z | x), (B, latent), as if nobody had said what they show."""
        return self.posterior(images, self.no_caption(len(images)))[0]

    def decode(self, latents: Tensor) -> Tensor:
        """z (B, latent) -> (B, 3, S, S)."""
        return self.paint(latents, self.no_caption(len(latents)))

    @torch.no_grad()
    def draw(
        self,
        tokens: Tensor,
        mask: Tensor,
        seeds: Sequence[int],
        *,
        steps: int | None = None,
        guidance: float | None = None,
        away: tuple[Tensor, Tensor] | None = None,
    ) -> Iterator[Step]:
        """z from the prior, one look through the decoder. ``steps``, ``guidance`` and ``away`` have no meaning here."""
        eps, caption = seeded(seeds, (self.latent,), tokens.device)(), self.caption(tokens, mask)
        mu, logvar = self.before(eps, caption)
        x = self.paint(mu + self.spread * (0.5 * logvar).exp() * eps, caption).clamp(-1, 1)
        yield Step(1, 1, 0.0, x, x)

    def adopt(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Weights of a reader or of another VAE: what fits is taken over."""
        return self.fitting(tensors)

    def param_groups(self, phase: str) -> list[ParamGroup]:
        return split_matrices(self)


def divergence(mu: Tensor, logvar: Tensor, mu_p: Tensor, logvar_p: Tensor) -> Tensor:
    """KL(N(mu, exp(logvar)) || N(mu_p, exp(logvar_p))) of every number, in nats, same shape.

    For N(0, 1) it is 0.5 (mu^2 + exp(logvar) - logvar - 1), equation 10 of Kingma and Welling.
    """
    return 0.5 * ((mu - mu_p).square() / logvar_p.exp() + (logvar - logvar_p).exp() - (logvar - logvar_p) - 1)
