"""Averages of the weights along training, and the choice among them afterwards.

Power-function profiles (Karras et al. 2024, arXiv 2312.02696): an average whose memory is a fixed share of the
training so far, so one width serves any length. It does not know what the weights are for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from tranh.types import TranhError

LARGEST = 0.28  # sigma_rel of gamma = 0, the plain average, is 1/sqrt(12) = 0.2887


def gamma_of(sigma_rel: float) -> float:
    """Exponent of the profile t^gamma whose standard deviation is ``sigma_rel`` of the training (their eq. 126).

    Solves sigma_rel^2 = (gamma + 1) / ((gamma + 2)^2 (gamma + 3)) by bisection; the right side falls with gamma >= 0.

    Raises:
        TranhError: ``sigma_rel`` is not in (0, 0.28].
    """
    if not 0.0 < sigma_rel <= LARGEST:
        raise TranhError(
            f"an average of width {sigma_rel} was asked; ema takes shares in (0, {LARGEST}], such as 0.05."
        )
    low, high = 0.0, 2.0 / sigma_rel  # sigma_rel < 1 / gamma for every gamma > 0
    for _ in range(200):
        middle = (low + high) / 2
        width = math.sqrt((middle + 1) / (middle + 3)) / (middle + 2)
        low, high = (middle, high) if width > sigma_rel else (low, middle)
    return (low + high) / 2


def beta_of(t: int, gamma: float) -> float:
    """What the average keeps of itself at update t = 1, 2, ...: (1 - 1/t)^(gamma + 1). At t = 1 it keeps nothing."""
    return float((1.0 - 1.0 / t) ** (gamma + 1.0))


def label(sigma_rel: float) -> str:
    """Name of a track, as in ``ema/0.050.safetensors``."""
    return f"{sigma_rel:.3f}"


class Averages:
    """One fp32 average of a module's trainable parameters per width.

    Args:
        module: the weights in training.
        widths: ``Stage.ema``.
    """

    def __init__(self, module: nn.Module, widths: Sequence[float]) -> None:
        # Frozen parameters are left out: they equal their average.
        named = [(n, p) for n, p in module.named_parameters() if p.requires_grad]
        self.names = [n for n, _ in named]
        self.params = [p.detach() for _, p in named]
        self.gammas = {label(w): gamma_of(w) for w in widths}
        self.tracks = {k: [p.float().clone() for p in self.params] for k in self.gammas}

    @torch.no_grad()
    def update(self, t: int) -> None:
        """Take in the weights after update ``t`` (from 1)."""
        for key, track in self.tracks.items():
            torch._foreach_lerp_(track, self.params, 1.0 - beta_of(t, self.gammas[key]))

    def tensors(self, key: str) -> dict[str, Tensor]:
        """A track by parameter name, not copied."""
        return dict(zip(self.names, self.tracks[key], strict=True))

    def load(self, key: str, tensors: Mapping[str, Tensor]) -> None:
        """Restore a track, bit for bit.

        Raises:
            TranhError: it has other names.
        """
        if set(tensors) != set(self.names):
            raise TranhError(f"average {key} belongs to other weights: resume with the recipe the run began with.")
        for name, track in zip(self.names, self.tracks[key], strict=True):
            track.copy_(tensors[name])

    @contextmanager
    def swapped(self, key: str | None) -> Iterator[None]:
        """The module carries a track's weights inside the block, its own again after it. None changes nothing."""
        if key is None:
            yield
            return
        kept = [p.clone() for p in self.params]
        with torch.no_grad():
            torch._foreach_copy_(self.params, self.tracks[key])
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(self.params, kept)


def choose(averages: Averages, score: Callable[[], float]) -> tuple[str | None, dict[str, float]]:
    """Score the raw weights and every track, lower is better.

    Returns:
        The best track (None for the raw weights; a score that is not finite never wins) and all scores by name.
    """
    keys: list[str | None] = [None, *averages.tracks]
    scores: dict[str, float] = {}
    for key in keys:
        with averages.swapped(key):
            scores[key or "raw"] = float(score())
    best = min(keys, key=lambda k: scores[k or "raw"] if math.isfinite(scores[k or "raw"]) else math.inf)
    return best, scores
