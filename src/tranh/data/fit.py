"""RGB pictures to RGB pictures: to a square, less noisy, better lit; and how sharp one is.

It knows neither files nor what the pictures show.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from PIL import Image, ImageFilter, ImageOps

Shape = Literal["crop", "letterbox"]


def square(image: Image.Image, size: int, shape: Shape = "crop") -> Image.Image:
    """A picture of ``size`` by ``size`` pixels, by Pillow's bicubic filter (which averages where it shrinks).

    Args:
        shape: ``crop`` fills the square and loses what stands over in the middle of both ends; ``letterbox`` keeps
            everything and fills the rest with the mean colour of the picture's rim.
    """
    width, height = image.size
    if (width, height) == (size, size):
        return image
    if shape == "crop":
        side = min(width, height)
        left, top = (
            (width - side) // 2,
            (height - side) // 2,
        )  # whole pixels: nothing is interpolated that fits as it is
        box = (left, top, left + side, top + side)
        return image.resize((size, size), Image.Resampling.BICUBIC, box=box, reducing_gap=3.0)
    scale = size / max(width, height)
    inner = (max(1, round(width * scale)), max(1, round(height * scale)))
    out = Image.new("RGB", (size, size), _rim(image))
    small = image.resize(inner, Image.Resampling.BICUBIC, reducing_gap=3.0)
    out.paste(small, ((size - inner[0]) // 2, (size - inner[1]) // 2))
    return out


def denoise(image: Image.Image) -> Image.Image:
    """Each pixel the median of its 3 x 3 neighbours."""
    return image.filter(ImageFilter.MedianFilter(3))


def contrast(image: Image.Image) -> Image.Image:
    """Brightness stretched to the full range, half a percent of the pixels at each end clipped; hues stay."""
    return ImageOps.autocontrast(image, cutoff=0.5, preserve_tone=True)


def white_balance(image: Image.Image) -> Image.Image:
    """Channels scaled so that their means are equal (the grey-world assumption)."""
    pixels = np.asarray(image, dtype=np.float32)
    means = pixels.mean((0, 1))
    if (means < 1).any():
        return image
    return Image.fromarray(np.clip(pixels * (means.mean() / means) + 0.5, 0, 255).astype(np.uint8))


ENHANCE: dict[str, Callable[[Image.Image], Image.Image]] = {f.__name__: f for f in (denoise, white_balance, contrast)}
"""What may be done to every picture, in this order."""


def sharpness(image: Image.Image) -> float:
    """Variance of the Laplacian of the grey picture, in units of (1/255)^2: blurred ones are near 0."""
    grey = np.asarray(image.convert("L"), dtype=np.float32)
    if min(grey.shape) < 3:
        return 0.0
    middle = 4 * grey[1:-1, 1:-1]
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float((middle - around).var())


def _rim(image: Image.Image) -> tuple[int, int, int]:
    pixels = np.asarray(image)
    rim = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]).mean(0)
    red, green, blue = (round(float(value)) for value in rim)
    return red, green, blue
