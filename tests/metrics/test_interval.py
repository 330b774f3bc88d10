import numpy as np
import pytest

from tranh.metrics.interval import bootstrap, difference, paired, wilson
from tranh.types import TranhError


def test_wilson_is_the_root_of_its_equation():
    z = 1.959963984540054
    for right, total in ((3, 10), (50, 100), (999, 1000)):
        found = wilson(right, total)
        for p in (found.low, found.high):
            assert (right / total - p) ** 2 == pytest.approx(z * z * p * (1 - p) / total)
        assert found.low < found.value < found.high


def test_wilson_at_the_ends():
    assert wilson(0, 20).low == 0 and 0 < wilson(0, 20).high < 0.2
    assert wilson(20, 20).high == 1 and 0.8 < wilson(20, 20).low < 1


def test_bootstrap_of_a_mean_has_the_width_of_the_central_limit():
    values = np.random.default_rng(1).normal(3, 2, 900)
    found = bootstrap(values)
    assert found.value == pytest.approx(values.mean())
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / 30, rel=0.08)
    assert bootstrap(values) == found != bootstrap(values, seed=1)


def test_facts_of_one_picture_stand_or_fall_together():
    asked = [10.0] * 100
    right = [10.0] * 50 + [0.0] * 50
    found = bootstrap(right, asked)
    assert found.value == 0.5
    assert found.high - found.low > 1.8 * (wilson(500, 1000).high - wilson(500, 1000).low)


def test_pairs_are_surer_than_strangers():
    rng = np.random.default_rng(0)
    a = rng.normal(0, 1, 400)
    b = a + 0.1 + rng.normal(0, 0.05, 400)
    together, apart = paired(a, b), difference((a, None), (b, None))
    assert together.value == pytest.approx(apart.value)
    assert together.low > 0.09 and together.high - together.low < 0.2 * (apart.high - apart.low)


def test_refuses_what_has_no_interval():
    for wrong in (lambda: wilson(0, 0), lambda: wilson(3, 2), lambda: bootstrap([1.0]), lambda: paired([1, 2], [1])):
        with pytest.raises(TranhError):
            wrong()
    with pytest.raises(TranhError, match="weights"):
        bootstrap([1.0, 2.0], [0.0, 0.0])
