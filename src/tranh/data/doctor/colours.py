"""Colours counted: histograms in RGB, HSV and LAB of small pictures, every picture of the same weight.

It knows no picture by name. LAB is CIE 1976 L*a*b* under D65, from sRGB (IEC 61966-2-1).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from PIL import Image

SIDE = 32
"""Pixels per side that a picture is shrunk to before its colours are counted."""

BINS = 32
RANGES: dict[str, tuple[tuple[str, float, float], ...]] = {
    "RGB": (("red", 0, 255), ("green", 0, 255), ("blue", 0, 255)),
    "HSV": (("hue", 0, 360), ("saturation", 0, 1), ("value", 0, 1)),
    "LAB": (("lightness", 0, 100), ("a: green to red", -110, 110), ("b: blue to yellow", -110, 110)),
}
"""The channels of each space, and where their histograms begin and end."""

_TO_XYZ = np.array(
    ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))
)
_WHITE = _TO_XYZ.sum(1)  # of D65: what (1, 1, 1) becomes


def small(image: Image.Image) -> np.ndarray:
    """(SIDE, SIDE, 3) uint8 of an RGB picture."""
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX))


def lab(rgb: np.ndarray) -> np.ndarray:
    """(..., 3) uint8 sRGB -> (..., 3) float: L in [0, 100], a, b."""
    x = rgb / 255.0
    linear = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    xyz = linear @ _TO_XYZ.T / _WHITE
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1)


def hsv(rgb: np.ndarray) -> np.ndarray:
    """(..., 3) uint8 -> (..., 3) float: hue in degrees [0, 360), saturation and value in [0, 1]."""
    x = rgb / 255.0
    value, least = x.max(-1), x.min(-1)
    chroma = value - least
    safe = np.where(chroma == 0, 1, chroma)
    red, green, blue = x[..., 0], x[..., 1], x[..., 2]
    sixth = np.where(
        value == red,
        (green - blue) / safe % 6,
        np.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    hue = np.where(chroma == 0, 0, 60 * sixth)
    return np.stack([hue, np.where(value == 0, 0, chroma / np.where(value == 0, 1, value)), value], -1)


@dataclass
class Colours:
    """Sums over pictures.

    Attributes:
        shares: space -> (3, BINS), the sum over pictures of each bin's share of its pixels.
        mean: (3,) the sum of mean colours in LAB.
        light: (BINS,) how many pictures have which mean lightness.
    """

    pictures: int = 0
    grey: int = 0
    shares: dict[str, np.ndarray] = field(default_factory=lambda: {name: np.zeros((3, BINS)) for name in RANGES})
    mean: np.ndarray = field(default_factory=lambda: np.zeros(3))
    light: np.ndarray = field(default_factory=lambda: np.zeros(BINS))

    def count(self, rgb: np.ndarray) -> np.ndarray:
        """Count one small picture (H, W, 3) uint8; gives its mean colour (3,) in LAB.

        Hues count by the chroma of their pixels: the hue of a grey is an accident.
        """
        spaces = {"RGB": rgb.astype(np.float64), "HSV": hsv(rgb), "LAB": lab(rgb)}
        chroma = (spaces["HSV"][..., 1] * spaces["HSV"][..., 2]).ravel()
        for name, channels in RANGES.items():
            flat = spaces[name].reshape(-1, 3)
            for i, (channel, low, high) in enumerate(channels):
                bins = np.clip((flat[:, i] - low) * (BINS / (high - low)), 0, BINS - 1).astype(np.int64)
                weights = chroma / len(flat) if channel == "hue" else np.full(len(flat), 1 / len(flat))
                self.shares[name][i] += np.bincount(bins, weights, BINS)
        mean: np.ndarray = spaces["LAB"].reshape(-1, 3).mean(0)
        self.mean += mean
        self.light[min(int(mean[0] / 100 * BINS), BINS - 1)] += 1
        self.pictures += 1
        self.grey += is_grey(rgb)
        return mean

    def add(self, other: Colours) -> None:
        """Take in what another process counted."""
        self.pictures += other.pictures
        self.grey += other.grey
        self.mean += other.mean
        self.light += other.light
        for name in RANGES:
            self.shares[name] += other.shares[name]


def is_grey(rgb: np.ndarray) -> bool:
    """Are the channels of (nearly) every pixel the same?"""
    spread = rgb.max(-1).astype(np.int16) - rgb.min(-1)
    return bool(np.quantile(spread, 0.99) <= 6)
