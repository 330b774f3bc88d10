"""Drawing one code from scores: temperature, the likeliest k, the likeliest that hold a share p, guidance; all pure.

They know nothing of what a code is or of the network that gives the scores. The same numbers as the logits warpers of
``transformers``; where those draw with a global generator, :func:`draw` is told the chance.
"""

from __future__ import annotations

import torch
from torch import Tensor

NEVER = -torch.inf


def guided(without: Tensor, told: Tensor, scale: float) -> Tensor:
    """Classifier-free guidance on scores (Ho and Salimans 2022): away from those without the caption; 1 is none."""
    return without + scale * (told - without)


def cooled(scores: Tensor, temperature: float) -> Tensor:
    """Scores over a temperature > 0: below 1 the likely become likelier."""
    return scores / temperature


def likeliest(scores: Tensor, k: int) -> Tensor:
    """The k highest scores of each row, (..., K), and all that equal the lowest of them; the others can never come."""
    k = min(k, scores.shape[-1])
    return scores.masked_fill(scores < scores.topk(k).values[..., -1:], NEVER)


def nucleus(scores: Tensor, p: float) -> Tensor:
    """The fewest likeliest of each row that together hold the share p (Holtzman et al. 2020), at least one."""
    rising, order = scores.sort(dim=-1)
    out = rising.softmax(-1).cumsum(-1) <= 1 - p
    out[..., -1] = False
    return scores.masked_fill(torch.zeros_like(out).scatter(-1, order, out), NEVER)


def warped(scores: Tensor, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0) -> Tensor:
    """All three, in the order of ``transformers``. ``top_k`` 0 and ``top_p`` 1 leave everything."""
    scores = cooled(scores, temperature)
    scores = likeliest(scores, top_k) if top_k > 0 else scores
    return nucleus(scores, top_p) if top_p < 1 else scores


def draw(scores: Tensor, chance: Tensor, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0) -> Tensor:
    """One code per row: scores (B, K), chance (B,) uniform in [0, 1) -> (B,), int64.

    The cumulative distribution is inverted, so that a row depends on its own scores and chance alone. Temperature 0
    takes the likeliest code.
    """
    if temperature == 0:
        return scores.argmax(-1)
    p = warped(scores.double(), temperature, top_k, top_p).softmax(-1)
    total = p.cumsum(-1)
    found = torch.searchsorted(total, chance.double()[:, None] * total[:, -1:], right=True)[:, 0]
    last = (p > 0).long().cumsum(-1).argmax(-1)  # rounding may not lead beyond what can come
    return torch.minimum(found, last)
