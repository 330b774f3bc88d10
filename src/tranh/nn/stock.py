"""Networks of diffusers as parts of a family: a U-Net and a KL autoencoder, kept so that they train fast here.

3x3 kernels are kept as matrices, so that Muon can update them, and attention is written out. It knows neither losses
nor schedules. :func:`stock_state` gives the weights as diffusers itself keeps them. diffusers is imported with the
first network, not before: a command that needs none answers at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from torch import Tensor, nn

from tranh.types import ParamGroup, TranhError


class MatrixConv2d(nn.Conv2d):
    """A convolution whose kernel is kept as a matrix, (out, in x height x width)."""

    @staticmethod
    def of(conv: nn.Conv2d) -> MatrixConv2d:
        """The same convolution, with the same kernel."""
        size, stride, pad = (cast("tuple[int, int]", x) for x in (conv.kernel_size, conv.stride, conv.padding))
        made = MatrixConv2d(conv.in_channels, conv.out_channels, size, stride, pad, bias=conv.bias is not None)
        made.weight, made.bias = nn.Parameter(conv.weight.detach().flatten(1)), conv.bias
        return made

    def kernel(self) -> Tensor:
        """(out, in, height, width)."""
        return self.weight.view(self.out_channels, self.in_channels, *self.kernel_size)

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.kernel(), self.bias)


def unet(
    *, size: int, latent_channels: int, channels: Sequence[int], layers: int, heads: int, groups: int, text_dim: int
) -> nn.Module:
    """``UNet2DConditionModel``: every level but the first looks at the caption.

    Args:
        size, latent_channels: side and channels of what it denoises.
        channels, layers: of each level, residual blocks of each; heads: of attention; groups: of the group norms.
        text_dim: size of a caption's states.
    """
    try:
        from diffusers.models.attention_processor import AttnProcessor
        from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    except ImportError as missing:
        raise _without(missing) from missing
    levels = len(channels)
    made = UNet2DConditionModel(
        sample_size=size,
        in_channels=latent_channels,
        out_channels=latent_channels,
        block_out_channels=tuple(channels),
        down_block_types=("DownBlock2D", *["CrossAttnDownBlock2D"] * (levels - 1)),
        up_block_types=(*["CrossAttnUpBlock2D"] * (levels - 1), "UpBlock2D"),
        layers_per_block=layers,
        attention_head_dim=heads,  # named so for historical reasons: it is their number
        norm_num_groups=groups,
        cross_attention_dim=text_dim,
        use_linear_projection=True,
    )
    made.set_attn_processor(AttnProcessor())
    return _kept(made)


def before_last(unet: Any) -> nn.Module:
    """The block of a U-Net before the last on its way up, which gives every place of the first level; of a U-Net of one
    level its middle."""
    found: nn.Module = unet.up_blocks[-2] if len(unet.up_blocks) > 1 else unet.mid_block
    return found


def autoencoder(*, size: int, latent_channels: int, channels: Sequence[int], layers: int, groups: int) -> nn.Module:
    """``AutoencoderKL`` without attention; its latents are ``2 ** (levels - 1)`` times narrower than the pictures.

    Args:
        size: side of the pictures; the others as those of :func:`unet`.
    """
    try:
        from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    except ImportError as missing:
        raise _without(missing) from missing
    levels = len(channels)
    made = AutoencoderKL(
        sample_size=size,
        latent_channels=latent_channels,
        block_out_channels=tuple(channels),
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        layers_per_block=layers,
        norm_num_groups=groups,
        mid_block_add_attention=False,
    )
    return _kept(made)


def stock_state(network: nn.Module) -> dict[str, Tensor]:
    """Its weights by the names and in the shapes of diffusers, float32."""
    state = dict(network.state_dict())
    for name, module in network.named_modules():
        if isinstance(module, MatrixConv2d):
            state[f"{name}.weight"] = module.kernel()
    return {name: tensor.detach().float().contiguous() for name, tensor in state.items()}


def groups_of(network: nn.Module) -> list[ParamGroup]:
    """Muon for the matrices of the blocks, AdamW for the rest: first and last layers, and modulations, which see one
    vector per picture."""
    muon = [
        p
        for name, p in network.named_parameters()
        if p.ndim == 2 and "block" in name and "time_emb" not in name and p.requires_grad
    ]
    chosen = {id(p) for p in muon}
    rest = [p for p in network.parameters() if id(p) not in chosen and p.requires_grad]
    return [ParamGroup(muon, "muon"), ParamGroup(rest, "adamw")]


def _kept(network: nn.Module) -> nn.Module:
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.Conv2d and child.kernel_size != (1, 1):
                setattr(parent, name, MatrixConv2d.of(child))
    return network


def _without(missing: ImportError) -> TranhError:
    return TranhError(f"this system is built of networks of diffusers ({missing}): pip install diffusers transformers")
