"""The autoencoder: contract, forms, and that a linear one finds what PCA finds."""

import pytest
import torch

from tranh.engine.contract import overfit_one_batch
from tranh.families.autoencoder import Autoencoder
from tranh.recipes.reconstruct import Pca
from tranh.types import Batch, Draws

LEARNS = {"steps": 120, "lr": 3e-3}


def tiny(**changes):
    torch.manual_seed(0)
    return Autoencoder(**({"image_size": 16, "latent": 12, "width": 48} | changes))


def batch(size=6, side=16):
    g = torch.Generator().manual_seed(1)
    images = torch.rand(size, 3, side, side, generator=g) * 2 - 1
    tokens = torch.full((size, 4), 5)
    return Batch(images, [""] * size, tokens, torch.ones_like(tokens, dtype=torch.bool), torch.arange(size))


def toy():
    """For the contract."""
    return tiny(), batch()


@pytest.mark.parametrize("form", ["conv", "transformer"])
def test_every_form_learns(form):
    figures = overfit_one_batch(tiny(form=form, width=32, heads=2), batch(), steps=60, lr=3e-3, muon_lr=1e-2)
    assert figures[-1] < 0.8 * figures[0]


def test_it_draws_nothing():
    assert not isinstance(tiny(), Draws)


def test_without_its_bend_it_learns_what_pca_learns():
    """A linear autoencoder's optimum is the subspace of the principal components (Baldi and Hornik 1989)."""
    g = torch.Generator().manual_seed(0)
    images = (torch.randn(64, 3, generator=g) @ torch.randn(3, 3 * 16, generator=g)).unflatten(1, (3, 4, 4)) / 8
    images = images + 0.02 * torch.randn(images.shape, generator=g)
    family = tiny(image_size=4, latent=2, width=24)
    for half in (family.encoder, family.decoder):
        half.forward = lambda x, caption=None, half=half: half.out(half.hidden(x.flatten(1)))
    decode = family.decoder.forward
    family.decoder.forward = lambda z, caption=None: decode(z).unflatten(1, (3, 4, 4))
    b = batch(64, 4).replace(images=images)
    figures = overfit_one_batch(family, b, steps=400, lr=1e-2)
    pca = Pca(images, 2)
    best = (pca.decode(pca.encode(images)) - images).square().mean()
    assert best <= figures[-1] + 1e-6 and figures[-1] < 1.05 * best


def test_unknown_forms_are_refused():
    with pytest.raises(ValueError, match="allowed"):
        tiny(form="round")
