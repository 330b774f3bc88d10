"""Intervals of distances and shares cover what they promise: Gaussians whose distance is known, drawn many times."""

import numpy as np
import pytest
import torch
from metric_toys import network, normal

from tranh.metrics import frechet, inception_score, kernel, neighbours
from tranh.metrics.frechet import extrapolated
from tranh.metrics.interval import halves, influenced, spread
from tranh.metrics.statistics import moments
from tranh.types import TranhError

TIMES = 60
"""Of 60 intervals of 95 %, at least 53 hold the truth in all but one of 150 series."""


def covered(found, truth):
    return sum(one.interval.low <= truth <= one.interval.high for one in found)


def gaussians(n, d, shift, scale, seed):
    stds = torch.logspace(0, -1, d, dtype=torch.float64)
    return normal(n, d, seed) * stds, normal(n, d, seed + 10_000) * stds * scale + shift


def true_distance(d, shift, scale):
    stds = torch.logspace(0, -1, d, dtype=torch.float64)
    return float(d * shift**2 + ((scale - 1) * stds).square().sum())


@pytest.mark.parametrize(("n", "shift", "scale"), [(80, 0.1, 1.2), (300, 0.05, 1.0)])
def test_frechet_extrapolated_covers_the_known_distance(n, shift, scale):
    net, d = network(), 16
    first = [frechet.measure(*gaussians(n, d, shift, scale, seed), net, seed=seed) for seed in range(TIMES)]
    truth = true_distance(d, shift, scale)
    assert covered([extrapolated(one) for one in first], truth) >= 53
    mean = float(np.mean([one.value for one in first]))
    assert mean > 1.2 * truth  # so few pictures make it too large,
    assert covered(first, mean) >= 53  # its interval is where other such pictures would put it,
    assert np.mean([one.bias for one in first]) == pytest.approx(mean - truth, rel=0.2)  # and the bias is told


def test_frechet_of_many_pictures_covers_the_known_distance():
    found = [frechet.measure(*gaussians(1000, 4, 0.5, 1.3, seed), network()) for seed in range(TIMES)]
    assert covered(found, true_distance(4, 0.5, 1.3)) >= 53


def test_the_interval_is_no_wider_than_it_must_be():
    found = [frechet.measure(*gaussians(400, 4, 0.5, 1.3, seed), network()) for seed in range(TIMES)]
    width = np.mean([one.interval.high - one.interval.low for one in found])
    assert width == pytest.approx(2 * 1.96 * np.std([one.value for one in found]), rel=0.3)


def test_a_reference_of_moments_is_taken_as_exact():
    real, made = gaussians(500, 6, 0.3, 1.1, 0)
    both, one = (frechet.measure(x, made, network()) for x in (real, moments(real)))
    assert one.value == pytest.approx(both.value, rel=1e-9)
    assert one.interval.high - one.interval.low < both.interval.high - both.interval.low
    assert "exact" in one.card.settings["reference"] and one.card.counts == {"real": 500, "made": 500}


def test_kernel_distance_has_no_bias_and_covers():
    # For x ~ N(0, I), y ~ N(m, I), D = 2, m = (s, s): E (x x'/2 + 1)^3 written out in moments of the products.
    shift, d = 0.5, 2
    found = [kernel.measure(normal(120, d, s), normal(120, d, s + 500, mean=shift), network()) for s in range(TIMES)]

    def expected(a, b):  # means of the two, unit covariances: t = x y / D has E t, E t^2, E t^3 in closed form
        m = a * b  # per coordinate E x y
        second = (1 + a * a) * (1 + b * b)
        third = (a**3 + 3 * a) * (b**3 + 3 * b)
        e1 = d * m / d
        e2 = (d * second + d * (d - 1) * m * m) / d**2
        e3 = (d * third + 3 * d * (d - 1) * second * m) / d**3  # two coordinates
        return e3 + 3 * e2 + 3 * e1 + 1

    truth = expected(0, 0) + expected(shift, shift) - 2 * expected(0, shift)
    assert covered(found, truth) >= 53
    assert np.mean([one.value for one in found]) == pytest.approx(truth, rel=0.15)


def test_shares_of_neighbours_cover_their_mean():
    net = network()
    found = [
        neighbours.measure(normal(120, 3, s), normal(120, 3, s + 500, mean=0.4, std=0.8), net, seed=s)
        for s in range(30)
    ]
    for what in range(4):
        mean = float(np.mean([one[what].value for one in found]))
        assert covered([one[what] for one in found], mean) >= 26, found[0][what].name


def test_inception_score_covers_its_mean():
    net = network()
    found = [inception_score.measure((3 * normal(200, 5, s)).softmax(1), net) for s in range(TIMES)]
    assert covered(found, float(np.mean([one.value for one in found]))) >= 53
    assert found[0].interval.low >= 1 and found[0].interval.high <= 5


def test_influences_and_halves():
    x = np.arange(40.0)
    assert influenced(19.5, x).low == influenced(19.5, x + 7).low  # the mean of influences does not matter
    half = list(halves([9, 20], rounds=3, seed=1))
    assert len(half) == 6 and all(len(a) == 4 and len(b) == 10 for a, b in half)
    assert not set(half[0][0]) & set(half[1][0])  # the two halves of a split share nobody
    assert [a.tolist() for a, _ in half] == [a.tolist() for a, _ in halves([9, 20], rounds=3, seed=1)]
    means = [x[a].mean() for (a,) in halves([40], rounds=200)]
    assert np.std(means) == pytest.approx(x.std(ddof=1) / 40**0.5, rel=0.15)  # as far as whole means would spread
    assert spread(2.0, [1.0, 3.0], 5).low == pytest.approx(2 - 1.96, abs=1e-3)
    with pytest.raises(TranhError, match="at least two"):
        influenced(0.0, np.zeros(1))
