"""GLIDE (Nichol et al. 2021): a U-Net that reads the caption word by word, by cross-attention, and can fill in a part.

It knows no CLIP, and of its size it says nothing in words: that is in the recipe. Objective: x-prediction on a cosine
schedule with the error weighed as velocity (Li and He 2025), times drawn towards noise, where captions are needed
(Esser et al. 2024); classifier-free guidance (Ho and Salimans 2022).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from tranh.diffusion.guide import classifier_free
from tranh.diffusion.loss import rows, velocity_loss
from tranh.diffusion.sample import SAMPLERS, SPACINGS, named, seeded
from tranh.diffusion.schedule import VariancePreserving, logit_normal, noise_first, vp_coefficients
from tranh.nn.asked import Questions
from tranh.nn.groups import split_matrices
from tranh.nn.holes import random_holes
from tranh.nn.sequence import TextEncoder
from tranh.nn.stock import before_last
from tranh.nn.teacher import PatchTeacher, tapping
from tranh.nn.unet import UNet
from tranh.text.drop import beside_empty, drop_captions
from tranh.types import Batch, Denoiser, Family, ParamGroup, Phase, Step


class Glide(Family):
    """A caption encoder and a U-Net whose places attend to every token of the caption; what questions make of the whole
    caption goes beside the time.

    Args:
        vocab, max_len: of the tokenizer.
        text_dim, text_depth, text_heads: of the caption encoder, trained with the rest.
        questions: number of the questions; a reader with as many lends them too.
        image_size, fold, widths, layers, attention: of the U-Net, see :class:`tranh.nn.unet.UNet`.
        N: steps of the chain, whose betas are cosine's.
        time_mean, time_std: of the logit-normal distribution of training times.
        time_first: its mean at the start, see :func:`tranh.diffusion.schedule.noise_first`.
        drop: share of the captions that are dropped.
        inpaint: share of the examples that are shown outside a random hole, in the second half of the run, as GLIDE is
            fine-tuned; 0 for a network without the inputs that show them.
        label_sizes: number of values of each label of a patch's thing, which the U-Net is asked for on its way up (see
            :class:`tranh.nn.teacher.PatchTeacher`). Empty for data without labels.
        steps, guidance, sampler: of drawing, where none are asked for.
    """

    overfit_below: ClassVar[float] = 0.5
    samplers: ClassVar[tuple[str, ...]] = tuple(SAMPLERS)
    shared: tuple[str, ...] = ("text", "unet")

    def __init__(
        self,
        *,
        vocab: int,
        max_len: int = 128,
        text_dim: int = 256,
        text_depth: int = 3,
        text_heads: int = 4,
        questions: int = 16,
        image_size: int = 64,
        fold: int = 4,
        widths: Sequence[int] = (128, 256),
        layers: int = 1,
        attention: Sequence[bool] = (False, True),
        N: int = 1000,
        time_first: float = 2.5,
        time_mean: float = 0.6,
        time_std: float = 1.0,
        drop: float = 0.12,
        inpaint: float = 0.2,
        label_sizes: Sequence[int] = (),
        steps: int = 15,
        guidance: float = 2.5,
        sampler: str = "dpm++",
    ) -> None:
        super().__init__()
        self.config = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        self.config |= {"widths": list(widths), "attention": list(attention), "label_sizes": list(label_sizes)}
        self.image_size, self.drop, self.inpaint = image_size, drop, inpaint
        self.time_first, self.time_mean, self.time_std = time_first, time_mean, time_std
        self.steps, self.guidance, self.sampler = steps, guidance, sampler
        self.schedule = VariancePreserving.cosine_betas(N)
        self.text = TextEncoder(vocab, text_dim, text_depth, text_heads, max_len)
        self.unet = UNet(
            image_size=image_size,
            fold=fold,
            in_channels=7 if inpaint else 3,  # the noisy picture, what is known of the true one, where nothing is
            out_channels=3,
            widths=widths,
            layers=layers,
            attention=attention,
            context_dim=text_dim,
            vector_dim=text_dim,
        )
        self.questions = Questions(questions, text_dim, text_heads)
        self.whole = nn.Linear(questions * text_dim, text_dim)
        self.teacher = PatchTeacher(self.unet.width, label_sizes)

    def adopt(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The caption encoder of a reader, or another of this family: what fits is taken over."""
        return self.fitting(tensors)

    def param_groups(self, phase: str) -> list[ParamGroup]:
        return split_matrices(self, also=self.unet.hidden())

    def forward(self, batch: Batch, phase: Phase) -> dict[str, Tensor]:
        x0, g = batch.images, phase.generator
        B, device = len(batch), x0.device
        mean = noise_first(self.time_first, self.time_mean, phase.progress)
        t = logit_normal(B, mean, self.time_std, generator=g).to(device)
        eps = torch.randn(x0.shape, generator=g, device=g.device).to(device)
        dropped = (torch.rand(B, generator=g, device=g.device) < self.drop).to(device)
        holes = None
        if self.inpaint and phase.progress >= 0.5:
            holes = random_holes(B, self.image_size, self.inpaint, generator=g).to(device)
        tokens, mask = drop_captions(batch.tokens, batch.mask, dropped)
        n = self.schedule.index(t)
        a, s = (rows(c, x0).to(x0.dtype) for c in self.schedule.coefficients(n))
        with tapping(before_last(self.unet.net)) as seen:
            out = self.answer(a * x0 + s * eps, n, self.text(tokens, mask), mask, x0, holes)
        denoise = velocity_loss(out, x0, t).mean()
        loss = self.teacher.loss(denoise, seen, batch.labels.get("patches"), ~dropped, phase.progress)
        return {"loss": loss, "denoise": denoise.detach()}

    def answer(
        self, y: Tensor, n: Tensor, context: Tensor, mask: Tensor, known: Tensor | None, holes: Tensor | None
    ) -> Tensor:
        """The x_0 of states y (B, 3, S, S) at indices n (B,).

        Args:
            context, mask: encoded captions (B, T, text_dim) and bool (B, T).
            known: pictures shaped as y; holes: bool (B, 1, S, S), True where they are not to be seen; None for nowhere
                to be seen.
        """
        if self.inpaint:
            if known is None or holes is None:
                known, holes = torch.zeros_like(y), torch.ones_like(y[:, :1], dtype=torch.bool)
            y = torch.cat([y, known * ~holes, holes.to(y.dtype)], dim=1)
        whole = self.whole(self.questions(context, mask).flatten(1))
        return self.unet(y, n, context, mask, whole).float()

    def guided(
        self,
        tokens: Tensor,
        mask: Tensor,
        guidance: float | None = None,
        away: tuple[Tensor, Tensor] | None = None,
        known: Tensor | None = None,
        holes: Tensor | None = None,
    ) -> Denoiser:
        """The denoiser of B captions with classifier-free guidance in it.

        Args:
            tokens, mask, away: as for :meth:`draw`; known, holes: as for :meth:`fill`.
        """
        tokens, mask = beside_empty(tokens, mask, away)
        context, B = self.text(tokens, mask), len(tokens) // 2

        def denoise(y: Tensor, n: Tensor) -> Tensor:
            of = slice(B if len(y) == B else 0, None)
            twice = len(y) // B
            shown = (
                (None, None)
                if known is None or holes is None
                else (known.repeat(twice, 1, 1, 1), holes.repeat(twice, 1, 1, 1))
            )
            return self.answer(y, n, context[of], mask[of], *shown).clamp(-1, 1)

        plain = self.schedule.denoiser(denoise, "x0")
        scale = self.guidance if guidance is None else guidance
        pair = classifier_free(plain, scale, conditional=plain)
        return lambda x, t: pair(x, t).clamp(-1, 1)

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
        """See :class:`tranh.types.Draws`. ``sampler``: one of ``samplers``."""
        yield from self.walk(self.guided(tokens, mask, guidance, away), seeds, steps, sampler)

    def fill(
        self,
        tokens: Tensor,
        mask: Tensor,
        seeds: Sequence[int],
        images: Tensor,
        holes: Tensor,
        *,
        steps: int | None = None,
        guidance: float | None = None,
        away: tuple[Tensor, Tensor] | None = None,
        sampler: str | None = None,
    ) -> Iterator[Step]:
        """Draw what belongs into the holes of pictures, by captions of the whole; outside, every pixel stays as it is.

        A network that was never shown a part (``inpaint`` 0) is told of the rest by its noised pixels alone.

        Args:
            images: (B, 3, S, S) in [-1, 1]; holes: bool (B, 1, S, S), True where to draw.
        """
        denoiser = self.guided(tokens, mask, guidance, away, images, holes)

        def told(x: Tensor, t: Tensor) -> Tensor:
            return torch.where(holes, denoiser(x, t), images)

        for step in self.walk(told, seeds, steps, sampler):
            x = torch.where(holes, step.x, images) if step.index == step.steps else step.x
            yield Step(step.index, step.steps, step.t, x, step.x0)

    def walk(
        self, denoiser: Denoiser, seeds: Sequence[int], steps: int | None = None, sampler: str | None = None
    ) -> Iterator[Step]:
        """See :class:`tranh.types.Walks`."""
        walk = named(sampler, self.sampler)
        grid = self.schedule.grid(steps or self.steps, SPACINGS[sampler or self.sampler])
        noise = seeded(seeds, (3, self.image_size, self.image_size), next(self.parameters()).device)
        for step in walk(denoiser, noise() / sum(vp_coefficients(grid[0].item())), grid, noise):
            x = step.x.clamp(-1, 1) if step.index == step.steps else step.x
            yield Step(step.index, step.steps, step.t, x, step.x0)
