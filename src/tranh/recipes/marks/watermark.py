"""A keyed invisible watermark: it says that this installation made a picture, as a z-score with an exact null.

It knows no file format and carries no message. The pattern is a tile of 64 x 64 pixels, repeated over the picture: in
each 8 x 8 block the luminance has 14 low frequencies (DCT), and each of the tile's 896 coefficients has a sign drawn
from the key. Embedding moves coefficients that are near zero to their sign's side and leaves the strong ones alone,
which costs little (informed spread spectrum, after Cox et al. 1997 and Malvar & Florencio 2003).

The detector asks how well the limited coefficients g agree with the signs s: ``z = sum(s g) / norm(g)``. Whatever the
picture is, flat or periodic or noise, one that does not know the key gives a weighted sum of independent signs, of mean
0 and variance 1, and ``P(z >= x) <= 3.18 Q(x)`` with the normal tail Q (Bentkus & Dzindzalieta 2015): no picture has to
behave for the false-positive rate to hold.
"""

from __future__ import annotations

import hashlib
import math
import sys
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

Array = np.ndarray[Any, np.dtype[np.floating[Any]]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]

RATE = 1e-6
"""At most this share of pictures without the mark is said to have it."""

TILE, BLOCK = 64, 8
ROWS = TILE // BLOCK
FREQUENCIES = np.array([(u, total - u) for total in range(1, 5) for u in range(total + 1)])  # (14, 2), low ones first
HIGHEST = 5  # frequencies each way, with that of a constant
AMPLITUDES = 0.28 * np.array([11, 12, 10, 12, 14, 16, 14, 13, 14, 16, 16, 16, 16, 16])
"""Of each coefficient, in grey levels of the orthonormal DCT: a little more than a JPEG of quality 75 rounds away."""

WAVES = np.cos(np.outer(np.arange(BLOCK), 2 * np.arange(BLOCK) + 1) * np.pi / (2 * BLOCK)) / 2  # (frequency, pixel)
WAVES[0] /= np.sqrt(2)
"""The orthonormal DCT of 8 pixels."""

EFFORTS = ((9, 1.0), (14, 1.0), (14, 1.5), (14, 2.0), (14, 3.0), (14, 4.0), (14, 6.0), (14, 9.0))
"""How many frequencies are used, and how strong a coefficient against its sign, in amplitudes, is still turned round:
tried in order until the target is reached."""
TARGET = 20.0
FLOOR = 38.5
"""z that embedding stops at, and the PSNR (dB) it will not go below to get there."""

SIDES = (64, 128, 256, 512, 1024)
"""Shorter sides a picture may have had before it was resized; also half and twice its own."""
SEEN = 512
"""Pixels a side, from the middle, that are searched for a mark that was moved."""


@dataclass(frozen=True)
class Reading:
    """What a detector says of a picture.

    Attributes:
        z: how well it agrees with the key; without the mark, of mean 0 and variance 1 at any one place.
        rate: at most this share of pictures without the mark reads so high, all places looked at counted in.
        where: ``in place``, ``moved`` (cropped) or ``resized`` (and perhaps cropped).
    """

    z: float
    rate: float
    where: str

    @property
    def found(self) -> bool:
        return self.rate <= RATE


def tail(z: float) -> float:
    """The most that P(sum of weighted independent signs, of variance 1, >= z) can be."""
    constant = 1 / (2 * math.erfc(1.0))  # 1 / (4 Q(sqrt 2))
    return min(1.0, max(constant * 0.5 * math.erfc(z / math.sqrt(2)), sys.float_info.min))


