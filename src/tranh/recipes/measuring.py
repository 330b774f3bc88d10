"""What is measured while a stage trains (``metrics_every``): the points of its curves, on held-out examples.

Noise, captions and order are fixed, so that two points differ by the weights only. Every family is asked for what it is
there for; one that has no such measure has none, and its loss says enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
from torch import Tensor

from tranh.diffusion.sample import seeded
from tranh.engine import find
from tranh.engine.frozen import Frozen, attach, select
from tranh.engine.source import Source, on_device
from tranh.engine.step import computing
from tranh.engine.train import Measure
from tranh.families.ar_prior import ArPrior
from tranh.families.clip import Clip
from tranh.families.dvae import Dvae
from tranh.families.enhancer import Enhancer
from tranh.families.prior import Prior
from tranh.families.upsampler import Upsampler
from tranh.metrics import codebook, diversity, psnr, sharpness, ssim
from tranh.metrics.interval import Interval, bootstrap, wilson
from tranh.metrics.measured import Measured
from tranh.metrics.network import Network
from tranh.recipes.measures import measure_sets
from tranh.recipes.networks import own
from tranh.recipes.samples import made, rebuilt
from tranh.types import Autoencodes, Batch, Draws, Family, Stage, TranhError

TILE = 32
"""Pictures made at once."""
AGAIN = 16
"""Captions drawn a second time, from other noise: how much do pictures of one caption differ?"""
POOL = 64
"""Examples among which a caption must find its own picture: the chance of guessing stays the same for any count."""


def measurer_of(
    stage: Stage, source: Source, parents: Mapping[str, Frozen], network: Callable[[], Network] = own
) -> Measure | None:
    """What measures a stage, or None where there is nothing but the loss.

    Args:
        network: whose features pictures are compared in; the project's own, loaded when first asked.
    """
    measures: dict[str, Callable[[Any, list[Batch]], Mapping[str, Interval]]] = {
        "decoder": lambda family, batches: drawn(family, batches, network()),
        "upsampler": enlarged,
        "enhancer": enlarged,
        "clip": lambda family, batches: retrieved(family, batches, getattr(source, "spoken", ())),
        "prior": embedded,
        "ar_prior": embedded,
        "dvae": quantised,
    }
    kind = find.family(stage.family)
    chosen = [measures[stage.family]] if stage.family in measures else []
    if issubclass(kind, Autoencodes):
        chosen.append(lambda family, batches: likeness(_real(batches), _each(batches, lambda b, _: rebuilt(family, b))))
    if issubclass(kind, Draws):
        chosen.append(lambda family, batches: drawn(family, batches, network()))
    if not chosen:
        return None

    @torch.no_grad()
    def measure(family: Family, step: int) -> dict[str, Any]:
        here = next(family.parameters()).device
        batches = [attach(on_device(batch, here), parents) for batch in held_out(source, stage.metrics_count)]
        with computing(here, stage.precision):
            found = [measured(family, batches) for measured in chosen]
        return {what: asdict(figure) for figures in found for what, figure in figures.items()}

    return measure


def held_out(source: Source, count: int, size: int = TILE) -> Iterator[Batch]:
    """The first ``count`` held-out examples, ``size`` at a time; the last batch may be smaller."""
    for k in range(-(-count // size)):
        yield source.validation(k, min(size, count - k * size))


def drawn(family: Family, batches: Sequence[Batch], network: Network) -> dict[str, Interval]:
    """Pictures for the captions (the decoder's from the true embeddings) as a set against the true pictures; and their
    variety."""
    real = _real(batches)
    drawn = _each(batches, lambda batch, first: made(family, batch, first))
    few = select(batches[0], range(min(AGAIN, len(batches[0]))))
    again = made(family, few, len(real)).cpu()
    pairs = network.features(torch.stack([drawn[: len(again)], again], dim=1).flatten(0, 1)).unflatten(0, (-1, 2))
    return compared(real, drawn, network) | _said(partial(diversity.measure, pairs, network))


def compared(real: Tensor, made: Tensor, network: Network) -> dict[str, Interval]:
    """Two sets of pictures (N, 3, H, W) as figures by name; what so few pictures cannot tell is left out."""
    return {m.name: m.interval for m in measure_sets(real, made, network) if isinstance(m, Measured)}


def enlarged(upsampler: Upsampler | Enhancer, batches: Sequence[Batch]) -> dict[str, Interval]:
    """Pictures made of their small or poor versions, against the originals."""
    return likeness(_real(batches), _each(batches, lambda batch, first: made(upsampler, batch, first)))


def quantised(dvae: Dvae, batches: Sequence[Batch]) -> dict[str, Interval]:
    """How many codes of the codebook the pictures use, and how evenly."""
    codes = torch.cat([dvae.codes_of(batch.images).flatten(1) for batch in batches])
    with suppress(TranhError):  # refused: too few pictures
        return {one.name: one.interval for one in codebook.measure(codes, dvae.codes)}
    return {}


def likeness(real: Tensor, made: Tensor) -> dict[str, Interval]:
    """How like each picture (N, 3, H, W) in [-1, 1] is to its original; nothing is said of too few."""
    return _said(*(partial(one.measure, made, real) for one in (psnr, ssim, sharpness)))


def _said(*measures: Callable[[], Measured]) -> dict[str, Interval]:
    found = {}
    for measure in measures:
        with suppress(TranhError):  # refused: too few pictures
            told = measure()
            found[told.name] = told.interval
    return found


def retrieved(clip: Clip, batches: Sequence[Batch], spoken: Sequence[str] = ()) -> dict[str, Interval]:
    """Does a caption find its picture among those of :data:`POOL` examples, and a picture its caption?

    Args:
        spoken: names of the batches' ``labels["language"]``; with both, the share is also told per language.
    """
    image = torch.cat([clip.embed_images(batch.images) for batch in batches])
    text = torch.cat([clip.embed_texts(batch.tokens, batch.mask) for batch in batches])
    found, pool = _matched(text, image)
    among = f"R@1 of {pool}"
    out: dict[str, Interval] = {f"caption to picture, {among}": _share(found)}
    out[f"picture to caption, {among}"] = _share(_matched(image, text)[0])
    said = [batch.labels["language"].cpu() for batch in batches if "language" in batch.labels]
    which = torch.cat(said)[: len(found)] if said else torch.empty(0)
    for k, language in enumerate(spoken if said else ()):
        if bool((which == k).any()):
            out[f"{language}: caption to picture, {among}"] = _share(found[which == k])
    return out


def embedded(prior: Prior | ArPrior, batches: Sequence[Batch]) -> dict[str, Interval]:
    """How near a prior's embeddings for captions are to the true ones, and whether the nearest true one is the own."""
    true = torch.cat([batch.parts["clip.image"].float() for batch in batches])
    at, rows = 0, []
    for batch in batches:
        noise = seeded(range(at, at + len(batch)), true.shape[1:], true.device)()
        rows.append(prior.sample(batch.tokens, batch.mask, batch.parts["clip.text"].float(), noise).float())
        at += len(batch)
    drawn = torch.cat(rows)
    found, pool = _matched(drawn, true)
    return {
        "cosine to the true embedding": bootstrap((drawn * true).sum(-1).tolist()),
        f"nearest of {pool} is its own": _share(found),
    }


def _matched(asked: Tensor, answers: Tensor) -> tuple[Tensor, int]:
    """Whether each row of ``asked`` (N, D) is nearest to its own row of ``answers``, and among how many rows.

    Rows are asked in pools of one size, the chance of guessing being its inverse; those left over are not asked.
    """
    pool = min(POOL, len(asked))
    right = [
        (a @ b.T).argmax(1).cpu() == torch.arange(pool)
        for a, b in zip(asked.split(pool), answers.split(pool), strict=True)
        if len(a) == pool
    ]
    return torch.cat(right), pool


def _share(right: Tensor) -> Interval:
    return wilson(int(right.sum()), len(right))


def _real(batches: Sequence[Batch]) -> Tensor:
    return torch.cat([batch.images.cpu() for batch in batches])


def _each(batches: Sequence[Batch], draw: Callable[[Batch, int], Tensor]) -> Tensor:
    """Pictures batch by batch, each from the noise of its number."""
    made, first = [], 0
    for batch in batches:
        made.append(draw(batch, first).cpu())
        first += len(batch)
    return torch.cat(made)
