"""Latent diffusion (Rombach et al. 2022): a U-Net denoises an autoencoder's latents, told by CLIP's caption states.

It knows neither how the latents were learned nor how the captions were. All of it is what stock diffusers expresses, so
that a trained one is a ``StableDiffusionPipeline``: ``UNet2DConditionModel``, velocity prediction, and the schedule of
Stable Diffusion made to end in pure noise (Lin et al. 2023).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from tranh.diffusion.guide import classifier_free
from tranh.diffusion.sample import ddim, seeded
from tranh.diffusion.schedule import VariancePreserving, logit_normal, noise_first
from tranh.nn import stock
from tranh.nn.teacher import PatchTeacher, tapping
from tranh.text.tokenizer import BOS, EMPTY, EOS, PAD, TooLong
from tranh.types import Batch, Denoiser, Family, ParamGroup, Phase, Step, TranhError

SCHEDULE = {
    "num_train_timesteps": 1000,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "rescale_betas_zero_snr": True,
    "prediction_type": "v_prediction",
    "timestep_spacing": "trailing",
}
"""The same for diffusers' schedulers. :func:`zero_snr` follows it."""


class Latent(Family):
    """Velocity v = a eps - s z of the noisy latents y = a z + s eps.

    Captions are padded to ``max_len`` tokens as stock pipelines pad them, and the U-Net looks at all of those states:
    padding is part of what it was taught, so how wide a batch was padded does not matter.

    Args:
        vocab: of the tokenizer; max_len: tokens of a caption that are read.
        image_size, factor, latent_channels: side of the pictures, how many times narrower their latents are, and the
            channels of these, as of the part ``kl``.
        text_dim: width of the text tower of the part ``clip``.
        channels, layers, heads, groups: of the U-Net: widths of its levels, residual blocks of each, heads of
            attention, groups of the norms.
        drop: share of captions left out in training, for guidance.
        time_mean, time_std: of the logit-normal distribution of training times (Esser et al. 2024).
        time_first: its mean at the start, see :func:`tranh.diffusion.schedule.noise_first`.
        label_sizes: number of values of each label of a patch's thing, which the U-Net is asked for on its way up (see
            :class:`tranh.nn.teacher.PatchTeacher`). Empty for data without labels.
        steps, guidance: of drawing, where nothing else is asked for.
    """

    overfit_below: ClassVar[float] = 0.4
    shared: tuple[str, ...] = ("unet",)

    def __init__(
        self,
        *,
        vocab: int,
        max_len: int = 128,
        image_size: int = 64,
        factor: int = 4,
        latent_channels: int = 4,
        text_dim: int = 192,
        channels: Sequence[int] = (64, 128, 192),
        layers: int = 1,
        heads: int = 4,
        groups: int = 16,
        drop: float = 0.1,
        time_first: float = 2.5,
        time_mean: float = 0.4,
        time_std: float = 1.2,
        label_sizes: Sequence[int] = (),
        steps: int = 20,
        guidance: float = 3.0,
    ) -> None:
        super().__init__()
        self.config: dict[str, Any] = {
            "vocab": vocab, "max_len": max_len, "image_size": image_size, "factor": factor,
            "latent_channels": latent_channels, "text_dim": text_dim, "channels": list(channels), "layers": layers,
            "heads": heads, "groups": groups, "drop": drop, "time_first": time_first,
            "time_mean": time_mean, "time_std": time_std,
            "label_sizes": list(label_sizes), "steps": steps, "guidance": guidance,
        }  # fmt: skip
        self.parents = ("clip", "kl")
        self.time_first, self.time_mean, self.time_std = time_first, time_mean, time_std
        self.max_len, self.drop, self.steps, self.guidance = max_len, drop, steps, guidance
        self.shape = (latent_channels, image_size // factor, image_size // factor)
        self.schedule = zero_snr()
        self.unet: Any = stock.unet(
            size=self.shape[-1], latent_channels=latent_channels, channels=channels, layers=layers, heads=heads,
            groups=groups, text_dim=text_dim,
        )  # fmt: skip
        self.teacher = PatchTeacher(channels[min(1, len(channels) - 1)], label_sizes)
        self.scale: Tensor
        self.register_buffer("scale", torch.ones(()))

    def meet(self, parents: Mapping[str, Family]) -> None:
        for part, given, own in (("clip", "text_width", "text_dim"), ("kl", "latent_channels", "latent_channels")):
            theirs = parents[part].config.get(given) if part in parents else self.config[own]
            if theirs != self.config[own]:
                raise TranhError(
                    f"part {part!r} has {given} {theirs} and latent {own} {self.config[own]}: they must be equal"
                )
        super().meet(parents)

    def prepare(self, batches: Iterable[Batch]) -> None:
        """The latent scale: one number that gives the latents unit variance, diffusers' ``scaling_factor``."""
        latents = torch.cat([batch.parts["kl.latent"].flatten() for batch in batches])
        self.scale.fill_(1 / latents.float().std().clamp(min=1e-6))

    def forward(self, batch: Batch, phase: Phase) -> dict[str, Tensor]:
        g, B = phase.generator, len(batch)
        z = self.clean(batch)
        eps = torch.randn(z.shape, generator=g, device=g.device).to(z.device)
        mean = noise_first(self.time_first, self.time_mean, phase.progress)
        t = logit_normal(B, mean, self.time_std, generator=g).to(z.device)
        n = self.schedule.index(t).round().long()
        dropped = (torch.rand(B, generator=g, device=g.device) < self.drop).to(z.device)
        context = self.context(self.padded(batch.tokens, batch.mask, dropped))
        a, s = (c.view(-1, 1, 1, 1).to(z.dtype) for c in self.schedule.coefficients(n))
        with tapping(stock.before_last(self.unet)) as seen:
            v = self.velocity(a * z + s * eps, n, context)
        denoise = F.mse_loss(v, a * eps - s * z)
        loss = self.teacher.loss(denoise, seen, batch.labels.get("patches"), ~dropped, phase.progress)
        return {"loss": loss, "denoise": denoise.detach()}

    def clean(self, batch: Batch) -> Tensor:
        """What is denoised: scaled latents (B, C, h, w) of the pictures."""
        z: Tensor = self.scale * batch.parts["kl.latent"]
        return z

    def velocity(self, y: Tensor, n: Tensor, context: Tensor) -> Tensor:
        """v of noisy latents (B, C, h, w) at indices n (B,), float32."""
        return self.unet(y, n, context, return_dict=False)[0].float()

    def padded(self, tokens: Tensor, mask: Tensor, dropped: Tensor | None = None) -> Tensor:
        """Token numbers (B, T) as the stock pipeline gives them to its text encoder, (B, max_len).

        The empty caption is <bos> <eos>, what a stock tokenizer makes of no text. One too long is cut before its end.

        Args:
            dropped: rows whose caption is left out, bool (B,).
        """
        T = tokens.shape[1]
        empty = tokens.new_full((max(T, len(EMPTY)),), PAD)
        null = empty.clone()
        null[: len(EMPTY)], empty[:2] = tokens.new_tensor(EMPTY), tokens.new_tensor((BOS, EOS))
        rows = F.pad(torch.where(mask, tokens, PAD), (0, len(empty) - T), value=PAD)
        none = (rows == null).all(1)
        rows = torch.where((none if dropped is None else none | dropped)[:, None], empty, rows)
        rows = F.pad(rows, (0, max(0, self.max_len - rows.shape[1])), value=PAD)
        long = (rows[:, self.max_len :] != PAD).any(1)
        rows = rows[:, : self.max_len].clone()
        rows[long, -1] = EOS
        return rows

    @torch.no_grad()
    def context(self, tokens: Tensor) -> Tensor:
        """The last states of CLIP's text tower for padded captions (B, max_len). (B, max_len, text_dim)."""
        tower: Any = getattr(self.met.get("clip"), "text_model", None)
        if tower is None or not hasattr(tower, "states"):
            raise TranhError("latent needs a part 'clip' whose text tower is a Transformer: train that stage before")
        states: Tensor = tower.states(tokens)
        return states

    def param_groups(self, phase: str) -> list[ParamGroup]:
        return stock.groups_of(self)

    def guided(
        self, tokens: Tensor, mask: Tensor, guidance: float, away: tuple[Tensor, Tensor] | None = None
    ) -> Denoiser:
        """The denoiser of B captions on the linear path of :mod:`tranh.diffusion`, with guidance in it.

        Args:
            tokens, mask: captions, (B, T); away: tokens and mask (1, T') to move away from; the empty one by default.
        """
        B = len(tokens)
        told = self.padded(tokens, mask)
        if away is None:
            none = torch.ones(1, dtype=torch.bool, device=tokens.device)
            other = self.padded(tokens[:1], mask[:1], none)
        else:
            other = self.padded(*away)
        context = self.context(torch.cat([other, told]))
        pair = torch.cat([context[:1].expand(B, -1, -1), context[1:]])
        return classifier_free(
            lambda x, t: self.denoise(x, t, pair), guidance, conditional=lambda x, t: self.denoise(x, t, context[1:])
        )

    def denoise(self, x: Tensor, t: Tensor, context: Tensor) -> Tensor:
        """Estimate of the scaled latents from noisy ones x = (1 - t) z + t eps at linear times (B,)."""
        n = self.schedule.index(t)
        a, s = (c.view(-1, 1, 1, 1).to(x.dtype) for c in self.schedule.coefficients(n))
        y = (a + s) * x
        return a * y - s * self.velocity(y, n, context)

    def shown(self, x0: Tensor) -> Tensor:
        kl: Any = self.met["kl"]
        pictures: Tensor = kl.decode(x0 / self.scale)
        return pictures

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
        """DDIM in latent space. Before the last step ``x`` and ``x0`` are latents; the last step's are the pictures.

        Raises:
            TooLong: a caption has more tokens than are read.
        """
        count = int(mask.sum(1).max())
        if count > self.max_len:
            raise TooLong(f"the prompt has {count} tokens and this model reads {self.max_len}; shorten it")
        yield from self.walk(
            self.guided(tokens, mask, self.guidance if guidance is None else guidance, away), seeds, steps
        )

    def walk(
        self, denoiser: Denoiser, seeds: Sequence[int], steps: int | None = None, sampler: str | None = None
    ) -> Iterator[Step]:
        """See :class:`tranh.types.Walks`; of latents. There is one sampler."""
        ts, kl = self.schedule.grid(steps or self.steps, "trailing"), self.met["kl"]
        noise = seeded(seeds, self.shape, self.scale.device)()
        for step in ddim(denoiser, float(ts[0]) * noise, ts):
            if step.index < step.steps:
                yield step
            else:
                picture = kl.decode(step.x / self.scale).float().clamp(-1, 1)  # type: ignore[operator]
                yield Step(step.index, step.steps, step.t, picture, picture)


def zero_snr() -> VariancePreserving:
    """:data:`SCHEDULE`: scaled linear betas, moved so that no signal is left at the last index (Lin et al. 2023).

    As in diffusers, a signal of 2^-24 (squared) is left, so that nothing is divided by zero.
    """
    told: Any = SCHEDULE
    first, last = told["beta_start"], told["beta_end"]
    betas = torch.linspace(first**0.5, last**0.5, told["num_train_timesteps"], dtype=torch.float64) ** 2
    signal = torch.cumprod(1 - betas, 0).sqrt()
    signal = (signal - signal[-1]) * signal[0] / (signal[0] - signal[-1])
    bar = signal**2
    bar[-1] = 2.0**-24
    alphas = torch.cat([bar[:1], bar[1:] / bar[:-1]])
    return VariancePreserving(1 - alphas)
