"""The editor: a decoder of unCLIP that is also shown a picture, to draw into a hole of it or to change it as told.

It knows neither files nor Scenes. Around a hole it learns as GLIDE is fine-tuned (Nichol et al. 2021), from whole
pictures and instructions as InstructPix2Pix (Brooks et al. 2023), and from an embedding without words to vary a picture
(Ramesh et al. 2022). Objective: x-prediction with the error weighed as velocity (Li and He 2025).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tranh.diffusion import loss, schedule
from tranh.diffusion.guide import classifier_free
from tranh.diffusion.sample import euler, seeded
from tranh.nn.asked import cross_entropy
from tranh.nn.groups import split_matrices
from tranh.nn.holes import random_holes
from tranh.nn.sequence import TextEncoder
from tranh.nn.teacher import PatchTeacher
from tranh.nn.transformer import ImageTransformer, timestep_embedding
from tranh.text.drop import beside_empty, drop_captions
from tranh.types import Batch, Denoiser, Family, ParamGroup, Phase, Step

LAST = 0.08
"""Last time of the sampling grid: from there the estimate is the picture. Above the loss's floor of 0.05."""

NOISY = 3
"""Channels of the noisy picture; after them come those of what is shown, and one that says what it is there for."""

HIDDEN, KNOWN, GIVEN = 1.0, 0.0, -1.0
"""What that channel says: nothing is shown here; this stays; this is what the instruction is about."""

COPY = 2.0
"""Logit of how much of a shown pixel is taken as it is, before anything was learned: seven eighths."""

BLIND = 0.1
"""Share of instructions that are read beside nothing but noise, as they are when it is asked whether they can be
followed: a noisy answer would tell."""


