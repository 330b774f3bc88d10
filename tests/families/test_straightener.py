"""The straightener: contract, and that it answers with places inside the frame."""

import torch

from tranh.families.straightener import Straightener
from tranh.types import Batch


def tiny():
    torch.manual_seed(0)
    return Straightener(image_size=32, width=24, depth=2)


def batch(size=6):
    g = torch.Generator().manual_seed(1)
    images = (torch.rand(size, 3, 1, 1, generator=g) * 2 - 1).expand(size, 3, 32, 32).contiguous()
    tokens = torch.full((size, 3), 4)
    return Batch(images, [""] * size, tokens, tokens > 0, torch.arange(size))


def toy():
    """For the contract."""
    return tiny(), batch()


LEARNS = {"steps": 120, "lr": 3e-3, "muon_lr": 1e-2}


def test_corners_lie_in_the_frame_at_any_size():
    found = tiny().corners(torch.rand(2, 3, 48, 80) * 2 - 1)
    assert found.shape == (2, 4, 2) and found.abs().max() <= 1


def test_a_map_with_one_peak_is_its_place():
    family = tiny()
    torch.nn.init.zeros_(family.maps.weight)
    flat = family.corners(torch.zeros(1, 3, 32, 32))
    torch.testing.assert_close(flat, torch.zeros(1, 4, 2), atol=1e-6, rtol=0)
