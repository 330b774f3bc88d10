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
from tranh.engine import find
from tranh.engine.frozen import Frozen, attach
from tranh.engine.sheet import sheet
from tranh.engine.source import Source, on_device
from tranh.families.decoder import Decoder
from tranh.families.enhancer import Enhancer
from tranh.families.upsampler import Upsampler
from tranh.types import Autoencodes, Batch, Draws, Family, Follows, Stage

COUNT = 16
STEPS = 10
Sampler = Callable[[Family, int], Image.Image]


def sampler_of(stage: Stage, source: Source, parents: Mapping[str, Frozen]) -> Sampler | None:
    """What draws the samples of a stage, or None for one that makes no pictures."""
    kind = find.family(stage.family)
    if not issubclass(kind, Decoder | Upsampler | Enhancer | Draws | Autoencodes):
        return None
    batch = source.validation(0, COUNT)

    @torch.no_grad()
    def sample(family: Family, step: int) -> Image.Image:
        here = next(family.parameters()).device
        told = attach(on_device(batch, here), parents)
        shown = {"": batch.images}
        if "before" in batch.labels:
            shown = {"": torch.where(batch.labels["fault"][:, None, None, None] >= 0, batch.labels["before"], 0)}
            shown["wanted"] = batch.images
        if isinstance(family, Autoencodes):
            shown[f"step {step}, rebuilt"] = rebuilt(family, told).cpu()
        if not isinstance(family, Autoencodes) or isinstance(family, Draws):
            shown[f"step {step}"] = made(family, told).cpu()
        rows = torch.stack(list(shown.values()), dim=1).flatten(0, 1)  # original, sample, original, ...
        captions = [what or caption for caption in batch.captions for what in shown]
        return sheet(rows, captions, columns=9 if len(shown) == 3 else 8)

    return sample


def made(family: Family, batch: Batch, first: int = 0) -> Tensor:
    """What a family makes for the captions of a batch, (B, 3, S, S); ``first`` as in :func:`decode`."""
    if isinstance(family, Decoder):
        return decode(family, batch, first=first)
    if isinstance(family, Upsampler):
        return enlarge(family, batch, first=first)
    if isinstance(family, Enhancer):
        return enhance(family, batch)
    assert isinstance(family, Draws)
    seeds = range(first, first + len(batch))
    x = run(family.draw(batch.tokens, batch.mask, seeds))
    told = batch.labels.get("fault", torch.full((len(batch),), -1)) >= 0
    if isinstance(family, Follows) and told.any():  # what starts from a picture
        moment = batch.labels.get("moment")
        changed = run(family.follow(batch.tokens, batch.mask, seeds, batch.labels["before"], moment=moment))
        x = torch.where(told.to(x.device)[:, None, None, None], changed, x)
    return x.float().clamp(-1, 1)


def rebuilt(family: Autoencodes, batch: Batch) -> Tensor:
    """The pictures of a batch after encoding and decoding."""
    return family.decode(family.encode(batch.images)).float().clamp(-1, 1)


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
    x = run(euler(lambda xt, t: family.denoise(xt, t, small, level), noise, family.grid(4)))
    return x.clamp(-1, 1)


def enhance(family: Enhancer, batch: Batch) -> Tensor:
    """The posterior means of poor versions of a batch's pictures, always worn in the same way."""
    images, zero = batch.images, batch.images.new_zeros(len(batch))
    poor = family.poor(images, torch.Generator(images.device).manual_seed(0))
    return family.denoise(torch.zeros_like(images), zero + 1, poor, zero).float().clamp(-1, 1)
