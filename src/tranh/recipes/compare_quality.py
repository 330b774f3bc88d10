"""What the pictures of compared systems are worth: numbers of their evaluations' own reports, and what those leave out.

Every number is a ``Measured`` with its card, or a ``Refused`` with the reason. Nothing is drawn here: the evaluation
has kept its pictures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from tranh.engine import evaluate as engine
from tranh.engine import find
from tranh.engine.frozen import attach
from tranh.engine.frozen import load as load_frozen
from tranh.engine.rundir import RunDir
from tranh.families.dvae import Dvae
from tranh.metrics import codebook, diversity, psnr, sharpness, ssim
from tranh.metrics.interval import Interval
from tranh.metrics.measured import Card, Measured, Refused
from tranh.metrics.network import Network, named
from tranh.nn.pixels import resized
from tranh.recipes import matching
from tranh.recipes.judge import SIDE, renders
from tranh.recipes.measures import measure_sets
from tranh.recipes.measuring import held_out
from tranh.recipes.samples import rebuilt
from tranh.recipes.sources import assets_of, source_of
from tranh.types import Autoencodes, Batch, Family, Recipe, Stage, TranhError

Cell = Measured | Refused
VERDICT = "tranh evaluate: facts of captions checked by the verifier"
MATCHED = (matching.ACCURACY, matching.PRECISION, matching.ORDER)
"""How the names of a caption judge's numbers begin."""
REBUILT = 256
"""Held-out pictures that are encoded and decoded."""
LIKENESS = (("PSNR", psnr), ("SSIM", ssim), ("sharpness difference", sharpness))


class Draws(Protocol):
    """What an evaluation asks of a system."""

    def generate_batch(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        size: int | None = None,
        steps: int | None = None,
        guidance: float | None = None,
    ) -> Tensor: ...


def followed(report: Mapping[str, Any]) -> list[Cell]:
    """How well captions were followed, from the report of ``tranh evaluate`` on Scenes: facts right, the same between
    chance (0) and all right (1), and whole pictures; by split and language."""
    protocol = report["protocol"]
    rows: dict[str, list[Cell]] = {"facts right": [], "facts, normalised": [], "exact pictures": []}
    for row in report["scores"]:
        where = f"{row['split']}, {row['language']}"
        chance = chance_of(report, row["level"], row["split"])
        counts = {"scenes": row["facts"]["count"], "pictures": row["pictures"]}
        settings = {"level": row["level"], "verifier": protocol["verifier"], "chance": round(chance, 4)}
        settings |= {"ceiling of facts": row["ceiling"]["facts"]["value"], "seed": protocol["seed"]}
        how = "bootstrap of scenes, or Wilson where each scene is one trial"
        said = Card(VERDICT, counts, how, settings=settings)
        facts, whole = Interval(**row["facts"]), Interval(**row["exact"])
        value, low, high = ((x - chance) / (1 - chance) for x in (facts.value, facts.low, facts.high))
        rows["facts right"].append(Measured(f"facts right, {where}", facts, said))
        rows["facts, normalised"].append(
            Measured(f"facts, normalised, {where}", Interval(value, low, high, facts.count), Card(
                f"{VERDICT}; (share - chance) / (1 - chance), chance the mean of the groups' by facts asked of the "
                "split", counts, how, settings=settings))
        )  # fmt: skip
        rows["exact pictures"].append(Measured(f"exact pictures, {where}", whole, said))
    return [cell for group in rows.values() for cell in group]


def chance_of(report: Mapping[str, Any], level: str, split: str) -> float:
    """Share of the facts asked that guessing gets right: the chance of each group, weighed by how often it is asked."""
    rows = [r for r in report["by_group"] if (r["level"], r["split"]) == (level, split)]
    return sum(r["asked"] * r["chance"] for r in rows) / max(1, sum(r["asked"] for r in rows))


def sets_of_scenes(
    report: Mapping[str, Any], out: Path, level: str, count: int, network: Network, prompts: int, samples: int
) -> list[Cell]:
    """Made pictures against true ones of as many other scenes, and variety within a prompt.

    The pictures are those of the first language, of all splits: those of another are of the same scenes and seeds.
    """
    protocol = report["protocol"]
    language, size, splits = protocol["languages"][0], protocol["size"], tuple(protocol["splits"])
    keys = [f"{level}/{split}/{language}/{i}" for split in splits for i in range(count)]
    real = _true(level, splits, count, size)
    found = measure_sets(real, engine.pictures(out, keys), network, allow_few=True)
    if not prompts:
        return found
    again = [[f"samples/{level}/{splits[0]}/{language}/{i}_{k}" for k in range(samples)] for i in range(prompts)]
    return [*found, _varied(torch.stack([engine.pictures(out, one) for one in again]), network)]


