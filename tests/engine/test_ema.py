import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tranh.engine.ema import Averages, beta_of, choose, gamma_of
from tranh.types import TranhError


@given(st.floats(0.01, 0.28))
def test_gamma_is_the_root_of_the_papers_cubic(sigma):
    t = sigma**-2  # Algorithm 2 of arXiv 2312.02696
    assert gamma_of(sigma) == pytest.approx(np.roots([1, 7, 16 - t, 12 - t]).real.max(), rel=1e-6, abs=1e-6)


def test_known_widths():
    assert gamma_of(0.05) == pytest.approx(16.97, abs=0.01) and gamma_of(0.10) == pytest.approx(6.94, abs=0.01)


@pytest.mark.parametrize("sigma", [0.0, -0.1, 0.3, float("nan")])
def test_impossible_width(sigma):
    with pytest.raises(TranhError, match=r"\(0, 0.28\]"):
        gamma_of(sigma)


@pytest.mark.parametrize("sigma", [0.05, 0.15, 0.25])
def test_profile_is_a_power_of_time(sigma):
    """Fed with one-hot weights, the average is its own profile: proportional to t^gamma, of relative width sigma."""
    n = 400
    module = nn.Linear(n, 1, bias=False)
    averages = Averages(module, [sigma])
    for t in range(1, n + 1):
        module.weight.data.zero_()
        module.weight.data[0, t - 1] = 1.0
        averages.update(t)
    (track,) = averages.tracks.values()
    profile = track[0][0].double()
    assert profile.sum() == pytest.approx(1.0, abs=1e-4)
    # product of the betas after t, times (1 - beta_t): in closed form
    gamma, time = gamma_of(sigma), torch.arange(1, n + 1).double()
    closed = (1 - (1 - 1 / time) ** (gamma + 1)) * (time / n) ** (gamma + 1)
    assert torch.allclose(profile, closed, rtol=1e-3, atol=1e-7)
    mean = (profile * time).sum()
    width = ((profile * (time - mean) ** 2).sum()).sqrt() / n
    assert width == pytest.approx(sigma, rel=0.02)


def test_first_update_forgets_the_start():
    assert beta_of(1, 7.0) == 0.0 and beta_of(2, 0.0) == 0.5


def test_frozen_parameters_are_left_out_and_state_returns():
    module = nn.Linear(3, 2)
    module.bias.requires_grad_(False)
    averages = Averages(module, [0.1])
    assert averages.names == ["weight"]
    kept = {"weight": torch.randn(2, 3)}
    averages.load("0.100", kept)
    assert torch.equal(averages.tensors("0.100")["weight"], kept["weight"])
    with pytest.raises(TranhError, match="other weights"):
        averages.load("0.100", {"other": torch.zeros(1)})


def test_choice_swaps_and_restores():
    module = nn.Linear(1, 1, bias=False)
    module.weight.data.fill_(4.0)
    averages = Averages(module, [0.05, 0.15])
    averages.load("0.050", {"weight": torch.tensor([[2.0]])})
    averages.load("0.150", {"weight": torch.tensor([[3.0]])})
    best, scores = choose(averages, lambda: abs(module.weight.item() - 2.2))
    assert best == "0.050" and scores == pytest.approx({"raw": 1.8, "0.050": 0.2, "0.150": 0.8})
    assert module.weight.item() == 4.0
    assert choose(averages, lambda: math.nan)[0] is None
    with pytest.raises(ZeroDivisionError), averages.swapped("0.050"):
        raise ZeroDivisionError
    assert module.weight.item() == 4.0
