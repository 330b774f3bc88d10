"""Frechet distance between two sets of pictures, in the feature space of some network, in double precision.

It knows features and no network: the number is named after the network by ``name``. Only the Inception network of its
paper gives a FID, so nothing here is called that.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tranh.types import TranhError


def name(network: str) -> str:
    """What the distance in a network's features is called: ``FD-verifier``."""
    return f"FD-{network}"


def frechet(a: Tensor, b: Tensor) -> float:
    """|m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)), the distance of two Gaussians (Heusel et al. 2017).

    Args:
        a, b: (N, D) and (M, D) features; more pictures than dimensions, or the covariances are singular.

    Raises:
        TranhError: shapes do not agree, a value is not finite, or there are too few pictures.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise TranhError(f"features have shapes {list(a.shape)} and {list(b.shape)}; both must be (pictures, D).")
    if min(len(a), len(b)) <= a.shape[1]:
        raise TranhError(
            f"{len(a)} and {len(b)} pictures are too few for {a.shape[1]} features: the covariance would be singular "
            f"and the distance meaningless. Use more than {a.shape[1]} pictures on each side."
        )
    m_a, C_a = _moments(a)
    m_b, C_b = _moments(b)
    # tr (C_a C_b)^(1/2) = tr (R C_b R)^(1/2) with R = C_a^(1/2): symmetric, so no complex roots to throw away.
    values, vectors = torch.linalg.eigh(C_a)
    R = (vectors * values.clamp_min(0).sqrt()) @ vectors.T  # (D, D)
    cross = torch.linalg.eigvalsh(R @ C_b @ R).clamp_min(0).sqrt().sum()
    distance = (m_a - m_b).square().sum() + C_a.trace() + C_b.trace() - 2 * cross
    return max(0.0, float(distance))


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (D,) and unbiased covariance (D, D) in float64."""
    x = x.detach().double().cpu()
    if not torch.isfinite(x).all():
        raise TranhError("a feature is NaN or infinite: the pictures or the network are broken.")
    return x.mean(0), torch.cov(x.T).reshape(x.shape[1], x.shape[1])
