"""A part of a picture drawn anew: masking while sampling, and the larger canvas of what is drawn beyond the borders.

It asks for a denoiser and knows no family. Pictures are (B, 3, S, S) in [-1, 1], holes bool (B, 1, S, S).
"""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor

from tranh.types import Denoiser, TranhError

WIDEST = 1.0
"""How far a picture is drawn on at a side, at most, in sides of it."""


def around(denoiser: Denoiser, images: Tensor, holes: Tensor) -> Denoiser:
    """Masking only while sampling: outside the holes the estimate is the picture itself (Lugmayr et al. 2022, RePaint,
    without its jumps back). The network was never shown what is around a hole; it sees it in the noisy state."""
    return lambda x, t: torch.where(holes, denoiser(x, t), images)


def canvas(picture: Image.Image, extend: tuple[float, float, float, float]) -> tuple[Image.Image, Image.Image]:
    """A larger square with the picture in it, and its mask: white where there is nothing yet.

    Args:
        picture: a square of S x S pixels.
        extend: how far it goes on to the left, top, right and bottom, in sides of the picture. Where that makes no
            square, the shorter side is drawn on evenly at both ends.

    Raises:
        TranhError: a share is out of range, or all are 0.
    """
    if not all(0 <= share <= WIDEST for share in extend) or not any(extend):
        raise TranhError(
            f"extend is {', '.join(f'{share:g}' for share in extend)}; it is left,top,right,bottom from 0 to "
            f"{WIDEST:g}, in sides of the picture, and not all 0"
        )
    S = picture.width
    left, top, right, bottom = (round(S * share) for share in extend)
    across, down = left + S + right, top + S + bottom
    side = max(across, down)
    left, top = left + (side - across) // 2, top + (side - down) // 2
    whole = Image.new("RGB", (side, side))
    whole.paste(picture, (left, top))
    mask = Image.new("L", (side, side), 255)
    mask.paste(0, (left, top, left + S, top + S))
    return whole, mask
