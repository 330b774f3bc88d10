"""Enhancement: what is skewed is held straight, what is not stays, and then it is mended."""

import pytest
import torch

from tranh.edits.enhance import SKEWED, able, enhanced, straightened
from tranh.nn.degrade import STRAIGHT, skew
from tranh.types import TranhError


class Mender:
    """Knows the corners; mends by halving."""

    def __init__(self, corners):
        self.known = corners

    def corners(self, images):
        return self.known

    def restore(self, images):
        return images / 2


def waves(count=1, side=64):
    at = torch.linspace(-3, 3, side)
    return (at.sin()[:, None] * (2 * at).cos()).expand(count, 3, side, side).contiguous() * 0.8


def test_what_was_skewed_is_straight_again():
    corners = torch.tensor([[[-0.8, -0.7], [0.9, -0.85], [0.75, 0.9], [-0.9, 0.8]]])
    picture = waves()
    seen = skew(picture, corners, torch.ones(1, 3))
    straight, skewed = straightened(Mender(corners), seen)
    assert skewed[0] == pytest.approx(float((corners - torch.tensor(STRAIGHT)).abs().mean() / 2)) and skewed[0] > SKEWED
    inner = (slice(None), slice(None), slice(3, -3), slice(3, -3))
    assert (straight[inner] - picture[inner]).abs().mean() < 0.02
    assert (seen[inner] - picture[inner]).abs().mean() > 0.1


def test_what_is_hardly_skewed_stays_to_the_bit():
    nearly = torch.tensor([STRAIGHT]) * 0.99
    picture = waves()
    straight, skewed = straightened(Mender(nearly), picture)
    assert torch.equal(straight, picture) and skewed[0] < SKEWED
    assert torch.equal(enhanced(Mender(nearly), picture)[0], picture / 2)


def test_who_cannot_is_told_who_can():
    with pytest.raises(TranhError, match="toy cannot mend pictures"):
        able(object(), "toy")
