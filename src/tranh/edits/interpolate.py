"""Walks between two pictures, on the sphere: in what they mean and in their noise (Ramesh et al. 2022, section 3.2).

It knows no family.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from tranh.diffusion.guide import classifier_free
from tranh.edits.invert import decode
from tranh.types import Denoiser, Step, Unclips


def slerp(a: Tensor, b: Tensor, share: float | Tensor) -> Tensor:
    """From each row of a towards that of b along the great circle, by a share of the angle; lengths go over evenly
    (Shoemake 1985).

    Two normal samples thus give one, where a straight line would pass through samples too short.

    Args:
        a, b: (B, ...), no row all zeros.
        share: one, or one per row (B,).
    """
    u, v = a.flatten(1).double(), b.flatten(1).double()
    s = torch.as_tensor(share, dtype=u.dtype, device=u.device).expand(len(u))[:, None]
    length_u, length_v = u.norm(dim=1, keepdim=True), v.norm(dim=1, keepdim=True)
    u, v = u / length_u.clamp(min=1e-12), v / length_v.clamp(min=1e-12)
    angle = torch.acos((u * v).sum(1, keepdim=True).clamp(-1, 1))
    sine = angle.sin()
    near = sine < 1e-4  # the same, or opposite: any great circle or none leads there
    safe = torch.where(near, torch.ones_like(sine), sine)
    first = torch.where(near, 1 - s, ((1 - s) * angle).sin() / safe)
    second = torch.where(near, s, (s * angle).sin() / safe)
    return torch.lerp(length_u, length_v, s).mul(first * u + second * v).view_as(a).to(a.dtype)


def between(model: Unclips, embedding: Tensor, words: tuple[str, str], share: float) -> Denoiser:
    """The denoiser of one embedding (1, D) told by two descriptions, the second by its share."""
    if words[0] == words[1]:
        return model.unclip(embedding, [words[0]], 1.0)
    return classifier_free(model.unclip(embedding.expand(2, -1), words, 1.0), share)


def interpolate(
    model: Unclips,
    embeddings: tuple[Tensor, Tensor],
    noises: tuple[Tensor, Tensor],
    share: float,
    ts: Tensor,
    words: tuple[str, str] = ("", ""),
) -> Iterator[Step]:
    """The picture at a share of the way from one to another; at 0 and 1 they are those themselves.

    Args:
        embeddings: of both, (1, D); noises: of both, (1, 3, S, S), of :func:`tranh.edits.invert.invert` with the same
            words.
        words: what both show, as far as it is known.
    """
    z, x = slerp(*embeddings, share), slerp(*noises, share)
    yield from decode(between(model, z, words, share), x, ts)
