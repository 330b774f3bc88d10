"""The one image transformer: patches attend to each other and to context tokens that stay as they are.

It knows nothing of noise, captions or training: it maps (pixels, time, context) to pixels. Shapes, names and
arithmetic follow diffusers' ``PRXTransformer2DModel``, so a trained state dict loads there after
:func:`interleave_heads`; what is ours is the speed of a training step on a CPU and the taps for intermediate layers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tranh.nn.norm import RMSNorm
from tranh.nn.packed import Packing


def timestep_embedding(t: Tensor, dim: int, scale: float = 1000.0, max_period: float = 10000.0) -> Tensor:
    """Sinusoidal features of time, cosines first (Vaswani et al. 2017; the order of DDPM).

    Args:
        t: times, (B,), any unit; ``scale`` brings them to the range of ``max_period``.
        dim: even number of features.

    Returns:
        (B, dim), float32.
    """
    half = dim // 2
    omega = torch.exp(-math.log(max_period) * torch.arange(half, dtype=torch.float32, device=t.device) / half)
    angle = scale * t.float()[:, None] * omega[None]
    return torch.cat([angle.cos(), angle.sin()], dim=-1)


def rope_2d(rows: Tensor, cols: Tensor, head_dim: int, theta: float = 10000.0) -> tuple[Tensor, Tensor]:
    """Rotary tables of a grid (Su et al. 2021): the first half of the pairs turns with rows, the second with columns.

    Args:
        rows, cols: positions of the N tokens, (N,), in patches; fractions are allowed.

    Returns:
        cosine and sine, each (N, head_dim / 2), float32.
    """
    axis = head_dim // 2
    omega = theta ** -(torch.arange(0, axis, 2, dtype=torch.float64, device=rows.device) / axis)
    angle = torch.cat([rows[:, None] * omega, cols[:, None] * omega], dim=-1)  # (N, head_dim / 2)
    return angle.cos().float(), angle.sin().float()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn feature i together with feature i + D / 2 by angle i. x: (B, H, N, D); cos, sin: (N, D / 2), or
    (B, 1, N, D / 2) where each picture has tokens of its own.

    diffusers turns neighbours (2 i, 2 i + 1) instead, which is the same network with the features of each head in
    another order, and nearly four times slower on a CPU; :func:`interleave_heads` changes weights over.
    """
    a, b = x.chunk(2, dim=-1)
    return torch.cat([cos * a - sin * b, sin * a + cos * b], dim=-1)


def interleave_heads(state: Mapping[str, Tensor], head_dim: int) -> dict[str, Tensor]:
    """Weights of an :class:`ImageTransformer` with the features of each head in the order diffusers expects."""
    order = torch.arange(head_dim).view(2, -1).T.flatten()  # 0, D/2, 1, D/2 + 1, ...
    out = dict(state)
    for name, weight in state.items():
        if name.endswith(("norm_q.weight", "norm_k.weight", "norm_added_k.weight")):
            out[name] = weight[order]
        elif name.endswith("img_qkv_proj.weight") or name.endswith("txt_kv_proj.weight"):
            parts = 3 if "img_qkv" in name else 2
            heads = weight.view(parts, -1, head_dim, weight.shape[1]).clone()  # (3 | 2, H, D, dim)
            heads[: 2 if parts == 3 else 1] = heads[: 2 if parts == 3 else 1, :, order]  # queries and keys, not values
            out[name] = heads.view_as(weight)
    return out


