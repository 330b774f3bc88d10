"""Beginning from the middle of the way: the grid's tail, and how much of the picture is left."""

import pytest
import torch

from tranh.diffusion.schedule import linear
from tranh.edits.img2img import again, times
from tranh.types import TranhError


def test_the_way_is_the_end_of_the_whole_one():
    whole = linear(10, last=0.08)
    assert torch.equal(times(1.0, 10), whole)
    tail = times(0.5, 10)
    assert tail[0] == 0.5 and torch.equal(tail[1:], whole[whole < 0.5])
    assert len(times(0.01, 10)) == 2


def test_more_strength_leaves_less_of_the_picture():
    g = torch.Generator().manual_seed(0)
    images, noise = torch.rand(2, 3, 8, 8, generator=g) * 2 - 1, torch.randn(2, 3, 8, 8, generator=g)
    kept = []
    for strength in (0.2, 0.5, 1.0):
        # the best guess of a world whose pictures are grey, give or take 0.5
        def guess(x, t):
            t = t.view(-1, 1, 1, 1)
            return x * (1 - t) * 0.25 / ((1 - t) ** 2 * 0.25 + t**2)

        *_, last = again(guess, images, noise, times(strength, 12))
        kept.append((last.x - images).abs().mean().item())
        assert last.x.abs().max() <= 1
    assert kept[0] < kept[1] < kept[2]


@pytest.mark.parametrize("strength", [0.0, -1.0, 1.5])
def test_a_strength_out_of_range_is_refused(strength):
    with pytest.raises(TranhError, match="strength is"):
        times(strength, 10)
