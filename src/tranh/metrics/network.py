"""What pictures are compared in: a frozen network, its name and its hash, which every number it gives carries.

It knows the shape of a feature network and no network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

INCEPTION = "inception"
"""The name of the one network whose numbers may be called FID, KID and IS: the Inception of their papers."""


@dataclass(frozen=True)
class Network:
    """A frozen feature network.

    Attributes:
        name: as numbers are named after it: ``inception`` (the only one a FID may come from), ``verifier-1``.
        hash: names its weights.
        resize: in words, how pictures of any size become those it reads.
        features: pictures (B, 3, H, W) in [-1, 1] of any size -> (B, D) float32 on the CPU.
        probabilities: the same pictures -> (B, K) of its classes, rows sum to 1; None if it has no classes.
        origin: where the weights come from, in words, if that is in question.
    """

    name: str
    hash: str
    resize: str
    features: Callable[[Tensor], Tensor]
    probabilities: Callable[[Tensor], Tensor] | None = None
    origin: str = ""


def named(network: str, measure: str, of_inception: str | None = None) -> str:
    """What a number is called: ``FD-verifier-1``, or ``FID`` if the network is the Inception of the paper."""
    return of_inception if of_inception and network == INCEPTION else f"{measure}-{network}"
