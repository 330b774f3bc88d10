"""DDPM (Ho et al. 2020; Nichol and Dhariwal 2021): a U-Net that walks a discrete chain from noise back to pictures.

It knows nothing of where pictures come from, and of captions only if it is built to read them: their mean, a vector
beside the time's, is then all it is told (of a class, or of a short sentence; :mod:`tranh.families.glide` reads word by
word). It says how many bits a picture costs it: the variational bound.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, get_args

import torch
from torch import Tensor

from tranh.diffusion.bound import Chain, Variance
from tranh.diffusion.guide import classifier_free
from tranh.diffusion.loss import PREDICTIONS, Prediction, estimate, rows, target
from tranh.diffusion.sample import SAMPLERS, SPACINGS, ddpm, named, seeded
from tranh.diffusion.schedule import VariancePreserving, stratified, vp_coefficients
from tranh.nn.groups import split_matrices
from tranh.nn.sequence import TextEncoder
from tranh.nn.unet import UNet
from tranh.text.drop import beside_empty, drop_captions
from tranh.types import Batch, Denoiser, Family, ParamGroup, Phase, Step, TranhError

LAMBDA = 1e-3
"""Weight of the bound beside L_simple where the variance is learned (Nichol and Dhariwal 2021)."""

SCHEDULES = {"linear": VariancePreserving.linear_betas, "cosine": VariancePreserving.cosine_betas}


class Ddpm(Family):
    """A chain of N steps and a U-Net that says what of each state is noise.

    Args:
        reads: whether captions are read; vocab, max_len: of the tokenizer, needed only then.
        text_dim, text_depth, text_heads: of the caption encoder, whose mean over a caption is the vector.
        image_size, fold, widths, layers, attention: of the U-Net, see :class:`tranh.nn.unet.UNet`.
        schedule: ``linear`` or ``cosine``; N: steps of the chain.
        prediction: what the U-Net answers: ``eps``, ``x0`` or ``v``.
        variance: of the chain's steps back: ``small`` (beta-tilde), ``large`` (beta) or ``learned``.
        drop: share of the captions that are dropped, for guidance.
        steps, guidance, sampler: of drawing, where none are asked for.
    """

    overfit: ClassVar[str] = "simple"
    samplers: ClassVar[tuple[str, ...]] = tuple(SAMPLERS)
    shared: tuple[str, ...] = ("text", "unet")

    def __init__(
        self,
        *,
        reads: bool = False,
        vocab: int | None = None,
        max_len: int = 128,
        text_dim: int = 256,
        text_depth: int = 3,
        text_heads: int = 4,
        image_size: int = 64,
        fold: int = 4,
        widths: Sequence[int] = (128, 256),
        layers: int = 1,
        attention: Sequence[bool] = (False, True),
        schedule: str = "cosine",
        N: int = 1000,
        prediction: Prediction = "v",
        variance: Variance = "learned",
        drop: float = 0.15,
        steps: int = 25,
        guidance: float = 1.5,
        sampler: str = "ddim",
    ) -> None:
        super().__init__()
        self.config = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        self.config |= {"widths": list(widths), "attention": list(attention)}
        if not reads:
            del self.config["vocab"]  # who has one there reads captions
        elif vocab is None:
            raise TranhError("reads is true and vocab is missing: give the size of the tokenizer's vocabulary")
        for what, given, allowed in (
            ("schedule", schedule, tuple(SCHEDULES)),
            ("prediction", prediction, PREDICTIONS),
            ("variance", variance, get_args(Variance)),
        ):
            if given not in allowed:
                raise TranhError(f"{what} is {given!r}; choose one of {', '.join(allowed)}")
        self.image_size, self.drop = image_size, drop
        self.steps, self.guidance, self.sampler = steps, guidance, sampler
        self.prediction, self.variance = prediction, variance
        self.chain = Chain(SCHEDULES[schedule](N))
        self.text = (
            None if vocab is None or not reads else TextEncoder(vocab, text_dim, text_depth, text_heads, max_len)
        )
        self.unet = UNet(
            image_size=image_size,
            fold=fold,
            in_channels=3,
            out_channels=6 if variance == "learned" else 3,
            widths=widths,
            layers=layers,
            attention=attention,
            vector_dim=text_dim if reads else None,
        )

    def param_groups(self, phase: str) -> list[ParamGroup]:
        return split_matrices(self, also=self.unet.hidden())

    def vector(self, tokens: Tensor, mask: Tensor) -> Tensor | None:
        """What the U-Net is told of captions (B, T): the mean of their encoded tokens, (B, text_dim); None for none."""
        if self.text is None:
            return None
        return self.text(tokens, mask).sum(1) / mask.sum(1, keepdim=True)

    def answer(self, y: Tensor, n: Tensor, vector: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The U-Net's answer to states y (B, 3, S, S) at indices n (B,), and the share of a learned variance."""
        out = self.unet(y, n, vector=vector).float()
        if self.variance != "learned":
            return out, None
        out, share = out.chunk(2, dim=1)
        return out, (share + 1) / 2  # the network's -1 is beta-tilde, 1 is beta

    def forward(self, batch: Batch, phase: Phase) -> dict[str, Tensor]:
        """L_simple, the squared error of what is predicted; with a learned variance L_hybrid = L_simple + 0.001 L_vlb,
        whose second term moves the variance alone. ``bits``: an estimate of the bound from these few terms."""
        x0, chain, g = batch.images, self.chain, phase.generator
        B, device = len(batch), x0.device
        n = (stratified(B, generator=g) * chain.N).long().to(device)
        eps = torch.randn(x0.shape, generator=g, device=g.device).to(device)
        dropped = (torch.rand(B, generator=g, device=g.device) < self.drop).to(device)
        vector = None if self.text is None else self.vector(*drop_captions(batch.tokens, batch.mask, dropped))
        y = chain.corrupt(x0, eps, n)
        a, s = chain.at(chain.signal, n, x0), chain.at(chain.noise, n, x0)
        out, share = self.answer(y, n, vector)
        simple = (out - target(self.prediction, x0, eps, a, s)).square().mean()
        x0_hat = estimate(self.prediction, out.detach(), y, a, s).clamp(-1, 1)
        bound = chain.N * chain.term(x0, y, n, x0_hat, chain.log_variance(self.variance, n, y, share)).mean()
        loss = simple + LAMBDA * bound if share is not None else simple
        bits = bound.detach() + chain.prior(x0).mean()
        return {"loss": loss, "simple": simple.detach(), "bits": bits}

    @torch.no_grad()
    def bits(self, batch: Batch, seed: int = 0) -> Iterator[Tensor]:
        """The variational bound of 8-bit pictures, told its captions, in bits per dimension: every term, none guessed.

        Args:
            seed: of the noise; of each state one is drawn, as Ho et al. do.

        Yields:
            Terms (B,): the prior's, then those of N - 1, ..., 0. Their sum is the bound.
        """
        x0, chain, B = batch.images, self.chain, len(batch)
        yield chain.prior(x0)
        vector = self.vector(batch.tokens, batch.mask)
        noise = seeded(range(seed, seed + B), x0.shape[1:], x0.device)
        for index in range(chain.N - 1, -1, -1):
            n = torch.full((B,), index, device=x0.device)
            y = chain.corrupt(x0, noise(), n)
            a, s = chain.at(chain.signal, n, x0), chain.at(chain.noise, n, x0)
            out, share = self.answer(y, n, vector)
            x0_hat = estimate(self.prediction, out, y, a, s).clamp(-1, 1)
            yield chain.term(x0, y, n, x0_hat, chain.log_variance(self.variance, n, y, share))

    def guided(
        self,
        tokens: Tensor,
        mask: Tensor,
        guidance: float | None = None,
        away: tuple[Tensor, Tensor] | None = None,
    ) -> Denoiser:
        """The denoiser of B captions with classifier-free guidance in it; unless it ``reads``, captions are ignored."""
        return self._guided(tokens, mask, guidance, away)[0]

    def _guided(
        self, tokens: Tensor, mask: Tensor, guidance: float | None, away: tuple[Tensor, Tensor] | None
    ) -> tuple[Denoiser, list[Tensor]]:
        """The denoiser, and a list that holds the share of the learned variance it gave last."""
        shares: list[Tensor] = []
        B, vector = len(tokens), None
        if self.text is not None:
            vector = self.vector(*beside_empty(tokens, mask, away))

        def denoise(y: Tensor, n: Tensor) -> Tensor:
            told = vector if vector is None or len(y) > B else vector[B:]
            out, share = self.answer(y, n, told)
            if share is not None:
                shares[:] = [share[-B:]]
            a, s = (rows(c, y).to(y.dtype) for c in self.chain.vp.coefficients(n))
            return estimate(self.prediction, out, y, a, s).clamp(-1, 1)

        plain = self.chain.vp.denoiser(denoise, "x0")
        if vector is None:
            return plain, shares
        return classifier_free(plain, self.guidance if guidance is None else guidance, conditional=plain), shares

    def draw(
        self,
        tokens: Tensor,
        mask: Tensor,
        seeds: Sequence[int],
        *,
        steps: int | None = None,
        guidance: float | None = None,
        away: tuple[Tensor, Tensor] | None = None,
        sampler: str | None = None,
    ) -> Iterator[Step]:
        """See :class:`tranh.types.Draws`; unless it ``reads``, captions and guidance are ignored.

        Args:
            sampler: one of ``samplers``; ``ddpm`` draws with the chain's own variance.
        """
        walk = named(sampler, self.sampler)
        denoiser, shares = self._guided(tokens, mask, guidance, away)
        grid = self.chain.vp.grid(steps or self.steps, SPACINGS[sampler or self.sampler])
        noise = seeded(seeds, (3, self.image_size, self.image_size), next(self.parameters()).device)
        x = noise() / sum(vp_coefficients(grid[0].item()))
        if walk is ddpm:
            variance = (lambda: shares[0]) if self.variance == "learned" else self.variance
            drawn = ddpm(denoiser, x, grid, noise, variance=variance)
        else:
            drawn = walk(denoiser, x, grid, noise)
        for step in drawn:
            yield step if step.index < step.steps else Step(step.index, step.steps, 0.0, step.x.clamp(-1, 1), step.x0)
