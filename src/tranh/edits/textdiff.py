"""Text diffs: a picture moved along the difference of two captions (Ramesh et al. 2022, section 3.3).

It knows no family.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from tranh.diffusion.guide import classifier_free
from tranh.edits.interpolate import slerp
from tranh.edits.invert import decode
from tranh.types import Step, Unclips

FULL = 0.5
"""Share of the way from the picture to the difference at strength 1, the upper end of what the paper uses."""

GUIDANCE = 2.5
"""How far an estimate is carried away from that of the picture as it is."""


def moved(embedding: Tensor, before: Tensor, after: Tensor, strength: float) -> Tensor:
    """slerp(z_i, z_d, theta), z_d the normalised difference of two captions' embeddings; all (B, D).

    Captions of one embedding move nothing.
    """
    difference = after - before
    if not bool((difference.norm(dim=-1) > 1e-6).all()):
        return embedding
    return slerp(embedding, F.normalize(difference, dim=-1), strength * FULL)


def textdiff(
    model: Unclips,
    embedding: Tensor,
    texts: tuple[Tensor, Tensor],
    noise: Tensor,
    strength: float,
    ts: Tensor,
    words: tuple[str, str],
    guidance: float = GUIDANCE,
) -> Iterator[Step]:
    """Draw the moved embedding from the picture's own noise (1, 3, S, S).

    The estimate is that of the picture as it is, carried towards that of the moved embedding and the new words, as
    classifier-free guidance does from the empty caption: what neither changes stays. Strength 0 runs the network too,
    and gives the picture back.

    Args:
        embedding: of the picture, (1, D); texts: of the captions before and after, (1, D) each.
        words: the captions, told to the decoder.
    """
    both = torch.cat([embedding, moved(embedding, *texts, strength)])
    yield from decode(classifier_free(model.unclip(both, words, 1.0), strength * guidance), noise, ts)
