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


def slerp(a: Tensor, b: Tensor, share: float) -> Tensor:
    """From each row of a towards that of b along the great circle, by a share of the angle; lengths go over evenly.

    Two normal samples thus give one, where a straight line would pass through samples too short.

    Args:
        a, b: (B, ...), no row all zeros.
    """
    u, v = a.flatten(1).double(), b.flatten(1).double()
    length_u, length_v = u.norm(dim=1, keepdim=True), v.norm(dim=1, keepdim=True)
    u, v = u / length_u, v / length_v
    cosine = (u * v).sum(1, keepdim=True).clamp(-1, 1)
    angle = torch.acos(cosine)
    across = v - cosine * u
    across = across / across.norm(dim=1, keepdim=True).clamp(min=1e-12)
    out = torch.cos(share * angle) * u + torch.sin(share * angle) * across
    return ((1 - share) * length_u + share * length_v).mul(out).view_as(a).to(a.dtype)


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