class Editor(Family):
    """Caption or instruction, and a few tokens made of the CLIP embedding, are the context of one image transformer.

    Batches with instructions hold among their labels ``before``, the pictures they start from, (B, 3, S, S), and
    ``fault`` (B,): 0 for an instruction that can be done, the number of its fault for one that cannot (the picture then
    stays), -1 for rows with a caption and nothing to start from. Of moving pictures ``moment`` (B,) in [0, 1] says
    when; what they start from is then their first frame.

    Args:
        vocab, max_len: of the tokenizer.
        clip_dim: size of the CLIP embedding, None for one that is never told any; clip_tokens: context tokens of it.
        text_dim, text_depth, text_heads: of the caption encoder.
        image_size, patch_size, hidden_size, depth, num_heads, mlp_ratio: of the image transformer.
        moments: it is told when, by one more context token: a network for moving pictures.
        faults: kinds of instructions that cannot be done, told apart by a head.
        holes: share of the captioned examples that are shown around a random hole; the others are drawn from nothing.
        drop: share of examples whose words and embedding are dropped; drop_clip: embedding alone; drop_words: words
            alone.
        clip_noise: length of the noise added to the embedding in training.
        time_mean, time_std: of the logit-normal distribution of training times.
        label_sizes: number of values of each label of a patch's thing, asked of the layer after ``label_tap`` blocks
            (see :class:`tranh.nn.teacher.PatchTeacher`). Empty for data without labels.
        steps, guidance: of drawing, where none are asked for; following: guidance of instructions.
    """

    overfit: ClassVar[str] = "denoise"
    overfit_below: ClassVar[float] = 0.35
    shared: tuple[str, ...] = ("text", "unet")

    def __init__(
        self,
        *,
        vocab: int,
        max_len: int = 128,
        clip_dim: int | None = 128,
        clip_tokens: int = 2,
        text_dim: int = 256,
        text_depth: int = 3,
        text_heads: int = 4,
        image_size: int = 64,
        patch_size: int = 8,
        hidden_size: int = 384,
        depth: int = 6,
        num_heads: int = 6,
        mlp_ratio: float = 2.75,
        moments: bool = False,
        faults: int = 2,
        holes: float = 0.6,
        drop: float = 0.1,
        drop_clip: float = 0.3,
        drop_words: float = 0.3,
        clip_noise: float = 0.3,
        time_mean: float = 0.6,
        time_std: float = 1.0,
        label_sizes: Sequence[int] = (),
        label_tap: int = 3,
        steps: int = 12,
        guidance: float = 2.5,
        following: float = 1.0,
    ) -> None:
        super().__init__()
        self.config = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        self.config["label_sizes"] = list(label_sizes)
        self.parents = ("clip",) if clip_dim else ()
        self.image_size, self.holes = image_size, holes
        self.drop, self.drop_clip, self.drop_words, self.clip_noise = drop, drop_clip, drop_words, clip_noise
        self.time_mean, self.time_std, self.label_tap = time_mean, time_std, label_tap
        self.steps, self.guidance, self.following = steps, guidance, following
        self.text = TextEncoder(vocab, text_dim, text_depth, text_heads, max_len)
        self.unet = ImageTransformer(
            in_channels=2 * NOISY + 1,
            out_channels=NOISY + 1,
            patch_size=patch_size,
            context_dim=text_dim,
            hidden_size=hidden_size,
            depth=depth,
            num_heads=num_heads,
            mlp_ratio=mlp_ratio,
        )
        self.clip_in = nn.Linear(clip_dim, clip_tokens * text_dim) if clip_dim else None
        self.null_clip = nn.Parameter(torch.zeros(clip_tokens, text_dim))
        self.moment_in = nn.Linear(256, text_dim) if moments else None
        self.teacher = PatchTeacher(hidden_size, label_sizes)
        self.fault_head = nn.Linear(hidden_size, faults + 1)

    def adopt(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Weights of a decoder, which at first does not see what it is shown and copies alike everywhere; or of
        another editor."""
        wider, own = dict(tensors), self.state_dict()
        for name in ("unet.img_in.weight", "unet.final_layer.linear.weight", "unet.final_layer.linear.bias"):
            if (given := tensors.get(name)) is not None:
                more = [n - m for n, m in zip(own[name].shape, given.shape, strict=True)]
                if max(more) > 0 <= min(more):  # channels come first in a patch, so what is new comes last
                    wider[name] = F.pad(given, [side for n in reversed(more) for side in (0, n)])
        return self.fitting(wider)

    def param_groups(self, phase: str) -> list[ParamGroup]:
        return split_matrices(self)

    def context(
        self, tokens: Tensor, mask: Tensor, clip: Tensor | None, moment: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Context tokens (B, T + K, text_dim) and their mask (B, T + K).

        Args:
            tokens, mask: captions or instructions, (B, T).
            clip: CLIP image embeddings (B, D), unit length; None, or a row of zeros, means none.
            moment: when in a moving picture, (B,) in [0, 1]; None is the start.
        """
        context = self.text(tokens, mask)
        extra = self.null_clip.to(context.dtype).expand(len(tokens), -1, -1)  # (B, K, text_dim)
        if clip is not None and self.clip_in is not None:
            known = (clip != 0).any(-1)[:, None, None]
            made = self.clip_in(clip * clip.shape[-1] ** 0.5).view(extra.shape)
            extra = torch.where(known, made, extra.to(made.dtype))
        if self.moment_in is not None:
            when = torch.zeros(len(tokens), device=tokens.device) if moment is None else moment
            extra = torch.cat([extra, self.moment_in(timestep_embedding(when, 256).to(extra.dtype))[:, None]], dim=1)
        return torch.cat([context, extra], dim=1), F.pad(mask, (0, extra.shape[1]), value=True)

    def forward(self, batch: Batch, phase: Phase) -> dict[str, Tensor]:
        g, B, S = phase.generator, len(batch), self.image_size
        device = batch.images.device

        def chance(share: float) -> Tensor:
            return (torch.rand(B, generator=g, device=g.device) < share).to(device)

        def randn(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=g, device=g.device).to(device)

        fault = batch.labels.get("fault", torch.full((B,), -1)).to(device)
        told = fault >= 0  # by an instruction
        t = schedule.logit_normal(B, self.time_mean, self.time_std, generator=g).to(device)
        t = torch.where(told & chance(BLIND), 1.0, t)
        eps = randn(*batch.images.shape)
        hidden = random_holes(B, S, self.holes, generator=g).to(device)
        seen = ~told & ~hidden.all(dim=(1, 2, 3))  # what is around a hole is shown

        dropped = chance(self.drop)
        clip = batch.parts.get("clip.image")
        silent = dropped | told | seen | chance(self.drop_clip)  # an embedding of the whole would tell what is hidden
        if clip is None:
            silent = torch.ones_like(silent)
        else:
            clip = F.normalize(clip + self.clip_noise * clip.shape[-1] ** -0.5 * randn(*clip.shape), dim=-1)
            clip = clip * ~silent[:, None]
        wordless = dropped | (~silent & chance(self.drop_words))
        tokens, mask = drop_captions(batch.tokens, batch.mask, wordless)

        shown = torch.where(hidden, 0, batch.images)
        role = hidden.to(shown.dtype)
        if "before" in batch.labels:
            rows = told[:, None, None, None]
            shown = torch.where(rows, batch.labels["before"].to(device), shown)
            role = torch.where(rows, torch.full_like(role, GIVEN), role)
        context, real = self.context(tokens, mask, clip, batch.labels.get("moment"))
        xt = loss.corrupt(batch.images, eps, t)
        out, tapped = self._ask(xt, t, shown, role, context, real, self.label_tap)
        denoise = loss.velocity_loss(out, batch.images, t).mean()
        square = tapped.transpose(1, 2).unflatten(2, (S // self.unet.patch_size, -1))  # (B, hidden_size, h, w)
        total = self.teacher.loss(denoise, [square], batch.labels.get("patches"), ~dropped, phase.progress)
        faults = cross_entropy(self.fault_head(tapped.mean(1)).float(), torch.where(dropped, -1, fault))
        return {"loss": total + 0.1 * faults, "denoise": denoise.detach(), "faults": faults.detach()}

    def _ask(
        self, xt: Tensor, t: Tensor, shown: Tensor, role: Tensor, context: Tensor, mask: Tensor, tap: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """x_0 estimates (B, 3, S, S) and the tokens after ``tap`` blocks.

        Of what is shown a share of each pixel is taken as it is: what stays need not go through the tokens, which
        carry a patch only roughly.
        """
        out, tapped = self.unet(torch.cat([xt, shown, role], dim=1), t, context, mask, tap or self.label_tap)
        drawn, gate = out.float().split((NOISY, 1), dim=1)
        taken = torch.sigmoid(gate + COPY) * (role != HIDDEN)
        return drawn + taken * (shown - drawn), tapped

    def guided(
        self,
        tokens: Tensor,
        mask: Tensor,
        clip: Tensor | None,
        guidance: float | None = None,
        away: tuple[Tensor, Tensor] | None = None,
        shown: Tensor | None = None,
        role: Tensor | None = None,
        moment: Tensor | None = None,
    ) -> Denoiser:
        """The denoiser of B captions or instructions, with classifier-free guidance in it.

        Args:
            tokens, mask: (B, T); away: tokens and mask (1, T') to move away from, the empty caption by default.
            clip: CLIP image embeddings (B, D), None for none.
            shown: pictures (B, 3, S, S), ``role`` (B, 1, S, S) what they are there for; None for nothing shown.
            moment: when, (B,).
        """
        B, S = len(tokens), self.image_size
        if shown is None or role is None:
            shown, role = torch.zeros(B, NOISY, S, S), torch.full((B, 1, S, S), HIDDEN)
        shown, role = (x.to(tokens.device) for x in (shown, role))
        embeddings = None if clip is None else torch.cat([torch.zeros_like(clip), clip])
        when = None if moment is None else moment.to(tokens.device).repeat(2)
        context, real = self.context(*beside_empty(tokens, mask, away), embeddings, when)

        def denoise(x: Tensor, t: Tensor) -> Tensor:
            of = slice(B if len(x) == B else 0, None)
            beside = [part.repeat(len(x) // B, 1, 1, 1) for part in (shown, role)]
            return self._ask(x, t, beside[0], beside[1], context[of], real[of])[0]

        return classifier_free(denoise, self.guidance if guidance is None else guidance, conditional=denoise)

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
        """See :class:`tranh.types.Draws`: of a caption alone."""
        yield from self._walk(self.guided(tokens, mask, None, guidance, away), seeds, steps)

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
        """See :class:`tranh.types.Fills`; there is one sampler, so ``sampler`` has no use."""
        role = holes.to(images.dtype)
        denoiser = self.guided(tokens, mask, None, guidance, away, images * ~holes, role)

        def told(x: Tensor, t: Tensor) -> Tensor:
            return torch.where(holes, denoiser(x, t), images)

        for step in self._walk(told, seeds, steps):
            x = torch.where(holes, step.x, images) if step.index == step.steps else step.x
            yield Step(step.index, step.steps, step.t, x, step.x0)

    def follow(
        self,
        tokens: Tensor,
        mask: Tensor,
        seeds: Sequence[int],
        images: Tensor,
        *,
        steps: int | None = None,
        guidance: float | None = None,
        moment: Tensor | None = None,
    ) -> Iterator[Step]:
        """See :class:`tranh.types.Follows`: pictures (B, 3, S, S) changed as their instructions say.

        Args:
            moment: when in the moving picture that begins with ``images``, (B,) in [0, 1].
        """
        role = torch.full_like(images[:, :1], GIVEN)
        guidance = self.following if guidance is None else guidance
        yield from self._walk(self.guided(tokens, mask, None, guidance, None, images, role, moment), seeds, steps)

    def faults(self, tokens: Tensor, mask: Tensor, images: Tensor) -> Tensor:
        """How likely each instruction can be done (0) or has which fault, (B, faults + 1), before anything is drawn."""
        noise = seeded([0] * len(images), images.shape[1:], images.device)()
        t, role = torch.ones(len(images), device=images.device), torch.full_like(images[:, :1], GIVEN)
        _, tapped = self._ask(noise, t, images, role, *self.context(tokens, mask, None))
        return self.fault_head(tapped.mean(1)).float().softmax(-1)

    def _walk(self, denoiser: Denoiser, seeds: Sequence[int], steps: int | None) -> Iterator[Step]:
        count, S = steps or self.steps, self.image_size
        noise = seeded(seeds, (NOISY, S, S), self.null_clip.device)()
        for step in euler(denoiser, noise, schedule.linear(count, last=LAST if count > 1 else 1.0)):
            x = step.x.clamp(-1, 1) if step.index == count else step.x
            yield Step(step.index, count, step.t, x, step.x0)
