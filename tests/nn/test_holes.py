"""Random holes: how many, how large, and that they are boxes or their outside."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tranh.nn.holes import random_holes


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([8, 16, 64]))
def test_holes_are_boxes_or_all_but_a_box(seed, side):
    holes = random_holes(40, side, 1.0, generator=torch.Generator().manual_seed(seed))
    assert holes.shape == (40, 1, side, side) and holes.dtype == torch.bool
    for hole in holes[:, 0]:
        box = any(
            torch.equal(part, part.any(1)[:, None] & part.any(0)[None]) for part in (hole, ~hole)
        )  # the product of its rows and its columns
        assert box


def test_the_share_is_kept_and_others_are_hidden_whole():
    holes = random_holes(4000, 8, 0.25, generator=torch.Generator().manual_seed(0))
    part = (~holes).flatten(1).any(1).float().mean()
    assert 0.2 < part < 0.27  # a hole may happen to be the whole picture
    assert random_holes(50, 8, 0.0, generator=torch.Generator().manual_seed(0)).all()
