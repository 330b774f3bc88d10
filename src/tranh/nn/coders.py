"""Pictures to a few numbers and back, in three forms: dense layers, convolutions, a transformer over patches.

They know neither losses nor what the numbers mean. Every encoder maps (pictures, caption) to (B, out), every decoder
(z, caption) to pictures; a caption is its context tokens and their mask, or None.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tranh.nn.asked import Questions
from tranh.nn.conv import ChannelNorm, Residual
from tranh.nn.transformer import Block, patchify, rope_2d, unpatchify

Caption = tuple[Tensor, Tensor]
"""Context tokens (B, T, C), and which of them are real, bool (B, T)."""


@dataclass(frozen=True)
class Shape:
    """Sizes that the two halves of a coder share.

    Attributes:
        image_size: side of the pictures.
        width, depth, heads: of the network; dense layers have one hidden layer of ``width``.
        patch: side of the squares of pixels that the transformer takes as one token.
        context: width of the caption's tokens, 0 where there are no captions.
    """

    image_size: int
    width: int
    depth: int = 1
    heads: int = 4
    patch: int = 8
    context: int = 0


def pooled(caption: Caption | None, like: Tensor) -> Tensor:
    """The mean of a caption's real tokens, (B, C); (B, 0) without caption."""
    if caption is None:
        return like.new_zeros(len(like), 0)
    context, mask = caption
    real = mask[..., None].to(context.dtype)
    return (context * real).sum(1) / real.sum(1).clamp(min=1)


