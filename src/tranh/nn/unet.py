"""diffusers' U-Nets on folded pictures: p x p pixels become the channels of one place, so that few places are left.

It knows nothing of noise schedules, of what its inputs mean, or of losses. The networks are the field's own
(``UNet2DModel``, and ``UNet2DConditionModel`` where there is a context to attend to); what is ours is the fold, a start
at zero and the choice of what is quick on a CPU: channels-last memory and attention that is written out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel, UNet2DModel
from diffusers.models.attention_processor import Attention, AttnProcessor
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn
from torch import channels_last as last  # (B, C, H, W) with the channels of a place side by side

HEAD = 32
"""Channels of an attention head."""
OCTAVES = 2
"""Waves per axis by which every place is told where it is: captions say where things are, and convolutions know it from
the border only."""


def positions(side: int) -> Tensor:
    """Where the places of a grid are: x and y in (-1, 1) and their waves, (1, 2 (1 + 2 OCTAVES), side, side)."""
    middle = (2 * torch.arange(side) + 1) / side - 1
    rows, columns = torch.meshgrid(middle, middle, indexing="ij")
    axes = torch.stack([columns, rows])
    waves = [wave(math.pi / 2 * 2.0**k * axes) for k in range(OCTAVES) for wave in (torch.sin, torch.cos)]
    return torch.cat([axes, *waves])[None]


class UNet(nn.Module):
    """A U-Net with skip connections, modulated by time and vector; its last layer starts at zero, and every residual
    block as the identity.

    Args:
        image_size: side of the pictures; fold: side of the square of pixels that becomes one place.
        in_channels, out_channels: of the pictures.
        widths: channels of each level, each with half the places of the one before, multiples of 32.
        layers: residual blocks per level on the way down (one more on the way up).
        attention: at which levels places attend to each other (and to the context); the middle always does.
        context_dim: width of the context tokens; None for a network without.
        vector_dim: width of a vector that is added to the time's, None for none.
    """

    where: Tensor

    def __init__(
        self,
        *,
        image_size: int,
        fold: int,
        in_channels: int,
        out_channels: int,
        widths: Sequence[int],
        layers: int = 1,
        attention: Sequence[bool],
        context_dim: int | None = None,
        vector_dim: int | None = None,
    ) -> None:
        super().__init__()
        side, halvings = image_size // fold, len(widths) - 1
        if image_size % fold or side % 2**halvings:
            raise ValueError(
                f"pictures of {image_size} px with fold {fold} cannot be halved {halvings} times: image_size must be a "
                f"multiple of fold x {2**halvings} ({fold * 2**halvings}), or fewer widths"
            )
        if len(attention) != len(widths) or any(width % HEAD for width in widths):
            raise ValueError(f"widths {list(widths)}: multiples of {HEAD}, as many as attention has ({len(attention)})")
        self.fold = fold
        shape = {
            "sample_size": side,
            "in_channels": in_channels * fold**2 + 2 * (1 + 2 * OCTAVES),
            "out_channels": out_channels * fold**2,
            "block_out_channels": tuple(widths),
            "layers_per_block": layers,
            "resnet_time_scale_shift": "scale_shift",
            "class_embed_type": None if vector_dim is None else "identity",
        }
        if context_dim is None:
            named = [("AttnDownBlock2D", "AttnUpBlock2D") if a else ("DownBlock2D", "UpBlock2D") for a in attention]
            self.net: Any = UNet2DModel(
                **shape,
                attention_head_dim=HEAD,
                down_block_types=tuple(down for down, _ in named),
                up_block_types=tuple(up for _, up in reversed(named)),
            )
        else:
            crossing = ("CrossAttnDownBlock2D", "CrossAttnUpBlock2D")
            named = [crossing if a else ("DownBlock2D", "UpBlock2D") for a in attention]
            self.net = UNet2DConditionModel(
                **shape,
                attention_head_dim=tuple(
                    width // HEAD for width in widths
                ),  # the number of heads, in spite of its name
                down_block_types=tuple(down for down, _ in named),
                up_block_types=tuple(up for _, up in reversed(named)),
                cross_attention_dim=context_dim,
                use_linear_projection=True,
            )
        self.register_buffer("where", positions(side), persistent=False)
        self.vector = None if vector_dim is None else nn.Linear(vector_dim, 4 * widths[0])
        for block in self.net.modules():
            if isinstance(block, Attention):
                block.set_processor(AttnProcessor())  # the fused one takes twice as long in training on a CPU
            if isinstance(block, ResnetBlock2D):
                nn.init.zeros_(block.conv2.weight)
        nn.init.zeros_(self.net.conv_out.weight)
        nn.init.zeros_(self.net.conv_out.bias)
        self.net.to(memory_format=last)
        self.width = widths[min(1, len(widths) - 1)]

    def forward(
        self,
        x: Tensor,
        n: Tensor,
        context: Tensor | None = None,
        mask: Tensor | None = None,
        vector: Tensor | None = None,
    ) -> Tensor:
        """One pass.

        Args:
            x: pictures, (B, in_channels, S, S).
            n: times in the unit the network is trained with, 0 to about 1000, (B,).
            context, mask: tokens to attend to (B, T, context_dim), and which are real, bool (B, T).
            vector: (B, vector_dim).

        Returns:
            (B, out_channels, S, S).
        """
        where = self.where.to(x.dtype).expand(len(x), -1, -1, -1)
        folded = torch.cat([F.pixel_unshuffle(x, self.fold), where], dim=1)  # (B, C p^2 + W, S / p, S / p)
        folded = folded.contiguous(memory_format=last)
        beside = None if self.vector is None else self.vector(vector)
        if context is None:
            out = self.net(folded, n, beside).sample
        else:
            out = self.net(folded, n, context, beside, encoder_attention_mask=mask).sample
        return F.pixel_shuffle(out, self.fold)

    def hidden(self) -> Iterator[nn.Parameter]:
        """Kernels and matrices inside the blocks, but for those that see only the time: what Muon updates."""
        for name, p in self.net.named_parameters():
            inside = name.startswith(("down_blocks", "mid_block", "up_blocks")) and "time_emb_proj" not in name
            if inside and p.ndim > 1:
                yield p
