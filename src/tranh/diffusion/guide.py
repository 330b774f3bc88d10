"""Guidance as a wrapper around the denoiser: a guided denoiser is a denoiser, and samplers cannot tell.

It knows nothing of captions or networks: whoever hands in the denoisers has put the conditions in.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tranh.diffusion.loss import rows
from tranh.types import Denoiser


def classifier_free(
    pair: Denoiser,
    scale: float | Tensor,
    interval: tuple[float, float] = (0.0, 1.0),
    conditional: Denoiser | None = None,
) -> Denoiser:
    """x_null + s (x_cond - x_null) (Ho and Salimans 2022), in one call of 2 B rows.

    Args:
        pair: denoiser of 2 B rows: B without the condition, then the same B with it.
        scale: s, one number or one per row (B,); 1 is no guidance.
        interval: times in [lo, hi] are guided, others are not (Kynkaanniemi et al. 2024; their sigma is t / (1 - t)).
        conditional: denoiser of the B conditioned rows; if given it is asked alone when no row is guided.

    Returns:
        denoiser of B rows.
    """
    lo, hi = interval
    if not 0 <= lo <= hi <= 1:
        raise ValueError(f"interval ({lo}, {hi}): give times with 0 <= lo <= hi <= 1")

    def guided(x: Tensor, t: Tensor) -> Tensor:
        s = torch.as_tensor(scale, dtype=t.dtype, device=t.device).expand(len(t))
        s = torch.where((t >= lo) & (t <= hi), s, torch.ones_like(s))  # (B,)
        if conditional is not None and bool((s == 1).all()):
            return conditional(x, t)
        x_null, x_cond = pair(torch.cat([x, x]), torch.cat([t, t])).chunk(2)
        s = rows(s, x)
        return torch.where(s == 1, x_cond, x_null + s.to(x_cond.dtype) * (x_cond - x_null))

    return guided
