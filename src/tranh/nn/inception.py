"""The Inception-v3 that FID, KID and IS are defined by: Szegedy et al. 2015 as in the TensorFlow graph of 2015-12-05.

It knows no weights and no measure. Names of parameters are those of the published PyTorch ports of that graph, so their
weights fit. It differs from the usual Inception-v3 in three places, which decide the numbers: average pools do not
count the padding, the last block pools by maximum, and there are 1008 classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIDE = 299
FEATURES = 2048
CLASSES = 1008

# A convolution: name, channels, kernel (one number or two), stride. At stride 2 without padding, else size is kept.
_Conv = tuple[str, int, int | tuple[int, int], int]
# A branch: convolutions one after the other; a tuple of several stands side by side on the same input.
_Branch = Sequence[_Conv | tuple[_Conv, ...]]


def _c(name: str, channels: int, kernel: int | tuple[int, int] = 1, stride: int = 1) -> _Conv:
    return name, channels, kernel, stride


def _double(*channels: int, last_stride: int = 1) -> _Branch:
    a, b, c = channels
    return [_c("branch3x3dbl_1", a), _c("branch3x3dbl_2", b, 3), _c("branch3x3dbl_3", c, 3, last_stride)]


def _block_35(pool: int) -> list[_Branch]:
    """At 35 x 35 places."""
    five = [_c("branch5x5_1", 48), _c("branch5x5_2", 64, 5)]
    return [[_c("branch1x1", 64)], five, _double(64, 96, 96), [_c("branch_pool", pool)]]


def _block_17(inner: int) -> list[_Branch]:
    """At 17 x 17: a 7 x 7 as 1 x 7 and 7 x 1."""
    wide, tall = (1, 7), (7, 1)
    once = [_c("branch7x7_1", inner), _c("branch7x7_2", inner, wide), _c("branch7x7_3", 192, tall)]
    kernels: Sequence[tuple[int, int]] = ((1, 1), tall, wide, tall, wide)
    twice = [_c(f"branch7x7dbl_{i + 1}", 192 if i == 4 else inner, kernel) for i, kernel in enumerate(kernels)]
    return [[_c("branch1x1", 192)], once, twice, [_c("branch_pool", 192)]]


def _block_8() -> list[_Branch]:
    """At 8 x 8: branches end in a 1 x 3 beside a 3 x 1."""

    def fork(name: str) -> tuple[_Conv, ...]:
        return _c(f"{name}a", 384, (1, 3)), _c(f"{name}b", 384, (3, 1))

    once: _Branch = [_c("branch3x3_1", 384), fork("branch3x3_2")]
    twice: _Branch = [_c("branch3x3dbl_1", 448), _c("branch3x3dbl_2", 384, 3), fork("branch3x3dbl_3")]
    return [[_c("branch1x1", 320)], once, twice, [_c("branch_pool", 192)]]


def _to_17() -> list[_Branch]:
    return [[_c("branch3x3", 384, 3, 2)], _double(64, 96, 96, last_stride=2), []]


def _to_8() -> list[_Branch]:
    three = [_c("branch3x3_1", 192), _c("branch3x3_2", 320, 3, 2)]
    seven = [_c("branch7x7x3_1", 192), _c("branch7x7x3_2", 192, (1, 7)), _c("branch7x7x3_3", 192, (7, 1))]
    return [three, [*seven, _c("branch7x7x3_4", 192, 3, 2)], []]


class _Normed(nn.Module):
    """Batch norm whose means are what they are: nothing here is trained."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=1e-3)


