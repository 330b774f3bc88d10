"""CLIP score: how well pictures fit their captions in the eyes of a CLIP, as the cosine of their embeddings.

It knows embeddings and no CLIP. Scored by the very CLIP that conditioned the pictures it is circular; who the judge is
stands on the card, whether it is independent is for the caller to say.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from tranh.metrics.interval import Interval, bootstrap
from tranh.metrics.measured import FEW, Measured, card, enough
from tranh.metrics.network import Network, named
from tranh.types import TranhError

PAPER = "CLIP score (Hessel et al. 2021), 100 cos, as in torchmetrics"


def clip_score(images: Tensor, texts: Tensor) -> Tensor:
    """100 cos(image, its caption), (N,) float64 in [-100, 100].

    Args:
        images, texts: (N, D) embeddings, row by row of one picture and its caption; of any length.

    Raises:
        TranhError: shapes do not agree or a value is not finite.
    """
    if images.ndim != 2 or images.shape != texts.shape:
        raise TranhError(f"embeddings have shapes {list(images.shape)} and {list(texts.shape)}; both must be (N, D).")
    out = 100 * F.cosine_similarity(images.detach().double().cpu(), texts.detach().double().cpu(), eps=1e-12)
    if not torch.isfinite(out).all():
        raise TranhError("an embedding is NaN or infinite: the pictures or the network are broken.")
    return out


def measure(images: Tensor, texts: Tensor, network: Network, *, seed: int = 0, allow_few: bool = False) -> Measured:
    """The mean over pictures, at least 0, with interval and card, named after the CLIP.

    Raises:
        TranhError: fewer than 16 pictures and not allowed, or as for ``clip_score``.
    """
    title, counts = named(network.name, "CLIP score"), {"pictures": len(images)}
    notes = enough(title, counts, FEW, "Make more pictures.", allow_few)
    found = bootstrap(clip_score(images, texts).tolist(), seed=seed)
    interval = Interval(max(0.0, found.value), max(0.0, found.low), max(0.0, found.high), found.count)
    how = "bootstrap of pictures, 2000 resamples"
    return Measured(title, interval, card(PAPER, counts, how, network=network, seed=seed, notes=notes))
