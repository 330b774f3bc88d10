"""The upsampler: contract, and that it begins as plain enlargement."""

import torch
import torch.nn.functional as F

from tranh.families.upsampler import Upsampler
from tranh.types import Batch


def tiny(**changes):
    torch.manual_seed(0)
    return Upsampler(**(dict(patch_size=8, hidden_size=64, depth=2, num_heads=2) | changes))


def batch(size=4):
    g = torch.Generator().manual_seed(1)
    images = torch.rand(size, 3, 32, 32, generator=g) * 2 - 1
    tokens = torch.full((size, 3), 4)
    return Batch(images, [""] * size, tokens, tokens > 0, torch.arange(size))


def toy():
    """For the contract."""
    return tiny(), batch()


def test_begins_as_bicubic_enlargement():
    family, b = tiny(), batch()
    small = family.shrink(b.images)
    out = family.denoise(torch.randn_like(b.images), torch.rand(4), small, torch.zeros(4))
    torch.testing.assert_close(out, F.interpolate(small, scale_factor=4, mode="bicubic", align_corners=False))


def test_shrinking_is_the_mean_of_squares():
    x = torch.arange(64.0).view(1, 1, 8, 8).expand(1, 3, 8, 8)
    assert tiny().shrink(x)[0, 0, 0, 0] == x[0, 0, :4, :4].mean()
