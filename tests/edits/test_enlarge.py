"""Tiles: they cover, their weights add up, and a denoiser asked in tiles says what it says of the whole."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from tranh.edits.enlarge import able, enlarged, ramp, starts, tiled
from tranh.types import Step, TranhError


def bicubic(xt, t, small):
    return F.interpolate(small, scale_factor=4, mode="bicubic", align_corners=False)


@given(st.integers(1, 300), st.integers(8, 64), st.integers(0, 7))
def test_tiles_cover_and_overlap(length, side, overlap):
    begins = starts(length, side, overlap)
    assert begins[0] == 0 and begins[-1] + side >= length
    if length <= side:
        assert begins == [0]
    else:
        assert begins[-1] == length - side
        assert all(b - a <= side - overlap for a, b in zip(begins, begins[1:], strict=False))


def test_weights_rise_and_fall_evenly_and_are_never_zero():
    w = ramp(10, 4)
    torch.testing.assert_close(w, w.flip(0))
    assert w.min() > 0 and w[4] == w[5] == 1


def test_in_tiles_a_local_denoiser_says_what_it_says_of_the_whole():
    small = torch.rand(2, 3, 70, 45, generator=torch.Generator().manual_seed(0)) * 2 - 1
    x, t = torch.zeros(2, 3, 280, 180), torch.ones(2)
    got = tiled(bicubic, small, 4, side=32, overlap=12)(x, t)
    # Bicubic enlargement reaches two pixels: only the last two of a tile differ, and count little there.
    assert (got - bicubic(x, t, small)).abs().mean() < 0.01
    flat = torch.full_like(small, 0.25)
    torch.testing.assert_close(tiled(bicubic, flat, 4, 32, 12)(x, t), torch.full_like(x, 0.25))


def test_tiles_see_their_own_part_of_everything():
    """A denoiser that returns its x_t, plus its time: what comes back is x_t plus t, so parts are where they belong."""
    small = torch.zeros(2, 3, 40, 40)
    x, t = torch.randn(2, 3, 160, 160), torch.tensor([0.5, 0.25])
    got = tiled(lambda xt, t, low: xt + t[:, None, None, None], small, 4, side=16, overlap=6)(x, t)
    torch.testing.assert_close(got, x + t[:, None, None, None])


def test_a_picture_that_fits_is_asked_whole():
    asked = []
    small = torch.zeros(3, 3, 16, 16)
    tiled(lambda x, t, low: asked.append(x.shape) or x, small, 4, side=16)(torch.zeros(3, 3, 64, 64), torch.ones(3))
    assert asked == [(3, 3, 64, 64)]


class Doubling:
    """Enlarges by repetition, and says with how many steps and which seeds it was asked."""

    def __init__(self):
        self.asked = []

    def enlarge(self, images, seeds, steps=1):
        self.asked.append((tuple(images.shape), tuple(seeds), steps))
        x = images.repeat_interleave(4, -1).repeat_interleave(4, -2) * 1.5
        for k in range(1, steps + 1):
            yield Step(k, steps, 1 - k / steps, x, x)


def test_rounds_follow_each_other_with_other_noise():
    model, images = Doubling(), torch.ones(1, 3, 4, 4)
    steps = list(enlarged(model, images, [5], steps=2, rounds=2))
    assert [s.index for s in steps] == [1, 2, 3, 4] and steps[-1].steps == 4
    assert steps[-1].x.shape == (1, 3, 64, 64) and steps[-1].x.max() == 1
    (first, seeds, _), (second, others, _) = model.asked
    assert first == (1, 3, 4, 4) and second == (1, 3, 16, 16) and seeds == (5,) and others != seeds


def test_who_cannot_is_told_who_can():
    with pytest.raises(TranhError, match="toy cannot enlarge pictures .*tranh train enhancer"):
        able(object(), "toy")
