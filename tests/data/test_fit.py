"""Pictures become square as stated; enhancements do what they say; sharp and blurred ones are told apart."""

import data_toys as lay
import numpy as np
import pytest
from PIL import Image, ImageFilter

from tranh.data import fit


def test_crop_keeps_the_middle():
    stripes = Image.new("RGB", (90, 30), "red")
    stripes.paste("green", (30, 0, 60, 30))
    stripes.paste("blue", (60, 0, 90, 30))
    assert (np.asarray(fit.square(stripes, 30, "crop")) == (0, 128, 0)).all()
    assert (np.asarray(fit.square(stripes.transpose(Image.Transpose.ROTATE_90), 30)) == (0, 128, 0)).all()


def test_a_crop_that_fits_changes_no_pixel():
    picture = lay.pixels(4, (41, 32))
    assert (np.asarray(fit.square(picture, 32)) == np.asarray(picture)[:, 4:36]).all()


def test_letterbox_keeps_everything_on_the_colour_of_the_rim():
    picture = Image.new("RGB", (80, 40), (200, 10, 60))
    picture.paste("white", (20, 10, 60, 30))
    out = np.asarray(fit.square(picture, 40, "letterbox"), dtype=int)
    assert out.shape == (40, 40, 3) and (out[:10] == (200, 10, 60)).all() and (out[30:] == (200, 10, 60)).all()
    assert (out[20, 20] == 255).all()


@pytest.mark.parametrize("shape", ["crop", "letterbox"])
@pytest.mark.parametrize("size", [(1, 1), (3, 700), (700, 3), (64, 64), (65, 64)])
def test_any_size_becomes_square(size, shape):
    assert fit.square(Image.new("RGB", size, "teal"), 64, shape).size == (64, 64)


def test_denoise_removes_specks():
    picture = Image.new("RGB", (32, 32), "navy")
    for k in range(4, 28, 6):
        picture.putpixel((k, k), (255, 255, 255))
    assert (np.asarray(fit.denoise(picture)) == np.asarray(Image.new("RGB", (32, 32), "navy"))).all()


def test_contrast_fills_the_range():
    dull = lay.pixels(1, (64, 64)).point(lambda v: 100 + v // 8)
    out = np.asarray(fit.contrast(dull))
    assert out.min() <= 5 and out.max() >= 250


def test_white_balance_takes_a_cast_away():
    cast = np.asarray(lay.pixels(2, (64, 64)), dtype=float) * (0.9, 0.6, 0.4)
    out = np.asarray(fit.white_balance(Image.fromarray(cast.astype(np.uint8))), dtype=float).mean((0, 1))
    assert out.max() - out.min() < 2
    black = Image.new("RGB", (8, 8))
    assert (np.asarray(fit.white_balance(black)) == 0).all()


def test_blurred_pictures_are_less_sharp():
    sharp = lay.pixels(5, (64, 64)).filter(ImageFilter.UnsharpMask(2, 300))
    assert fit.sharpness(sharp) > 4 * fit.sharpness(sharp.filter(ImageFilter.GaussianBlur(3)))
    assert fit.sharpness(Image.new("RGB", (64, 64), "red")) == fit.sharpness(Image.new("RGB", (2, 2))) == 0
