"""Sweeps along principal components of embeddings: what a space orders its pictures by (Ramesh et al. 2022, section 3).

It knows no family and no pictures, only where embeddings lie.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from tranh.types import TranhError

FEWEST = 8
"""Embeddings that directions are looked for in."""


@dataclass(frozen=True)
class Components:
    """Directions in which embeddings vary, the strongest first.

    Attributes:
        directions: (K, D), rows of unit length; spread: the standard deviation along each, (K,).
    """

    directions: Tensor
    spread: Tensor


def components(embeddings: Tensor) -> Components:
    """Principal components of embeddings (N, D).

    Of the two possible signs that is taken whose largest entry is positive.

    Raises:
        TranhError: too few embeddings.
    """
    if len(embeddings) < FEWEST:
        raise TranhError(f"{len(embeddings)} pictures are given; principal components need at least {FEWEST}")
    x = embeddings.double() - embeddings.double().mean(0)
    _, values, rows = torch.linalg.svd(x, full_matrices=False)
    largest = rows.gather(1, rows.abs().argmax(1, keepdim=True))
    return Components((rows * largest.sign()).float(), (values / len(x) ** 0.5).float())


def sweep(embedding: Tensor, found: Components, component: int, amounts: Sequence[float]) -> Tensor:
    """One embedding (1, D) moved along a component, by so many standard deviations; (len(amounts), D), unit length.

    Args:
        component: from 1.

    Raises:
        TranhError: there is no such component.
    """
    if not 1 <= component <= len(found.directions):
        raise TranhError(f"component is {component}; allowed: 1 to {len(found.directions)}")
    return slide(embedding, found.spread[component - 1] * found.directions[component - 1], amounts)


def slide(embedding: Tensor, along: Tensor, amounts: Sequence[float]) -> Tensor:
    """One embedding (1, D) moved along a direction (D,) by some multiples of it; (len(amounts), D), unit length."""
    return F.normalize(embedding + torch.tensor(list(amounts))[:, None] * along, dim=-1)
