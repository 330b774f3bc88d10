"""The health of a codebook: how many of its codes a set of pictures uses, and how evenly.

It knows codes and nothing of who gives them. A codebook of which few codes are used, or nearly always the same, has
collapsed; a set that is small beside the codebook cannot use it all.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from tranh.metrics.interval import influenced
from tranh.metrics.measured import FEW, Measured, card, enough
from tranh.types import TranhError


def measure(codes: Tensor, count: int, *, seed: int = 0, allow_few: bool = False) -> tuple[Measured, Measured]:
    """Usage and perplexity over all pictures, with interval and card.

    Args:
        codes: of each picture, (B, N), int64.
        count: K, the codes there are.

    Returns:
        The share of the codes that occurs; and exp of the entropy of how often each occurs, between 1 and K.

    Raises:
        TranhError: fewer than 16 pictures and not allowed, or codes that are none.
    """
    if codes.ndim != 2 or codes.is_floating_point() or int(codes.min()) < 0 or int(codes.max()) >= count:
        raise TranhError(f"codes of shape {list(codes.shape)}; expected whole numbers from 0 to {count - 1}, (B, N)")
    instead = "Encode more pictures."
    notes = enough("the use of a codebook", {"pictures": len(codes)}, FEW, instead, allow_few)
    each = np.stack([np.bincount(row, minlength=count) for row in codes.cpu().numpy()]).astype(np.float64)  # (B, K)
    settings = {"codes": count, "codes of a picture": codes.shape[1]}
    said = [
        card(what, {"pictures": len(codes)}, how, seed=seed, settings=settings, notes=notes)
        for what, how in (
            ("share of the codes that occurs", "influence of each picture (jackknife), resampled 2000 times"),
            ("perplexity of the codes", "influence of each picture on the entropy, resampled 2000 times"),
        )
    ]
    owned = each.sum(0) > 0
    alone = (owned & ((each > 0).sum(0) == 1)) * (each > 0)  # (B, K): codes that only this picture has
    usage = influenced(float(owned.mean()), (len(codes) - 1) * alone.sum(1) / count, seed=seed)
    share = each.sum(0) / each.sum()
    surprise = -np.log(share, out=np.zeros(count), where=owned)
    perplexity = float(np.exp(share @ surprise))
    evenness = influenced(perplexity, perplexity * (each / codes.shape[1]) @ surprise, seed=seed)
    return (
        Measured("codebook usage", usage, said[0]),
        Measured("codebook perplexity", evenness, said[1], better="neither"),
    )
