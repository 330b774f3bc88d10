"""What an evaluation found, as numbers for programs and as pages for people."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from tranh.engine.sheet import sheet
from tranh.files import replacing, write_bytes
from tranh.metrics import report as pages
from tranh.metrics import scores as tables
from tranh.metrics.report import Cell, Table, percent, points
from tranh.metrics.scores import Outcome, exact, facts
from tranh.nn.pixels import to_pixels
from tranh.recipes.judge import CHANCE
from tranh.recipes.second_opinion import Tally
from tranh.recipes.sets import DISTANCE

WANTED = 0.99
"""Share of whole true pictures that a verifier must find right."""


@dataclass(frozen=True)
class Shown:
    """A sample: caption, true and generated picture (3, S, S) in [-1, 1], wrong facts and what was seen, in words."""

    caption: str
    true: Tensor
    made: Tensor
    wrong: Sequence[str]
    seen: str


def scores(
    outcomes: Sequence[Outcome], true: Sequence[Outcome], tally: Tally, protocol: Mapping[str, Any]
) -> dict[str, Any]:
    """The numbers of a report, JSON values; ``true`` are the judge's verdicts on the true pictures."""
    place = ("level", "split")
    ceiling = {(r["level"], r["split"]): r for r in tables.table(true, place)}
    by_group = {(r["level"], r["split"], r["group"]): r for r in tables.group_table(true, place, list(CHANCE))}
    by_count = {(r["level"], r["split"], r["objects"]): r for r in tables.table(true, (*place, "objects"))}
    rows = tables.table(outcomes, (*place, "language"))
    for row in rows:
        own = ceiling[row["level"], row["split"]]
        row["ceiling"] = {"exact": own["exact"], "facts": own["facts"]}
    groups = tables.group_table(outcomes, place, list(CHANCE))
    for row in groups:
        same = by_group.get((row["level"], row["split"], row["group"]))
        row |= {"ceiling": same and same["facts"], "chance": CHANCE[row["group"]]}
    objects = sorted(tables.table(outcomes, (*place, "objects")), key=lambda r: (r["level"], r["split"], r["objects"]))
    for row in objects:
        row["ceiling"] = by_count[row["level"], row["split"], row["objects"]]["exact"]
    warnings = tally.warnings() + [
        f"the verifier finds only {r['exact']['value']:.1%} of whole true pictures right at level {level}, split "
        f"{split} ({WANTED:.0%} are wanted): scores of this level are bounded by it"
        for (level, split), r in ceiling.items()
        if r["exact"]["value"] < WANTED
    ]
    apart = _splits(outcomes, true, protocol["splits"])
    warnings += [
        f"the verifier itself differs between {r['split']} and {r['minus']} at level {r['level']} by "
        f"{points(r['ceiling_exact'])} points of whole true pictures: this difference of splits is partly the judge's"
        for r in apart
        if r["ceiling_exact"]["low"] > 0 or r["ceiling_exact"]["high"] < 0
    ]
    return {
        "protocol": {"prompts": "captions of held-out scenes", **protocol, "chance": dict(CHANCE)},
        "warnings": warnings,
        "scores": rows,
        "by_group": groups,
        "by_objects": objects,
        "languages": _languages(outcomes, protocol["languages"]),
        "splits": apart,
        "second_opinion": tally.rows(),
    }


def _languages(outcomes: Sequence[Outcome], languages: Sequence[str]) -> list[dict[str, Any]]:
    """Every language minus the first, scene by scene."""
    out = []
    for (level, split), part in tables.split(outcomes, ("level", "split")).items():
        spoken = {language: [o for o in part if o.of["language"] == language] for language in languages}
        for other in languages[1:]:
            pair = (spoken[languages[0]], spoken[other])
            row: dict[str, Any] = {"level": level, "split": split, "language": other, "minus": languages[0]}
            row |= {n: asdict(tables.paired_difference(*pair, c)) for n, c in (("exact", exact), ("facts", facts))}
            out.append(row)
    return out


def _splits(outcomes: Sequence[Outcome], true: Sequence[Outcome], splits: Sequence[str]) -> list[dict[str, Any]]:
    """The first split minus every other, and the same difference of the verifier on true pictures."""
    out = []
    own = tables.split(true, ("level", "split"))
    made = tables.split(outcomes, ("level", "split"))
    for level in dict.fromkeys(level for level, _ in made):
        for other in splits[1:]:
            row: dict[str, Any] = {"level": level, "split": splits[0], "minus": other}
            for name, count in (("exact", exact), ("facts", facts)):
                row[name], row[f"ceiling_{name}"] = (
                    asdict(tables.unpaired_difference(x[level, other], x[level, splits[0]], count)) for x in (made, own)
                )
            out.append(row)
    return out