class DenseEncoder(nn.Module):
    """One hidden layer: pixels -> width -> numbers."""

    def __init__(self, shape: Shape, out: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(3 * shape.image_size**2 + shape.context, shape.width)
        self.out = nn.Linear(shape.width, out)

    def forward(self, images: Tensor, caption: Caption | None = None) -> Tensor:
        x = torch.cat([images.flatten(1), pooled(caption, images)], dim=1)
        return self.out(F.relu(self.hidden(x)))


class DenseDecoder(nn.Module):
    """The way back: numbers -> width -> pixels."""

    def __init__(self, shape: Shape, latent: int) -> None:
        super().__init__()
        self.size = shape.image_size
        self.hidden = nn.Linear(latent + shape.context, shape.width)
        self.out = nn.Linear(shape.width, 3 * shape.image_size**2)

    def forward(self, z: Tensor, caption: Caption | None = None) -> Tensor:
        x = F.relu(self.hidden(torch.cat([z, pooled(caption, z)], dim=1)))
        return self.out(x).unflatten(1, (3, self.size, self.size))


def grids(image_size: int) -> tuple[int, list[int]]:
    """Side of the squares that are folded into channels first, and the sides of the grids that follow: a 64 px picture
    becomes 16 x 16 squares of 4 px, then 8 x 8 and 4 x 4."""
    fold = max(1, image_size // 16)
    if image_size % fold:
        raise ValueError(f"image_size {image_size} is no multiple of {fold}: choose one")
    sides = [image_size // fold]
    while sides[-1] > 4 and sides[-1] % 2 == 0:
        sides.append(sides[-1] // 2)
    return fold, sides


class ConvEncoder(nn.Module):
    """Residual 3x3 convolutions on ever smaller grids, then one linear map of the last."""

    def __init__(self, shape: Shape, out: int) -> None:
        super().__init__()
        self.fold, sides = grids(shape.image_size)
        self.into = nn.Conv2d(3 * self.fold**2, shape.width, 3, padding=1)
        self.stages = nn.ModuleList(nn.Sequential(*(Residual(shape.width) for _ in range(shape.depth))) for _ in sides)
        self.norm = ChannelNorm(shape.width)
        self.out = nn.Linear(shape.width * sides[-1] ** 2 + shape.context, out)

    def forward(self, images: Tensor, caption: Caption | None = None) -> Tensor:
        x = F.pixel_unshuffle(images, self.fold).contiguous(memory_format=torch.channels_last)
        x = self.into(x)
        for k, stage in enumerate(self.stages):
            x = stage(F.avg_pool2d(x, 2) if k else x)
        return self.out(torch.cat([F.relu(self.norm(x)).flatten(1), pooled(caption, images)], dim=1))


class ConvDecoder(nn.Module):
    """One linear map to the smallest grid, then residual convolutions on ever larger ones."""

    def __init__(self, shape: Shape, latent: int) -> None:
        super().__init__()
        self.fold, sides = grids(shape.image_size)
        self.smallest, self.width = sides[-1], shape.width
        self.into = nn.Linear(latent + shape.context, shape.width * self.smallest**2)
        self.stages = nn.ModuleList(nn.Sequential(*(Residual(shape.width) for _ in range(shape.depth))) for _ in sides)
        self.norm = ChannelNorm(shape.width)
        self.out = nn.Conv2d(shape.width, 3 * self.fold**2, 3, padding=1)

    def forward(self, z: Tensor, caption: Caption | None = None) -> Tensor:
        x = self.into(torch.cat([z, pooled(caption, z)], dim=1)).unflatten(1, (self.width, self.smallest, -1))
        x = x.contiguous(memory_format=torch.channels_last)
        for k, stage in enumerate(self.stages):
            x = stage(F.interpolate(x, scale_factor=2.0) if k else x)
        return F.pixel_shuffle(self.out(F.relu(self.norm(x))), self.fold)


class _Trunk(nn.Module):
    """Blocks over the patches of a picture that attend to context tokens and are modulated by one vector."""

    cos: Tensor
    sin: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        if shape.image_size % shape.patch:
            raise ValueError(f"image_size {shape.image_size} must be a multiple of patch {shape.patch}: choose another")
        self.grid = shape.image_size // shape.patch
        self.blocks = nn.ModuleList(Block(shape.width, shape.heads, 2.75) for _ in range(shape.depth))
        rows, columns = torch.meshgrid(*[torch.arange(self.grid, dtype=torch.float64)] * 2, indexing="ij")
        cos, sin = rope_2d(rows.flatten(), columns.flatten(), shape.width // shape.heads)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def forward(self, x: Tensor, context: Tensor, mask: Tensor, vec: Tensor) -> Tensor:
        """x: (B, N, D); context: (B, T, D) and mask (B, T), T >= 1; vec: (B, D)."""
        rope = (self.cos.to(x.dtype), self.sin.to(x.dtype))
        bias = torch.where(F.pad(mask, (0, x.shape[1]), value=True), 0.0, -1e4)[:, None, None, :].to(x.dtype)
        for block in self.blocks:
            x = block(x, context, vec, rope, bias, None)
        return x


class PatchEncoder(nn.Module):
    """A transformer over patches that reads the caption beside them; what each patch says is laid side by side."""

    EACH = 16
    """Numbers kept of each patch."""

    def __init__(self, shape: Shape, out: int) -> None:
        super().__init__()
        self.patch = shape.patch
        self.into = nn.Linear(3 * shape.patch**2, shape.width)
        self.told = nn.Linear(shape.context, shape.width) if shape.context else None
        self.start = nn.Parameter(0.02 * torch.randn(shape.width))
        self.trunk = _Trunk(shape)
        self.norm = nn.LayerNorm(shape.width)
        self.each = nn.Linear(shape.width, self.EACH)
        self.out = nn.Linear(self.EACH * self.trunk.grid**2, out)

    def forward(self, images: Tensor, caption: Caption | None = None) -> Tensor:
        x = self.into(patchify(images, self.patch))  # (B, N, D)
        vec = self.start.to(x.dtype).expand(len(x), -1)
        context, mask = vec[:, None], torch.ones(len(x), 1, dtype=torch.bool, device=x.device)
        if self.told is not None and caption is not None:
            context, mask = self.told(caption[0]), caption[1]
            vec = vec + pooled((context, mask), x)
        x = self.trunk(x, context, mask, vec)
        return self.out(F.gelu(self.each(self.norm(x))).flatten(1))


class Spots(nn.Module):
    """Where things are, found first: a few centres and sizes are read from a vector, and each place of a grid is told
    where it lies as seen from every one. So a shape has to be learned once, not once for each place of the picture.

    Args:
        width: of the vector and of what a place is told; grid: there are ``grid x grid`` places; count: of the spots.
    """

    middles: Tensor

    OCTAVES = 4
    """Waves per axis by which a place is told where it lies."""

    def __init__(self, width: int, grid: int, count: int = 1) -> None:
        super().__init__()
        self.count = count
        self.pose = nn.Sequential(nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 3 * count))
        self.told = nn.Linear(count * 2 * (1 + 2 * self.OCTAVES), width)
        middle = (torch.arange(grid) + 0.5) / grid
        rows, columns = torch.meshgrid(middle, middle, indexing="ij")
        self.register_buffer("middles", torch.stack([columns.flatten(), rows.flatten()], dim=1), persistent=False)

    def look(self, vec: Tensor) -> Tensor:
        """Where each place lies as seen from every spot, (B, grid^2, features)."""
        pose = self.pose(vec).float().unflatten(1, (self.count, 3))  # (B, K, 3)
        centre, size = pose[..., :2].sigmoid(), 0.25 * pose[..., 2:].clamp(-3, 3).exp()
        seen = (self.middles[None, :, None] - centre[:, None]) / size[:, None]  # (B, N, K, 2)
        waves = seen[..., None] * (math.pi / 4 * 2.0 ** torch.arange(self.OCTAVES, device=seen.device))
        return torch.cat([seen.clamp(-4, 4)[..., None], waves.sin(), waves.cos()], dim=-1).flatten(2)

    def forward(self, vec: Tensor) -> Tensor:
        """(B, width) -> (B, grid^2, width)."""
        told: Tensor = self.told(self.look(vec).to(vec.dtype))
        return told


class PatchDecoder(nn.Module):
    """A transformer that paints: every patch asks the caption's tokens and z what to show, and :class:`Spots` where."""

    def __init__(self, shape: Shape, latent: int) -> None:
        super().__init__()
        self.size, self.patch = shape.image_size, shape.patch
        self.trunk = _Trunk(shape)
        grid, width = self.trunk.grid, shape.width
        self.places = nn.Parameter(0.02 * torch.randn(grid**2, width))
        self.told = nn.Linear(shape.context, width) if shape.context else None
        self.token = nn.Linear(latent, width)
        self.vec = nn.Sequential(nn.Linear(latent + shape.context, width), nn.SiLU(), nn.Linear(width, width))
        self.spots = Spots(width, grid)
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, 3 * shape.patch**2)

    def forward(self, z: Tensor, caption: Caption | None = None) -> Tensor:
        return self.picture(self.tokens(z, caption))

    def tokens(self, z: Tensor, caption: Caption | None = None) -> Tensor:
        """What each patch is to show, (B, N, width)."""
        vec = self.vec(torch.cat([z, pooled(caption, z)], dim=1))  # (B, D)
        context, mask = self.token(z)[:, None], torch.ones(len(z), 1, dtype=torch.bool, device=z.device)
        if self.told is not None and caption is not None:
            context = torch.cat([context, self.told(caption[0])], dim=1)  # (B, 1 + T, D)
            mask = torch.cat([mask, caption[1]], dim=1)
        x: Tensor = self.trunk(self.places + self.spots(vec), context, mask, vec)
        return x

    def picture(self, tokens: Tensor) -> Tensor:
        """(B, N, width) -> (B, 3, S, S)."""
        return unpatchify(self.out(self.norm(tokens)), self.patch, self.size, self.size)


class CaptionPrior(nn.Module):
    """p(z | caption): learned questions look over the caption's tokens; starts as N(0, I)."""

    QUESTIONS = 8

    def __init__(self, dim: int, heads: int, latent: int) -> None:
        super().__init__()
        self.questions = Questions(self.QUESTIONS, dim, heads)
        self.out = nn.Linear(self.QUESTIONS * dim, 2 * latent)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, caption: Caption) -> tuple[Tensor, Tensor]:
        """Mean and log-variance, (B, latent) each, float32."""
        mu, logvar = self.out(self.questions(*caption).flatten(1)).float().chunk(2, dim=1)
        return mu, logvar.clamp(-12, 12)


ENCODERS: Mapping[str, Callable[[Shape, int], nn.Module]] = {
    "dense": DenseEncoder,
    "conv": ConvEncoder,
    "transformer": PatchEncoder,
}
DECODERS: Mapping[str, Callable[[Shape, int], nn.Module]] = {
    "dense": DenseDecoder,
    "conv": ConvDecoder,
    "transformer": PatchDecoder,
}
"""The forms, by the word a configuration says."""


def checked(form: str) -> str:
    """The form, if there is such a one.

    Raises:
        ValueError: there is none.
    """
    if form not in ENCODERS:
        raise ValueError(f"form is {form!r}; allowed: {', '.join(ENCODERS)}")
    return form
