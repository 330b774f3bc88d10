"""The evaluation of a system on own pictures: does it draw what captions say, how near to true pictures, is it copying?

Two sets of captions are asked: those of pictures it was trained on, and those of pictures held out. There is no exact
verifier here; a caption judge trained on other pictures stands in, between its floor and its ceiling.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from tranh.data.pictures import Pictures
from tranh.engine import evaluate as engine
from tranh.files import replacing, write_json
from tranh.metrics import diversity
from tranh.metrics.matching import LEAST
from tranh.metrics.network import Network
from tranh.recipes import copying, matching, networks, own, report_pictures
from tranh.recipes.caption_judge import CaptionJudge
from tranh.recipes.evaluate import System
from tranh.recipes.measures import measure_sets
from tranh.recipes.memory import TILE, Batches, Memory
from tranh.types import Event, Request, TranhError

T = TypeVar("T")

ASKED = ("test", "train")
"""Splits whose captions are asked: held out, and seen in training."""


@dataclass(frozen=True)
class Asked:
    """A picture's caption asked of a system. ``repeat`` counts the samples of one prompt."""

    split: str
    language: str
    index: int
    caption: str
    repeat: int | None = None

    @property
    def key(self) -> str:
        where = f"{self.split}/{self.language}/{self.index}"
        return where if self.repeat is None else f"samples/{where}_{self.repeat}"


def evaluate(
    system: System,
    data: Mapping[str, Any],
    out_dir: Path,
    *,
    judge: CaptionJudge | None = None,
    circular: bool = False,
    network: Network | None = None,
    languages: Sequence[str] = (),
    count: int = 200,
    size: int | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    prior: str | None = None,
    seed: int = 0,
    batch: int = 32,
    prompts: int = 16,
    samples: int = 4,
    allow_few: bool = False,
) -> Iterator[Event]:
    """Ask a system for the captions of up to ``count`` pictures of each split in every language, and write the report.

    Args:
        data: ``{"source": PATH}``, the pictures the system was trained on.
        out_dir: gets ``report.json report.md report.html samples.png results.jsonl pictures/``; the same call continues
            what was stopped.
        judge: a caption judge; without one nothing is said of how captions are followed. ``circular`` lets a judge
            pass that is the system's own CLIP, and says so on every number.
        network: that sets of pictures are compared in; the project's own if None.
        languages: of the captions, all that there are if empty.
        size, steps, guidance, prior: None means the system's own.
        prompts, samples: prompts drawn several times, to measure diversity; 0 prompts for none.
        allow_few: give distances of too few pictures all the same, with a warning on their cards.

    Yields:
        Progress; the last event's ``result`` is what ``report.json`` holds.

    Raises:
        TranhError: nothing to read there, a judge that is not independent, or ``out_dir`` holds another evaluation.
    """
    network, out = network or networks.own(), Path(out_dir)
    if judge is not None:
        matching.check_independent(judge, system, circular=circular)  # before anything is drawn
    yield from own.prepare(data)
    size = size or int(getattr(system, "size", 64))
    pictures = own.untold(data, size)
    spoken = {split: _spoken(pictures, split, count, languages) for split in ASKED}
    main = [asked for split in ASKED for asked in spoken[split]]
    if not main:
        raise TranhError(f"no caption of {data['source']} is in {', '.join(languages)}")
    first = main[0].language
    several = [a for a in spoken["train"] if a.language == first][:prompts]
    again = [[Asked(a.split, a.language, a.index, a.caption, k) for a in several] for k in range(samples)]
    asked = main + [a for one in again for a in one]
    protocol = {
        "data": pictures.prepared.hash, "size": size, "steps": steps, "guidance": guidance, "prior": prior,
        "seed": seed, "model": str(getattr(system, "hash", "unknown")), "network": f"{network.name} ({network.hash})",
    }  # fmt: skip

    def generate(requests: list[Request]) -> Tensor:
        said, seeds = [r.prompt for r in requests], [r.seed for r in requests]
        chosen = {"prior": prior} if prior else {}
        return system.generate_batch(said, seeds, size, steps, guidance, **chosen)

    cases = [
        engine.Case(a.key, Request(a.caption, seed=seed + (a.index if a.repeat is None else a.repeat), size=size))
        for a in asked
    ]
    for event in engine.evaluate(generate, cases, {"pixels": _pixels}, out, protocol=protocol, batch=batch):
        yield Event(event.stage, event.done, event.total, event.figures)
    yield Event("report", 0, 1)
    value: dict[str, Any] = {"protocol": protocol, "warnings": []}
    value |= {"asked": {s: {"pictures": len({a.index for a in spoken[s]}), "captions": len(spoken[s])} for s in ASKED}}
    value["match"] = _matches(judge, system, circular, pictures, out, spoken, seed) if judge is not None else {}
    value["sets"] = _sets(pictures, out, spoken, network, seed, allow_few)
    value["diversity"] = _diverse(out, again, network, seed)
    value["copies"] = _copies(system, pictures, out, spoken, network)
    write_json(out / "report.json", value)
    report_pictures.write(value, _shown(pictures, out, spoken), out)
    yield Event("report", 1, 1, result=value)


