import numpy as np
import pytest
import torch

from tranh.metrics import codebook
from tranh.nn.quantise import perplexity, usage
from tranh.types import TranhError


def drawn(B, seed, count=40, N=16):
    """Codes of which some are rare."""
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.choice(count, (B, N), p=rng.dirichlet(0.5 * np.ones(count))))


def test_the_numbers_are_those_of_the_log():
    codes = drawn(60, 0)
    used, even = codebook.measure(codes, 40)
    assert used.value == pytest.approx(float(usage(codes, 40))) and even.value == pytest.approx(
        float(perplexity(codes, 40)), rel=1e-5
    )
    assert even.interval.low < even.value < even.interval.high and used.interval.low <= used.value
    assert even.card.counts == {"pictures": 60} and even.card.settings["codes"] == 40


def test_the_interval_is_as_wide_as_other_sets_spread():
    rng = np.random.default_rng(1)
    p = rng.dirichlet(np.ones(20))
    sets = [torch.from_numpy(rng.choice(20, (50, 8), p=p)) for _ in range(200)]
    values = np.std([float(perplexity(codes, 20)) for codes in sets])
    widths = [m.interval.high - m.interval.low for m in (codebook.measure(codes, 20)[1] for codes in sets[:10])]
    assert 0.7 < np.mean(widths) / (2 * 1.96 * values) < 1.4


def test_a_collapsed_codebook_is_seen():
    used, even = codebook.measure(torch.full((20, 4), 3), 64)
    assert used.value == 1 / 64 and even.value == pytest.approx(1)


@pytest.mark.parametrize(
    ("codes", "says"),
    [
        (torch.zeros(3, 4, dtype=torch.long), "3 pictures"),
        (torch.full((20, 4), 8), "0 to 7"),
        (torch.rand(20, 4), "whole numbers"),
    ],
)
def test_refusals(codes, says):
    with pytest.raises(TranhError, match=says):
        codebook.measure(codes, 8)