class MLPEmbedder(nn.Module):
    """Two linear maps with a SiLU between, for times."""

    def __init__(self, in_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.in_layer = nn.Linear(in_dim, hidden_dim)
        self.out_layer = nn.Linear(hidden_dim, hidden_dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.out_layer(F.silu(self.in_layer(x)))


class Attention(nn.Module):
    """Image queries over context and image keys, heads normalised (QK-norm), image tokens rotated."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads, self.head_dim = heads, dim // heads
        self.img_qkv_proj = nn.Linear(dim, 3 * dim, bias=False)
        self.norm_q = RMSNorm(self.head_dim)
        self.norm_k = RMSNorm(self.head_dim)
        self.txt_kv_proj = nn.Linear(dim, 2 * dim, bias=False)
        self.norm_added_k = RMSNorm(self.head_dim)
        self.to_out = nn.ModuleList([nn.Linear(dim, dim, bias=False)])

    def forward(
        self, x: Tensor, context: Tensor, rope: tuple[Tensor, Tensor], bias: Tensor | None, packing: Packing | None
    ) -> Tensor:
        B, N, _ = x.shape
        q, k, v = self.img_qkv_proj(x).view(B, N, 3, self.heads, self.head_dim).permute(2, 0, 3, 1, 4)  # (B, H, N, D)
        q, k = rotate(self.norm_q(q), *rope) * self.head_dim**-0.5, rotate(self.norm_k(k), *rope)
        ckv = self.txt_kv_proj(context) if packing is None else packing.unpack(self.txt_kv_proj(context))
        ck, cv = ckv.view(B, -1, 2, self.heads, self.head_dim).permute(2, 0, 3, 1, 4)
        k = torch.cat([self.norm_added_k(ck), k], dim=2)  # (B, H, T + N, D)
        v = torch.cat([cv, v], dim=2)
        scores = q @ k.transpose(-1, -2)  # (B, H, N, T + N); written out: twice as fast as the fused kernel in training
        if bias is not None:
            scores = scores + bias
        out = torch.softmax(scores, dim=-1).to(v.dtype) @ v
        return self.to_out[0](out.transpose(1, 2).reshape(B, N, -1))


class Modulation(nn.Module):
    """adaLN-zero (Peebles and Xie 2023): shift, scale and gate of both halves of a block, from time."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.lin = nn.Linear(dim, 6 * dim)
        nn.init.zeros_(self.lin.weight)
        nn.init.zeros_(self.lin.bias)

    def forward(self, vec: Tensor) -> tuple[Tensor, ...]:
        return self.lin(F.silu(vec))[:, None, :].chunk(6, dim=-1)


class Block(nn.Module):
    """Attention, then a gated GELU perceptron; both modulated by time."""

    def __init__(self, dim: int, heads: int, mlp_ratio: float) -> None:
        super().__init__()
        hidden = int(dim * mlp_ratio)
        self.dim = dim
        self.attention = Attention(dim, heads)
        self.gate_proj = nn.Linear(dim, hidden, bias=False)
        self.up_proj = nn.Linear(dim, hidden, bias=False)
        self.down_proj = nn.Linear(hidden, dim, bias=False)
        self.modulation = Modulation(dim)

    def norm(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, (self.dim,), eps=1e-6)

    def forward(
        self,
        x: Tensor,
        context: Tensor,
        vec: Tensor,
        rope: tuple[Tensor, Tensor],
        bias: Tensor | None,
        packing: Packing | None,
    ) -> Tensor:
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = self.modulation(vec)
        x = x + gate_a * self.attention(torch.addcmul(shift_a, 1 + scale_a, self.norm(x)), context, rope, bias, packing)
        h = torch.addcmul(shift_m, 1 + scale_m, self.norm(x))
        return x + gate_m * self.down_proj(F.gelu(self.gate_proj(h), approximate="tanh") * self.up_proj(h))


class FinalLayer(nn.Module):
    """Modulated norm and the linear map from a token to its patch of pixels; starts at zero."""

    def __init__(self, dim: int, out_dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.linear = nn.Linear(dim, out_dim)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(dim, 2 * dim))
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor, vec: Tensor) -> Tensor:
        shift, scale = self.adaLN_modulation(vec)[:, None, :].chunk(2, dim=-1)
        return self.linear(torch.addcmul(shift, 1 + scale, F.layer_norm(x, (self.dim,), eps=1e-6)))


def patchify(x: Tensor, p: int) -> Tensor:
    """(B, C, H, W) -> (B, H W / p^2, C p^2), channels first inside a patch."""
    B, C, H, W = x.shape
    return x.view(B, C, H // p, p, W // p, p).permute(0, 2, 4, 1, 3, 5).reshape(B, -1, C * p * p)


def unpatchify(x: Tensor, p: int, height: int, width: int) -> Tensor:
    """Inverse of :func:`patchify`: (B, H W / p^2, C p^2) -> (B, C, H, W)."""
    B, _, D = x.shape
    C = D // (p * p)
    return x.view(B, height // p, width // p, C, p, p).permute(0, 3, 1, 4, 2, 5).reshape(B, C, height, width)


def take(tokens: Tensor, keep: Tensor) -> Tensor:
    """Some tokens of each row: tokens (B, N, D), keep int64 (B, K) -> (B, K, D)."""
    return tokens.gather(1, keep[..., None].expand(-1, -1, tokens.shape[-1]))


class ImageTransformer(nn.Module):
    """Denoiser backbone of every transformer in the project.

    Args:
        in_channels, out_channels: of the pictures; diffusers needs them equal.
        patch_size: side of a patch in pixels; height and width must be its multiples.
        context_dim: width of the context tokens as they arrive.
        hidden_size, depth, num_heads, mlp_ratio: of the trunk; ``hidden_size / num_heads`` is a multiple of 4.
        bottleneck_size: if given, patches enter through a narrower linear map first (JiT, Li and He 2025).
    """

    def __init__(
        self,
        *,
        in_channels: int = 3,
        out_channels: int | None = None,
        patch_size: int = 8,
        context_dim: int,
        hidden_size: int = 256,
        depth: int = 8,
        num_heads: int = 4,
        mlp_ratio: float = 2.75,
        bottleneck_size: int | None = None,
    ) -> None:
        super().__init__()
        if hidden_size % (4 * num_heads):
            raise ValueError(
                f"hidden_size {hidden_size} must be a multiple of 4 x num_heads ({4 * num_heads}): choose another pair"
            )
        self.patch_size, self.hidden_size, self.head_dim = patch_size, hidden_size, hidden_size // num_heads
        patch_in = in_channels * patch_size**2
        self.img_in: nn.Module
        if bottleneck_size is None:
            self.img_in = nn.Linear(patch_in, hidden_size)
        else:
            self.img_in = nn.Sequential(nn.Linear(patch_in, bottleneck_size), nn.Linear(bottleneck_size, hidden_size))
        self.time_in = MLPEmbedder(256, hidden_size)
        self.txt_in = nn.Linear(context_dim, hidden_size)
        self.blocks = nn.ModuleList(Block(hidden_size, num_heads, mlp_ratio) for _ in range(depth))
        self.final_layer = FinalLayer(hidden_size, (out_channels or in_channels) * patch_size**2)
        self._rope: dict[tuple[int, int, torch.device], tuple[Tensor, Tensor]] = {}

    def rope(self, height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
        key = (height, width, device)
        if key not in self._rope:
            sides = (torch.arange(n // self.patch_size, device=device, dtype=torch.float64) for n in (height, width))
            rows, cols = torch.meshgrid(*sides, indexing="ij")
            self._rope[key] = rope_2d(rows.flatten(), cols.flatten(), self.head_dim)
        return self._rope[key]

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        context: Tensor,
        mask: Tensor | None = None,
        tap: int | None = None,
        keep: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """One pass.

        Args:
            x: pictures, (B, C, H, W).
            t: times in [0, 1], (B,).
            context: tokens to attend to, (B, T, context_dim); never updated.
            mask: which context tokens are real, bool (B, T); None means all.
            tap: also return the image tokens after this many blocks.
            keep: numbers of the patches to work on, int64 (B, K), None for all: the others are not there at all.

        Returns:
            (B, out_channels, H, W), or with ``keep`` the patches (B, K, out_channels p^2); with ``tap``, the pair of
            that and the tokens (B, N, hidden_size).
        """
        _, _, H, W = x.shape
        patches = patchify(x, self.patch_size)
        h = self.img_in(patches if keep is None else take(patches, keep))  # (B, N, D)
        packing = None if mask is None else Packing(mask)
        c = self.txt_in(context if packing is None else packing.pack(context))  # (B, T, D), or (n, D) packed
        vec = self.time_in(timestep_embedding(t, 256).to(h.dtype))  # (B, D)
        cos, sin = self.rope(H, W, x.device)
        if keep is not None:
            cos, sin = cos[keep][:, None], sin[keep][:, None]
        rope = (cos.to(h.dtype), sin.to(h.dtype))
        bias = None
        if mask is not None:  # (B, 1, 1, T + N), zero where a key may be seen
            bias = torch.where(F.pad(mask, (0, h.shape[1]), value=True), 0.0, -1e4)[:, None, None, :].to(h.dtype)
        tapped = h
        for i, block in enumerate(self.blocks):
            if i == tap:
                tapped = h
            h = block(h, c, vec, rope, bias, packing)
        out = self.final_layer(h, vec)
        if keep is None:
            out = unpatchify(out, self.patch_size, H, W)
        return out if tap is None else (out, tapped)
