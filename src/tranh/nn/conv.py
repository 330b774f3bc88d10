"""Convolutions of small picture networks: kernels kept as matrices for Muon, norms over channels, residual blocks.

It knows neither losses nor what a picture shows. In channels-last memory every norm reads neighbouring numbers.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Conv3(nn.Module):
    """A 3x3 convolution whose kernel is kept as a matrix (out, in x 9), so that Muon can update it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.zeros(width, width * 9)), nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight.view(len(self.bias), -1, 3, 3), self.bias, padding=1)


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each place; in channels-last memory they lie side by side."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Residual(nn.Module):
    """Norm and two 3x3 convolutions; the second starts at zero, so a deep stack starts as the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.first, self.second = ChannelNorm(width), Conv3(width), Conv3(width)
        nn.init.kaiming_normal_(self.first.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.relu(self.first(self.norm(x))))
