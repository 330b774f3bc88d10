"""Masking while sampling against its closed form, and the canvas of what is drawn beyond the borders."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tranh.diffusion.loss import corrupt
from tranh.diffusion.sample import euler
from tranh.diffusion.schedule import linear
from tranh.edits.inpaint import around, canvas
from tranh.types import TranhError


def test_outside_the_hole_every_state_is_the_picture_with_its_noise():
    g = torch.Generator().manual_seed(0)
    images, noise = torch.rand(2, 3, 8, 8, generator=g), torch.randn(2, 3, 8, 8, generator=g)
    holes = torch.zeros(2, 1, 8, 8, dtype=torch.bool)
    holes[..., :4] = True
    denoiser = around(lambda x, t: torch.full_like(x, 0.25), images, holes)
    outside = ~holes.expand_as(images)
    for step in euler(denoiser, noise, linear(6, last=1 / 6), floor=0.0):
        expected = corrupt(images, noise, torch.full((2,), step.t))
        torch.testing.assert_close(step.x[outside], expected[outside])
    torch.testing.assert_close(step.x[~outside], torch.full_like(step.x[~outside], 0.25))


SHARES = st.sampled_from([0.0, 0.25, 0.5, 1.0])


@given(extend=st.tuples(SHARES, SHARES, SHARES, SHARES).filter(any))
def test_the_picture_lies_in_its_canvas_untouched_and_the_mask_is_the_rest(extend):
    picture = Image.fromarray(np.arange(16 * 16 * 3, dtype=np.uint8).reshape(16, 16, 3))
    whole, mask = canvas(picture, extend)
    left, top, right, bottom = (round(16 * share) for share in extend)
    assert whole.size == mask.size == (max(left + 16 + right, top + 16 + bottom),) * 2
    black = np.asarray(mask) == 0
    assert black.sum() == 16 * 16 and set(np.unique(np.asarray(mask))) <= {0, 255}
    assert np.array_equal(np.asarray(whole)[black], np.asarray(picture).reshape(-1, 3))
    rows, columns = np.nonzero(black)
    assert columns.min() >= left and rows.min() >= top
    if left + right == top + bottom:
        assert (columns.min(), rows.min()) == (left, top)


@pytest.mark.parametrize("extend", [(0, 0, 0, 0), (-0.5, 0, 0, 0), (0, 0, 2, 0)])
def test_a_canvas_of_no_sense_is_refused(extend):
    with pytest.raises(TranhError, match="extend is"):
        canvas(Image.new("RGB", (8, 8)), extend)
