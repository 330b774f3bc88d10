"""The chain and its bound, against diffusers, torch.distributions and sums written out."""

import math

import pytest
import torch
from diffusers import DDPMScheduler
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Normal, kl_divergence

from tranh.diffusion.bound import BIN, Chain, discretised_log_likelihood, normal_kl
from tranh.diffusion.ideal import points
from tranh.diffusion.schedule import VariancePreserving

LINEAR = Chain(VariancePreserving.linear_betas())
COSINE = Chain(VariancePreserving.cosine_betas())


def pictures(size=3, seed=0):
    g = torch.Generator().manual_seed(seed)
    levels = torch.randint(0, 256, (size, 3, 4, 4), generator=g)
    levels[0, 0] = 0
    levels[0, 1] = 255
    return levels.double() / 127.5 - 1


@pytest.mark.parametrize("chain, betas", [(LINEAR, "linear"), (COSINE, "squaredcos_cap_v2")])
@pytest.mark.parametrize("variance", ["small", "large", "learned"])
def test_variances_and_means_are_those_of_diffusers(chain, betas, variance):
    kind = {"small": "fixed_small_log", "large": "fixed_large_log", "learned": "learned_range"}[variance]
    scheduler = DDPMScheduler(beta_schedule=betas, variance_type=kind, clip_sample=False, prediction_type="sample")
    x0, y = pictures(), pictures(seed=1)
    share = torch.rand(x0.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    for n in (1, 2, 10, 500, 998):
        index = torch.full((3,), n)
        ours = chain.log_variance(variance, index, y, share)
        theirs = scheduler._get_variance(n, predicted_variance=2 * share - 1)
        if variance == "small":  # diffusers hands out its square root there
            theirs = theirs.square().log()
        elif variance == "large":
            theirs = torch.as_tensor(theirs)
        torch.testing.assert_close(ours, theirs.double().expand_as(ours), rtol=1e-3, atol=1e-3)
        mean = chain.mean(x0, y, index)
        bar, before = scheduler.alphas_cumprod[n].double(), scheduler.alphas_cumprod[n - 1].double()
        alpha = bar / before
        precision = 1 / (1 - before) + alpha / (1 - alpha)  # Bayes: prior times likelihood
        bayes = (before.sqrt() * x0 / (1 - before) + alpha.sqrt() * y / (1 - alpha)) / precision
        torch.testing.assert_close(mean, bayes, rtol=5e-3, atol=2e-4)  # differences of float32 numbers
        torch.testing.assert_close(chain.log_small[n].exp(), 1 / precision, rtol=1e-3, atol=0)


def test_the_first_variance_is_the_second():
    for chain in (LINEAR, COSINE):
        assert chain.log_small[0] == chain.log_small[1] == chain.log_large[0]
        assert bool((chain.log_small <= chain.log_large + 1e-9).all())


def test_kl_is_that_of_torch():
    g = torch.Generator().manual_seed(0)
    m, k = torch.randn(2, 50, generator=g, dtype=torch.float64)
    v, w = torch.randn(2, 50, generator=g, dtype=torch.float64)
    theirs = kl_divergence(Normal(m, (v / 2).exp()), Normal(k, (w / 2).exp()))
    torch.testing.assert_close(normal_kl(m, v, k, w), theirs)


@settings(max_examples=30, deadline=None)
@given(st.floats(-1.5, 1.5), st.floats(-7, 1))
def test_the_masses_of_all_levels_are_one(mean, log_scale):
    levels = torch.arange(256).double() / 127.5 - 1
    masses = discretised_log_likelihood(levels, torch.full((256,), mean), torch.full((256,), log_scale)).double().exp()
    assert math.isclose(masses.sum().item(), 1, abs_tol=1e-5)


def test_the_mass_of_a_level_is_a_difference_of_the_distribution_function():
    x0, mean = pictures().float(), pictures(seed=1).float() * 0.5
    scale = 0.2
    normal = Normal(mean.double(), scale)
    upper = torch.where(x0 > 0.999, torch.ones_like(mean).double(), normal.cdf((x0 + 1 / 255).double()))
    lower = torch.where(x0 < -0.999, torch.zeros_like(mean).double(), normal.cdf((x0 - 1 / 255).double()))
    ours = discretised_log_likelihood(x0, mean, torch.full_like(x0, math.log(scale)))
    torch.testing.assert_close(ours.double().exp(), upper - lower, rtol=1e-3, atol=1e-9)


def test_far_tails_have_values_and_gradients():
    mean = torch.tensor([1.0, -1.0, 1.0, -1.0], requires_grad=True)
    log_scale = torch.full((4,), -5.0, requires_grad=True)
    x0 = torch.tensor([-1.0, 1.0, 1.0, 0.0039215686])
    value = discretised_log_likelihood(x0, mean, log_scale)
    value.sum().backward()
    assert value.isfinite().all() and value[0] < -1e3 and value[2] > -1
    assert mean.grad.isfinite().all() and log_scale.grad.isfinite().all() and mean.grad[0] < 0


@pytest.mark.parametrize("chain", [LINEAR, COSINE])
def test_terms_are_those_of_the_paper_written_out(chain):
    """Formula 5 of Ho et al., with q(y_{n-1} | y_n, x_0) from Bayes' rule on one number at a time."""
    x0, bar, beta = pictures(), chain.vp.alpha_bar.double(), chain.vp.betas.double()
    g = torch.Generator().manual_seed(3)
    eps = torch.randn(x0.shape, generator=g, dtype=torch.float64)
    guess = (x0 + 0.1 * torch.randn(x0.shape, generator=g, dtype=torch.float64)).clamp(-1, 1)
    for n in (0, 1, 7, 400, 990):
        index = torch.full((3,), n)
        y = chain.corrupt(x0, eps, index)
        torch.testing.assert_close(y, bar[n].sqrt() * x0 + (1 - bar[n]).sqrt() * eps)
        ours = chain.term(x0, y, index, guess, chain.log_variance("large", index, y)).double()
        before = bar[n - 1] if n else torch.tensor(1.0).double()

        def mean(x, n=n, y=y, before=before):
            return (before.sqrt() * beta[n] * x + (1 - beta[n]).sqrt() * (1 - before) * y) / (1 - bar[n])

        if n:
            spread = (beta[n] * (1 - before) / (1 - bar[n])).sqrt()
            nats = kl_divergence(Normal(mean(x0), spread), Normal(mean(guess), beta[n].sqrt()))
        else:
            spread = (beta[1] * (1 - bar[0]) / (1 - bar[1])).sqrt()
            p = Normal(guess, spread)
            upper = torch.where(x0 > 0.999, 1.0, p.cdf(x0 + 1 / 255))
            nats = -(upper - torch.where(x0 < -0.999, 0.0, p.cdf(x0 - 1 / 255))).clamp(min=1e-300).log()
            keep = nats < 40  # beyond, the difference of two numbers next to 1 says nothing
            assert keep.double().mean() > 0.2
            ours = -discretised_log_likelihood(x0, guess, torch.full_like(x0, spread.log().item())).double()[keep]
            torch.testing.assert_close(ours, nats[keep], rtol=1e-3, atol=1e-3)
            continue
        torch.testing.assert_close(ours, nats.flatten(1).mean(1) / math.log(2), rtol=1e-3, atol=1e-6)


def test_the_prior_is_a_divergence_and_small():
    for chain in (LINEAR, COSINE):
        x0, bar = pictures(), chain.vp.alpha_bar[-1].double()
        nats = kl_divergence(
            Normal(bar.sqrt() * x0, (1 - bar).sqrt()), Normal(torch.zeros_like(x0), torch.ones_like(x0))
        )
        torch.testing.assert_close(chain.prior(x0), nats.flatten(1).mean(1) / math.log(2), rtol=1e-3, atol=1e-9)
        assert chain.prior(x0).max() < 1e-4


def test_the_terms_of_an_ideal_denoiser_are_the_entropy_and_the_width_of_the_last_step():
    """Numbers that are one of two levels, each as likely, hold 1 bit; the last step may still miss the level."""
    chain = Chain(VariancePreserving.cosine_betas(400))
    levels = torch.tensor([[64.0], [192.0]]) / 127.5 - 1
    g = torch.Generator().manual_seed(0)
    x0 = levels[torch.randint(0, 2, (64, 32), generator=g), 0]
    terms = []
    for k in range(chain.N):
        n = torch.full((64,), k)
        y = chain.corrupt(x0, torch.randn(x0.shape, generator=g), n)
        a, s = chain.signal[k].item(), chain.noise[k].item()
        guess = points(levels)(y.reshape(-1, 1) / (a + s), torch.full((y.numel(),), s / (a + s))).view_as(y)
        terms.append(chain.term(x0, y, n, guess, chain.log_variance("small", n, y)).mean().item())
    assert 0.97 < chain.prior(x0).mean().item() + sum(terms[1:]) < 1.1
    deviation = math.exp(0.5 * chain.log_small[0].item())
    assert math.isclose(terms[0], -math.log2(math.erf(BIN / deviation / math.sqrt(2))), rel_tol=1e-3)


def test_a_learned_variance_needs_its_share():
    n = torch.zeros(3, dtype=torch.int64)
    with pytest.raises(ValueError, match="share="):
        LINEAR.log_variance("learned", n, pictures())
