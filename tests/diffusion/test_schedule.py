import math

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, FlowMatchEulerDiscreteScheduler
from hypothesis import given, settings
from hypothesis import strategies as st

from tranh.diffusion import schedule


@pytest.mark.parametrize("steps", [1, 2, 7, 28, 50])
@pytest.mark.parametrize("shift", [1.0, 3.0, 0.6])
def test_grids_are_those_of_diffusers(steps, shift):
    theirs = FlowMatchEulerDiscreteScheduler(shift=shift)
    theirs.set_timesteps(steps)
    ours = schedule.linear(steps) if shift == 1 else schedule.shifted(steps, shift)
    torch.testing.assert_close(ours, theirs.sigmas, rtol=2e-7, atol=0)


def test_even_grid_is_what_diffusers_makes_of_given_sigmas():
    theirs = FlowMatchEulerDiscreteScheduler()
    theirs.set_timesteps(sigmas=torch.linspace(1, 1 / 8, 8).tolist())
    torch.testing.assert_close(schedule.linear(8, last=1 / 8), theirs.sigmas)


@pytest.mark.parametrize("name, ours", [("linear", "linear_betas"), ("squaredcos_cap_v2", "cosine_betas")])
def test_betas_are_those_of_diffusers(name, ours):
    vp, theirs = getattr(schedule.VariancePreserving, ours)(), DDPMScheduler(beta_schedule=name)
    assert torch.equal(vp.betas, theirs.betas)
    assert torch.equal(vp.alpha_bar, theirs.alphas_cumprod)


@pytest.mark.parametrize("spacing", ["leading", "trailing"])
def test_subsets_of_indices_are_those_of_diffusers(spacing):
    vp, theirs = schedule.VariancePreserving.linear_betas(), DDIMScheduler(timestep_spacing=spacing)
    theirs.set_timesteps(20)
    assert torch.equal(vp.grid(20, spacing)[:-1], vp.times[theirs.timesteps])


@pytest.mark.parametrize("make", ["linear_betas", "cosine_betas"])
def test_index_and_coefficients_undo_the_mapping(make):
    vp = getattr(schedule.VariancePreserving, make)()
    n = torch.arange(1000)
    assert torch.equal(vp.index(vp.times), n.float())
    known = slice(0, 995)  # the last cosine times are within 1e-4 of 1, where float32 has few digits left
    torch.testing.assert_close(vp.index(vp.times.float())[known], n.float()[known])
    a, s = vp.coefficients(n)
    torch.testing.assert_close(a**2, vp.alpha_bar.double(), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(a**2 + s**2, torch.ones_like(a))


@given(st.floats(1e-3, 1.0))
def test_vp_coefficients(t):
    a, s = schedule.vp_coefficients(t)
    assert math.isclose(a * a + s * s, 1) and math.isclose(s / (a + s), t)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60), st.floats(0.1, 10), st.floats(1e-3, 1))
def test_grids_fall_from_1_to_0(steps, shift, last):
    ts = schedule.shifted(steps, shift, last)
    assert len(ts) == steps + 1 and ts[0] == 1 and ts[-1] == 0
    assert bool((ts.diff() < 0).all()) or last == 1 or shift * last > 0.9


def test_each_share_of_the_training_times_is_drawn_once():
    t = schedule.logit_normal(16, 0.0, 1.0, generator=torch.Generator().manual_seed(3))
    shares = torch.special.ndtr(torch.logit(t.double()))
    assert (shares * 16).floor().sort().values.tolist() == list(range(16))
    assert not torch.equal(shares, shares.sort().values)


def test_logit_normal_follows_mean_and_std():
    t = schedule.logit_normal(40_000, 0.8, 0.8, generator=torch.Generator().manual_seed(0))
    z = torch.logit(t.double())
    assert abs(z.mean() - 0.8) < 0.02 and abs(z.std() - 0.8) < 0.02


def test_faults_say_what_is_allowed():
    with pytest.raises(ValueError, match="steps >= 1"):
        schedule.linear(0)
    with pytest.raises(ValueError, match="1 to 1000"):
        schedule.VariancePreserving.linear_betas().grid(1001)
    with pytest.raises(ValueError, match="leading, trailing or linspace"):
        schedule.VariancePreserving.linear_betas().grid(10, "even")


def test_times_begin_near_noise_and_fall_to_where_they_stay():
    means = [schedule.noise_first(2.5, 0.6, progress) for progress in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert means == pytest.approx([2.5, 1.55, 0.6, 0.6, 0.6])
    assert schedule.noise_first(2.5, 0.6, 0.5, until=1.0) == pytest.approx(1.55)
