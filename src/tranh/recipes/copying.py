"""The report on copying: samples and held-out pictures beside their nearest training pictures, and the worst pairs.

It knows three ways to tell pictures apart, the look (which decides), features and a perceptual hash; no system.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from tranh.engine.sheet import sheet
from tranh.metrics import memory as near
from tranh.metrics.look import CELLS, resized
from tranh.metrics.memory import Nearest
from tranh.metrics.network import Network
from tranh.metrics.report import Table, percent
from tranh.recipes.memory import TILE, Batches, Memory, features_of, joined, signs_of
from tranh.types import TranhError

WORST = 12
"""Pairs that are drawn."""


@dataclass(frozen=True)
class Copying:
    """What is said of copying: figures as JSON values, and the pairs with the lowest ratios, as one picture."""

    figures: dict[str, Any]
    sheet: Image.Image


@dataclass(frozen=True)
class LookedUp:
    """Samples or held-out pictures: keys, pictures (M, 3, 64, 64), and the nearest training pictures in each way."""

    keys: list[str]
    images: Tensor
    by: dict[str, Nearest]


def report(
    memory: Memory,
    samples: Batches,
    held_out: Batches | LookedUp,
    show: Callable[[str], Tensor] | None = None,
    network: Network | None = None,
) -> Copying:
    """Compare samples with held-out pictures.

    Args:
        samples: pictures of the model, with names.
        held_out: pictures of the same kind that the model was not trained on, at least 20, better as many as samples;
            what :func:`look_up` gave, where several sets of samples are compared with them.
        show: key of a training picture -> (3, H, W) in [-1, 1], to draw it; its look is drawn if None.
        network: the one whose features the index holds; features are left out if None.

    Raises:
        TranhError: too few pictures, or features of another network.
    """
    made = look_up(memory, samples, network)
    real = held_out if isinstance(held_out, LookedUp) else look_up(memory, held_out, network)
    compared = near.compare(made.by["look"].ratio, real.by["look"].ratio, memory.limit)
    figures: dict[str, Any] = {
        "training": len(memory.keys),
        "samples": len(made.keys),
        "held_out": len(real.keys),
        "limit": asdict(memory.limit),
        "caught": memory.caught,
        "copies": compared.copies,
        "share": asdict(compared.share),
        "floor": asdict(compared.floor),
        "nearer": {"look": asdict(compared.nearer)},
        "distance": {},
    }
    for way, found in made.by.items():
        other = real.by[way]
        figures["distance"][way] = {
            "samples": round(float(found.distance[:, 0].median()), 4),
            "held_out": round(float(other.distance[:, 0].median()), 4),
        }
        if way != "look":
            a, b = (x.distance[:, 0] if way == "hash" else x.ratio for x in (found, other))
            figures["nearer"][way] = asdict(near.nearer(a, b))
    worst = made.by["look"].ratio.argsort()[:WORST]
    figures["worst"] = [_pair(memory, made, int(i)) for i in worst]
    return Copying(figures, _drawn(memory, made, worst, figures["worst"], show))


def table(figures: dict[str, Any]) -> Table:
    """The figures as a table of a report for people."""
    rows = [
        [way, where["samples"], where["held_out"], percent(figures["nearer"][way])]
        for way, where in figures["distance"].items()
    ]
    verdict = "More are near copies than chance explains." if figures["copies"] else "No copying is seen."
    note = (
        f"{verdict} Near copies: {percent(figures['share'])} of {figures['samples']} samples, "
        f"{percent(figures['floor'])} of {figures['held_out']} held-out pictures (false alarms). Nearer: probability "
        "that a sample is nearer to its nearest training picture than a held-out picture is; 50 % is no copying."
    )
    return Table("Is it copying?", ["told by", "samples, median", "held out, median", "nearer"], rows, note)


def look_up(memory: Memory, batches: Batches, network: Network | None = None) -> LookedUp:
    """The nearest training pictures of each picture, by look, by hash and, given their network, by features.

    Raises:
        TranhError: no picture, or features of another network.
    """
    if network is not None and memory.network != (network.name, network.hash):
        had = " ".join(memory.network) if memory.network else "no network"
        raise TranhError(
            f"the index holds features of {had}, not of {network.name} {network.hash}: give that network, or none."
        )
    keys: list[str] = []
    images: list[Tensor] = []
    by: dict[str, list[Nearest]] = {}
    bits, features = _bits(memory.signs), memory.features.float() / 127
    for names, whole in batches:
        keys += map(str, names)
        small = resized(whole.float())
        images.append(small)
        for tile, large in zip(small.split(TILE), whole.split(TILE), strict=True):
            both = (tile, tile.flip(-1))
            by.setdefault("look", []).append(memory.look_up(tile))
            if network is not None:
                seen = torch.stack([features_of(x, network).float() / 127 for x in both])
                by.setdefault("features", []).append(near.nearest(seen, features))
            prints = torch.stack([_bits(signs_of(x)) for x in (large, large.flip(-1))])
            apart = near.nearest(prints, bits)
            by.setdefault("hash", []).append(Nearest(apart.distance.square().round(), apart.row))  # signs that differ
    if not keys:
        raise TranhError("there is no picture to compare: give samples and held-out pictures")
    return LookedUp(keys, torch.cat(images), {way: joined(found) for way, found in by.items()})


def _bits(signs: Tensor) -> Tensor:
    """(N, 8) uint8 -> (N, 64) of 0 and 1."""
    return (signs[..., None] >> torch.arange(8, dtype=torch.uint8) & 1).flatten(1).float()


def _pair(memory: Memory, made: LookedUp, i: int) -> dict[str, Any]:
    found = {way: nearest.distance[i, 0].item() for way, nearest in made.by.items()}
    look = made.by["look"]
    return {
        "sample": made.keys[i],
        "training": memory.keys[int(look.row[i, 0])],
        "ratio": round(float(look.ratio[i]), 4),
        "distance": {way: round(value, 4) for way, value in found.items()},
    }


def _drawn(
    memory: Memory, made: LookedUp, worst: Tensor, pairs: list[dict[str, Any]], show: Callable[[str], Tensor] | None
) -> Image.Image:
    """The worst pairs: each sample with its nearest training picture to the right of it."""
    images, captions = [], []
    for i, pair in zip(worst.tolist(), pairs, strict=True):
        row = int(made.by["look"].row[i, 0])
        seen = memory.looks[row].view(3, CELLS, CELLS).float() / 127.5 - 1 if show is None else show(memory.keys[row])
        images += [made.images[i], resized(seen[None].float())[0]]
        mark = " COPY" if pair["ratio"] < memory.limit.value else ""
        captions += [f"{pair['sample']}: ratio {pair['ratio']:.2f}{mark}", f"trained on: {pair['training']}"]
    return sheet(torch.stack(images), captions, columns=6)
