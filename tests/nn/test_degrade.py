"""Wear and its undoing: against closed forms and against each other."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from tranh.nn.degrade import STRAIGHT, blur, held, homography, jpeg, skew, unskew, worn


def seeded(k=0):
    return torch.Generator().manual_seed(k)


def test_blur_is_gaussian_of_each_own_width():
    x = torch.zeros(2, 3, 33, 33)
    x[..., 16, 16] = 1
    out = blur(x, torch.tensor([0.0, 2.0]))
    torch.testing.assert_close(out[0], x[0])
    at = torch.arange(33) - 16.0
    one = torch.exp(-0.5 * (at / 2).square()) * (at.abs() <= 6)
    torch.testing.assert_close(out[1, 0], (one[:, None] * one) / one.sum() ** 2, atol=1e-6, rtol=0)


def test_jpeg_of_low_quality_costs_more():
    at = torch.linspace(-6, 6, 32)
    x = (at.sin()[:, None] * at.cos()).expand(3, 3, 32, 32).contiguous() * 0.9
    off = (jpeg(x, [0, 95, 10]) - x).abs().mean((1, 2, 3))
    assert off[0] == 0 and 0 < off[1] < off[2]


def test_wear_is_of_its_seed_and_leaves_some_alone():
    x = torch.rand(64, 3, 16, 16, generator=seeded()) * 1.6 - 0.8
    out = worn(x, seeded(1))
    assert torch.equal(out, worn(x, seeded(1))) and not torch.equal(out, worn(x, seeded(2)))
    same = (out - x).abs().amax((1, 2, 3)) < 1e-5
    assert 1 <= int(same.sum()) <= 24 and out.abs().max() <= 1


@given(st.integers(0, 10_000))
def test_a_homography_takes_the_frame_to_its_corners(seed):
    corners = held(3, seeded(seed))
    frame = torch.tensor(STRAIGHT)
    ends = torch.cat([frame, torch.ones(4, 1)], dim=1) @ homography(corners).transpose(1, 2)
    torch.testing.assert_close(ends[..., :2] / ends[..., 2:], corners, atol=1e-4, rtol=0)


@given(st.integers(0, 10_000))
def test_frames_held_are_wholly_seen_and_have_room(seed):
    corners = held(64, seeded(seed))
    assert corners.abs().max() <= 1
    straight = (corners == torch.tensor(STRAIGHT)).all((1, 2))
    assert 4 <= int(straight.sum()) <= 32
    centre = torch.tensor(STRAIGHT) * 0.3
    # Every corner keeps to its own quarter, so that the map never turns over.
    assert (corners.sign() == centre.sign()).all()


def test_a_straight_frame_shows_the_picture_itself():
    x = torch.rand(1, 3, 16, 16, generator=seeded()) * 2 - 1
    corners = torch.tensor([STRAIGHT])
    torch.testing.assert_close(unskew(x, corners), x, atol=1e-5, rtol=0)
    torch.testing.assert_close(unskew(x, corners, (8, 8)).mean(), x.mean(), atol=0.05, rtol=0)


def test_half_as_wide_lies_where_it_should():
    corners = torch.tensor([STRAIGHT]) * torch.tensor([0.5, 1.0])
    x = torch.full((1, 3, 32, 32), -0.5)
    seen = skew(x, corners, torch.ones(1, 3))
    np.testing.assert_allclose(seen[0, 0, :, 8:24], -0.5, atol=1e-5)
    np.testing.assert_allclose(seen[0, 0, :, :8], 1, atol=1e-5)
    np.testing.assert_allclose(seen[0, 0, :, 24:], 1, atol=1e-5)


def test_skew_is_undone():
    at = torch.linspace(-3, 3, 64)
    x = (at.sin()[:, None] * at.cos()).expand(8, 3, 64, 64).contiguous() * 0.9
    corners = held(8, seeded(3))
    back = unskew(skew(x, corners, -torch.ones(8, 3)), corners)
    assert (back - x)[..., 4:-4, 4:-4].abs().mean() < 0.02
    assert (back - x)[..., 4:-4, 4:-4].abs().max() < 0.2