@lru_cache(maxsize=1)
def _true(level: str, splits: tuple[str, ...], count: int, size: int) -> Tensor:
    return torch.cat([renders(level, split, range(count, 2 * count), size) for split in splits])


def _varied(images: Tensor, network: Network) -> Cell:
    """Distance among the samples (P, K, 3, S, S) of a prompt."""
    features = network.features(images.flatten(0, 1)).unflatten(0, images.shape[:2])
    try:
        return diversity.measure(features, network, allow_few=True)
    except TranhError as refused:
        return Refused(named(network.name, "diversity"), str(refused))


def of_pictures(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The numbers of an evaluation on own pictures, as JSON: captions matched, distances of sets, diversity."""
    rows: list[dict[str, Any]] = []
    for split, found in report["match"].items():
        for row in found["rows"]:
            name = row["measure"] + (f" of {row['candidates']}" if row["candidates"] else "")
            protocol = {k: v for k, v in found["protocol"].items() if not isinstance(v, Mapping)}
            said = Card("tranh evaluate --judge", {"pictures": row["pictures"]}, "bootstrap of pictures",
                        seed=protocol["seed"], settings=protocol)  # fmt: skip
            for which, title in (("value", name), ("position", f"{name}, from floor to ceiling")):
                title = f"{title}, {split}, {row['language']}"
                told: Cell = Refused(title, str(row["refused"]))
                if row[which]:
                    told = Measured(title, Interval(**row[which]), said)
                rows.append(told.json())
    for one in report["sets"]:
        if one["pictures"].startswith("made, "):
            which = one["pictures"].removeprefix("made, captions of ")
            rows += [m | {"name": f"{m['name']}, captions of {which}"} for m in one["measures"]]
    return rows + ([report["diversity"]] if report["diversity"] else [])


def rebuilding(recipe: Recipe, root: Path) -> list[Cell]:
    """How like held-out pictures are to what the system's last part that autoencodes makes of them; empty if none
    does."""
    parts = [name for name in recipe.parts if name in recipe.stages] or list(recipe.stages)
    able = [name for name in parts if issubclass(find.family(recipe.stages[name].family), Autoencodes)]
    return _rebuilt(RunDir(root / able[-1]), root, recipe.stages[able[-1]]) if able else []


@torch.no_grad()
def _rebuilt(run: RunDir, root: Path, planned: Stage) -> list[Cell]:
    stage, frozen = run.stage(), load_frozen(run)
    parents = {part: load_frozen(RunDir(root / parent)) for part, parent in planned.parents.items()}
    frozen.family.meet({part: parent.family for part, parent in parents.items()})

    def seen(data: Mapping[str, Any]) -> list[Batch]:
        return list(held_out(source_of(data, assets_of(data)), REBUILT))

    batches = [attach(batch, parents) for batch in seen(stage.data)]
    assert isinstance(frozen.family, Autoencodes)
    if frozen.family.encode(batches[0].images[:1]).numel() >= batches[0].images[:1].numel():
        why = "its latents hold as many numbers as the picture: nothing can be lost"
        return [Refused(name, why) for name, _ in LIKENESS]
    made = torch.cat([rebuilt(frozen.family, batch) for batch in batches])
    if (own := made.shape[-1]) == SIDE:
        real = torch.cat([batch.images for batch in batches])
    else:  # what is lost by a smaller side is lost
        made, real = resized(made, SIDE), torch.cat([batch.images for batch in seen({**stage.data, "size": SIDE})])
    found: list[Cell] = []
    for name, one in LIKENESS:
        try:
            told = one.measure(made, real)
            settings = {**told.card.settings, "rebuilt at": f"{own} px, compared at {SIDE}"}
            found.append(replace(told, card=replace(told.card, settings=settings)))
        except TranhError as refused:
            found.append(Refused(name, str(refused)))
    return found + _codes(frozen.family, batches)


def _codes(family: Family, batches: Sequence[Batch]) -> list[Cell]:
    """The health of a codebook, of a part that has one."""
    if not isinstance(family, Dvae):
        return []
    codes = torch.cat([family.codes_of(batch.images).flatten(1) for batch in batches])
    return list(codebook.measure(codes, family.codes, allow_few=True))
