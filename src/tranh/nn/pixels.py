"""Pictures as networks see them, float32 NCHW in [-1, 1], and as files keep them, uint8 NHWC; the one way between.

It knows neither files nor networks.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def to_pixels(images: Tensor) -> np.ndarray:
    """(B, 3, H, W) float -> (B, H, W, 3) uint8; values beyond [-1, 1] count as its ends."""
    scaled = images.detach().float().cpu().clamp(-1, 1).add(1).mul(127.5).round()
    pixels: np.ndarray = scaled.to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    return pixels


def to_images(pixels: np.ndarray) -> Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float32 in [-1, 1]."""
    return torch.from_numpy(np.require(pixels, requirements=("C", "W"))).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def resized(images: Tensor, side: int) -> Tensor:
    """Pictures (B, 3, H, W) at (side, side): averaged when made smaller, bilinear when made larger."""
    if images.shape[-2:] == (side, side):
        return images
    return F.interpolate(images.float(), size=(side, side), mode="bilinear", antialias=True).clamp(-1, 1)
