"""The KL autoencoder: its loss, and diffusers' own class reading its weights."""

import torch

from tranh.families.kl import Kl
from tranh.nn.stock import stock_state
from tranh.types import Batch, Phase, capabilities

LEARNS = {"steps": 40, "lr": 3e-3, "muon_lr": 1e-2}


def tiny():
    torch.manual_seed(0)
    return Kl(image_size=16, channels=[8, 16], groups=4, latent_channels=4)


def batch(size=4):
    g = torch.Generator().manual_seed(1)
    images = torch.nn.functional.interpolate(torch.rand(size, 3, 4, 4, generator=g) * 2 - 1, scale_factor=4)
    tokens = torch.randint(4, 50, (size, 8), generator=g)
    return Batch(images, [""] * size, tokens, tokens != 0, torch.arange(size))


def toy():
    """For the contract."""
    return tiny(), batch()


def test_diffusers_reads_it():
    from diffusers import AutoencoderKL

    kl, b = tiny().eval(), batch()
    theirs = AutoencoderKL.from_config(kl.vae.config).eval()
    theirs.load_state_dict(stock_state(kl.vae))
    with torch.no_grad():
        found = theirs.encode(b.images).latent_dist
        mean, logvar = kl.moments(b.images)
        torch.testing.assert_close(mean, found.mean, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(logvar, found.logvar, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(kl.decode(mean), theirs.decode(mean).sample, atol=1e-5, rtol=1e-4)


def test_its_divergence_is_that_of_torch():
    kl, b = tiny().eval(), batch()
    figures = kl(b, Phase("train", 0, 1, torch.Generator().manual_seed(0)))
    mean, logvar = kl.moments(b.images)
    normal = torch.distributions.Normal(mean, (0.5 * logvar).exp())
    true = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0)).mean()
    torch.testing.assert_close(figures["divergence"], true, atol=1e-5, rtol=1e-4)


def test_what_a_child_reads_is_the_mean_and_does_not_depend_on_chance():
    kl, b = tiny().eval(), batch()
    latent = kl.image_outputs(b.images)["latent"]
    assert latent.shape == (4, 4, 8, 8) and kl.factor == 2 and torch.equal(latent, kl.encode(b.images))
    assert capabilities(kl) == ("autoencodes",)


def test_every_parameter_has_one_optimiser_and_kernels_have_muon():
    kl = tiny()
    muon, rest = kl.param_groups("train")
    assert {id(p) for p in (*muon.params, *rest.params)} == {id(p) for p in kl.parameters()}
    names = {id(p): name for name, p in kl.named_parameters()}
    assert "vae.encoder.down_blocks.0.resnets.0.conv1.weight" in {names[id(p)] for p in muon.params}
    assert all(p.ndim == 2 for p in muon.params)
