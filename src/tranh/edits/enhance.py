"""Enhancement: a picture that was blurred, noisy, over-compressed or not held straight, as it may have been.

It knows no family: whoever has ``restore`` and ``corners`` is asked. What is lost is not invented: every pixel is the
mean of what it may have been.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tranh.nn.degrade import STRAIGHT, unskew
from tranh.types import Restores, TranhError, capabilities

SKEWED = 0.02
"""Share of a side that corners must lie inside the frame, on average, before a picture counts as skewed."""


def able(model: object, name: str = "the model") -> Restores:
    """The model, if it can.

    Raises:
        TranhError: it does not mend pictures; says what it does instead.
    """
    if not isinstance(model, Restores):
        does = ", ".join(capabilities(model)) or "does nothing"
        raise TranhError(f"{name} cannot mend pictures (it {does}): name an export of `tranh train enhancer`")
    return model


def straightened(model: Restores, images: Tensor) -> tuple[Tensor, Tensor]:
    """What lies between the corners the model finds, at the same size; one that is hardly skewed stays as it is.

    Args:
        images: (B, 3, H, W) in [-1, 1].

    Returns:
        the pictures, and how skewed each was: the mean distance of its corners from the frame's, in shares of a side.
    """
    corners = model.corners(images).to(images)
    skewed = (corners - corners.new_tensor(STRAIGHT)).abs().mean((1, 2)) / 2
    straight = unskew(images, corners)
    return torch.where((skewed > SKEWED)[:, None, None, None], straight, images), skewed


def enhanced(model: Restores, images: Tensor) -> tuple[Tensor, Tensor]:
    """Held straight first, then mended; what :func:`straightened` gives."""
    straight, skewed = straightened(model, images)
    return model.restore(straight), skewed
