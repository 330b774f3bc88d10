"""What a trained network does: whether captions tell it anything, whether its embeddings lie where pictures' do,
whether it removes noise in the right order, whether its samples are pictures.

Pure functions of tensors and of a denoiser. They know no family.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from tranh.engine.doctor.finding import Finding, fault, fine, warning
from tranh.engine.doctor.learning import REACHES
from tranh.engine.doctor.trial import figure, shuffled
from tranh.types import Batch, Denoiser, Family

BELONG, MANIFOLD, TIMES, SAMPLES = (
    "captions belong to their pictures", "embeddings where pictures are", "time convention", "samples are pictures",
)  # fmt: skip
MARGIN = 0.02
"""By how much shuffled captions must worsen the figure of a trained network."""
TIMES_ASKED = (0.05, 0.25, 0.5, 0.75, 0.95)


def captions_tell(family: Family, batch: Batch, progress: float, draws: int = 4) -> Finding:
    """Held-out pictures cost more with others' captions than with their own, on the same noise.

    Args:
        family: trained, in evaluation mode; batch: held out, with the parents' outputs.
        progress: share of the training behind it; before a quarter of it nothing is sure.
    """
    other = shuffled(batch)
    pairs = [(figure(family, batch, seed), figure(family, other, seed)) for seed in range(draws)]
    true, wrong = (sum(p[i] for p in pairs) / draws for i in (0, 1))
    change = (wrong - true) / max(abs(true), 1e-12)
    seen = f"shuffling captions changes the held-out {family.overfit} by {100 * change:.2g} %"
    seen += f" ({true:.4g} to {wrong:.4g})"
    if max(abs(a - b) for a, b in pairs) <= 1e-7 * abs(true):
        return fault(
            REACHES,
            f"the caption does not reach the network: {seen}",
            "Check that tokens and mask are passed to the text encoder and its output is passed on; or the network has "
            "collapsed (every caption gives the same): lower lr and begin anew.",
        )
    if change > MARGIN:
        return fine(BELONG, seen)
    seen += f", expected > {100 * MARGIN:g} %"
    remedy = "Are captions shuffled against their pictures in the source? Compare them (tranh data preview)."
    if progress >= 0.25 and change < MARGIN / 4:
        return fault(BELONG, seen, remedy)
    return warning(BELONG, seen, f"{remedy} If they fit, train longer: it has hardly learned to read.")


def manifold(made: Tensor, known: Tensor, held_out: Tensor, texts: Tensor | None = None) -> Finding:
    """Made embeddings are as long, as spread and as near to true ones as other true ones are.

    Args:
        made: (M, D), what the decoder will be given; known: (N, D), embeddings of true pictures.
        held_out: (K, D), of true pictures that are not among ``known``; texts: (M, D), of the captions of ``made``.
    """
    made, known, held_out = made.float(), known.float(), held_out.float()
    if not bool(torch.isfinite(made).all()):
        return fault(MANIFOLD, "embeddings hold NaN or infinity", "Look at the prior's run: `tranh doctor`.")
    length, true_length = (float(z.norm(dim=-1).mean()) for z in (made, known))
    if texts is not None:
        own = float(F.cosine_similarity(made, texts.float()).mean())
        of_pictures = float(F.cosine_similarity(held_out.mean(0), texts.float(), dim=-1).mean())
        if own > 0.99 and own > of_pictures + 0.02:
            return fault(
                MANIFOLD,
                f"they are the captions' text embeddings (cosine {own:.3f}): the prior is not applied",
                "Give the decoder prior.sample(tokens, mask, embed_texts(...), noise), not embed_texts(...).",
            )
    if not 0.9 < length / max(true_length, 1e-12) < 1.1:
        return fault(
            MANIFOLD,
            f"their length is {length:.3g}, that of pictures' embeddings {true_length:.3g}",
            "Undo the standardisation (z = mean + std * x) and normalise to unit length before the decoder.",
        )
    near, near_true = (_nearest(z, known) for z in (made, held_out))
    shift = float((made.mean(0) - known.mean(0)).norm())
    spread, true_spread = (float(z.var(0, correction=0).sum().sqrt()) for z in (made, known))
    seen = (
        f"length {length:.3g}; spread {spread:.3g} (pictures {true_spread:.3g}); mean off by {shift:.2g}; "
        f"cosine to the nearest picture {near:.3f} (held-out pictures {near_true:.3f})"
    )
    if spread < 0.25 * true_spread:
        return fault(
            MANIFOLD,
            f"all captions give nearly the same embedding: {seen}",
            "Does the caption reach the prior? Train it longer.",
        )
    if 1 - near > 2 * (1 - near_true) + 0.05 or shift > 0.6 * true_spread:
        return fault(
            MANIFOLD,
            f"they lie where no picture does: {seen}",
            "Train the prior longer; check that it was trained with this CLIP and that mean and std were prepared.",
        )
    return fine(MANIFOLD, seen)


def _nearest(z: Tensor, known: Tensor) -> float:
    """Median cosine to the nearest of the known."""
    return float((F.normalize(z, dim=-1) @ F.normalize(known, dim=-1).T).amax(1).median())


@torch.no_grad()
def errors_by_time(denoiser: Denoiser, images: Tensor, seed: int = 0) -> list[float]:
    """Mean squared error of the x_0 estimate, in units of the data's variance, at each of :data:`TIMES_ASKED`."""
    eps = torch.randn(images.shape, generator=torch.Generator().manual_seed(seed)).to(images.device)
    variance = float((images - images.mean(0)).square().mean())
    found = []
    for t in TIMES_ASKED:
        x0 = denoiser((1 - t) * images + t * eps, torch.full((len(images),), t, device=images.device))
        found.append(float((x0.float() - images).square().mean()) / max(variance, 1e-12))
    return found


