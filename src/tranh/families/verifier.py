"""The verifier: a frozen detector that reads what a picture shows, trained on renders and never on generated pictures.

It answers in numbers (which value of which field); the words behind them belong to the world it was trained on. Things
are found as peaks of a heat map (CenterNet, Zhou et al. 2019), so they come as a set and no order has to be learned.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tranh.nn.asked import cross_entropy
from tranh.nn.conv import ChannelNorm, Conv3, Residual
from tranh.types import Batch, Family, ParamGroup, Phase

GRID = 16
ANCHORS = 2
"""Two things may share a centre when one is inside the other; the inner one is looked for on a map of its own."""

WIDTH = 0.7
"""Standard deviation of a peak of the heat map, in cells."""

THRESHOLD = 0.35


@dataclass(frozen=True)
class Seen:
    """One thing found: centre in canvas units (y downwards), a number for each field, and how sure the detector is."""

    x: float
    y: float
    fields: tuple[int, ...]
    score: float


@dataclass(frozen=True)
class Reading:
    """What one picture shows: its things, in order of certainty, and a number for each field of the whole picture."""

    things: tuple[Seen, ...]
    picture: tuple[int, ...]


class Verifier(Family):
    """A small convolutional network on three scales; heat maps and fields on a 16 x 16 grid.

    Args:
        thing_sizes: number of values of each field of a thing; the last field is its role.
        picture_sizes: of each field of the whole picture.
        inner: value of the role field that means "inside another".
        widths: channels at 32 x 32, 16 x 16 and 8 x 8; depths: residual blocks on each.
        patch_sizes: of each label of the cells (``labels["patches"]``), a free teacher in training; none by default.
    """

    overfit_below: ClassVar[float] = 0.1

    def __init__(
        self,
        *,
        thing_sizes: Sequence[int],
        picture_sizes: Sequence[int],
        inner: int = 3,
        widths: Sequence[int] = (64, 128, 224),
        depths: Sequence[int] = (2, 3, 3),
        patch_sizes: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.config = {
            "thing_sizes": list(thing_sizes), "picture_sizes": list(picture_sizes), "inner": inner,
            "widths": list(widths), "depths": list(depths), "patch_sizes": list(patch_sizes),
        }  # fmt: skip
        self.thing_sizes, self.picture_sizes, self.inner = list(thing_sizes), list(picture_sizes), inner
        a, b, c = widths
        self.stem = nn.Conv2d(12, a, 3, padding=1)
        self.fine = nn.Sequential(*(Residual(a) for _ in range(depths[0])))
        self.down_b = nn.Conv2d(4 * a, b, 1)
        self.middle = nn.Sequential(*(Residual(b) for _ in range(depths[1])))
        self.down_c = nn.Conv2d(4 * b, c, 1)
        self.coarse = nn.Sequential(*(Residual(c) for _ in range(depths[2])))
        self.up = nn.Conv2d(c, b, 1)
        self.norm = ChannelNorm(b)
        self.join = nn.Conv2d(b, 2 * b, 3, padding=1)
        last = nn.Conv2d(2 * b, 2 * b, 1)
        self.deep = nn.Sequential(nn.Conv2d(2 * b, 2 * b, 1), nn.ReLU(), last)
        self.heads = nn.Conv2d(2 * b, ANCHORS * (3 + sum(thing_sizes)), 1)
        self.whole = nn.Sequential(nn.LayerNorm(2 * c), nn.Linear(2 * c, sum(picture_sizes)))
        self.patch_sizes = [n + 1 for n in patch_sizes]  # 0 is the background
        self.patches = nn.Conv2d(2 * b, sum(self.patch_sizes), 1) if patch_sizes else None
        with torch.no_grad():  # at the start almost no cell holds a centre
            self.heads.weight.mul_(0.3)
            assert self.heads.bias is not None
            self.heads.bias.view(ANCHORS, -1)[:, 0] = -4.0
            last.weight.zero_()

    def maps(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Raw answers.

        Args:
            images: (B, 3, 64, 64) in [-1, 1].

        Returns:
            cells (B, A, 3 + fields, 16, 16): heat logit, x and y offset from the cell's middle in cells, field logits;
            picture logits (B, sum of ``picture_sizes``); features (B, 2 c), for distances between sets; what the cells'
            answers are made of (B, 2 b, 16, 16).
        """
        x = F.pixel_unshuffle(images, 2).contiguous(memory_format=torch.channels_last)  # (B, 12, 32, 32)
        x = self.fine(self.stem(x))
        middle = self.middle(self.down_b(F.pixel_unshuffle(x, 2)))  # (B, b, 16, 16)
        coarse = self.coarse(self.down_c(F.pixel_unshuffle(middle, 2)))  # (B, c, 8, 8)
        features = torch.cat([coarse.mean((2, 3)), coarse.amax((2, 3))], dim=1)  # (B, 2 c)
        joined = F.relu(self.join(self.norm(middle + F.interpolate(self.up(coarse), scale_factor=2))))
        joined = joined + self.deep(joined)
        cells = self.heads(joined).float().unflatten(1, (ANCHORS, -1))
        return cells, self.whole(features).float(), features.float(), joined

    def forward(self, batch: Batch, phase: Phase) -> dict[str, Tensor]:
        cells, picture, _, joined = self.maps(batch.images)
        things, centres = batch.labels["things"], batch.labels["centres"]  # (B, 4, fields), (B, 4, 2)
        exists = things[..., -1] >= 0
        anchor = (things[..., -1] == self.inner).long()
        grid = torch.arange(GRID, device=cells.device) + 0.5
        dx = centres[..., 0, None] * GRID - grid  # (B, 4, 16)
        dy = centres[..., 1, None] * GRID - grid
        near = torch.exp(-(dx[:, :, None, :] ** 2 + dy[:, :, :, None] ** 2) / (2 * WIDTH**2))  # (B, 4, row, column)
        near = near * exists[:, :, None, None]
        heat = torch.stack([(near * (anchor == a)[:, :, None, None]).amax(1) for a in range(ANCHORS)], dim=1)
        bce = F.binary_cross_entropy_with_logits(cells[:, :, 0], heat, reduction="none")
        entropy = -(torch.xlogy(heat, heat) + torch.xlogy(1 - heat, 1 - heat))
        loss_heat = (bce - entropy).sum((1, 2, 3)).mean()
        b, i, row, column = (near > math.exp(-1 / (2 * WIDTH**2))).nonzero(
            as_tuple=True
        )  # cells within one of a centre
        at = cells[b, anchor[b, i], :, row, column]  # (P, 3 + fields)
        offset = torch.stack([dx[b, i, column], dy[b, i, row]], dim=-1)
        loss_offset = F.smooth_l1_loss(at[:, 1:3], offset, beta=0.2, reduction="sum") / max(1, 2 * len(b))
        figures = {"heat": loss_heat, "offset": loss_offset}
        answers, wrong = at[:, 3:].split(self.thing_sizes, dim=-1), torch.zeros(len(batch), device=cells.device)
        loss_fields = at.new_zeros(())
        for f, logits in enumerate(answers):
            target = things[b, i, f]
            loss_fields = loss_fields + cross_entropy(logits, target)
            missed = (logits.argmax(-1) != target) & (target >= 0)
            wrong = wrong.index_put((b,), missed.float(), accumulate=True)
        loss_picture = at.new_zeros(())
        for f, logits in enumerate(picture.split(self.picture_sizes, dim=-1)):
            target = batch.labels["picture"][:, f]
            loss_picture = loss_picture + cross_entropy(logits, target)
            wrong = wrong + ((logits.argmax(-1) != target) & (target >= 0)).float()
        figures |= {"fields": loss_fields, "picture": loss_picture}
        total = loss_heat + 4 * loss_offset + loss_fields + 0.5 * loss_picture
        if self.patches is not None and "patches" in batch.labels:
            figures["patches"] = self._patch_loss(self.patches(joined), batch.labels["patches"])
            total = total + figures["patches"]
        figures = {k: v.detach() for k, v in figures.items()}
        return {"loss": total, "right": (wrong == 0).float().mean().detach(), **figures}

    def _patch_loss(self, answers: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy of the cells' labels. answers: (B, sum, 16, 16); labels: (B, 256, fields)."""
        logits = answers.float().flatten(2).transpose(1, 2).flatten(0, 1).split(self.patch_sizes, dim=-1)
        losses = [cross_entropy(one, labels[..., f].flatten()) for f, one in enumerate(logits)]
        return torch.stack(losses).sum()

    def param_groups(self, phase: str) -> list[ParamGroup]:
        kernels = [m.weight for m in self.modules() if isinstance(m, Conv3)]
        chosen = {id(p) for p in kernels}
        return [ParamGroup(kernels, "muon"), ParamGroup([p for p in self.parameters() if id(p) not in chosen])]

    @torch.no_grad()
    def read(self, images: Tensor) -> list[Reading]:
        """What each picture (B, 3, 64, 64) in [-1, 1] shows."""
        cells, picture, _, _ = self.maps(images)
        heat = cells[:, :, 0].sigmoid()  # (B, A, 16, 16)
        peaks = (heat == F.max_pool2d(heat, 3, 1, 1)) & (heat > THRESHOLD)
        # The cells around a peak were asked the same in training: the mean of their answers, by heat, errs less.
        answers = F.avg_pool2d(cells[:, :, 3:].flatten(0, 1) * heat.flatten(0, 1)[:, None], 3, 1, 1)
        answers = answers.unflatten(0, heat.shape[:2])
        whole = torch.stack([p.argmax(-1) for p in picture.split(self.picture_sizes, dim=-1)], dim=-1)
        found: list[list[Seen]] = [[] for _ in images]
        for b, a, row, column in peaks.nonzero().tolist():
            at = cells[b, a, :, row, column]
            fields = tuple(int(x.argmax()) for x in answers[b, a, :, row, column].split(self.thing_sizes))
            x, y = (column + 0.5 + float(at[1])) / GRID, (row + 0.5 + float(at[2])) / GRID
            found[b].append(Seen(x, y, fields, float(heat[b, a, row, column])))
        return [
            Reading(tuple(sorted(things, key=lambda s: -s.score)), tuple(values))
            for things, values in zip(found, whole.tolist(), strict=True)
        ]

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """(B, 2 c) features for Frechet distance and precision/recall; named after this network, never FID."""
        return self.maps(images)[2]
