"""The VAE: its loss against torch's own divergences, captions, collapse in the log, and drawing."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Bernoulli, Laplace, Normal, kl_divergence

from tranh.engine.contract import overfit_one_batch
from tranh.families.vae import LIKELIHOODS, Vae, divergence
from tranh.nn.transformer import unpatchify
from tranh.text.tokenizer import EMPTY
from tranh.types import Batch, Phase, capabilities

LEARNS = {"steps": 100, "lr": 3e-3}


def tiny(**changes):
    torch.manual_seed(0)
    options = {
        "vocab": 50, "max_len": 12, "image_size": 16, "form": "transformer", "latent": 4, "width": 32, "depth": 1,
        "heads": 2, "text_dim": 16, "text_depth": 1, "text_heads": 2, "likelihood": "laplace", "scale": 0.1,
    }  # fmt: skip
    return Vae(**(options | changes))


def batch(size=6):
    g = torch.Generator().manual_seed(1)
    tokens = torch.randint(4, 50, (size, 8), generator=g)
    images = torch.rand(size, 3, 16, 16, generator=g) * 2 - 1
    return Batch(images, [""] * size, tokens, torch.ones_like(tokens, dtype=torch.bool), torch.arange(size))


def toy():
    """For the contract; the other forms have a test below."""
    return tiny(form="dense", width=64, drop=0.0, scale=0.02), batch()


def phase(step=0, steps=10):
    return Phase("train", step, steps, torch.Generator().manual_seed(0))


@given(mu=st.floats(-5, 5), logvar=st.floats(-6, 4), mu_p=st.floats(-5, 5), logvar_p=st.floats(-6, 4))
def test_the_divergence_is_that_of_two_normals(mu, logvar, mu_p, logvar_p):
    a, b, c, d = (torch.tensor([value], dtype=torch.float64) for value in (mu, logvar, mu_p, logvar_p))
    true = kl_divergence(Normal(a, (0.5 * b).exp()), Normal(c, (0.5 * d).exp()))
    torch.testing.assert_close(divergence(a, b, c, d), true, atol=1e-9, rtol=1e-9)
    paper = 0.5 * (a.square() + b.exp() - b - 1)
    torch.testing.assert_close(divergence(a, b, torch.zeros_like(a), torch.zeros_like(a)), paper)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_likelihoods_are_torchs_but_for_a_constant(name):
    g = torch.Generator().manual_seed(0)
    out, other, x = (0.9 * (torch.rand(3, 4, 2, generator=g) * 2 - 1) for _ in range(3))
    x = x.sign() if name == "bernoulli" else x
    true = {
        "bernoulli": lambda o: -Bernoulli((o + 1) / 2).log_prob((x + 1) / 2),
        "gaussian": lambda o: -Normal(o, 0.3).log_prob(x),
        "laplace": lambda o: -Laplace(o, 0.3).log_prob(x),
    }[name]
    ours = LIKELIHOODS[name](out, x, 0.3) - LIKELIHOODS[name](other, x, 0.3)
    torch.testing.assert_close(ours, true(out) - true(other))


def test_the_loss_is_reconstruction_and_divergence():
    family, b = tiny(drop=0.0, beta=3.0), batch()
    found = family(b, phase())
    caption = family.caption(b.tokens, b.mask)
    mu, logvar = family.posterior(b.images, caption)
    torch.manual_seed(0)
    g = torch.Generator().manual_seed(0)
    torch.rand(6, generator=g)
    z = mu + (0.5 * logvar).exp() * torch.randn(mu.shape, generator=g)
    error = (family.paint(z, caption) - b.images).abs().sum((1, 2, 3)).mean() / 0.1
    kl = 0.5 * (mu.square() + logvar.exp() - logvar - 1).sum(1).mean()
    torch.testing.assert_close(found["loss"], (error + 3 * kl) / (3 * 16 * 16))
    torch.testing.assert_close(found["kl"], kl.detach())


def test_the_prior_begins_standard_and_learns_what_captions_tell():
    family, b = tiny(form="dense", drop=0.0, scale=0.02), batch()
    mu, logvar = family.before(torch.zeros(6, 4), family.caption(b.tokens, b.mask))
    assert not mu.any() and not logvar.any()
    overfit_one_batch(family, b, steps=150, lr=3e-3)
    with torch.no_grad():
        caption = family.caption(b.tokens, b.mask)
        mu, logvar = family.posterior(b.images, caption)
        mu_p, logvar_p = family.before(mu, caption)
        told = divergence(mu, logvar, mu_p, logvar_p).sum(1).mean()
        blind = divergence(mu, logvar, mu_p.roll(1, 0), logvar_p.roll(1, 0)).sum(1).mean()
    assert told < 0.5 * blind


def test_collapse_is_seen_in_the_log():
    family, b = tiny(drop=0.0), batch()
    figures = family(b, phase())
    assert {f"kl_{k:02d}" for k in range(4)} <= figures.keys()
    torch.testing.assert_close(sum(figures[f"kl_{k:02d}"] for k in range(4)), figures["kl"])
    with torch.no_grad():
        family.encoder.out.weight[1].zero_()  # this unit says the same of every picture
        family.encoder.out.bias[1] = 0.0
        family.encoder.out.weight[5].zero_()  # its logvar
        family.encoder.out.bias[5] = 0.0
        family.encoder.out.weight[0].mul_(10)
    after = family(b, phase())
    assert after["kl_01"] == 0 and after["kl_00"] > 0 and after["active"] <= 3


@pytest.mark.parametrize("form", ["dense", "conv", "transformer"])
def test_every_form_learns(form):
    how = {"steps": 60, "lr": 3e-3, "muon_lr": 1e-2}
    figures = overfit_one_batch(
        tiny(form=form, vocab=None if form == "conv" else 50, drop=0.0, scale=0.02), batch(), **how
    )
    assert figures[-1] < 0.8 * figures[0]


def test_without_a_vocabulary_there_are_no_captions():
    family, b = tiny(vocab=None), batch()
    assert "vocab" not in family.config and family.text is None
    *_, a = family.draw(b.tokens, b.mask, range(6))
    *_, c = family.draw(b.tokens.roll(1, 0), b.mask, range(6))
    assert torch.equal(a.x, c.x)
    assert {"draws", "autoencodes"} <= set(capabilities(family))


def test_captions_reach_the_picture_and_an_empty_one_is_none():
    family, b = tiny(), batch()
    for p in family.parameters():
        torch.nn.init.normal_(p, std=0.3)
    z = torch.randn(6, 4)
    plain = family.paint(z, family.caption(b.tokens, b.mask))
    assert (family.paint(z, family.caption(b.tokens.roll(1, 0), b.mask)) - plain).abs().mean() > 1e-3
    empty = torch.zeros_like(b.tokens)
    empty[:, : len(EMPTY)] = torch.tensor(EMPTY)
    real = torch.arange(8)[None].expand(6, -1) < len(EMPTY)
    torch.testing.assert_close(family.paint(z, family.caption(empty, real)), family.decode(z))
    everything = torch.ones(6, dtype=torch.bool)
    torch.testing.assert_close(family.paint(z, family.caption(b.tokens, b.mask, everything)), family.decode(z))


def test_it_begins_from_a_reader():
    reader, family = tiny(), tiny()
    torch.nn.init.normal_(reader.text.tokens.weight)
    tensors = {k: v for k, v in reader.state_dict().items() if k.startswith("text.")} | {
        "questions.queries": torch.zeros(3)
    }
    family.load_state_dict(dict(family.adopt(tensors)))
    assert torch.equal(family.text.tokens.weight, reader.text.tokens.weight)


def test_unknown_likelihoods_are_refused():
    with pytest.raises(ValueError, match="bernoulli, gaussian, laplace"):
        tiny(likelihood="perfect")


def test_what_a_caption_leads_to_expect_is_painted_from_the_mean():
    family, b = tiny(), batch()
    torch.nn.init.normal_(family.prior.out.weight)
    caption = family.caption(b.tokens, b.mask)
    with torch.no_grad():
        expected, out = family.paint(family.prior(caption)[0], caption), family.outputs(b)
        assert torch.equal(out["expected"], expected) and expected.shape == b.images.shape
        painted = unpatchify(family.decoder.out(out["patches"]), family.decoder.patch, 16, 16)
        torch.testing.assert_close(family.pixels(painted), expected)  # the picture is told by them alone
    assert tiny(vocab=None).outputs(b) == tiny(form="dense").outputs(b) == {}
