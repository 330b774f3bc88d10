"""What can be seen in weights: numbers that are none, parts that never moved, averages that lag behind.

Pure functions of tensors by name. They do not know what the weights are for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from tranh.engine.doctor.finding import Finding, fault, fine, warning

FINITE, MOVED, AVERAGES = "weights are finite", "all parts moved", "weight averages"
Tensors = Mapping[str, Tensor]


def finite(weights: Tensors) -> Finding:
    """No NaN anywhere and no infinity in floating tensors (masks of -inf are not kept in weights)."""
    bad = [n for n, t in weights.items() if t.is_floating_point() and not bool(torch.isfinite(t).all())]
    if not bad:
        return fine(FINITE, f"{len(weights)} tensors")
    return fault(
        FINITE,
        f"{', '.join(bad[:4])}{f' and {len(bad) - 4} more' if len(bad) > 4 else ''} hold NaN or infinity",
        "Go back to an earlier checkpoint (state/), with half the learning rate; never export these weights.",
    )


def moved(weights: Tensors, initial: Tensors) -> Finding:
    """Every trained tensor differs from its first value.

    Args:
        weights, initial: of the trained parameters only.
    """
    still = {n: t.numel() for n, t in weights.items() if n in initial and torch.equal(t.float(), initial[n].float())}
    total = sum(t.numel() for t in weights.values())
    share = sum(still.values()) / max(1, total)
    if not still:
        return fine(MOVED, f"all {len(weights)} trained tensors differ from their first values")
    seen = f"{', '.join(list(still)[:4])}{f' and {len(still) - 4} more' if len(still) > 4 else ''} are what they were"
    seen += f" at step 0: {100 * share:.2g} % of the trained weights"
    remedy = "Were they frozen or left out of param_groups by mistake, or does no gradient reach them?"
    return fault(MOVED, seen, remedy) if share > 0.01 else warning(MOVED, seen, remedy)


def distance(a: Tensors, b: Tensors) -> float:
    """Length of the difference over the names of ``b``."""
    return math.sqrt(sum(float((a[n].float() - b[n].float()).square().sum()) for n in b if n in a))


def averages(raw: Tensors, initial: Tensors, tracks: Mapping[str, Tensors]) -> Finding | None:
    """Averages have followed the weights away from the start; None if there are none.

    Args:
        raw, initial: weights now and at step 0; tracks: averages by name, trained parameters only.
    """
    if not tracks:
        return None
    shares = {}
    for key, track in tracks.items():
        whole = distance(raw, {n: initial[n] for n in track if n in initial})
        shares[key] = distance(track, initial) / whole if whole else 1.0
    seen = ", ".join(f"{k}: {100 * s:.0f} %" for k, s in shares.items())
    seen = f"share of the way of the raw weights from their first values that each average has gone: {seen}"
    cold = [k for k, s in shares.items() if s < 0.2]
    if cold:
        return fault(
            AVERAGES,
            f"average {', '.join(cold)} still is nearly the initialisation: {seen}",
            "Sample with the raw weights or train longer; take an average of shorter memory (ema=[0.05]; a decay of "
            "0.9999 needs tens of thousands of steps).",
        )
    return fine(AVERAGES, seen)


def scores(by_name: Mapping[str, float], chosen: str) -> Finding:
    """The chosen weights are the best of those scored, and averages are not far behind the raw ones.

    Args:
        by_name: held-out score of ``raw`` and of each average, lower is better.
        chosen: the name whose weights are used.
    """
    good = {k: v for k, v in by_name.items() if math.isfinite(v)}
    seen = ", ".join(f"{k} {v:.4g}" for k, v in by_name.items())
    if not good or chosen not in good:
        return fault(AVERAGES, f"the score of the chosen weights ({chosen}) is not finite: {seen}", "Train anew.")
    best = min(good, key=lambda k: good[k])
    if good[chosen] > good[best] + 0.05 * abs(good[best]):
        return fault(AVERAGES, f"{chosen} is used, but {best} is better: held-out {seen}", f"Use {best}.")
    tracks = [v for k, v in good.items() if k != "raw"]
    if tracks and "raw" in good and min(tracks) > good["raw"] + 0.5 * abs(good["raw"]):
        return warning(
            AVERAGES,
            f"every average is much further from the data than the raw weights: held-out {seen}",
            "The weights were still moving fast: train longer, let the rate decay (decay=0.3), or average less.",
        )
    return fine(AVERAGES, f"held-out {seen}; {chosen} is used")
