"""Frechet distance between two sets of pictures, in the feature space of some network, in double precision.

It knows features and no network: the number is named after the network. Only the Inception network of its paper gives
a FID; everything else is a FD with the network's name.
"""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean

import torch
from torch import Tensor

from tranh.metrics.interval import Interval, halves, influenced, spread
from tranh.metrics.measured import Measured, card, enough
from tranh.metrics.network import Network, named
from tranh.metrics.statistics import Moments, moments
from tranh.types import TranhError

PAPER = "Frechet distance (Heusel et al. 2017)"
INSTEAD = "Make more pictures, or measure the kernel distance (metrics/kernel.py): it has no bias and works from 100."
SPLITS = 4
"""Random splits into halves that the bias is estimated from."""


def name(network: str) -> str:
    """What the distance in a network's features is called: ``FD-verifier``; ``FID`` for ``inception`` alone."""
    return named(network, "FD", "FID")


def frechet(a: Tensor, b: Tensor) -> float:
    """|m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)), the distance of two Gaussians (Heusel et al. 2017).

    Args:
        a, b: (N, D) and (M, D) features; more pictures than dimensions, or the covariances are singular.

    Raises:
        TranhError: shapes do not agree, a value is not finite, or there are too few pictures.
    """
    _agree(a, b)
    if min(len(a), len(b)) <= a.shape[1]:
        raise TranhError(
            f"{len(a)} and {len(b)} pictures are too few for {a.shape[1]} features: the covariance would be singular "
            f"and the distance meaningless. Use more than {a.shape[1]} pictures on each side."
        )
    return distance(moments(a), moments(b))


def distance(a: Moments, b: Moments) -> float:
    """The same of means and covariances, singular ones too."""
    # tr (C_a C_b)^(1/2) = tr (L^T C_b L)^(1/2) with C_a = L L^T: symmetric, so no complex roots to throw away.
    L = _factor(a.covariance)
    return _joined(a, b, torch.linalg.eigvalsh(L.T @ b.covariance @ L))


def measure(
    real: Tensor | Moments, made: Tensor, network: Network, *, seed: int = 0, allow_few: bool = False
) -> Measured:
    """The distance with interval and card, and how much of it comes from having so few pictures.

    The interval is where the same numbers of other pictures would put it. As the bias depends on the numbers, compare
    only at equal numbers of pictures, or compare ``extrapolated``.

    Args:
        real: (N, D) features, or the moments of a reference, which then count as exact.
        made: (M, D) features.
        allow_few: give a number, with a warning on its card, where there are fewer than 2 D pictures.

    Raises:
        TranhError: fewer than 2 D pictures on a side and not allowed, shapes that do not agree, a value not finite.
    """
    title = name(network.name)
    notes, counts = _checked(title, real, made, allow_few)
    if notes:
        value = _distance_of(real, made)
        parts = [_distance_of(*half) for half in _halved(real, made, seed, rounds=10)]
        interval, how = spread(value, parts, min(counts.values())), "spread of the values on 20 random halves"
    else:
        interval, how = _linear(real, made, seed)
        parts = [_distance_of(*half) for half in _halved(real, made, seed, SPLITS)]
    interval = Interval(interval.value, max(0.0, interval.low), interval.high, interval.count)
    settings = {"reference": "moments of all its pictures, taken as exact"} if isinstance(real, Moments) else {}
    said = card(PAPER, counts, how, network=network, seed=seed, settings=settings, notes=notes)
    return Measured(title, interval, said, "lower", fmean(parts) - interval.value)


def extrapolated(found: Measured) -> Measured:
    """What a measured distance tends to with ever more pictures (Chong and Forsyth 2020), named ``FD∞-verifier-1``.

    The bias goes like one over the number of pictures: what it gains when the sets are halved is what is still in it.

    Raises:
        TranhError: it was measured on too few pictures, where the law does not hold.
    """
    if found.bias is None or found.card.notes:
        raise TranhError(f"{found.name} was measured on too few pictures to be extrapolated. {INSTEAD}")
    value, low, high = (max(0.0, x - found.bias) for x in (found.value, found.interval.low, found.interval.high))
    how = f"{found.card.implementation}, extrapolated to infinitely many pictures (Chong and Forsyth 2020) from halves"
    title = found.name[:2] + "∞" + found.name[2:] if found.name.startswith("FD") else f"{found.name}∞"
    interval = Interval(value, low, high, found.interval.count)
    return Measured(title, interval, replace(found.card, implementation=how), "lower")


