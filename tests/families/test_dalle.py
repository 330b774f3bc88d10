import pytest
import torch

from tranh.families.dalle import Dalle
from tranh.families.dvae import Dvae
from tranh.types import Batch, Phase

SMALL = dict(vocab=40, max_len=8, image_size=16, grid=4, codes=32, dim=32, depth=2, heads=4, text_depth=1)


def dvae():
    torch.manual_seed(0)
    return Dvae(image_size=16, grid=4, codes=32, dim=8, width=16, wide=24).eval()


def batch(B=8, seed=0):
    g = torch.Generator().manual_seed(seed)
    images = torch.rand(B, 3, 16, 16, generator=g) * 2 - 1
    tokens = torch.randint(4, 40, (B, 6), generator=g)
    mask = torch.arange(6) < torch.randint(3, 7, (B, 1), generator=g)
    codes = torch.randint(0, 32, (B, 16), generator=g)
    return Batch(images, ["a"] * B, tokens, mask, torch.arange(B), parts={"dvae.codes": codes})


def phase(seed=0):
    return Phase("train", 0, 100, torch.Generator().manual_seed(seed))


def toy(**more):
    """For the contract."""
    torch.manual_seed(0)
    family = Dalle(**{**SMALL, **more})
    family.meet({"dvae": dvae()})
    return family, batch()
