"""Random holes: how many, how large, and that they are boxes, their outside, or strokes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tranh.nn import holes
from tranh.nn.holes import random_holes


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def is_box(part):
    """Is it the product of its rows and its columns?"""
    return torch.equal(part, part.any(1)[:, None] & part.any(0)[None])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([8, 16, 64]))
def test_without_strokes_holes_are_boxes_or_all_but_a_box(seed, side):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(holes, "OUTSIDE", 1 - holes.BOX)
        found = random_holes(40, side, 1.0, generator=seeded(seed))
    assert found.shape == (40, 1, side, side) and found.dtype == torch.bool
    for hole in found[:, 0]:
        assert is_box(hole) or is_box(~hole)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31))
def test_strokes_are_thin_and_whole(seed):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(holes, "BOX", 0.0)
        patch.setattr(holes, "OUTSIDE", 0.0)
        found = random_holes(20, 64, 1.0, generator=seeded(seed))
    share = found.flatten(1).float().mean(1)
    assert share.max() <= holes.STROKES * 0.2 * (2**0.5 + 0.2) and (share > 0).all()
    shrunk = -torch.nn.functional.max_pool2d(-found.float(), 15, stride=1)
    assert shrunk.mean() < 0.1  # hardly anywhere as wide as 15 of 64 pixels, where strokes cross
    alone = (torch.nn.functional.avg_pool2d(found.float(), 3, stride=1, padding=1) < 0.12) & found
    assert not alone.any()  # no pixel by itself


def test_every_kind_has_its_share():
    found = random_holes(2000, 32, 1.0, generator=seeded(0))[:, 0]
    boxes = sum(is_box(hole) for hole in found) / 2000
    outsides = sum(is_box(~hole) and not is_box(hole) for hole in found) / 2000
    assert abs(boxes - holes.BOX) < 0.08 and abs(outsides - holes.OUTSIDE) < 0.1


def test_the_share_is_kept_and_others_are_hidden_whole():
    found = random_holes(4000, 8, 0.25, generator=seeded(0))
    part = (~found).flatten(1).any(1).float().mean()
    assert 0.2 < part < 0.27  # a hole may happen to be the whole picture
    assert random_holes(50, 8, 0.0, generator=seeded(0)).all()
