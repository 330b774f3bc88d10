"""What happens to pictures on their way: blur, noise, JPEG, and a frame that is not held straight; and its undoing.

It knows no network. Everything is a pure function; what is random is drawn from the generator handed in. Corners are
(x, y) in the frame's own units, -1 at its left and top edge and 1 at the others, in the order top left, top right,
bottom right, bottom left.
"""

from __future__ import annotations

import io

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from tranh.nn.pixels import to_images, to_pixels

STRAIGHT = ((-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0))
"""Corners of a frame held straight."""


def blur(x: Tensor, sigma: Tensor) -> Tensor:
    """Each picture (B, C, H, W) under a Gaussian of its own width sigma (B,) in pixels; 0 leaves it."""
    B, C, H, W = x.shape
    radius = min(max(1, int(3 * float(sigma.max()) + 0.5)), H - 1, W - 1)
    at = torch.arange(-radius, radius + 1, device=x.device, dtype=x.dtype)
    kernel = torch.exp(-0.5 * (at / sigma.clamp(min=1e-3)[:, None]).square())  # (B, K)
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(C, 0)
    rows = F.pad(x, [radius] * 4, mode="reflect").reshape(1, B * C, H + 2 * radius, W + 2 * radius)
    rows = F.conv2d(rows, kernel[:, None, :, None], groups=B * C)
    return F.conv2d(rows, kernel[:, None, None, :], groups=B * C).view(B, C, H, W)


def jpeg(x: Tensor, quality: list[int]) -> Tensor:
    """Each picture (B, 3, H, W) written and read as JPEG, colours halved in size as usual; 0 leaves it."""
    out = []
    for image, pixels, q in zip(x, to_pixels(x), quality, strict=True):
        if q == 0:
            out.append(image)
            continue
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=q, subsampling=2)
        with Image.open(file, formats=("JPEG",)) as read:
            out.append(to_images(np.asarray(read)[None])[0].to(x))
    return torch.stack(out)


def worn(x: Tensor, generator: torch.Generator) -> Tensor:
    """Pictures (B, 3, H, W) blurred (up to 2 px), noisy (up to 0.25 of standard deviation) and over-compressed (quality
    10 to 70), each of the three with a chance of a half, so that an eighth stay as they are."""

    def share() -> Tensor:
        return torch.rand(len(x), generator=generator, device=generator.device)

    def amount(low: float, high: float) -> Tensor:
        return torch.where(share() < 0.5, low + (high - low) * share(), torch.zeros(())).to(x.device)

    x = blur(x, amount(0.3, 2.0))
    eps = torch.randn(x.shape, generator=generator, device=generator.device).to(x.device)
    x = (x + amount(0.02, 0.25)[:, None, None, None] * eps).clamp(-1, 1)
    return jpeg(x, [round(q) for q in amount(10, 70).tolist()])


def homography(corners: Tensor) -> Tensor:
    """The projective maps (B, 3, 3) that take the corners of a straight frame to ``corners`` (B, 4, 2)."""
    B = len(corners)
    frame = corners.new_tensor(STRAIGHT)
    x, y = (one.expand(B, 4) for one in frame.T)
    u, v = corners.unbind(-1)
    zero, one = torch.zeros_like(u), torch.ones_like(u)
    across = torch.stack([x, y, one, zero, zero, zero, -u * x, -u * y], dim=-1)  # (B, 4, 8)
    down = torch.stack([zero, zero, zero, x, y, one, -v * x, -v * y], dim=-1)
    h = torch.linalg.solve(torch.cat([across, down], dim=1), torch.cat([u, v], dim=1))  # (B, 8)
    return torch.cat([h, one[:, :1]], dim=1).view(B, 3, 3)


def _sampled(x: Tensor, maps: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Pictures (B, C, *size) that show at each place what x shows where ``maps`` (B, 3, 3) take it, and the places."""
    ys, xs = (torch.linspace(-1 + 1 / n, 1 - 1 / n, n, device=x.device) for n in size)
    grid = torch.stack([xs.expand(*size), ys[:, None].expand(*size), torch.ones(size, device=x.device)], dim=-1)
    seen = grid.flatten(0, 1) @ maps.transpose(1, 2)  # (B, N, 3)
    places = (seen[..., :2] / seen[..., 2:]).view(-1, *size, 2)
    return F.grid_sample(x, places, mode="bicubic", padding_mode="border", align_corners=False).clamp(-1, 1), places


def skew(x: Tensor, corners: Tensor, ground: Tensor) -> Tensor:
    """Pictures (B, 3, H, W) whose corners lie at ``corners`` (B, 4, 2), on a ground of one colour (B, 3).

    The edge is as soft as that of a photograph: a pixel half covered shows half of each.
    """
    size = (x.shape[-2], x.shape[-1])
    fine = (2 * size[0], 2 * size[1])
    taken, places = _sampled(x, torch.linalg.inv(homography(corners)), fine)
    inside = (places.abs() <= 1).all(-1)[:, None].to(x.dtype)
    return F.avg_pool2d(torch.lerp(ground[:, :, None, None].expand_as(taken), taken, inside), 2)


def unskew(x: Tensor, corners: Tensor, size: tuple[int, int] | None = None) -> Tensor:
    """What lies between ``corners`` (B, 4, 2) of pictures (B, 3, H, W), brought to a straight frame."""
    return _sampled(x, homography(corners), size or (x.shape[-2], x.shape[-1]))[0]


def held(count: int, generator: torch.Generator, most: float = 0.3) -> Tensor:
    """Corners (count, 4, 2) of frames that are not held straight but wholly seen, every fourth one straight.

    A turn of up to 12 degrees and corners moved inwards, each way by up to ``most`` of half a side together.
    """

    def share(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, device=generator.device)

    straight = torch.tensor(STRAIGHT, device=generator.device)
    angle = (2 * share(count) - 1) * (12 * torch.pi / 180)
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], dim=-1).view(-1, 2, 2)
    bent = straight * (1 - most * 0.6 * share(count, 4, 2))
    bent = bent @ turn.transpose(1, 2)
    bent = bent / bent.abs().amax((1, 2), keepdim=True).clamp(min=1.0) * (1 - most * 0.3 * share(count, 1, 1))
    return torch.where((share(count) < 0.25)[:, None, None], straight, bent)
