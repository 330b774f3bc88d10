"""Variations of a picture: another picture that means the same, and shares as much of its noise as is wished.

It knows no family. The paper (Ramesh et al. 2022, section 3.1) draws the same embedding with DDIM's fresh noise; here
the noise found in the picture is turned towards fresh noise before anything is drawn, so one dial leads from the
picture itself to what its embedding alone says.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from tranh.edits.interpolate import slerp
from tranh.edits.invert import decode
from tranh.types import Step, Unclips


def variation(
    model: Unclips,
    embedding: Tensor,
    noise: Tensor,
    fresh: Tensor,
    change: float,
    ts: Tensor,
    words: str = "",
    guidance: float = 1.0,
) -> Iterator[Step]:
    """Draw the embedding (1, D) from noise turned from its own (1, 3, S, S) towards a fresh one.

    Args:
        change: 0 gives the picture back, 1 keeps the embedding alone.
        guidance: at ``change`` 1; it comes in with it, since a picture is given back only without.
    """
    scale = 1 + change * (guidance - 1)
    yield from decode(model.unclip(embedding, [words], scale), slerp(noise, fresh, change), ts)
