"""DDPM: contract, what it predicts, its variance and its bound."""

import pytest
import torch

from tranh.families.ddpm import Ddpm
from tranh.types import Batch

LEARNS = {"steps": 60, "lr": 3e-3}


def tiny(**changes):
    torch.manual_seed(0)
    options = dict(image_size=16, fold=2, widths=[32, 64], vocab=50, max_len=12, text_dim=32, text_depth=1,
                   text_heads=2)  # fmt: skip
    return Ddpm(**(options | changes))


def batch(size=4):
    g = torch.Generator().manual_seed(1)
    tokens = torch.randint(4, 50, (size, 8), generator=g)
    images = (torch.rand(size, 3, 16, 16, generator=g) * 255).round() / 127.5 - 1
    return Batch(images, [""] * size, tokens, torch.ones_like(tokens, dtype=torch.bool), torch.arange(size))


def toy():
    """For the contract."""
    return tiny(), batch()
