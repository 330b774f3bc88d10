"""Which of some known figures a picture shows, and where: the concordance of pixels (Lin 1989) over places and sizes.

Nothing is learned, and it knows neither what the figures are nor who drew the picture. A figure is its colours and its
cover; whatever lies outside the cover does not count. Concordance, 2 cov(a, b) / (var a + var b + (mean a - mean b)^2),
is a correlation that also asks for the same colours: a horizon correlates with many a figure. Simple figures fit
anything better than others do; so a score is how far the concordance lies above what the figure reaches in pictures
without any, in standard deviations (as speakers are told apart, Auckenthaler et al. 2000).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

RADII = tuple(0.1 * 1.07**k for k in range(16))
"""Half the side of a figure's square, as shares of the picture's side."""


@dataclass(frozen=True)
class Match:
    """How well each figure fits a picture where it fits best.

    Attributes:
        scores: of each figure, (n,); concordance: there, (n,) in [-1, 1].
        places: where that is, (n, 3) of x, y and radius, as shares of the picture's side.
    """

    scores: Tensor
    concordance: Tensor
    places: Tensor

    @property
    def best(self) -> int:
        return int(self.scores.argmax())


class Matcher:
    """Compares pictures with figures.

    Args:
        figures: (colours (3, h, h) in [-1, 1], cover (1, h, h) in [0, 1]) each, its square tightly around it.
        side: of the pictures that are matched; others are resized.
        radii: sizes that are tried.
    """

    def __init__(
        self, figures: Sequence[tuple[Tensor, Tensor]], side: int = 64, radii: Sequence[float] = RADII
    ) -> None:
        self.side, self.radii, self.sizes = side, radii, [max(3, round(2 * radius * side)) for radius in radii]
        self.kernels = [self._kernel(figures, size) for size in self.sizes]
        self.usual, self.varies = torch.zeros(len(figures)), torch.ones(len(figures))

    def _kernel(self, figures: Sequence[tuple[Tensor, Tensor]], size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of n figures at s pixels: weights (n, 1, s, s), whose sum over channels is 1, the figures without their means
        times their weights (n, 3, s, s), means and variances, (n,) each."""
        covers = torch.stack([_sized(cover, size) for _, cover in figures]).clamp(0, 1)
        colours = torch.stack([_sized(c * cover, size) for c, cover in figures]) / covers.clamp(min=1e-3)
        weights = covers / (3 * covers.sum((1, 2, 3), keepdim=True))  # over pixels and channels
        mean = (weights * colours).sum((1, 2, 3), keepdim=True)
        variance = (weights * (colours - mean).square()).sum((1, 2, 3))
        return weights, weights * (colours - mean), mean.flatten(), variance

    @torch.no_grad()
    def __call__(self, image: Tensor) -> Match:
        """A picture (3, S, S) in [-1, 1]."""
        x = _sized(image, self.side)[None]
        best = torch.full((len(self.kernels[0][0]),), -1.0)
        places = torch.zeros(len(best), 3)
        for size, radius, (weights, centred, means, variance) in zip(self.sizes, self.radii, self.kernels, strict=True):
            # What lies beyond the picture is its border drawn out: figures may reach over it a little.
            pad = size // 4
            padded = F.pad(x, (pad,) * 4, mode="replicate")
            product = F.conv2d(padded, centred)[0]  # (n, y, x): the covariance with each figure
            mean = F.conv2d(padded.sum(1, keepdim=True), weights)[0]
            square = F.conv2d(padded.square().sum(1, keepdim=True), weights)[0]
            spread, apart = (square - mean.square()).clamp(min=0), (mean - means[:, None, None]).square()
            most, at = (2 * product / (variance[:, None, None] + spread + apart)).flatten(1).max(1)
            width = product.shape[-1]
            here = torch.stack([(at % width).float(), (at // width).float()], 1) - pad + size / 2
            place = torch.cat([here / self.side, torch.full((len(best), 1), radius)], 1)
            better = most > best
            best, places = torch.where(better, most, best), torch.where(better[:, None], place, places)
        return Match((best - self.usual) / self.varies, best, places)

    def calibrate(self, images: Tensor) -> None:
        """Find out what each figure reaches in pictures (B, 3, S, S) that show none of them."""
        reached = torch.stack([self(image).concordance for image in images])
        self.usual, self.varies = reached.mean(0), reached.std(0).clamp(min=1e-3)


def _sized(x: Tensor, side: int) -> Tensor:
    if x.shape[-2:] == (side, side):
        return x
    return F.interpolate(x[None], size=(side, side), mode="bilinear", antialias=True)[0]


def figure(drawn: Tensor, ground: Tensor, again: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Colours and cover of what is drawn over two grounds, in the square tightly around it.

    Args:
        drawn, again: with it, over the first and the second ground; ground, other: without. All (3, S, S) in [-1, 1];
            the grounds differ everywhere, in every channel.
    """
    cover = (1 - (again - drawn) / (other - ground)).mean(0, keepdim=True).clamp(0, 1)
    colours = ((drawn - (1 - cover) * ground) / cover.clamp(min=1e-3)).clamp(-1, 1)
    rows, cols = torch.where(cover[0] > 0.5)
    side = int(max(rows.max() - rows.min(), cols.max() - cols.min())) + 1
    # The shorter side is filled up evenly, as far as the picture goes.
    top, left = (
        min(max(0, (int(v.min()) + int(v.max()) + 1 - side) // 2), cover.shape[1] - side) for v in (rows, cols)
    )
    square = (slice(None), slice(top, top + side), slice(left, left + side))
    return colours[square], cover[square]
