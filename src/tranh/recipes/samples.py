"""Pictures drawn while a stage trains: fixed captions and fixed noise, beside the originals.

A family that makes no pictures (CLIP, a prior) has no sampler; its curve says enough.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from PIL import Image
from torch import Tensor

from tranh.diffusion.sample import euler, run, seeded
from tranh.diffusion.schedule import linear
from tranh.engine.frozen import Frozen, attach
from tranh.engine.sheet import sheet
from tranh.engine.source import Source, on_device
from tranh.families.decoder import Decoder
from tranh.families.upsampler import Upsampler
from tranh.types import Batch, Family, Stage

COUNT = 16
STEPS = 10
Sampler = Callable[[Family, int], Image.Image]


def sampler_of(stage: Stage, source: Source, parents: Mapping[str, Frozen]) -> Sampler | None:
    """What draws the samples of a stage, or None for one that makes no pictures."""
    if stage.family not in ("decoder", "upsampler"):
        return None
    batch = source.validation(0, COUNT)

    @torch.no_grad()
    def sample(family: Family, step: int) -> Image.Image:
        here = next(family.parameters()).device
        told = attach(on_device(batch, here), parents)
        made = decode(family, told) if isinstance(family, Decoder) else enlarge(family, told)
        pairs = torch.stack([batch.images, made.cpu()], dim=1).flatten(0, 1)  # original, sample, original, ...
        captions = [c for caption in batch.captions for c in (caption, f"step {step}")]
        return sheet(pairs, captions, columns=8)

    return sample


def decode(family: Decoder, batch: Batch, guidance: float = 2.0, first: int = 0) -> Tensor:
    """Pictures for the captions of a batch, from the true CLIP embeddings: what the decoder alone can do.

    Args:
        first: number of the first picture's noise; the others' follow.
    """
    guided = family.guided(batch.tokens, batch.mask, batch.parts.get("clip.image"), guidance)
    noise = seeded(range(first, first + len(batch)), batch.images.shape[1:], batch.images.device)()
    return run(euler(guided, noise, linear(STEPS, last=1 / STEPS))).clamp(-1, 1)


def enlarge(family: Family, batch: Batch, first: int = 0) -> Tensor:
    """Large pictures from the small versions of a batch's pictures; ``first`` as in :func:`decode`."""
    assert isinstance(family, Upsampler)
    small = family.shrink(batch.images)
    level = batch.images.new_zeros(len(batch))
    noise = seeded(range(first, first + len(batch)), batch.images.shape[1:], batch.images.device)()
    x = run(euler(lambda xt, t: family.denoise(xt, t, small, level), noise, linear(4, last=0.08)))
    return x.clamp(-1, 1)
