"""Invertible maps with exact densities: bases that keep volumes, maps of each number whose parameters are predicted.

They know neither captions nor noise: a condition comes in as tokens or channels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tranh.nn.conv import Residual
from tranh.nn.mixture import Mixture, normal
from tranh.nn.sequence import SequenceTransformer

STEEP = 12.0
"""Log-scales stay within it: a share of an 8-bit level, e^-9 of a coarse number, is in reach, and nothing overflows."""
TAILS = (0.02, 1.5)
"""Least and greatest delta of :class:`Told`."""


def cosines(n: int) -> Tensor:
    """The DCT-II as an orthonormal matrix (n, n), rows by frequency. For n = 3: brightness, red-blue, green-magenta."""
    k, i = torch.arange(n, dtype=torch.float64)[:, None], torch.arange(n, dtype=torch.float64)
    matrix = math.sqrt(2 / n) * torch.cos(math.pi * (i + 0.5) * k / n)
    matrix[0] /= math.sqrt(2)
    return matrix


def coarse_to_fine(p: int, channels: int = 3) -> tuple[Tensor, list[int]]:
    """An orthonormal basis of (channels, p, p) patches by octaves of frequency: the mean colour first.

    Returns:
        the matrix (D, D), coefficients = matrix @ patch; and how many coefficients each octave has.
    """
    basis = torch.einsum("ca,ub,vd->uvcabd", cosines(channels), cosines(p), cosines(p))
    frequency = torch.arange(p)
    octave = torch.maximum(frequency[:, None], frequency).add(1).log2().ceil().long()  # (p, p): 0, 1, 2, 2, 3, ...
    order = octave.flatten().argsort(stable=True)
    matrix = basis.reshape(p * p, channels, -1)[order].reshape(p * p * channels, -1)
    return matrix, (channels * octave.flatten().bincount()).tolist()


def haar(x: Tensor) -> tuple[Tensor, Tensor]:
    """Orthonormal Haar transform: (B, C, H, W) -> half the size (B, C, H/2, W/2) and details (B, 3 C, H/2, W/2)."""
    a, b, c, d = x[..., ::2, ::2], x[..., ::2, 1::2], x[..., 1::2, ::2], x[..., 1::2, 1::2]
    return (a + b + c + d) / 2, torch.cat([a - b + c - d, a + b - c - d, a - b - c + d], dim=1) / 2


def unhaar(low: Tensor, details: Tensor) -> Tensor:
    """Inverse of :func:`haar`."""
    h, v, d = details.chunk(3, dim=1)
    quarters = [low + h + v + d, low - h + v - d, low + h - v - d, low - h - v + d]
    return F.pixel_shuffle(torch.stack(quarters, dim=2).flatten(1, 2) / 2, 2)


@dataclass(frozen=True)
class Told:
    """What a network tells of some numbers x: z = asinh(delta u) / delta with u = (x - mu) exp(-alpha).

    The arcsinh (Jones and Pewsey 2009) gives x the tails that edges among plain grounds need: without, one edge that
    was not foreseen outweighs the rest of a batch. A small delta is none.
    """

    mu: Tensor
    alpha: Tensor
    delta: Tensor

    @classmethod
    def of(cls, shift: Tensor, alpha: Tensor, delta: Tensor, tailed: Tensor | None = None) -> Told:
        """From numbers without bounds, (B, ...); ``tailed`` (B,) bool: rows that have tails, None for all."""
        tails = (TAILS[1] - TAILS[0]) * torch.sigmoid(delta)
        if tailed is not None:
            tails = tails * tailed.view(-1, *[1] * (delta.ndim - 1))
        return cls(shift, STEEP * torch.tanh(alpha / STEEP), TAILS[0] + tails)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """z, and log dz/dx of each number."""
        v = self.delta * (x - self.mu) * (-self.alpha).exp()
        return v.asinh() / self.delta, -self.alpha - 0.5 * v.square().log1p()

    def inverse(self, z: Tensor) -> Tensor:
        """x of z."""
        return self.mu + (self.delta * z).sinh() / self.delta * self.alpha.exp()


class Octave(nn.Module):
    """Of some coefficients of a token, what those before the token and its own coarser ones tell.

    mu holds a share of the token before, by a gate: a plain ground goes on to the last grey level, which a network
    computing in 8 bits of precision could not say anew.
    """

    def __init__(self, dim: int, known: int, size: int, peaks: int) -> None:
        super().__init__()
        self.known, self.own = known, slice(known, known + size)  # places within a token
        self.sizes = [peaks, *[size * peaks] * 3]
        self.hidden, self.out = nn.Linear(dim + known, dim), nn.Linear(dim, sum(self.sizes))
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        _, shift, _, alpha = self.out.bias.data.split(self.sizes)
        nn.init.normal_(shift, std=0.2)  # peaks that began alike would stay alike
        alpha.view(size, peaks).copy_(torch.linspace(0, -3, peaks))

    def forward(self, h: Tensor, x: Tensor, before: Tensor) -> Mixture:
        """h: (B, N, dim); x: the tokens as far as known; before: the tokens before them, (B, N, D)."""
        coarser = x[..., : self.known].to(h.dtype)
        a = F.gelu(self.hidden(torch.cat([h, coarser], dim=-1)), approximate="tanh")
        with torch.autocast(a.device.type, enabled=False):
            told = F.linear(a.to(self.out.weight.dtype), self.out.weight, self.out.bias)
        logits, *rest = told.split(self.sizes, dim=-1)
        shift, gate, alpha = (one.unflatten(-1, (-1, self.sizes[0])) for one in rest)  # (B, N, size, K) each
        return Mixture(logits, shift + gate * before[..., self.own, None], STEEP * torch.tanh(alpha / STEEP))


class AutoregressiveBlock(nn.Module):
    """z_i of x_i by what all tokens before i tell (TarFlow, Zhai et al. 2024): a mixture of normals for each token, as
    in JetFormer (Tschannen et al. 2024).

    Within a token they come octave by octave, the fine coefficients knowing the coarse ones: patches can then be large.
    The first token is told by the prefix alone.

    Args:
        octaves: how many coefficients of a token each octave has.
        length: tokens.
        dim, depth, heads: of the causal transformer.
        peaks: normals of each mixture.
    """

    def __init__(
        self, octaves: Sequence[int], length: int, dim: int, depth: int, heads: int, *, peaks: int = 8
    ) -> None:
        super().__init__()
        self.length = length
        self.embed = nn.Linear(sum(octaves), dim)
        self.here = nn.Parameter(0.02 * torch.randn(length, dim))
        self.before = nn.Parameter(0.02 * torch.randn(length, dim))
        self.transformer = SequenceTransformer(dim, depth, heads, causal=True)
        starts = [sum(octaves[:k]) for k in range(len(octaves))]
        self.octaves = nn.ModuleList(Octave(dim, at, size, peaks) for at, size in zip(starts, octaves, strict=True))

    def slots(self, before: Tensor, prefix: Tensor, told: Tensor, order: Tensor, first: int = 0) -> Tensor:
        """Where the tokens from the ``first`` on are told: the token before each (zeros for none), both places, and
        what is told of each; all in the order they come.

        The prefix's last token is added to each: nobody has to look for it.
        """
        e, last = self.embed(before), first + before.shape[1]
        came = self.before[order[:, max(0, first - 1) : last - 1]]
        came = F.pad(came, (0, 0, before.shape[1] - came.shape[1], 0))  # nothing came before the first
        return e + (self.here[order[:, first:last]] + came + prefix[:, -1:] + told[:, first:last]).to(e.dtype)

    def told(self, x: Tensor, prefix: Tensor, told: Tensor, order: Tensor) -> list[tuple[Tensor, Mixture]]:
        """The coefficients of each octave, and what is told of them, in the order they come.

        Args:
            x: tokens (B, N, D); prefix: (B, K, dim), K >= 1.
            told: (B, N, dim), what is told of each token besides.
            order: (B, N) int64, which token comes first, second, ...; it may depend on whatever is known without x.
        """
        x, told = taken(x, order), taken(told, order)
        before = F.pad(x[:, :-1], (0, 0, 1, 0))
        e = self.slots(before, prefix, told, order)
        h = self.transformer(torch.cat([prefix.to(e.dtype), e], dim=1))[:, prefix.shape[1] :]  # (B, N, dim)
        return [(x[..., octave.own], octave(h, x, before)) for octave in self._octaves]

    def log_prob(self, x: Tensor, prefix: Tensor, told: Tensor, order: Tensor) -> Tensor:
        """log p of each token (B, N, D) given those that came before it, (B, N), in nats; arguments as for
        :meth:`told`."""
        each = [one.log_prob(own).sum(2) for own, one in self.told(x, prefix, told, order)]
        return torch.stack(each).sum(0).gather(1, order.argsort(1))

    def forward(self, x: Tensor, prefix: Tensor, told: Tensor, order: Tensor) -> Tensor:
        """z (B, N, D) of x; log |det dz/dx| is the sum of :meth:`log_prob` less :func:`gaussian` of z."""
        z = torch.cat([one.forward(own) for own, one in self.told(x, prefix, told, order)], dim=-1)
        return taken(z.to(x.dtype), order.argsort(1))

    def inverse(self, z: Tensor, prefix: Tensor, told: Tensor, order: Tensor, limit: float = math.inf) -> Tensor:
        """x of z (B, N, D), token by token; keys and values of those before are kept.

        Args:
            prefix, told, order: as for :meth:`told`.
            limit: numbers beyond it are cut to it, before the next token believes them.
        """
        z, told = taken(z, order), taken(told, order)
        cache = self.transformer.new_cache(len(z), prefix.shape[1] + self.length, prefix.dtype, prefix.device)
        self.transformer.extend(prefix, cache)
        before, done = torch.zeros_like(z[:, :1]), []
        for i in range(self.length):
            x = z[:, i : i + 1, :0]
            h = self.transformer.extend(self.slots(before, prefix, told, order, i), cache)  # (B, 1, dim)
            for octave in self._octaves:
                found = octave(h, x, before).inverse(z[:, i : i + 1, octave.own]).to(z.dtype)
                x = torch.cat([x, found.clamp(-limit, limit)], dim=-1)
            before = x
            done.append(x)
        return taken(torch.cat(done, dim=1), order.argsort(1))

    @property
    def _octaves(self) -> list[Octave]:
        return cast(list[Octave], list(self.octaves))


class Details(nn.Module):
    """The details of a picture, by what the picture of half the size tells (WaveletFlow, Yu et al. 2020).

    Args:
        width, depth: channels and residual blocks of the network that looks at the small picture.
        condition: size of the vector that tells of the whole picture.
    """

    def __init__(self, width: int, depth: int, condition: int, channels: int = 3) -> None:
        super().__init__()
        self.enter = nn.Conv2d(channels, width, 3, padding=1)
        self.condition = nn.Linear(condition, width)
        self.blocks = nn.ModuleList(Residual(width) for _ in range(depth))
        self.out = nn.Conv2d(width, 9 * channels, 3, padding=1)
        for p in self.out.parameters():
            nn.init.zeros_(p)

    def told(self, low: Tensor, whole: Tensor, tailed: Tensor | None) -> Told:
        """Of the details (B, 3 C, H, W), from small pictures (B, C, H, W) and a vector of each, (B, condition)."""
        h = self.enter(low.contiguous(memory_format=torch.channels_last))
        h = h + self.condition(whole).to(h.dtype)[:, :, None, None]
        for block in self.blocks:
            h = block(h)
        with torch.autocast(h.device.type, enabled=False):
            shift, alpha, delta = self.out(F.relu(h).to(self.out.weight.dtype)).chunk(3, dim=1)
            return Told.of(shift, alpha, delta, tailed)

    def forward(
        self, details: Tensor, low: Tensor, whole: Tensor, tailed: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """z of the details (B, 3 C, H, W), and log |det dz/dd|, (B,).

        ``tailed``: bool (B,), rows whose numbers may have tails, None for all. Those without are normal, nearly, and mu
        is then the mean of what may come; with tails it goes to the most likely.
        """
        z, log = self.told(low, whole, tailed).forward(details)
        return z, log.flatten(1).sum(1)

    def inverse(self, z: Tensor, low: Tensor, whole: Tensor, tailed: Tensor | None = None) -> Tensor:
        """The details of z."""
        return self.told(low, whole, tailed).inverse(z)


def taken(x: Tensor, order: Tensor) -> Tensor:
    """Tokens (B, N, D) in an order (B, N)."""
    return x.gather(1, order[..., None].expand(-1, -1, x.shape[2]))


def gaussian(z: Tensor) -> Tensor:
    """log N(z; 0, I) of each row, (B,), in nats."""
    return normal(z.flatten(1)).sum(1)