def times(errors: list[float]) -> Finding:
    """Little noise leaves little error, much noise more: t = 0 is the picture, t = 1 is noise.

    Args:
        errors: of :func:`errors_by_time`.
    """
    seen = "error over variance " + ", ".join(f"{e:.2g} at t={t:g}" for t, e in zip(TIMES_ASKED, errors, strict=True))
    if not all(map(math.isfinite, errors)):
        return fault(TIMES, f"not finite: {seen}", "Does the loss divide by t? Keep a floor under it.")
    if errors[0] > 1.1 * errors[-1] + 1e-3:
        return fault(
            TIMES,
            f"more noise leaves less error: {seen}",
            "t = 1 is noise and t = 0 the picture here; does the network count the other way, or predict the noise?",
        )
    if errors[0] > 0.25:
        return warning(
            TIMES,
            f"an almost clean picture is not returned: {seen}, expected < 0.25 at t={TIMES_ASKED[0]:g}",
            "It is hardly trained yet, or it is told another time than the pictures have.",
        )
    return fine(TIMES, seen)


def variation(x: Tensor) -> float:
    """Mean difference of neighbouring pixels: large for noise, small for pictures."""
    x = x.float().clamp(-1, 1)
    return float((x.diff(dim=-1).abs().mean() + x.diff(dim=-2).abs().mean()) / 2)


def samples(made: Tensor, true: Tensor, finished: bool = True) -> Finding:
    """Samples are neither noise, nor empty, nor the same for every caption.

    Args:
        made: (B, 3, H, W), one per caption, all from the same noise; true: pictures of the data.
        finished: training is over, so what is wrong now is a fault.
    """
    if not bool(torch.isfinite(made).all()):
        return fault(SAMPLES, "they hold NaN or infinity", "Look at the weights; too much guidance can do it as well.")
    ratio = variation(made) / max(variation(true), 1e-12)
    differ = float(made.float().clamp(-1, 1).std(0).mean()) / max(float(true.float().std(0).mean()), 1e-12)
    seen = f"neighbouring pixels differ {ratio:.2g} times as much as in the data, captions {differ:.2g} times"
    say = fault if finished else warning
    if ratio > 3:
        return say(SAMPLES, f"they are noise: {seen}, expected < 3", "It has not learned to remove it: train longer.")
    if ratio < 0.1:
        return say(SAMPLES, f"they are empty: {seen}, expected > 0.1", "Train longer; see the other findings.")
    if differ < 0.1:
        seen = f"every caption gives the same picture: {seen}, expected > 0.1"
        return say(SAMPLES, seen, "Does the caption reach the network?")
    return fine(SAMPLES, seen)
