"""The enhancer: contract, what it begins as, what it sees at t = 1, and how far it sees."""

import pytest
import torch
import torch.nn.functional as F

from tranh.families.enhancer import Enhancer, contrast
from tranh.types import Batch, Phase


def tiny(**changes):
    torch.manual_seed(0)
    return Enhancer(**(dict(width=32, depth=2) | changes))


def awake(**changes):
    """One whose last layer is not zero any more."""
    family = tiny(**changes)
    for weight in (family.out.weight, *(block.second.weight for block in family.blocks)):
        torch.nn.init.normal_(weight, std=0.05)
    return family


def batch(size=4):
    """Discs of one colour on another, whose edges a small picture does not show."""
    g = torch.Generator().manual_seed(1)
    at = (torch.arange(32) + 0.5) / 32
    x, y, r = (torch.rand(3, size, 1, 1, generator=g) * torch.tensor([0.4, 0.4, 0.1]).view(3, 1, 1, 1)) + 0.3
    disc = ((at[None, :, None] - y).square() + (at - x).square() < r.square()).float()[:, None]
    a, b = torch.rand(2, size, 3, 1, 1, generator=g) * 2 - 1
    tokens = torch.full((size, 3), 4)
    return Batch(torch.lerp(a, b, disc), [""] * size, tokens, tokens > 0, torch.arange(size))


def toy():
    """For the contract."""
    return tiny(), batch()


LEARNS = {"steps": 150, "lr": 3e-3, "muon_lr": 1e-2}


def test_begins_as_bicubic_enlargement():
    family, b = tiny(), batch()
    small, zero = family.shrink(b.images), torch.zeros(4)
    out = family.denoise(torch.randn_like(b.images), zero + 1, small, zero)
    torch.testing.assert_close(out, F.interpolate(small, scale_factor=4, mode="bicubic", align_corners=False))


def test_at_one_nothing_is_seen_of_the_noise_below_it_is():
    family, b = awake(), batch()
    small, zero = family.shrink(b.images), torch.zeros(4)
    first, second = torch.randn(2, *b.images.shape)
    torch.testing.assert_close(
        family.denoise(first, zero + 1, small, zero), family.denoise(second, zero + 1, small, zero)
    )
    assert not torch.allclose(
        family.denoise(first, zero + 0.2, small, zero), family.denoise(second, zero + 0.2, small, zero), atol=1e-3
    )


def test_coefficients_are_those_of_the_paper():
    """With sigma = t / (1 - t) and sigma_data = spread: formulas of Karras et al. 2022, table 1, for x_t / (1 - t)."""
    family = tiny(spread=0.1)
    t = torch.tensor([0.01, 0.3, 0.9])
    sigma, data = t / (1 - t), 0.1
    c_in, weight = family.coefficients(t)
    root = (sigma**2 + data**2).sqrt()
    torch.testing.assert_close(c_in, 1 / root)  # of x_t, divided by 1 - t, and the factor 1 - t of its own
    torch.testing.assert_close(weight, (root / (sigma * data)) ** 2)
    torch.testing.assert_close(family.coefficients(torch.ones(1)), (torch.zeros(1), torch.tensor([100.0])))


@pytest.mark.parametrize("changes", [{}, {"scale": 1, "fold": 2}])
def test_it_sees_as_far_as_it_says_and_no_farther(changes):
    family = awake(**changes)
    side = 4 * family.reach // family.scale * family.scale
    poor = torch.rand(1, 3, side // family.scale, side // family.scale, generator=torch.Generator().manual_seed(0))
    touched = poor.clone()
    middle = side // 2
    touched[..., middle // family.scale, middle // family.scale] = -1
    one, zero = torch.ones(1), torch.zeros(1)
    x = torch.zeros(1, 3, side, side)
    with torch.no_grad():
        off = (family.denoise(x, one, poor, zero) - family.denoise(x, one, touched, zero)).abs().amax((0, 1)) > 1e-7
    rows = off.any(1).nonzero().flatten()
    far = max(middle - int(rows[0]), int(rows[-1]) - middle)
    assert family.reach // 2 < far <= family.reach


def test_a_flat_ground_stays_flat_and_units_are_those_of_the_contrast():
    family = awake()
    x, one, zero = torch.zeros(1, 3, 64, 64), torch.ones(1), torch.zeros(1)
    flat = torch.full((1, 3, 16, 16), 0.25)
    torch.testing.assert_close(family.denoise(x, one, flat, zero), torch.full_like(x, 0.25), atol=1e-3, rtol=0)
    checks = (torch.arange(16)[:, None] + torch.arange(16)) % 2 * 2.0 - 1
    seen = contrast(checks.expand(1, 3, 16, 16) * torch.tensor([1.0, 0.5, 0.0]).view(3, 1, 1))
    want = (((1 - 1 / 25**2) * (1 + 0.25)) / 3) ** 0.5  # 13 of 25 are of one kind: the mean is 1 / 25
    torch.testing.assert_close(seen[..., 2:-2, 2:-2], torch.full((1, 1, 12, 12), want))


def test_the_grid_begins_at_the_posterior_mean():
    assert tiny().grid(1).tolist() == [1, 0]
    torch.testing.assert_close(tiny().grid(4), torch.tensor([1, 0.3, 0.3 * 0.2**0.5, 0.06, 0]))


def test_mending_learns_from_worn_pictures_and_is_not_told_what_was_done():
    family, b = tiny(scale=1, fold=2, means=1.0), batch()
    g = torch.Generator().manual_seed(0)
    assert family.poor(b.images, g).shape == b.images.shape
    figures = family(b, Phase("train", 0, 1, torch.Generator().manual_seed(0)))
    torch.testing.assert_close(figures["loss"], figures["error"] / 0.07**2)


def test_a_fold_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="multiple of the scale"):
        Enhancer(scale=4, fold=2)
