"""R-precision: how often a picture's own caption fits it better than captions of other pictures.

It knows embeddings and no network. A tie is never a success by order: equal scores share the first place, so a network
that answers the same to everything gets what guessing gets.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tranh.metrics.interval import Interval, bootstrap, wilson
from tranh.metrics.measured import FEW, Measured, card, enough
from tranh.metrics.network import Network, named
from tranh.types import TranhError

CANDIDATES = 100
"""One true caption and 99 others (Xu et al. 2018)."""

PAPER = "R-precision (Xu et al. 2018), R = 1"
TIE = 1e-9
"""Cosines nearer than this are equal: rounding must not decide."""


def hits(
    images: Tensor, texts: Tensor, captions: Sequence[str], *, candidates: int = CANDIDATES, seed: int = 0
) -> Tensor:
    """For each picture 1 if its caption is first among the candidates, 1/n if n share the first place, else 0.

    Args:
        images, texts: (N, D) embeddings, row by row of one picture and its caption.
        captions: the N captions: the same words are no wrong answer and never a candidate.
        candidates: captions ranked for each picture, its own included; the others are drawn anew for every picture
            from the different captions there are.

    Returns:
        (N,) float64 in [0, 1].

    Raises:
        TranhError: shapes do not agree, or there are fewer different captions than candidates.
    """
    if images.ndim != 2 or images.shape != texts.shape or len(captions) != len(images):
        raise TranhError(
            f"embeddings have shapes {list(images.shape)} and {list(texts.shape)} for {len(captions)} captions; "
            "both must be (N, D), with N captions."
        )
    first = {caption: i for i, caption in reversed(list(enumerate(captions)))}
    different = np.array(sorted(first.values()))  # the row of each caption
    if not 2 <= candidates <= len(different):
        raise TranhError(
            f"{candidates} candidates cannot be drawn from {len(different)} different captions. Use at least two, at "
            "most as many as there are captions, and the same number in whatever is compared."
        )
    images, texts = (F.normalize(x.detach().double().cpu(), dim=1) for x in (images, texts))
    if not (torch.isfinite(images).all() and torch.isfinite(texts).all()):
        raise TranhError("an embedding is NaN or infinite: the pictures or the network are broken.")
    rng = np.random.default_rng(seed)
    place = {row: k for k, row in enumerate(different.tolist())}
    out = torch.empty(len(images), dtype=torch.float64)
    for i, caption in enumerate(captions):
        others = np.delete(different, place[first[caption]])
        drawn = torch.from_numpy(rng.choice(others, candidates - 1, replace=False))
        own, best = images[i] @ texts[i], texts[drawn] @ images[i]
        tied = int((best - own).abs().le(TIE).sum())
        out[i] = 0.0 if bool((best > own + TIE).any()) else 1 / (1 + tied)
    return out


def measure(
    images: Tensor,
    texts: Tensor,
    captions: Sequence[str],
    network: Network,
    *,
    candidates: int = CANDIDATES,
    seed: int = 0,
    allow_few: bool = False,
) -> Measured:
    """The share of hits with interval and card, named after the network. Its floor stands on the card.

    ``shuffled`` of the card is the same with the captions handed to other pictures: what is reached without looking at
    the picture. ``chance`` is one over the candidates.

    Raises:
        TranhError: fewer than 16 pictures and not allowed, or as for ``hits``.
    """
    title, counts = named(network.name, "R-precision"), {"pictures": len(images)}
    notes = enough(title, counts, FEW, "Make more pictures.", allow_few)
    found = hits(images, texts, captions, candidates=candidates, seed=seed)
    floor = hits(images[_moved(len(images), seed)], texts, captions, candidates=candidates, seed=seed)
    settings = {"candidates": candidates, "chance": 1 / candidates, "shuffled": round(float(floor.mean()), 6)}
    how = "bootstrap of pictures, 2000 resamples"
    said = card(PAPER, counts, how, network=network, seed=seed, settings=settings, notes=notes)
    return Measured(title, _interval(found, seed), said)


def _interval(found: Tensor, seed: int) -> Interval:
    if float(found.mean()) in (0.0, 1.0):  # resampling sees no spread here
        return wilson(int(found.sum()), len(found))
    return bootstrap(found.tolist(), seed=seed)


def _moved(count: int, seed: int) -> Tensor:
    """An order in which nobody keeps their place: a random one, each handed the next one's (Sattolo)."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    out = torch.empty_like(order)
    out[order] = order.roll(1)
    return out
