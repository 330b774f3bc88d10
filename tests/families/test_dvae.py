import pytest
import torch
import torch.nn.functional as F

from tranh.families.dvae import Dvae
from tranh.types import Batch, Phase

SMALL = dict(image_size=16, grid=4, codes=32, dim=8, width=16, wide=24, depth=1)
LEARNS = dict(steps=120, lr=4e-3, muon_lr=1e-3)


def batch(B=8, seed=0):
    g = torch.Generator().manual_seed(seed)
    images = F.interpolate(torch.rand(B, 3, 4, 4, generator=g) * 2 - 1, scale_factor=4)
    tokens = torch.randint(4, 40, (B, 6), generator=g)
    return Batch(images, ["a"] * B, tokens, torch.ones(B, 6, dtype=torch.bool), torch.arange(B))


def phase(step=0, steps=100, seed=0):
    return Phase("train", step, steps, torch.Generator().manual_seed(seed))


def toy():
    """For the contract."""
    torch.manual_seed(0)
    family, data = Dvae(**SMALL), batch()
    family.prepare([data])
    return family, data


@pytest.fixture(scope="module", params=["vq", "gumbel"])
def trained(request):
    """One of each kind, after a short training on pictures of colour blocks."""
    torch.manual_seed(0)
    family = Dvae(**SMALL, kind=request.param)
    family.prepare([batch(32, seed=k) for k in range(2)])
    optimizer = torch.optim.AdamW(family.parameters(), lr=1e-3)
    family.train()
    for step in range(80):
        figures = family(batch(16, seed=100 + step), phase(step, 80, seed=step))
        optimizer.zero_grad()
        figures["loss"].backward()
        optimizer.step()
    return family.eval(), figures


@torch.no_grad()
def test_it_rebuilds_unseen_pictures_better_than_their_mean(trained):
    family, _ = trained
    images = batch(32, seed=7).images
    rebuilt = family.decode(family.encode(images))
    error, trivial = ((rebuilt - images) ** 2).mean(), ((images - images.mean((2, 3), keepdim=True)) ** 2).mean()
    assert error < 0.85 * trivial, (error, trivial)


@torch.no_grad()
def test_codes_are_all_there_is_of_a_picture(trained):
    family, _ = trained
    images = batch().images
    codes = family.image_outputs(images)["codes"]
    assert codes.shape == (8, 16) and codes.dtype == torch.int64 and 0 <= codes.min() and codes.max() < 32
    again = family.decode(family.latents_of(codes.view(8, 4, 4)))
    torch.testing.assert_close(again, family.decode(family.encode(images)))
    norms = family.encode(images).norm(dim=1)
    torch.testing.assert_close(norms, torch.ones_like(norms))


def test_many_codes_are_used(trained):
    _, figures = trained
    assert figures["usage"] > 0.15 and figures["perplexity"] > 4


def test_a_look_changes_nothing_and_training_moves_the_codebook():
    family, data = toy()
    family.eval()
    before = family.codebook.clone()
    family(data, phase())
    assert torch.equal(before, family.codebook)
    family.train()
    family(data, phase())
    assert not torch.equal(before, family.codebook)


def test_the_first_codebook_is_filled_from_the_pictures():
    torch.manual_seed(0)
    family, data = Dvae(**SMALL), batch()
    far = (family.latents(data.images).flatten(0, 2) @ family.codebook.T).amax(1).mean()
    family.prepare([data])
    near = (family.latents(data.images).flatten(0, 2) @ family.codebook.T).amax(1).mean()
    assert near > far and near > 0.98
    with pytest.raises(ValueError, match="at least one"):
        Dvae(**SMALL).prepare([])


def test_the_gradient_passes_straight_through():
    """The encoder gets what the quantised latents get, and the commitment's pull (van den Oord et al. 2017, eq. 3)."""
    family, data = toy()
    family.eval()
    z = family.latents(data.images).detach().requires_grad_()
    codes = torch.zeros(z.shape[:-1], dtype=torch.long)
    q, penalty, _ = family.straight(z, codes, phase())
    g = torch.randn(q.shape, generator=torch.Generator().manual_seed(1))
    ((q * g).sum() + penalty).backward()
    entries = family.codebook[codes]
    torch.testing.assert_close(q, entries)
    torch.testing.assert_close(z.grad, g + 0.1 * 2 * (z.detach() - entries) / codes.numel(), atol=1e-6, rtol=1e-4)


def test_gumbel_draws_follow_the_softmax_and_harden():
    torch.manual_seed(0)
    family = Dvae(**{**SMALL, "codes": 4}, kind="gumbel").train()
    z = F.normalize(torch.randn(1, 1, 1, 8), dim=-1).expand(1, 100, 100, 8)
    with torch.no_grad():
        q, _, told = family.relaxed(z, phase(step=99))  # cold: nearly one entry each
        p = (family.sharpness.exp() * (z[0, 0, 0] @ family.codebook.T)).softmax(-1)
    share = torch.bincount((q.flatten(0, 2) @ family.codebook.T).argmax(-1), minlength=4) / 10_000
    torch.testing.assert_close(share, p, atol=0.03, rtol=0)
    kl = (p * (p * 4).log()).sum()
    torch.testing.assert_close(told["kl"], kl, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("more", "says"), [({"image_size": 20}, "multiple"), ({"kind": "soft"}, "vq, gumbel")])
def test_faults_say_what_is_allowed(more, says):
    with pytest.raises(ValueError, match=says):
        Dvae(**{**SMALL, **more})
