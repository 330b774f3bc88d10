"""Mixtures of normals: densities of torch.distributions, maps that come back from anywhere, samples that decide."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tranh.nn.mixture import WIDE, Mixture, Peaks, normal

DOUBLE = torch.float64


def mixture(*shape, peaks=4, seed=0, narrow=-2.0):
    g = torch.Generator().manual_seed(seed)
    randn = [torch.randn(*shape, peaks, dtype=DOUBLE, generator=g) for _ in range(2)]
    return Mixture(torch.randn(*shape[:-1], peaks, dtype=DOUBLE, generator=g), randn[0], narrow + randn[1])


def test_it_is_the_mixture_of_torch_but_for_the_wide_share():
    """Number by number: log p(x_d | those before) from the joint densities of the first numbers."""
    one, D = mixture(6, 3), 3
    x = one.mu[..., 0] + 0.1
    found = one.log_prob(x)

    def joint(d):
        parts = torch.distributions.Independent(
            torch.distributions.Normal(one.mu[:, :d].transpose(1, 2), one.alpha[:, :d].exp().transpose(1, 2)), 1
        )
        return torch.distributions.MixtureSameFamily(
            torch.distributions.Categorical(logits=one.logits), parts
        ).log_prob(x[:, :d])

    before = torch.zeros(6, dtype=DOUBLE)
    for d in range(1, D + 1):
        narrow, before = joint(d) - before, joint(d)
        true = torch.logaddexp(narrow + math.log(1 - WIDE), normal(x[:, d - 1]) + math.log(WIDE))
        torch.testing.assert_close(found[:, d - 1], true)


def test_the_density_of_two_numbers_integrates_to_one():
    one = mixture(2, peaks=3, narrow=-1.0)
    line = torch.linspace(-9, 9, 1201, dtype=DOUBLE)
    points = torch.cartesian_prod(line, line)
    everywhere = Mixture(*(part.expand(len(points), *part.shape) for part in (one.logits, one.mu, one.alpha)))
    mass = everywhere.log_prob(points).sum(-1).exp().sum() * (line[1] - line[0]) ** 2
    assert mass.item() == pytest.approx(1, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    narrow=st.floats(-7, 1),
    at=st.lists(st.floats(-8, 8), min_size=3, max_size=3),
    peaks=st.integers(1, 6),
)
def test_there_and_back_from_anywhere(seed, narrow, at, peaks):
    """Also where no peak is: between them, and far outside."""
    one, x = mixture(3, peaks=peaks, seed=seed, narrow=narrow), torch.tensor(at, dtype=DOUBLE)
    z = one.forward(x)
    assert z.isfinite().all()
    torch.testing.assert_close(one.inverse(z), x, atol=1e-7, rtol=1e-7)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), z=st.lists(st.floats(-30, 30), min_size=2, max_size=2))
def test_back_and_there(seed, z):
    one, z = mixture(2, seed=seed), torch.tensor(z, dtype=DOUBLE)
    torch.testing.assert_close(one.forward(one.inverse(z)), z, atol=1e-6, rtol=1e-6)


def test_the_map_is_triangular_and_stretches_as_its_density_says():
    one, x = mixture(3), torch.tensor([0.3, -1.2, 0.8], dtype=DOUBLE)
    jacobian = torch.autograd.functional.jacobian(one.forward, x)
    assert jacobian.triu(1).abs().max() == 0
    z = one.forward(x)
    torch.testing.assert_close(jacobian.diagonal().log(), one.log_prob(x) - normal(z))


def test_quantiles_are_those_of_the_normal_distribution():
    z = torch.tensor([-30.0, -5, -1, 0, 1e-9, 2, 30], dtype=DOUBLE)
    line = Peaks.normal(z)
    odds, _ = line.odds(z)
    torch.testing.assert_close(line.quantile(odds), z, atol=1e-9, rtol=1e-9)
    p = torch.distributions.Normal(0.0, 1.0).cdf(z[1:6])
    torch.testing.assert_close(odds[1:6], p.logit(), atol=1e-8, rtol=1e-8)


def test_a_sample_is_one_of_two_things_never_the_mean_of_both():
    """Two colours are equally likely: red or blue, with all three numbers of one of them."""
    colours = torch.tensor([[0.8, -0.5, 0.1], [-0.4, 0.6, 0.3]], dtype=DOUBLE)
    M = 4000
    one = Mixture(
        torch.zeros(M, 2, dtype=DOUBLE),
        colours.T.expand(M, 3, 2),
        torch.full((M, 3, 2), math.log(0.02), dtype=DOUBLE),
    )
    x = one.inverse(torch.randn(M, 3, dtype=DOUBLE, generator=torch.Generator().manual_seed(0)))
    near = torch.stack([(x - c).abs().amax(1) < 0.1 for c in colours])
    assert near.any(0).double().mean() > 1 - 10 * WIDE
    assert near[0].double().mean().item() == pytest.approx(0.5, abs=0.03)
    inside = x[near[0]] - colours[0]
    assert inside.std(0).sub(0.02).abs().max() < 0.002


def test_single_precision_comes_back_too():
    one = mixture(2, 3)
    single = Mixture(one.logits.float(), one.mu.float(), one.alpha.float())
    x = one.mu[..., 1].float()
    torch.testing.assert_close(single.inverse(single.forward(x)).float(), x)
