"""The decoder of unCLIP (Ramesh et al. 2022): a diffusion model from CLIP image embedding and caption to 64 px pixels.

It knows neither where the embedding comes from nor what happens to the picture. Without ``clip_dim`` it is the
ablation ``direct``: the same backbone, told by the caption alone. Objective: x-prediction with the error weighed as
velocity (Li and He 2025), classifier-free guidance (Ho and Salimans 2022).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tranh.diffusion import loss, schedule
from tranh.diffusion.guide import classifier_free
from tranh.nn.asked import labelled
from tranh.nn.groups import split_matrices
from tranh.nn.sequence import TextEncoder
from tranh.nn.transformer import ImageTransformer, patchify, take
from tranh.text.drop import beside_empty, drop_captions
from tranh.types import Batch, Denoiser, Family, ParamGroup, Phase


class Decoder(Family):
    """Caption tokens and a few tokens made of the CLIP embedding are the context of one image transformer.

    Args:
        vocab, max_len: of the tokenizer.
        clip_dim: size of the CLIP embedding, None for none; clip_tokens: context tokens made of it.
        text_dim, text_depth, text_heads: of the caption encoder, trained with the rest.
        image_size, patch_size, hidden_size, depth, num_heads, mlp_ratio: of the image transformer.
        drop: share of examples whose caption and embedding are dropped together; drop_clip: embedding alone.
        clip_noise: length of the noise added to the embedding in training, so that a prior's small errors are known.
        time_mean, time_std: of the logit-normal distribution of training times.
        label_sizes: number of values of each label of a patch's thing; the middle layer is asked for them (a free
            teacher, in the place of REPA's). Empty for data without labels. label_tap: after which block;
            label_weight: of that loss at the start; it falls to 0 by ``label_until``, a share of the run.
        keep: patches of each picture trained on, all if None. Those that show things come first, by the labels, where
            the noisy picture shows things too (times below ``keep_until``); above it the choice would tell what only
            the caption may, and is by chance.
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
        drop: float = 0.1,
        drop_clip: float = 0.2,
        clip_noise: float = 0.3,
        time_mean: float = 0.4,
        time_std: float = 1.0,
        label_sizes: Sequence[int] = (),
        label_tap: int = 3,
        label_weight: float = 0.3,
        label_until: float = 0.7,
        keep: int | None = None,
        keep_until: float = 0.7,
    ) -> None:
        super().__init__()
        self.config = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        self.config["label_sizes"] = list(label_sizes)
        self.parents = ("clip",) if clip_dim else ()
        self.image_size = image_size
        self.drop, self.drop_clip, self.clip_noise = drop, drop_clip, clip_noise
        self.time_mean, self.time_std = time_mean, time_std
        self.keep, self.keep_until = keep, keep_until
        self.label_tap, self.label_weight, self.label_until = label_tap, label_weight, label_until
        self.text = TextEncoder(vocab, text_dim, text_depth, text_heads, max_len)
        self.unet = ImageTransformer(
            patch_size=patch_size,
            context_dim=text_dim,
            hidden_size=hidden_size,
            depth=depth,
            num_heads=num_heads,
            mlp_ratio=mlp_ratio,
        )
        self.clip_in = nn.Linear(clip_dim, clip_tokens * text_dim) if clip_dim else None
        self.null_clip = nn.Parameter(torch.zeros(clip_tokens, text_dim)) if clip_dim else None
        self.label_heads = nn.ModuleList(nn.Linear(hidden_size, n + 1) for n in label_sizes)

    def context(self, tokens: Tensor, mask: Tensor, clip: Tensor | None) -> tuple[Tensor, Tensor]:
        """Context tokens and their mask.

        Args:
            tokens, mask: captions, (B, T).
            clip: CLIP image embeddings (B, D), unit length; a row of zeros means none.

        Returns:
            (B, T + K, text_dim) and bool (B, T + K), K = ``clip_tokens`` or 0.
        """
        context = self.text(tokens, mask)
        if self.clip_in is None or self.null_clip is None:
            return context, mask
        if clip is None:
            clip = context.new_zeros(len(tokens), self.clip_in.in_features)
        known = (clip != 0).any(-1)[:, None, None]
        extra = self.clip_in(clip * clip.shape[-1] ** 0.5).view(len(tokens), *self.null_clip.shape)  # (B, K, text_dim)
        extra = torch.where(known, extra, self.null_clip.to(extra.dtype))
        return torch.cat([context, extra], dim=1), F.pad(mask, (0, extra.shape[1]), value=True)

    def forward(self, batch: Batch, phase: Phase) -> dict[str, Tensor]:
        B, device = len(batch), batch.images.device

        def rand(*shape: int) -> Tensor:
            return torch.rand(*shape, generator=phase.generator, device=phase.generator.device).to(device)

        def randn(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=phase.generator, device=phase.generator.device).to(device)

        t = schedule.logit_normal(B, self.time_mean, self.time_std, generator=phase.generator).to(device)
        labels = batch.labels.get("patches")
        keep = None
        if self.keep is not None and labels is not None:
            first = (labels[..., 0] != 0) & (t < self.keep_until)[:, None]
            keep = (first + rand(*labels.shape[:2])).topk(self.keep).indices
            labels = take(labels, keep)
        eps = randn(*batch.images.shape)
        dropped = rand(B) < self.drop
        tokens, mask = drop_captions(batch.tokens, batch.mask, dropped)
        clip = batch.parts.get("clip.image")
        if clip is not None:
            noisy = F.normalize(
                clip + self.clip_noise * clip.shape[-1] ** -0.5 * randn(*clip.shape) * rand(B, 1), dim=-1
            )
            clip = noisy * (~(dropped | (rand(B) < self.drop_clip)))[:, None]
        context, context_mask = self.context(tokens, mask, clip)
        xt = loss.corrupt(batch.images, eps, t)
        tap = self.label_tap if len(self.label_heads) else None
        out = self.unet(xt, t, context, context_mask, tap, keep)
        x0, tapped = out if isinstance(out, tuple) else (out, None)
        true = batch.images if keep is None else take(patchify(batch.images, self.unet.patch_size), keep)
        denoise = loss.velocity_loss(x0, true, t).mean()
        figures = {"loss": denoise, "denoise": denoise.detach()}
        weight = self.label_weight * max(0.0, 1 - phase.progress / self.label_until)
        if tapped is not None and weight > 0 and labels is not None:
            asked = labelled(list(self.label_heads), tapped, labels, ~dropped)
            figures["labels"] = asked.detach()
            figures["loss"] = denoise + weight * asked
        return figures

    def adopt(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Weights of another decoder, with or without CLIP, with patches of any size: what fits is taken over."""
        return self.fitting(tensors)

    def param_groups(self, phase: str) -> list[ParamGroup]:
        return split_matrices(self)

    def pair_context(
        self, tokens: Tensor, mask: Tensor, clip: Tensor | None, away: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Context and mask of 2 B rows: B times what to move away from, then B captions.

        Args:
            tokens, mask: captions, (B, T); clip: CLIP image embeddings (B, D), None for none.
            away: tokens and mask (1, T') of a caption to move away from; the empty one by default.
        """
        embeddings = None if clip is None else torch.cat([torch.zeros_like(clip), clip])
        return self.context(*beside_empty(tokens, mask, away), embeddings)

    def guided(
        self,
        tokens: Tensor,
        mask: Tensor,
        clip: Tensor | None,
        guidance: float,
        away: tuple[Tensor, Tensor] | None = None,
    ) -> Denoiser:
        """The denoiser of B captions, with classifier-free guidance in it; arguments of :meth:`pair_context`."""
        B, (context, seen) = len(tokens), self.pair_context(tokens, mask, clip, away)
        return classifier_free(
            lambda x, t: self.denoise(x, t, context, seen),
            guidance,
            conditional=lambda x, t: self.denoise(x, t, context[B:], seen[B:]),
        )

    def denoise(self, xt: Tensor, t: Tensor, context: Tensor, mask: Tensor) -> Tensor:
        """x_0 estimate of noisy pictures (B, 3, S, S) at times (B,), given a context."""
        out = self.unet(xt, t, context, mask)
        assert isinstance(out, Tensor)
        return out
