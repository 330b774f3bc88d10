"""Bytes to pictures and back: nothing is lost, and what is out of range counts as its ends."""

import numpy as np
import torch

from tranh.nn.pixels import to_images, to_pixels


def test_every_byte_survives():
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, -1)
    images = to_images(pixels)
    assert images.shape == (1, 3, 16, 16) and float(images.min()) == -1 and float(images.max()) == 1
    assert np.array_equal(to_pixels(images), pixels)


def test_out_of_range_is_cut_and_not_wrapped():
    assert to_pixels(torch.tensor([-3.0, 3.0, 0.0]).view(1, 3, 1, 1)).ravel().tolist() == [0, 255, 128]