def write(value: Mapping[str, Any], shown: Sequence[Shown], out: Path) -> None:
    """``report.md``, ``report.html`` and ``samples.png``."""
    page = page_of(value, shown)
    write_bytes(out / "report.md", pages.markdown(page).encode())
    write_bytes(out / "report.html", pages.html(page).encode())
    if shown:
        pairs = torch.stack([picture for s in shown for picture in (s.true, s.made)])
        verdicts = ["wrong: " + "; ".join(s.wrong) if s.wrong else "right" for s in shown]
        captions = [words for s, verdict in zip(shown, verdicts, strict=True) for words in (s.caption, verdict)]
        with replacing(out / "samples.png") as temporary:
            sheet(pairs, captions, columns=8).save(temporary, "PNG")


def page_of(value: Mapping[str, Any], shown: Sequence[Shown]) -> pages.Report:
    """The report as tables and samples."""
    card: dict[str, Cell] = {
        key: ", ".join(map(str, v)) if isinstance(v, list) else "the system's own" if v is None else v
        for key, v in value["protocol"].items()
        if key != "chance"
    }
    samples = [
        pages.Sample(s.caption, (("asked", png(s.true)), ("made", png(s.made))), s.wrong, f"seen: {s.seen}")
        for s in shown
    ]
    note = "The first scenes of each level, not chosen. Left: the true picture of the scene. Right: the system's."
    return pages.Report("Evaluation on Scenes", card, _tables(value), value["warnings"], samples, note)


def _tables(value: Mapping[str, Any]) -> list[Table]:
    def where(row: Mapping[str, Any], *more: str) -> list[Cell]:
        return [row[key] for key in ("level", "split", *more)]

    score = [
        [*where(r, "language", "pictures"), percent(r["exact"]), percent(r["ceiling"]["exact"])]
        + [percent(r["facts"]), percent(r["ceiling"]["facts"])]
        for r in value["scores"]
    ]
    group = [
        [*where(r, "group", "asked"), percent(r["facts"]), percent(r["ceiling"]) if r["ceiling"] else None]
        + [f"{100 * r['chance']:.1f} %"]
        for r in value["by_group"]
    ]
    count = [
        [*where(r, "objects", "pictures"), percent(r["exact"]), percent(r["ceiling"])] for r in value["by_objects"]
    ]
    differences: list[list[Cell]] = []
    for r in value["languages"]:
        what = f"{r['level']}, {r['split']}: {r['language']} minus {r['minus']}"
        differences.append([what, points(r["exact"]), None, points(r["facts"])])
    for r in value["splits"]:
        what = f"{r['level']}: {r['split']} minus {r['minus']}"
        differences.append([what, points(r["exact"]), points(r["ceiling_exact"]), points(r["facts"])])
    sets: list[list[Cell]] = []
    for r in value["sets"]:
        for who in ("generated", "floor"):
            m = r[who]
            kept = [m.get(key) for key in (DISTANCE, "precision", "recall", "density", "coverage")]
            sets.append([r["level"], who, r["pictures"], *kept])
    refused = sorted({f" Not measured: {r['refused']}" for r in value["sets"] if "refused" in r})
    varied = [
        [r["level"], r["prompts"], r["samples"], r["features"], r["between_prompts"], r["pixels"]]
        for r in value["diversity"]
    ]
    opinion = [
        [r["group"], r["renders"], f"{100 * r['right']:.1f} %", "yes" if r["used"] else "no", r["pictures"]]
        + [None if r["agree"] is None else f"{100 * r['agree']:.1f} %"]
        for r in value["second_opinion"]
    ]
    return [
        Table("Right pictures and facts", ("level", "split", "language", "pictures", "whole pictures", "its ceiling",
              "facts", "their ceiling"), score, "The ceiling is the verifier's score on true pictures of the same "
              "scenes; intervals are 95 %."),
        Table("Differences", ("", "whole pictures, points", "verifier's own", "facts, points"), differences,
              "Languages on the same scenes and seeds, paired; splits unpaired. Where the verifier itself differs "
              "between splits, a system's difference is partly the judge's."),
        Table("By group of facts", ("level", "split", "group", "asked", "right", "ceiling", "chance"), group),
        Table("By number of objects", ("level", "split", "objects", "pictures", "whole pictures", "ceiling"), count),
        Table("Sets of pictures", ("level", "pictures of", "count", DISTANCE, "precision", "recall", "density",
              "coverage"), sets, "In the verifier's features, against true pictures of other scenes. The floor is "
              "true pictures in place of generated ones. This is no FID." + "".join(refused)),
        Table("Diversity among samples of one prompt", ("level", "prompts", "samples", "features, one prompt",
              "features, different prompts", "pixels, one prompt"), varied, "Mean distance of pairs; a dense caption "
              "leaves little but exact places free, so low is not wrong."),
        Table("Second opinion", ("group", "answers on true pictures", "right", "used", "answers here",
              "verifier agrees"), opinion, "Colour statistics and geometry, without learning; used where it is "
              "right on true pictures."),
    ]  # fmt: skip


def png(image: Tensor) -> bytes:
    """A picture (3, H, W) in [-1, 1] as a file."""
    buffer = io.BytesIO()
    Image.fromarray(to_pixels(image[None])[0]).save(buffer, "PNG")
    return buffer.getvalue()
