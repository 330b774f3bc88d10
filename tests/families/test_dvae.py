import pytest
import torch
import torch.nn.functional as F

from tranh.families.dvae import Dvae
from tranh.types import Batch, Phase

SMALL = dict(image_size=16, grid=4, codes=32, dim=8, width=16, wide=24, depth=1)
LEARNS = dict(steps=120, lr=4e-3, muon_lr=4e-3)


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
