"""How much the pictures of one prompt differ: mean distance over all pairs of its samples.

High is not good by itself (noise differs most); it is read beside a share of right pictures and beside ``between``, the
distance of pictures of different prompts.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tranh.metrics.interval import bootstrap
from tranh.metrics.measured import FEW, Measured, card, enough
from tranh.metrics.network import Network, named
from tranh.types import TranhError


def within(features: Tensor) -> Tensor:
    """Mean pairwise distance among the samples of each prompt.

    Args:
        features: (P, K, D), K >= 2 samples of P prompts.

    Returns:
        (P,) float64.

    Raises:
        TranhError: fewer than two samples per prompt.
    """
    if features.ndim != 3 or features.shape[1] < 2:
        raise TranhError(f"features have shape {list(features.shape)}; diversity needs (prompts, samples >= 2, D).")
    features = features.detach().double()
    K = features.shape[1]
    total = torch.stack([torch.cdist(f, f, compute_mode="donot_use_mm_for_euclid_dist").sum() for f in features])
    return total / (K * (K - 1))


def between(features: Tensor) -> float:
    """Mean distance between pictures of different prompts: the scale ``within`` is read on.

    Args:
        features: (P, K, D), P >= 2.

    Raises:
        TranhError: fewer than two prompts.
    """
    if features.ndim != 3 or features.shape[0] < 2:
        raise TranhError(f"features have shape {list(features.shape)}; a comparison of prompts needs at least two.")
    P, K, _ = features.shape
    flat = features.detach().double().flatten(0, 1)
    d = torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist").reshape(P, K, P, K).mean((1, 3))  # (P, P)
    return float((d.sum() - d.trace()) / (P * (P - 1)))


def pixels(images: Tensor) -> Tensor:
    """Mean root-mean-square difference of pixels among the samples of each prompt, as a share of full scale.

    Args:
        images: (P, K, C, H, W) in [-1, 1], K >= 2.

    Returns:
        (P,) float64 in [0, 1].

    Raises:
        TranhError: fewer than two samples per prompt.
    """
    flat = images.flatten(2)  # (P, K, C H W)
    return within(flat) / (2 * flat.shape[2] ** 0.5)


def measure(features: Tensor, network: Network, *, seed: int = 0, allow_few: bool = False) -> Measured:
    """Mean distance among the samples of a prompt, with interval and card, named after the network.

    ``between`` of the card is the distance of pictures of different prompts, the scale to read it on.

    Args:
        features: (P, K, D), K >= 2 samples of P prompts.

    Raises:
        TranhError: fewer than 16 prompts and not allowed, or as for ``within``.
    """
    found = within(features)
    P, K = features.shape[:2]
    title = named(network.name, "diversity")
    notes = enough(title, {"prompts": P}, FEW, "Draw samples of more prompts.", allow_few)
    settings = {"samples of each prompt": K, "between": round(between(features), 6)}
    how = "bootstrap of prompts, 2000 resamples"
    paper = "mean distance of pairs of samples of one prompt"
    said = card(paper, {"prompts": P}, how, network=network, seed=seed, settings=settings, notes=notes)
    return Measured(title, bootstrap(found.tolist(), seed=seed), said, "neither")
