"""A subject cut out of the pictures that show it, and put into others: by pixels alone.

It knows neither what the subject is nor what is learned from it. Whatever does not look like the border of its picture
is taken for the subject; where several pictures show the same figure, they decide together what belongs to it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

UNLIKE = 0.14
"""Least difference from every colour of the border, in the channel where it is largest, as a share of full scale."""
SMALLEST, LARGEST = 0.01, 0.6
"""Share of the picture that a subject covers."""
ALIKE, LOOK = 0.16, 12
"""Mean difference, of full scale, below which two things are taken for the same, seen at so many pixels a side."""
AGREE = 0.85
"""Overlap (intersection over union) from which two outlines are taken for views of one figure."""
STRETCHED = 1.12
"""Their shares of width and height differ by no more than this."""
SIDE = 64
"""At which outlines are compared."""


@dataclass(frozen=True)
class CutOut:
    """A thing without its ground: colours (3, h, w) in [-1, 1] and cover (1, h, w) in [0, 1], tightly cropped.

    ``box`` is where it stood: left, top, right, bottom as shares of the picture's side; ``ground`` are the colours
    (n, 3) of its picture's border.
    """

    colours: Tensor
    cover: Tensor
    box: tuple[float, float, float, float]
    ground: Tensor


def cut_outs(images: Sequence[Tensor]) -> list[CutOut | None]:
    """In each picture (3, H, W) in [-1, 1] of one subject, the thing that is the subject; None where that is unclear.

    Of all things that do not look like the border of their picture it is the one that most pictures have; where no two
    pictures have the same, nothing is cut out.
    """
    found = [things(image) for image in images]
    looks = [[_look(thing) for thing in here] for here in found]

    def nearest(look: Tensor, there: list[Tensor]) -> float:
        return min((_unlike(look, other) for other in there), default=1.0)

    every = [(k, look) for k, here in enumerate(looks) for look in here]
    near = [[nearest(look, there) for i, there in enumerate(looks) if i != k] for k, look in every]
    support = [sum(d < ALIKE for d in row) for row in near]
    if not any(support):
        return [None] * len(found)
    seed = min(range(len(every)), key=lambda n: (-support[n], sum(near[n])))
    out: list[CutOut | None] = []
    for here, there in zip(found, looks, strict=True):
        unlike = [_unlike(every[seed][1], look) for look in there]
        out.append(here[unlike.index(min(unlike))] if unlike and min(unlike) < ALIKE else None)
    return out


def things(image: Tensor) -> list[CutOut]:
    """Everything in a picture (3, H, W) that does not look like its border and does not reach it, the largest first."""
    ground = _border(image)
    far = (image[:, None] - ground.T[:, :, None, None]).abs().amax(0).amin(0).numpy() / 2  # (H, W)
    unlike = far > UNLIKE
    H, W = unlike.shape
    margin = max(1, round(0.015 * max(H, W)))  # parts that stand so close belong together: eyes, dots
    joined = ndimage.binary_closing(np.pad(unlike, 2 * margin), iterations=margin)
    parts, count = ndimage.label(joined[2 * margin : -2 * margin, 2 * margin : -2 * margin])
    found = []
    for part in range(1, count + 1):
        whole = unlike & (parts == part)
        rows, cols = np.flatnonzero(whole.any(1)), np.flatnonzero(whole.any(0))
        touches = not len(rows) or rows[0] == 0 or cols[0] == 0 or rows[-1] == H - 1 or cols[-1] == W - 1
        if touches or not SMALLEST <= whole.mean() <= LARGEST:
            continue
        here = np.s_[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
        colours = _from_inside(image[(slice(None), *here)], whole[here], far[here])
        cover = torch.from_numpy(whole[here].astype(np.float32))[None]
        box = (float(cols[0] / W), float(rows[0] / H), float((cols[-1] + 1) / W), float((rows[-1] + 1) / H))
        found.append((whole.sum(), CutOut(colours, cover, box, ground)))
    return [cut for _, cut in sorted(found, key=lambda one: -one[0])]


def agreed(cuts: Sequence[CutOut]) -> list[CutOut]:
    """Those cut-outs of one subject that show it whole, with the outline most of them have.

    A part that has a colour of its ground is missing in a cut-out. So those whose ground has none of the subject's
    colours are preferred, as far as there are any; in the others holes are filled.
    """
    if not cuts:
        return []
    own = _colours(cuts)
    clear = [cut for cut in cuts if _apart(own, cut.ground) > UNLIKE]
    chosen = clear or [_filled(cut) for cut in cuts]
    outlines = torch.stack([_sized(cut.cover, SIDE, SIDE)[0] for cut in chosen]) > 0.5
    together = outlines.float().mean(0) > 0.5
    overlap = (outlines & together).sum((1, 2)) / (outlines | together).sum((1, 2)).clamp(min=1)
    shape = torch.tensor([cut.cover.shape[2] / cut.cover.shape[1] for cut in chosen])
    same = (overlap >= AGREE) & ((shape / shape.median()).log().abs() <= math.log(STRETCHED))
    alike = [cut for cut, one in zip(chosen, same.tolist(), strict=True) if one]
    if len(alike) < 3:
        return alike or chosen
    return [replace(cut, cover=_sized(together[None].float(), *cut.cover.shape[1:]).clamp(0, 1)) for cut in alike]


def paste(image: Tensor, cut: CutOut, x: float, y: float, side: float) -> tuple[Tensor, Tensor]:
    """A picture (3, S, S) with a subject put over it.

    Args:
        x, y: of its middle, as shares of the picture's side; side: of its larger side.

    Returns:
        the picture, and the subject's cover (1, S, S).
    """
    S = image.shape[-1]
    h, w = cut.cover.shape[1:]
    scale = side * S / max(h, w)
    height, width = max(1, round(scale * h)), max(1, round(scale * w))
    cover = _sized(cut.cover, height, width).clamp(0, 1)
    colours = (_sized(cut.colours * cut.cover, height, width) / cover.clamp(min=1e-3)).clamp(-1, 1)
    top, left = round(y * S - height / 2), round(x * S - width / 2)
    rows, cols = slice(max(0, top), min(S, top + height)), slice(max(0, left), min(S, left + width))
    inside = (slice(None), slice(rows.start - top, rows.stop - top), slice(cols.start - left, cols.stop - left))
    there, out = image.new_zeros(1, S, S), image.clone()
    there[:, rows, cols] = cover[inside]
    out[:, rows, cols] += cover[inside] * (colours[inside] - out[:, rows, cols])
    return out, there


def shifted(image: Tensor, right: int, down: int) -> Tensor:
    """A picture (3, S, S) moved by whole pixels; its border is drawn out to fill what opens."""
    S, reach = image.shape[-1], max(abs(right), abs(down))
    wide = F.pad(image[None], (reach,) * 4, mode="replicate")[0]
    return wide[:, reach - down : reach - down + S, reach - right : reach - right + S]


def _unlike(a: Tensor, b: Tensor) -> float:
    """How unlike two looks are, of full scale, where either thing is."""
    return float((a - b).abs().sum() / torch.maximum(a[3], b[3]).sum().clamp(min=1) / 7)


def _look(cut: CutOut) -> Tensor:
    """A thing seen from afar, (4, LOOK, LOOK): its colours, nothing where it is not, and its cover."""
    return torch.cat([_sized(cut.colours * cut.cover, LOOK, LOOK), _sized(cut.cover, LOOK, LOOK)])


def _sized(x: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(x[None], size=(height, width), mode="bilinear", antialias=True)[0]


def _border(image: Tensor) -> Tensor:
    """The colours that make up a hundredth of the border of a picture (3, H, W), or more. (n, 3)."""
    ring = max(1, round(0.01 * min(image.shape[1:])))
    edges = [image[:, :ring], image[:, -ring:], image[:, :, :ring], image[:, :, -ring:]]
    border = torch.cat([edge.reshape(3, -1) for edge in edges], dim=1).T
    return _common(border, 0.01)


def _common(colours: Tensor, least: float) -> Tensor:
    """Of colours (n, 3) those that have this share; nearly equal ones count as one, and are meant by their mean."""
    bins, at, count = torch.unique((colours * 6).round(), dim=0, return_inverse=True, return_counts=True)
    means = torch.zeros_like(bins).index_add_(0, at, colours) / count[:, None]
    kept = count >= min(least * len(colours), int(count.max()))
    return means[kept]


def _colours(cuts: Sequence[CutOut]) -> Tensor:
    """The colours of a subject: those that two of its cut-outs have, or one where it is the only one. (n, 3)."""
    each = [_common(cut.colours[:, cut.cover[0] > 0.5].T, 0.04) for cut in cuts]
    kept = [
        colour
        for k, colours in enumerate(each)
        for colour in colours
        if len(each) == 1 or any(_apart(colour[None], o) < UNLIKE for i, o in enumerate(each) if i != k)
    ]
    return torch.stack(kept) if kept else torch.cat(each)


def _apart(some: Tensor, others: Tensor) -> float:
    """The least difference between two sets of colours (n, 3), in the channel where it is largest, of full scale."""
    return float((some[:, None] - others[None]).abs().amax(-1).min()) / 2


def _from_inside(colours: Tensor, solid: np.ndarray, far: np.ndarray) -> Tensor:
    """The colours with those at the rim that are mixed with the ground taken from the nearest pixel inside."""
    inner = ndimage.binary_erosion(solid)
    if not inner.any():
        return colours
    rows, cols = ndimage.distance_transform_edt(~inner, return_distances=False, return_indices=True)
    mixed = torch.from_numpy(solid & ~inner & (far < 0.6 * far[rows, cols]))
    return torch.where(mixed, colours[:, rows, cols], colours)


def _filled(cut: CutOut) -> CutOut:
    cover = ndimage.binary_fill_holes(cut.cover[0].numpy() > 0.5)
    return replace(cut, cover=torch.from_numpy(cover.astype(np.float32))[None])