@cache
def signs(key: bytes) -> Array:
    """The pattern of a key: (8, 8, 14) of -1 and 1."""
    count = ROWS * ROWS * len(FREQUENCIES)
    drawn = hashlib.shake_256(b"tranh watermark 1" + key).digest(count // 8)
    return 2.0 * np.unpackbits(np.frombuffer(drawn, np.uint8)).reshape(ROWS, ROWS, -1) - 1


def embed(image: Image.Image, key: bytes, mask: Image.Image | None = None) -> Image.Image:
    """The picture with the mark in it. The same picture and key give the same pixels.

    Args:
        mask: black where no pixel may change; the mark goes into the blocks that are white altogether.
    """
    pixels: Array = np.asarray(image.convert("RGB"), dtype=np.float64)  # (H, W, 3)
    free = np.ones(pixels.shape[:2], bool) if mask is None else np.asarray(mask.convert("L")) > 127
    best = pixels
    for effort in EFFORTS:
        made = _moved(pixels, _laid_out(signs(key), pixels.shape[:2]), _whole(free), *effort)
        if effort > EFFORTS[1] and _psnr(made, pixels) < FLOOR:
            break
        best = made
        if _agreement(_folded(_luma(best)), signs(key)) >= TARGET:
            break
    return Image.fromarray(best.astype(np.uint8))


def detect(image: Image.Image, key: bytes) -> Reading:
    """Look for the mark of a key.

    Half of the false-positive rate is spent on the mark in its place; the other half is shared by all other places:
    each shift of the tile, at each size the picture may have had.
    """
    pattern = signs(key)
    grey = _grey(image)
    z = _agreement(_folded(grey), pattern)
    in_place = Reading(z, min(1.0, 2 * tail(z)), "in place")
    if in_place.found:
        return in_place
    sizes = [image.size, *_former(image.size)]
    readings = [in_place]
    for size in sizes:
        seen = _middle(grey if size == image.size else _grey(image.resize(size, Image.Resampling.BICUBIC)))
        z = float(_agreements(seen, pattern).max(initial=0.0))
        rate = min(1.0, 2 * TILE * TILE * len(sizes) * tail(z))
        readings.append(Reading(z, rate, "moved" if size == image.size else "resized"))
    return min(readings, key=lambda reading: (reading.rate, -reading.z))


def _grey(image: Image.Image) -> Array:
    return _luma(np.asarray(image.convert("RGB"), dtype=np.float64))


def _luma(pixels: Array) -> Array:
    """Term by term: the same on every machine, whatever multiplies its matrices."""
    return 0.299 * pixels[..., 0] + 0.587 * pixels[..., 1] + 0.114 * pixels[..., 2]


def _blocks(grey: Array) -> Array:
    """The marked coefficients of every whole block: (H, W) -> (H / 8, W / 8, 14)."""
    rows, columns = grey.shape[0] // BLOCK, grey.shape[1] // BLOCK
    cut = grey[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK)
    across = cut.reshape(-1, BLOCK) @ WAVES[:HIGHEST].T  # (i y j, v)
    turned = across.reshape(rows, BLOCK, columns, HIGHEST).transpose(0, 2, 3, 1)  # (i, j, v, y)
    whole = turned.reshape(-1, BLOCK) @ WAVES[:HIGHEST].T  # (i j v, u)
    found: Array = whole.reshape(rows, columns, HIGHEST, HIGHEST)[:, :, FREQUENCIES[:, 1], FREQUENCIES[:, 0]]
    return found


def _spread(change: Array, shape: tuple[int, ...]) -> Array:
    """The picture (H, W) of changes of coefficients (H / 8, W / 8, 14)."""
    rows, columns = change.shape[:2]
    whole = np.zeros((rows, columns, HIGHEST, HIGHEST))
    whole[:, :, FREQUENCIES[:, 1], FREQUENCIES[:, 0]] = change  # (i, j, v, u)
    down = (whole.reshape(-1, HIGHEST) @ WAVES[:HIGHEST]).reshape(rows, columns, HIGHEST, BLOCK)  # (i, j, v, y)
    drawn = down.transpose(0, 3, 1, 2).reshape(-1, HIGHEST) @ WAVES[:HIGHEST]  # (i y j, x)
    out = np.zeros(shape)
    out[: rows * BLOCK, : columns * BLOCK] = drawn.reshape(rows * BLOCK, columns * BLOCK)
    return out


def _whole(free: Flags) -> Flags:
    """Blocks in which every pixel may change: (H / 8, W / 8)."""
    rows, columns = free.shape[0] // BLOCK, free.shape[1] // BLOCK
    return np.all(free[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK), axis=(1, 3))


def _laid_out(tile: Array, shape: tuple[int, ...]) -> Array:
    """The tile (8, 8, 14) repeated over a picture of (H, W): (H / 8, W / 8, 14)."""
    rows, columns = shape[0] // BLOCK, shape[1] // BLOCK
    return np.tile(tile, (-(-rows // ROWS), -(-columns // ROWS), 1))[:rows, :columns]


def _moved(pixels: Array, wanted: Array, free: Flags, frequencies: int, reach: float) -> Array:
    """Pixels (H, W, 3), whole numbers, whose weak coefficients stand on the wanted side."""
    found = _blocks(_luma(pixels))
    along = wanted * found
    weak = (along < AMPLITUDES) & (along > -reach * AMPLITUDES) & free[..., None]
    weak[..., frequencies:] = False
    goal = np.where(weak, wanted * AMPLITUDES, found)
    out = pixels
    for _ in range(3):  # what is clipped in one round is asked of the other channels in the next
        missing = np.where(free[..., None], goal - _blocks(_luma(out)), 0.0)
        out = np.clip(out + _spread(missing, pixels.shape[:2])[..., None], 0, 255)
    return np.rint(out)


def _psnr(made: Array, pixels: Array) -> float:
    return float(10 * np.log10(255.0**2 / max(float(np.mean((made - pixels) ** 2)), 1e-12)))


def _limited(coefficients: Array, k: Any = slice(None)) -> Array:
    """Coefficients between -1 and 1: one edge must not outweigh all the rest."""
    return np.clip(coefficients / AMPLITUDES[k], -1, 1)


def _folded(grey: Array) -> Array:
    """All tiles of a picture laid over each other: limited coefficients (8, 8, 14)."""
    found = _limited(_blocks(grey))
    rows, columns = found.shape[:2]
    padded = np.pad(found, ((0, -rows % ROWS), (0, -columns % ROWS), (0, 0)))
    tiles = padded.reshape(padded.shape[0] // ROWS, ROWS, padded.shape[1] // ROWS, ROWS, len(FREQUENCIES))
    return tiles.sum((0, 2))


def _agreement(folded: Array, pattern: Array) -> float:
    """z of the mark in its place; 0 where there is nothing to agree with."""
    norm = float(np.sqrt((folded**2).sum()))
    return float((folded * pattern).sum()) / norm if norm > 1e-6 else 0.0


def _agreements(grey: Array, pattern: Array) -> Array:
    """z of every shift of the tile, within a block and by blocks: (8, 8, 8, 8)."""
    if min(grey.shape) < BLOCK:
        return np.zeros(0)
    down = [_along(grey, wave) for wave in WAVES[:HIGHEST]]
    agree, square = np.zeros((BLOCK, BLOCK, ROWS, ROWS)), np.zeros((BLOCK, BLOCK, 1, 1))
    for k, (u, v) in enumerate(FREQUENCIES):
        found = _limited(_along(down[u].T, WAVES[v]).T, k)
        found = np.pad(found, ((0, -found.shape[0] % TILE), (0, -found.shape[1] % TILE)))
        folded = found.reshape(-1, TILE, found.shape[1] // TILE, TILE).sum((0, 2))
        folded = folded.reshape(ROWS, BLOCK, ROWS, BLOCK).transpose(1, 3, 0, 2)  # (offset, offset, row, column)
        turned = np.fft.fft2(folded) * np.conj(np.fft.fft2(pattern[:, :, k]))
        agree += np.fft.ifft2(turned).real
        square += (folded**2).sum((2, 3), keepdims=True)
    norm = np.sqrt(square)
    return np.where(norm > 1e-6, agree / np.maximum(norm, 1e-6), 0.0)


def _along(grey: Array, wave: Array) -> Array:
    """The agreement of every 8 pixels of a column with a wave: (H, W) -> (H - 7, W)."""
    height = len(grey) - BLOCK + 1
    return np.asarray(sum(value * grey[y : y + height] for y, value in enumerate(wave)))


def _middle(grey: Array) -> Array:
    """At most 512 x 512 pixels of the middle, from a corner of the tile."""
    top, left = (max(0, (side - SEEN) // 2) // TILE * TILE for side in grey.shape)
    return grey[top : top + SEEN, left : left + SEEN]


def _former(size: tuple[int, int]) -> list[tuple[int, int]]:
    """Sizes the picture may have had, if it was resized by an eighth to eightfold."""
    short = min(size)
    sides = sorted({*SIDES, short // 2, 2 * short} - {short})
    usual = [side for side in sides if 32 <= side <= 2 * max(SIDES) and short / 8 <= side <= 2 * short]
    return [(round(size[0] * side / short), round(size[1] * side / short)) for side in usual]
