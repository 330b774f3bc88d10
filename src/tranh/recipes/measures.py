"""All measures of two sets of pictures that can be had, and for those that cannot the reason.

It knows pictures, a feature network and the measures; not who made the pictures or what was asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tranh.metrics import diversity, frechet, inception_score, kernel, neighbours
from tranh.metrics.measured import Measured, Refused
from tranh.metrics.network import Network, named
from tranh.metrics.statistics import Statistics
from tranh.types import TranhError


def measure_sets(
    real: Tensor | Statistics,
    made: Tensor,
    network: Network,
    *,
    samples: int = 1,
    seed: int = 0,
    allow_few: bool = False,
) -> list[Measured | Refused]:
    """Distances, shares of neighbours, Inception score and, of prompts drawn several times, diversity.

    Args:
        real: true pictures (N, 3, H, W) in [-1, 1], or the statistics of a reference set.
        made: generated pictures (M, 3, H, W); samples of one prompt lie side by side.
        samples: pictures made of each prompt.
        allow_few: give numbers of too few pictures, with a warning on their cards.

    Raises:
        TranhError: the statistics are those of another network, or ``made`` does not divide into prompts.
    """
    if samples < 1 or len(made) % samples:
        raise TranhError(
            f"{len(made)} pictures cannot be {samples} samples of each prompt; give the number made of each."
        )
    if isinstance(real, Statistics):
        real.check(network)
        kept = real.sample
        distribution = kept if real.whole else real.moments
    else:
        kept = distribution = network.features(real)
    features = network.features(made)
    found: list[Measured | Refused] = []

    def tried(names: Sequence[str], measure: Callable[[], Sequence[Measured]]) -> None:
        try:
            found.extend(measure())
        except TranhError as refused:
            found.extend(Refused(name, str(refused)) for name in names)

    def distances() -> list[Measured]:
        first = frechet.measure(distribution, features, network, seed=seed, allow_few=allow_few)
        return [first] if first.card.notes else [first, frechet.extrapolated(first)]

    def score() -> list[Measured]:
        if network.probabilities is None:
            raise TranhError(f"{network.name} has no classes to be sure of; the Inception score needs a classifier.")
        classes = network.probabilities(made[:1]).shape[1]
        inception_score.check(len(made), classes, network, allow_few=allow_few)
        probabilities = network.probabilities(made)
        return [inception_score.measure(probabilities, network, seed=seed, allow_few=allow_few)]

    tried([frechet.name(network.name)], distances)
    tried(
        [kernel.name(network.name)],
        lambda: [kernel.measure(kept, features, network, seed=seed, allow_few=allow_few)],
    )
    tried(
        [named(network.name, what) for what in neighbours.PAPERS],
        lambda: neighbours.measure(kept, features, network, seed=seed, allow_few=allow_few),
    )
    tried([inception_score.name(network.name)], score)
    if samples > 1:
        tried(
            [named(network.name, "diversity")],
            lambda: [diversity.measure(features.unflatten(0, (-1, samples)), network, seed=seed, allow_few=allow_few)],
        )
    return found


def floor(real: Tensor, network: Network, *, seed: int = 0, allow_few: bool = False) -> list[Measured | Refused]:
    """The same of true pictures against other true ones, half against half: what a perfect system would get."""
    order = torch.randperm(len(real), generator=torch.Generator().manual_seed(seed))
    half = len(real) // 2
    return measure_sets(real[order[:half]], real[order[half : 2 * half]], network, seed=seed, allow_few=allow_few)