def _spoken(pictures: Pictures, split: str, count: int, languages: Sequence[str]) -> list[Asked]:
    """The first caption in every language of the first pictures of a split."""
    out = []
    for index in pictures.prepared.of(split)[:count]:
        known = {language: text for text, language in reversed(pictures.captions(int(index)))}
        out += [Asked(split, said, int(index), known[said]) for said in sorted(known) if said in (languages or known)]
    return out


def _pixels(cases: Sequence[engine.Case], images: Tensor) -> list[dict[str, float]]:
    """What shows at once that nothing is being drawn: no contrast, or as rough as noise."""
    rough = (images.diff(dim=-1).abs().mean((1, 2, 3)) + images.diff(dim=-2).abs().mean((1, 2, 3))) / 4
    return [
        {"contrast": round(c, 4), "roughness": round(r, 4)}
        for c, r in zip((images.std((1, 2, 3)) / 2).tolist(), rough.tolist(), strict=True)
    ]


def _made(out: Path, asked: Sequence[Asked]) -> Tensor:
    return engine.pictures(out, [a.key for a in asked])


def _matches(
    judge: CaptionJudge, system: System, circular: bool, pictures: Pictures, out: Path,
    spoken: Mapping[str, Sequence[Asked]], seed: int,
) -> dict[str, Any]:  # fmt: skip
    """What the judge says of each split; real pictures with the very same captions are the ceiling."""
    found: dict[str, Any] = {}
    for split, asked in spoken.items():
        made, real = {}, {}
        for language in dict.fromkeys(a.language for a in asked):
            rows = [a for a in asked if a.language == language]
            if len(rows) < LEAST:
                continue
            captions = [a.caption for a in rows]
            made[language] = matching.Captioned(_made(out, rows), captions)
            real[language] = matching.Captioned(pictures.images([a.index for a in rows]), captions)
        if made:
            found[split] = matching.match(judge, made, real, system=system, circular=circular, seed=seed)
        else:
            found[split] = {
                "rows": [],
                "warnings": [f"fewer than {LEAST} captions of split {split}: no match is measured"],
            }
    return found


def _sets(
    pictures: Pictures, out: Path, spoken: Mapping[str, Sequence[Asked]], network: Network, seed: int, allow_few: bool
) -> list[dict[str, Any]]:
    """Made pictures, and as the floor true held-out ones, against the training pictures."""
    real = own.statistics(pictures, network)
    held = np.concatenate([pictures.prepared.of(split) for split in ("validation", "test")]).tolist()
    rows = [("true, held out", pictures.images(held))]
    rows += [(f"made, captions of {split}", _made(out, asked)) for split, asked in spoken.items() if asked]
    return [
        {
            "pictures": who,
            "count": len(images),
            "measures": [m.json() for m in measure_sets(real, images, network, seed=seed, allow_few=allow_few)],
        }
        for who, images in rows
    ]


def _diverse(out: Path, again: Sequence[Sequence[Asked]], network: Network, seed: int) -> dict[str, Any] | None:
    """Distance among the samples of one prompt."""
    if len(again) < 2 or not again[0]:
        return None
    images = torch.stack([_made(out, one) for one in again], dim=1)  # (P, K, 3, S, S)
    features = network.features(images.flatten(0, 1)).unflatten(0, images.shape[:2])
    return diversity.measure(features, network, seed=seed, allow_few=True).json()


def _copies(
    system: System, pictures: Pictures, out: Path, spoken: Mapping[str, Sequence[Asked]], network: Network
) -> dict[str, Any]:
    """What the guard says of the pictures made for each split's captions; the worst pairs are drawn."""
    try:
        index: Memory = system.memory  # type: ignore[attr-defined]
    except (AttributeError, TranhError) as missing:
        return {"refused": str(missing)}
    prepared = pictures.prepared
    rows = {prepared.record(int(i))["key"]: int(i) for i in pictures.training}
    held = np.concatenate([prepared.of(split) for split in ("validation", "test")]).tolist()
    kept = network if index.network == (network.name, network.hash) else None
    real = [([str(i) for i in part], pictures.images(part)) for part in _tiles(held)]
    known: Batches | copying.LookedUp = copying.look_up(index, real, kept) if held else real
    found: dict[str, Any] = {}
    for split, asked in spoken.items():
        made = (([a.key for a in part], _made(out, part)) for part in _tiles(asked))
        try:
            told = copying.report(index, made, known, lambda key: pictures.images([rows[key]])[0], kept)
        except TranhError as refused:
            found[split] = {"refused": str(refused)}
            continue
        with replacing(out / f"copies-{split}.png") as temporary:
            told.sheet.save(temporary, "PNG")
        found[split] = told.figures
    return found


def _tiles(rows: Sequence[T]) -> list[Sequence[T]]:
    return [rows[i : i + TILE] for i in range(0, len(rows), TILE)]


def _shown(
    pictures: Pictures, out: Path, spoken: Mapping[str, Sequence[Asked]], each: int = 16
) -> list[report_pictures.Shown]:
    """The first pictures of each split, one language after another; nobody chose them."""
    shown = []
    for split, asked in spoken.items():
        rows = {a.index: a for a in sorted(asked, key=lambda a: (a.index, (a.index + (a.language == "vi")) % 2))}
        for a in list(rows.values())[:each]:
            true, made = pictures.images([a.index])[0], _made(out, [a])[0]
            shown.append(report_pictures.Shown(split, a.caption, true, made))
    return shown
