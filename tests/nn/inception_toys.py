"""Weights for Inception that everybody can draw again, and pictures to look at with them."""

from __future__ import annotations

import torch
from torch import Tensor

from tranh.nn.inception import Inception


def weights() -> dict[str, Tensor]:
    """From one generator, in the order of the names, of a size that keeps activations near one."""
    g = torch.Generator().manual_seed(0)
    out = {}
    for name, tensor in sorted(Inception().state_dict().items()):
        z = torch.randn(tensor.shape, generator=g)
        if name.endswith("running_var"):
            z = z.abs() + 0.5
        elif name.endswith("bn.weight"):
            z = 1 + 0.1 * z
        elif name.endswith("conv.weight"):
            z = z * (2 / (tensor.shape[1] * tensor.shape[2] * tensor.shape[3])) ** 0.5
        else:
            z = z * (0.02 if name == "fc.weight" else 0.1)
        out[name] = z
    return out


def pixels() -> Tensor:
    """(2, 3, 64, 48) uint8 without any chance in it."""
    return (torch.arange(2 * 3 * 64 * 48).square() * 7 // 1000 % 256).reshape(2, 3, 64, 48).to(torch.uint8)


FEATURES = [
    [0.806317, 0.281773, 0.103733, 0.058208, 0.254691, 0.013874, 0.082409, 0.12667],
    [0.791978, 0.282771, 0.10669, 0.054513, 0.244602, 0.011669, 0.095613, 0.087751],
]
LOGITS = [[-0.145808, -0.191791, 0.221159, 0.20016], [-0.137869, -0.179082, 0.215131, 0.207278]]
"""Every 290th feature (of each branch of the last block) and every 252nd logit of these pictures with these weights.

They are those of torch-fidelity's ``FeatureExtractorInceptionV3`` (commit 5e211a9, features ``2048`` and
``logits_unbiased``) on a CPU, to the last bit what ``tranh.nn.inception`` gave there.
"""
