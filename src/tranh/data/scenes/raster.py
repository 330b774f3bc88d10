"""SVG becomes pixels: the one place that knows the rasteriser, and the two styles that are made of pixels.

It knows a style by its name and nothing of what the SVG shows.
"""

from __future__ import annotations

import io
from typing import Literal

import numpy as np
import resvg_py
from PIL import Image

PIXEL_GRID = 32
"""Blocks per side in the pixel style."""


def _drawn(svg: str, style: str, size: int, mode: Literal["RGB", "RGBA"]) -> np.ndarray:
    raster = PIXEL_GRID if style == "pixel" else size
    shape: Literal["crisp_edges", "geometric_precision"]
    shape = "crisp_edges" if style == "pixel" else "geometric_precision"
    png = resvg_py.svg_to_bytes(
        svg_string=svg, width=raster, height=raster, skip_system_fonts=True, shape_rendering=shape
    )
    with Image.open(io.BytesIO(png), formats=("PNG",)) as drawn:
        image = drawn.convert(mode)
        if raster != size:
            image = image.resize((size, size), Image.Resampling.NEAREST)
        return np.asarray(image)


def pixels(svg: str, style: str, size: int) -> np.ndarray:
    """An SVG document that fills its canvas, as (size, size, 3) uint8."""
    return developed(_drawn(svg, style, size, "RGB"), style)


def layer(svg: str, style: str, size: int) -> np.ndarray:
    """An SVG document as (size, size, 4) uint8: colour, not multiplied by it, and opacity. Not yet developed."""
    return _drawn(svg, style, size, "RGBA")


def developed(picture: np.ndarray, style: str) -> np.ndarray:
    """What a style does to the finished pixels (H, W, 3) uint8."""
    return _sepia(picture) if style == "sepia" else picture


def _sepia(picture: np.ndarray) -> np.ndarray:
    grey = picture.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32) / 255
    tone = grey[..., None] ** np.array([0.75, 1.0, 1.4], np.float32)
    return np.rint(255 * tone * np.array([1.0, 0.94, 0.82], np.float32)).astype(np.uint8)
