"""Super-resolution: a picture four times as wide, and the tiles in which large ones are made.

It knows no family: whoever has ``enlarge`` is asked. Tiles overlap and are joined at every step of a sampler
(MultiDiffusion, Bar-Tal et al. 2023), so that neighbours agree on what is drawn where they meet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from tranh.types import Denoiser, Enlarges, Step, TranhError, capabilities

FACTOR = 4

Conditioned = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(x_t (B, 3, s h, s w), t (B,), small (B, 3, h, w)) -> x_0 estimate like x_t: a denoiser that sees a small picture."""


def able(model: object, name: str = "the model") -> Enlarges:
    """The model, if it can.

    Raises:
        TranhError: it does not enlarge pictures; says what it does instead.
    """
    if not isinstance(model, Enlarges):
        does = ", ".join(capabilities(model)) or "does nothing"
        raise TranhError(
            f"{name} cannot enlarge pictures (it {does}): name an export of `tranh train enhancer`, or of a hierarchy "
            "with an upsampler, such as tranh-1"
        )
    return model


def enlarged(model: Enlarges, images: Tensor, seeds: Sequence[int], steps: int = 1, rounds: int = 1) -> Iterator[Step]:
    """Pictures (B, 3, H, W) made four times as wide, ``rounds`` times.

    Args:
        steps: 1 gives the posterior mean, the picture nearest to all those the small one may show; more of them draw
            one of these, sharp where the mean is soft.

    Yields:
        every step of every round; the last one's ``x`` is (B, 3, 4^rounds H, 4^rounds W), in [-1, 1].
    """
    for k in range(rounds):
        for step in model.enlarge(images, [seed + (k << 32) for seed in seeds], steps):
            last = step.index == step.steps
            x = step.x.clamp(-1, 1) if last else step.x
            yield Step(k * step.steps + step.index, rounds * step.steps, step.t, x, step.x0)
            images = x if last else images


def starts(length: int, side: int, overlap: int) -> list[int]:
    """Where tiles of a side begin along a length: evenly, the last at its end, each overlapping the next by at least
    ``overlap``."""
    if length <= side:
        return [0]
    count = -(-(length - overlap) // (side - overlap))
    return [round(k * (length - side) / (count - 1)) for k in range(count)]


def ramp(side: int, overlap: int) -> Tensor:
    """Weights along a tile, (side,): rising over the overlap, even in the middle, falling over the overlap."""
    at = torch.arange(side) + 0.5
    return torch.minimum(at, side - at).clamp(max=overlap) / max(1, overlap)


def tiled(
    denoise: Conditioned, small: Tensor, scale: int, side: int = 64, overlap: int = 16, rows: int = 4
) -> Denoiser:
    """A denoiser of whole pictures made of one that sees tiles.

    Args:
        small: (B, 3, h, w).
        scale: how many times wider the large pictures are.
        side, overlap: of tiles of the small picture, in its pixels. A picture that fits into one is asked whole.
        rows: tiles asked at once.

    Returns:
        denoiser of (B, 3, scale h, scale w): the weighed mean of what the tiles say, each counting least at its edges.
    """
    B, _, H, W = small.shape
    high, wide = min(side, H), min(side, W)
    places = [(k, y, x) for k in range(B) for y in starts(H, high, overlap) for x in starts(W, wide, overlap)]
    if len(places) == B:
        return lambda xt, t: denoise(xt, t, small)
    weight = (ramp(scale * high, scale * overlap)[:, None] * ramp(scale * wide, scale * overlap)).to(small)

    def cut(x: Tensor, s: int, group: Sequence[tuple[int, int, int]]) -> Tensor:
        return torch.cat([x[k : k + 1, :, s * a : s * (a + high), s * b : s * (b + wide)] for k, a, b in group])

    def whole(xt: Tensor, t: Tensor) -> Tensor:
        total, weights = torch.zeros_like(xt), torch.zeros_like(xt[:, :1])
        for first in range(0, len(places), rows):
            group = places[first : first + rows]
            said = denoise(cut(xt, scale, group), t[[k for k, _, _ in group]], cut(small, 1, group))
            for (k, a, b), tile in zip(group, said, strict=True):
                where = (k, slice(None), slice(scale * a, scale * (a + high)), slice(scale * b, scale * (b + wide)))
                total[where] += weight * tile
                weights[where] += weight
        return total / weights

    return whole
