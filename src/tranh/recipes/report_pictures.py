"""The report of an evaluation on own pictures, as pages for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tranh.engine.sheet import sheet
from tranh.files import replacing, write_bytes
from tranh.metrics import report as pages
from tranh.metrics.report import Cell, Table
from tranh.recipes import copying, matching
from tranh.recipes.report import png

SEEN = {"test": "held out", "train": "seen in training"}


@dataclass(frozen=True)
class Shown:
    """A sample: whose caption it is, the true and the made picture (3, S, S) in [-1, 1]."""

    split: str
    caption: str
    true: Tensor
    made: Tensor


def write(value: Mapping[str, Any], shown: Sequence[Shown], out: Path) -> None:
    """``report.md``, ``report.html`` and ``samples.png``."""
    page = page_of(value, shown)
    write_bytes(out / "report.md", pages.markdown(page).encode())
    write_bytes(out / "report.html", pages.html(page).encode())
    pairs = torch.stack([picture for s in shown for picture in (s.true, s.made)])
    captions = [words for s in shown for words in (s.caption, f"made ({SEEN[s.split]})")]
    with replacing(out / "samples.png") as temporary:
        sheet(pairs, captions, columns=8).save(temporary, "PNG")


def page_of(value: Mapping[str, Any], shown: Sequence[Shown]) -> pages.Report:
    """The report as tables and samples."""
    card: dict[str, Cell] = {k: "the system's own" if v is None else v for k, v in value["protocol"].items()}
    card |= {f"captions {SEEN[s]}": f"{n['captions']} of {n['pictures']} pictures" for s, n in value["asked"].items()}
    samples = [
        pages.Sample(f"{s.caption} ({SEEN[s.split]})", (("true", png(s.true)), ("made", png(s.made))), None)
        for s in shown
    ]
    note = "The first pictures of each split, not chosen. Left: the true picture of the caption. Right: the system's."
    warnings = list(value["warnings"])
    tables = []
    for split, found in value["match"].items():
        warnings += [f"{SEEN[split]}: {warning}" for warning in found["warnings"]]
        if found["rows"]:
            told = matching.table(found)
            tables.append(Table(f"{told.title}, {SEEN[split]}", told.columns, told.rows, told.note))
    if not value["match"]:
        warnings.append("no judge was given: nothing is said of how well captions are followed (--judge)")
    copied, refused = _copies(value["copies"])
    tables += [_sets(value["sets"]), *_diversity(value["diversity"]), *copied]
    warnings += refused
    return pages.Report("Evaluation on own pictures", card, tables, warnings, samples, note)


def _sets(sets: Sequence[Mapping[str, Any]]) -> Table:
    names = list(dict.fromkeys(m["name"] for row in sets for m in row["measures"]))
    rows, refused = [], {}
    for row in sets:
        cells: list[Cell] = [row["pictures"], row["count"]]
        for name in names:
            found: Mapping[str, Any] = next((m for m in row["measures"] if m["name"] == name), {})
            if "reason" in found:
                refused[name] = found["reason"]
            cells.append(_interval(found["interval"]) if "interval" in found else None)
        rows.append(cells)
    why = "".join(f" Not measured: {name}: {reason}" for name, reason in refused.items())
    note = "Against the training pictures. True held-out pictures show what a perfect system would get." + why
    return Table("Sets of pictures", ("pictures", "count", *names), rows, note)


def _diversity(found: Mapping[str, Any] | None) -> list[Table]:
    if found is None:
        return []
    settings = found["card"]["settings"]
    row = [found["card"]["counts"]["prompts"], settings["samples of each prompt"], _interval(found["interval"])]
    columns = ("prompts", "samples", "one prompt", "different prompts")
    return [Table(found["name"], columns, [[*row, settings["between"]]], "Mean distance of two pictures.")]


def _copies(copies: Mapping[str, Any]) -> tuple[list[Table], list[str]]:
    """What the guard against copying found, and what it could not look at."""
    if "refused" in copies:
        return [], [f"copies: {copies['refused']}"]
    tables, warnings = [], []
    for split, figures in copies.items():
        if "refused" in figures:
            warnings.append(f"copies, {SEEN[split]}: {figures['refused']}")
            continue
        told = copying.table(figures)
        note = f"{told.note} The worst pairs: copies-{split}.png"
        tables.append(Table(f"{told.title} Captions {SEEN[split]}", told.columns, told.rows, note))
    return tables, warnings


def _interval(found: Mapping[str, Any]) -> str:
    return f"{found['value']:.4g} [{found['low']:.4g}, {found['high']:.4g}]"
