"""Is a picture from outside a model's world? Part of it is hidden, and what the model makes of the rest must be nearer
to the truth than what a filter makes that knows no pictures at all.

It knows no world: of photographs a model of drawings makes hardly more than a filter does, of drawings far more. The
measure is its own yardstick, so no range of any training set has to be kept.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from tranh.diffusion.loss import corrupt
from tranh.diffusion.sample import seeded
from tranh.nn.degrade import blur
from tranh.nn.pixels import to_images
from tranh.types import Enlarges, Unclips

LEAST = {"unclips": 1.9, "enlarges": 0.5}
"""dB that a picture of the model's world gains over the filter, by what the model can do. Of 40 held-out pictures of
Scenes tranh-1's decoder gained 2.3 and more, of 8 parts of two photographs at most 1.4."""

TIMES, WIDTHS = (0.4, 0.6), (0.6, 0.9, 1.3, 1.9, 2.7, 4.0)
"""How much noise hides the picture; Gaussian filters in pixels, of which the best for this very picture is taken."""


def warning(system: object, image: Image.Image) -> list[str]:
    """What to tell the user of a picture: nothing, or that it is from outside the model's world.

    Nothing is said of a system that neither denoises embeddings nor enlarges.
    """
    found = familiar(system, image)
    if found is None or found[0] >= found[1]:
        return []
    name = getattr(system, "name", type(system).__name__)
    return [
        f"this picture is unlike all that {name} was trained on: with a part hidden it guesses the rest {found[0]:.1f} "
        f"dB better than a plain filter does, where pictures of its world reach {found[1]:.1f} and more. Expect little."
    ]


def familiar(system: object, image: Image.Image) -> tuple[float, float] | None:
    """How much better a model completes a picture than a filter does, and the least it does in its own world, in dB."""
    if isinstance(system, Unclips):
        small = image.convert("RGB").resize((64, 64), Image.Resampling.BOX)
        return by_noise(system, to_images(np.asarray(small)[None])), LEAST["unclips"]
    if isinstance(system, Enlarges):
        return by_size(system, to_images(np.asarray(image.convert("RGB"))[None])), LEAST["enlarges"]
    return None


@torch.no_grad()
def by_noise(model: Unclips, x: Tensor) -> float:
    """A picture (1, 3, S, S) hidden by noise: the denoiser of its own embedding against the best Gaussian filter."""
    gains = []
    denoise = model.unclip(model.embed_images(x), [""], 1.0)
    for k, time in enumerate(TIMES):
        t = x.new_full((1,), time)
        xt = corrupt(x, seeded([k], x.shape[1:], x.device)(), t)
        filtered = [blur(xt / (1 - time), x.new_full((1,), width)) for width in WIDTHS]
        gains.append(_decibels(min(_error(one, x) for one in filtered), _error(denoise(xt, t), x)))
    return sum(gains) / len(gains)


@torch.no_grad()
def by_size(model: Enlarges, x: Tensor) -> float:
    """A picture (1, 3, H, W) made four times smaller: its posterior mean against bicubic enlargement. The sides are cut
    to multiples of four first."""
    H, W = (n // 4 * 4 for n in x.shape[-2:])
    x = x[..., :H, :W]
    small = F.avg_pool2d(x, 4)
    *_, last = model.enlarge(small, [0], 1)
    plain = F.interpolate(small, scale_factor=4, mode="bicubic", align_corners=False)
    return _decibels(_error(plain, x), _error(last.x, x))


def _error(made: Tensor, true: Tensor) -> float:
    return float((made.clamp(-1, 1).float() - true).square().mean())


def _decibels(plain: float, own: float) -> float:
    """How much smaller the second error is; what both know to the last bit is known well."""
    return float(10 * np.log10(max(plain, 1e-8) / max(own, 1e-8))) if plain > 1e-6 else float("inf")