class _Unit(nn.Module):
    """Convolution, norm, ReLU."""

    def __init__(
        self, inner: int, outer: int, kernel: int | tuple[int, int], stride: int = 1, *, padded: bool = True
    ) -> None:
        super().__init__()
        size = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (size[0] // 2, size[1] // 2) if padded and stride == 1 else (0, 0)
        self.conv = nn.Conv2d(inner, outer, size, stride, padding, bias=False)
        self.bn = _Normed(outer)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class _Mixed(nn.Module):
    """Branches side by side; the last reads a pooled input and halves the picture where the others do."""

    def __init__(self, width: int, branches: Sequence[_Branch], *, maximum: bool = False) -> None:
        super().__init__()
        self.branches, self.maximum = branches, maximum
        for branch in branches:
            inner = width
            for step in branch:
                side_by_side = _together(step)
                for name, channels, kernel, stride in side_by_side:
                    self.add_module(name, _Unit(inner, channels, kernel, stride))
                inner = sum(channels for _, channels, _, _ in side_by_side)

    def pool(self, x: Tensor) -> Tensor:
        if not self.branches[-1]:
            return F.max_pool2d(x, 3, stride=2)
        if self.maximum:
            return F.max_pool2d(x, 3, stride=1, padding=1)
        return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)

    def forward(self, x: Tensor) -> Tensor:
        out = []
        for k, branch in enumerate(self.branches):
            y = x if k < len(self.branches) - 1 else self.pool(x)
            for step in branch:
                y = torch.cat([self.get_submodule(name)(y) for name, *_ in _together(step)], dim=1)
            out.append(y)
        return torch.cat(out, dim=1)


def _together(step: _Conv | tuple[_Conv, ...]) -> tuple[_Conv, ...]:
    return (step,) if isinstance(step[0], str) else step


class Inception(nn.Module):
    """Pictures to 2048 features and 1008 logits. Without weights of its paper it is a network like any other."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = _Unit(3, 32, 3, 2)
        self.Conv2d_2a_3x3 = _Unit(32, 32, 3, padded=False)
        self.Conv2d_2b_3x3 = _Unit(32, 64, 3)
        self.Conv2d_3b_1x1 = _Unit(64, 80, 1)
        self.Conv2d_4a_3x3 = _Unit(80, 192, 3, padded=False)
        self.Mixed_5b = _Mixed(192, _block_35(32))
        self.Mixed_5c = _Mixed(256, _block_35(64))
        self.Mixed_5d = _Mixed(288, _block_35(64))
        self.Mixed_6a = _Mixed(288, _to_17())
        self.Mixed_6b = _Mixed(768, _block_17(128))
        self.Mixed_6c = _Mixed(768, _block_17(160))
        self.Mixed_6d = _Mixed(768, _block_17(160))
        self.Mixed_6e = _Mixed(768, _block_17(192))
        self.Mixed_7a = _Mixed(768, _to_8())
        self.Mixed_7b = _Mixed(1280, _block_8())
        self.Mixed_7c = _Mixed(2048, _block_8(), maximum=True)
        self.fc = nn.Linear(FEATURES, CLASSES)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features and logits.

        Args:
            images: (B, 3, H, W) of whole numbers 0 to 255, as the graph was fed; any size.

        Returns:
            (B, 2048); (B, 1008) without the bias, as the graph's Inception score takes them.
        """
        x = (resized(images.float(), SIDE) - 128) / 128  # (B, 3, 299, 299)
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))  # (B, 64, 147, 147)
        x = F.max_pool2d(x, 3, stride=2)
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x))  # (B, 192, 71, 71)
        x = F.max_pool2d(x, 3, stride=2)
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x)))  # (B, 288, 35, 35)
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))  # (B, 768, 17, 17)
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))  # (B, 2048, 8, 8)
        features = x.mean((2, 3))
        return features, F.linear(features, self.fc.weight)


def resized(x: Tensor, side: int) -> Tensor:
    """Bilinear as TensorFlow 1 did it: place i is read at i * H / side, without antialiasing, corners not aligned."""
    for dim in (3, 2):
        n = x.shape[dim]
        at = torch.arange(side, dtype=torch.float32, device=x.device) * torch.tensor(n / side, dtype=torch.float32)
        low = at.long()
        high = (low + 1).clamp_max(n - 1)
        weight = (at - low).view(-1, *[1] * (3 - dim))
        first = x.index_select(dim, low)
        x = first + (x.index_select(dim, high) - first) * weight
    return x