def _agree(real: Tensor | Moments, made: Tensor) -> None:
    shape = list(real.mean.shape) if isinstance(real, Moments) else list(real.shape)
    if made.ndim != 2 or shape[-1:] != [made.shape[1]] or (isinstance(real, Tensor) and real.ndim != 2):
        raise TranhError(f"features have shapes {shape} and {list(made.shape)}; both must be (pictures, D).")


def _checked(
    title: str, real: Tensor | Moments, made: Tensor, allow_few: bool
) -> tuple[tuple[str, ...], dict[str, int]]:
    """The notes of the card, and the counts."""
    _agree(real, made)
    counts = {"real": real.count if isinstance(real, Moments) else len(real), "made": len(made)}
    if min(counts.values()) < 4:
        raise TranhError(f"{counts['real']} real and {counts['made']} made pictures: {title} needs at least 4 of each.")
    return enough(title, counts, 2 * made.shape[1], INSTEAD, allow_few), counts


def _halved(real: Tensor | Moments, made: Tensor, seed: int, rounds: int) -> list[tuple[Tensor | Moments, Tensor]]:
    """Random halves of both sets; a reference known by its moments alone stays whole."""
    if isinstance(real, Moments):
        return [(real, made[torch.from_numpy(m)]) for (m,) in halves([len(made)], rounds=rounds, seed=seed)]
    pairs = halves([len(real), len(made)], rounds=rounds, seed=seed)
    return [(real[torch.from_numpy(r)], made[torch.from_numpy(m)]) for r, m in pairs]


def _distance_of(real: Tensor | Moments, made: Tensor) -> float:
    a = real if isinstance(real, Moments) else moments(real)
    b = moments(made)
    if len(made) > made.shape[1]:
        return distance(a, b)
    # Fewer pictures than dimensions: C_a C_b has the eigenvalues of Y C_a Y^T / (M - 1), which is only (M, M).
    Y = made.detach().double().cpu() - b.mean
    return _joined(a, b, torch.linalg.eigvalsh(Y @ a.covariance @ Y.T / (len(Y) - 1)))


def _joined(a: Moments, b: Moments, eigenvalues: Tensor) -> float:
    cross = eigenvalues.clamp_min(0).sqrt().sum()
    parts = (a.mean - b.mean).square().sum() + a.covariance.trace() + b.covariance.trace()
    return max(0.0, float(parts - 2 * cross))


def _factor(C: Tensor) -> Tensor:
    """L (D, D) with L L^T = C."""
    L, failed = torch.linalg.cholesky_ex(C)
    if not failed:
        return L
    values, vectors = torch.linalg.eigh(C)  # singular: Cholesky has no pivot to divide by
    return vectors * values.clamp_min(0).sqrt()


def _linear(real: Tensor | Moments, made: Tensor, seed: int) -> tuple[Interval, str]:
    """The distance and its bootstrap interval through the influence of each picture.

    The derivative of the distance by C_a is I - T, with T the optimal transport map from a to b (T C_a T = C_b): a
    picture x of a changes the distance by 2 (m_a - m_b)(x - m_a) + (x - m_a)(I - T)(x - m_a), up to a constant.
    """
    a, b = real if isinstance(real, Moments) else moments(real), moments(made)
    values, vectors = torch.linalg.eigh(a.covariance)
    values = values.clamp_min(values[-1] * 1e-12)
    R, R_inverse = (vectors * values.sqrt()) @ vectors.T, (vectors * values.rsqrt()) @ vectors.T
    inner, turned = torch.linalg.eigh(R @ b.covariance @ R)
    kept = inner.clamp_min(inner[-1] * 1e-12)
    there = R_inverse @ (turned * kept.sqrt()) @ turned.T @ R_inverse  # T from a to b
    back = R @ (turned * kept.rsqrt()) @ turned.T @ R  # and from b to a
    sides = [_influence(made, b.mean, a.mean, back)]
    if isinstance(real, Tensor):
        sides.append(_influence(real, a.mean, b.mean, there))
    interval = influenced(_joined(a, b, inner), *(side.numpy() for side in sides), seed=seed)
    return interval, "bootstrap of each picture's influence, 2000 resamples"


def _influence(x: Tensor, mean: Tensor, other: Tensor, T: Tensor) -> Tensor:
    """(N,) what each picture of x (N, D) adds to the distance, up to a constant."""
    x = x.detach().double().cpu() - mean
    return 2 * x @ (mean - other) + (x.square() - (x @ T) * x).sum(1)
