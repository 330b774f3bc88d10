"""Contact sheets: many pictures and their captions on one page.

It knows pixels and text, not where either comes from.
"""

from __future__ import annotations

import importlib.util
import textwrap
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from tranh.nn.pixels import to_pixels

SMALL = 11
"""Size of the letters in pixels."""


@cache
def letters(size: int = SMALL) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """A font with the letters of every language spoken here: DejaVu of matplotlib; Pillow's own lacks Vietnamese."""
    spec = importlib.util.find_spec("matplotlib")  # found, not imported: half a second is saved
    if spec is not None and spec.origin is not None:
        file = Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
        if file.exists():
            return ImageFont.truetype(str(file), size, layout_engine=ImageFont.Layout.BASIC)
    return ImageFont.load_default(size)


def sheet(images: Tensor, captions: Sequence[str], columns: int = 8, side: int = 128) -> Image.Image:
    """Pictures in rows, each with its caption below.

    Args:
        images: (B, 3, H, W) in [-1, 1].
        captions: B of them; long ones are wrapped.
        columns: pictures per row.
        side: of a picture on the sheet, in pixels; smaller pictures are enlarged without smoothing.
    """
    font = letters()
    per_line = max(8, int(side / (0.56 * SMALL)))
    wrapped = [textwrap.wrap(caption, per_line) for caption in captions]
    line, gap = SMALL + 3, 8
    text = line * max((len(lines) for lines in wrapped), default=0) + gap
    rows = -(-len(captions) // columns)
    page = Image.new("RGB", (columns * (side + gap) + gap, rows * (side + text + gap) + gap), "white")
    draw = ImageDraw.Draw(page)
    for k, (picture, lines) in enumerate(zip(to_pixels(images), wrapped, strict=True)):
        x, y = gap + (k % columns) * (side + gap), gap + (k // columns) * (side + text + gap)
        smooth = Image.Resampling.NEAREST if side % picture.shape[0] == 0 else Image.Resampling.LANCZOS
        page.paste(Image.fromarray(picture).resize((side, side), smooth), (x, y))
        for n, words in enumerate(lines):
            draw.text((x, y + side + 2 + n * line), words, "black", font)
    return page
