"""Depth: contract, pictures of any size, and what a batch without overlaps teaches."""

import pytest
import torch

from tranh.families.depth import Depth
from tranh.types import Batch, Layers, Phase, TranhError

LEARNS = dict(steps=80, lr=5e-3)


def toy():
    """For the contract."""
    torch.manual_seed(0)
    family = Depth(image_size=16, ranks=3, width=16, depth=1)
    g = torch.Generator().manual_seed(1)
    ranks = torch.zeros(4, 16, 16, dtype=torch.uint8)
    images = torch.full((4, 3, 16, 16), -0.5)
    for k in range(4):
        ranks[k, 2 : 6 + k, 3:9] = 1
        ranks[k, 4 : 8 + k, 6:12] = 2
    colours = torch.rand(4, 3, 3, generator=g) * 2 - 1
    for k in range(4):
        for rank in (1, 2):
            images[k][:, ranks[k] == rank] = colours[k, rank][:, None]
    tokens = torch.zeros(4, 4, dtype=torch.int64)
    return family, Batch(images, [""] * 4, tokens, tokens == 0, torch.arange(4), {"depth": ranks})


def test_ranks_are_told_of_pictures_of_other_sizes_too():
    family, _ = toy()
    assert isinstance(family, Layers)
    with torch.no_grad():
        for side in (16, 32):
            found = family.depth(torch.zeros(2, 3, side, side))
            assert found.shape == (2, 1, side, side) and found.dtype == torch.int64 and found.max() < 3
        with pytest.raises(TranhError, match="a multiple of 8"):
            family.depth(torch.zeros(1, 3, 20, 20))


def test_a_rank_beyond_the_last_counts_as_the_last():
    family, batch = toy()
    deep = batch.replace(labels={"depth": batch.labels["depth"] * 4})
    last = batch.replace(labels={"depth": batch.labels["depth"].clamp(max=1) * 2})
    phase = Phase("train", 0, 1, torch.Generator())
    with torch.no_grad():
        torch.testing.assert_close(family(deep, phase)["loss"], family(last, phase)["loss"])
