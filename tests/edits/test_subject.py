"""Cutting a subject out and putting it elsewhere, against figures that are known."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from tranh.edits.subject import agreed, cut_outs, paste, shifted, things
from tranh.nn.pixels import to_images

GREEN, BLUE, SAND, ROSE = (90, 180, 90), (40, 60, 200), (240, 220, 160), (200, 60, 90)


def figure(ground, at=(70, 60), side=80, size=160, hole=None):
    """A cross of two colours on a ground; ``hole`` is a colour of its middle."""
    image = Image.new("RGB", (size, size), ground)
    draw, (x, y), third = ImageDraw.Draw(image), at, side // 4
    draw.rectangle((x - side // 2, y - third, x + side // 2, y + third), fill=(230, 120, 20))
    draw.rectangle((x - third, y - side // 2, x + third, y + side // 2), fill=(120, 20, 140))
    if hole:
        draw.rectangle((x - third // 2, y - third // 2, x + third // 2, y + third // 2), fill=hole)
    return to_images(np.asarray(image)[None])[0]


def test_a_figure_on_a_plain_ground_is_found_whole():
    (cut,) = things(figure(SAND))
    assert cut.box == pytest.approx((30 / 160, 20 / 160, 111 / 160, 101 / 160), abs=0.01)
    assert float(cut.cover.mean()) == pytest.approx(0.75, abs=0.03)  # a cross of halves fills three quarters
    ground = to_images(np.full((1, 1, 1, 3), SAND, np.uint8))[0, :, 0]
    assert (cut.colours[:, cut.cover[0] > 0] - ground).abs().amax(0).min() > 0.2
    assert len(cut.ground) == 1 and torch.allclose(cut.ground[0], ground[:, 0], atol=0.02)


def test_bands_of_the_ground_are_no_things():
    plain = figure(SAND, side=0)
    ground = plain.clone()
    ground[:, :50], ground[:, 50:90] = 0.9, torch.tensor([-0.6, -0.2, 0.5])[:, None, None]
    there = (figure(SAND) - plain).abs().amax(0) > 0
    (cut,) = things(torch.where(there, figure(SAND), ground))
    assert float(cut.cover.mean()) == pytest.approx(0.75, abs=0.05)


@pytest.mark.parametrize("image", [figure(GREEN, side=0), figure(GREEN, side=8), figure(GREEN, at=(10, 60))])
def test_nothing_too_small_or_cut_by_the_border(image):
    assert not [cut for cut in things(image) if cut.cover.shape[1] > 45]


def beside(image, x, y, wide, high, colour):
    """A picture with a box of one colour in it."""
    out = image.clone()
    out[:, y : y + high, x : x + wide] = torch.tensor(colour)[:, None, None]
    return out


def test_the_subject_is_what_the_pictures_have_in_common():
    images = [
        beside(figure(SAND), 120, 90, 30, 60, (-0.9, 0.9, 0.2)),
        beside(figure(GREEN, (60, 50)), 100, 120, 40, 20, (0.9, -0.9, -0.9)),
        figure(BLUE),
    ]
    cuts = cut_outs(images)
    assert all(float(cut.cover.mean()) == pytest.approx(0.75, abs=0.05) for cut in cuts)
    # Where no two pictures agree nobody knows what is meant.
    assert cut_outs([images[0], figure(GREEN, side=0), figure(BLUE, side=0)]) == [None] * 3


def test_pictures_whose_ground_has_a_colour_of_the_subject_are_left_out():
    # The middle is rose in every picture, and cannot be seen where the ground is rose too.
    cuts = cut_outs([figure(ground, hole=ROSE) for ground in (SAND, GREEN, ROSE)])
    assert cuts[2].cover.mean() < cuts[0].cover.mean() - 0.04
    whole = agreed(cuts)
    assert len(whole) == 2 and all(cut is not cuts[2] for cut in whole)
    # Where the ground shows through there is a hole in all of them, and it stays one.
    open_ = agreed(cut_outs([figure(ground, hole=ground) for ground in (SAND, GREEN, BLUE)]))
    middle = open_[0].cover.shape[1] // 2
    assert len(open_) == 3 and all(cut.cover[0, middle, middle] < 0.1 for cut in open_)


def test_it_is_put_where_it_should_stand_and_nowhere_else():
    (cut,), ground = things(figure(SAND)), figure(BLUE, side=0, size=64)
    image, cover = paste(ground, cut, 0.75, 0.5, 0.25)
    assert torch.equal(image[:, cover[0] == 0], ground[:, cover[0] == 0])
    rows, cols = torch.where(cover[0] > 0.5)
    assert cols.float().mean() == pytest.approx(48, abs=1) and rows.float().mean() == pytest.approx(32, abs=1)
    assert rows.max() - rows.min() + 1 == pytest.approx(16, abs=1)
    beyond, _ = paste(ground, cut, 1.0, 1.0, 0.5)
    assert beyond.shape == ground.shape and not torch.equal(beyond, ground)


def test_shifting_moves_every_pixel():
    image = torch.rand(3, 8, 8)
    assert torch.equal(shifted(image, 2, -1)[:, :-1, 2:], image[:, 1:, :-2]) and torch.equal(
        shifted(image, 0, 0), image
    )
