"""Is a picture from outside a model's world? Part of it is hidden, and what the model makes of the rest must be nearer
to the truth than what a filter makes that knows no pictures at all.

It knows no world: of photographs a model of drawings makes hardly more than a filter does, of drawings far more. The
measure is its own yardstick, so no range of any training set has to be kept.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from tranh.diffusion.loss import corrupt
from tranh.diffusion.sample import seeded
from tranh.nn.degrade import blur
from tranh.recipes.pictures import tensor_of
from tranh.types import Unclips

LEAST = 1.6
"""dB that a picture of the model's world gains over the filter: between what tranh-1 gains on held-out Scenes and
on photographs (``benchmarks/edits/outside.py``). One of 60 of the former lay below, none of 10 of the latter above.
"""

SIDE = 64
"""Pixels per side that a picture is looked at."""

TIMES, WIDTHS = (0.4, 0.6), (0.6, 0.9, 1.3, 1.9, 2.7, 4.0)
"""How much noise hides the picture; Gaussian filters in pixels, of which the best for this very picture is taken."""


def warning(world: object, image: Image.Image) -> list[str]:
    """What to tell the user of a picture: nothing, or that it is from outside the model's world.

    Nothing is said of a model that draws no embeddings: there is nothing to measure with.
    """
    if not isinstance(world, Unclips):
        return []
    gain = familiar(world, tensor_of(image, SIDE))
    if gain >= LEAST:
        return []
    return [
        f"this picture is unlike all that {getattr(world, 'name', 'the model')} was trained on: hidden by noise it is "
        f"guessed {gain:.1f} dB better than by a plain filter, pictures of its world by {LEAST:.1f} and more. Expect "
        "little."
    ]


@torch.no_grad()
def familiar(model: Unclips, x: Tensor) -> float:
    """How much better a picture (1, 3, S, S) hidden by noise is seen by the denoiser of its own embedding than by the
    best Gaussian filter, in dB."""
    gains = []
    denoise = model.unclip(model.embed_images(x), [""], 1.0)
    for k, time in enumerate(TIMES):
        t = x.new_full((1,), time)
        xt = corrupt(x, seeded([k], x.shape[1:], x.device)(), t)
        filtered = [blur(xt / (1 - time), x.new_full((1,), width)) for width in WIDTHS]
        gains.append(_decibels(min(_error(one, x) for one in filtered), _error(denoise(xt, t), x)))
    return sum(gains) / len(gains)


def _error(made: Tensor, true: Tensor) -> float:
    return float((made.clamp(-1, 1).float() - true).square().mean())


def _decibels(plain: float, own: float) -> float:
    """How much smaller the second error is; what both know to the last bit is known well."""
    return float(10 * np.log10(max(plain, 1e-8) / max(own, 1e-8))) if plain > 1e-6 else float("inf")
