"""The comparison for people: one table as JSON, Markdown and HTML, the loss curves in one figure, one sheet of samples.

It reads what was measured and drawn, and measures nothing.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tranh.data.pictures import Pictures
from tranh.engine import evaluate as engine
from tranh.engine import page
from tranh.engine.curves import together
from tranh.engine.log import read_log
from tranh.engine.rundir import RunDir
from tranh.engine.sheet import sheet
from tranh.files import write_bytes, write_json
from tranh.metrics.measured import Card
from tranh.metrics.report import Cell, Report, Table, markdown
from tranh.nn.pixels import resized
from tranh.recipes import past
from tranh.recipes.judge import SIDE, renders

ROWS = 10
"""Captions on the sheet of samples."""

GROUPS = {
    "captions": "captions followed",
    "sets": "sets of pictures",
    "rebuilding": "pictures rebuilt",
    "cost": "cost of training",
    "doctor": "what the doctor finds",
    "drawing": "cost of a picture",
    "speed": "speed",
}
"""Groups of rows in the order of the table."""

RANKED = ("facts, normalised", "matching accuracy, from floor to ceiling", "KID", "KD")
"""How the row begins that decides the order of the systems, the first that there is."""


Logs = Mapping[str, Sequence[Mapping[str, Any]]]
"""Stage -> lines of its log."""


@dataclass(frozen=True)
class First:
    """A question of an evaluation, by its key, and what a system drew; (3, S, S) in [-1, 1]."""

    key: str
    caption: str
    made: Tensor


@dataclass(frozen=True)
class Shown:
    """A caption, its true picture, and what each system made of it; all (3, S, S) in [-1, 1]."""

    caption: str
    true: Tensor
    made: Mapping[str, Tensor]


def machine() -> dict[str, str]:
    """What times depend on, for people."""
    name = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = (line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line)
        name = next(lines, name)
    return {
        "device": past.machine(),
        "processor": name,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def prompts(evaluation: Path) -> list[str]:
    """What an evaluation asked, each once, in order."""
    return list(dict.fromkeys(line["prompt"] for line in _records(evaluation)))


def _records(evaluation: Path) -> list[dict[str, Any]]:
    lines = (evaluation / engine.RESULTS).read_text("utf-8").splitlines()[1:]
    return [json.loads(line) for line in lines]


def firsts(evaluation: Path) -> list[First]:
    """What was drawn for the first captions of split ``test``, one language after another."""
    spoken: dict[str, list[tuple[str, str]]] = {}
    for line in _records(evaluation):
        *where, split, language, _ = line["key"].split("/")
        if split == "test" and "samples" not in where:
            spoken.setdefault(language, []).append((line["key"], line["prompt"]))
    rows = min(ROWS, *map(len, spoken.values()))
    asked = [list(spoken.values())[k % len(spoken)][k] for k in range(rows)]
    return [First(key, caption, engine.pictures(evaluation, [key])[0]) for key, caption in asked]


def shown(drawn: Mapping[str, Sequence[First]], level: str | None, pictures: Pictures | None) -> list[Shown]:
    """The same captions as every system drew them from the same seeds.

    Args:
        drawn: of each system what :func:`firsts` gives.
        level: of Scenes; or ``pictures``, whose captions were asked.
    """
    out = []
    for k, first in enumerate(next(iter(drawn.values()), ())):
        index = [int(first.key.rpartition("/")[2])]
        true = renders(level, "test", index) if level else pictures.images(index) if pictures else torch.empty(0)
        out.append(Shown(first.caption, true[0], {name: rows[k].made for name, rows in drawn.items()}))
    return out


def write(out: Path, value: Mapping[str, Any], samples: Sequence[Shown], logs: Mapping[str, Logs]) -> None:
    """``compare.json compare.md compare.html curves.png samples.png``; ``logs``: of each system."""
    write_json(out / "compare.json", value)
    write_bytes(out / "compare.md", markdown(report(value)).encode())
    curves = together(logs)
    if curves:
        write_bytes(out / "curves.png", curves)
    if samples:
        write_bytes(out / "samples.png", _png(samples, 1 + max(len(s.made) for s in samples)))
    write_bytes(out / "compare.html", html(value, samples, curves).encode())


def logs(run: Path, stages: Iterable[str]) -> Logs:
    """What the stages of a run have logged."""
    found = {stage: read_log(RunDir(run / stage).log) for stage in stages}
    return {stage: log for stage, log in found.items() if log}


def _png(samples: Sequence[Shown], columns: int) -> bytes:
    """One sheet: a row, or several, for every caption; the true picture first."""
    images, words = [], []
    for s in samples:
        images += [resized(x[None], SIDE)[0] for x in (s.true, *s.made.values())]
        words += [s.caption, *s.made]
        blank = -(1 + len(s.made)) % columns
        images += [torch.ones(3, SIDE, SIDE)] * blank
        words += [""] * blank
    data = BytesIO()
    sheet(torch.stack(images), words, columns=columns).save(data, "PNG")
    return data.getvalue()


def report(value: Mapping[str, Any]) -> Report:
    """The comparison as tables."""
    rows, reasons = _rows(value)
    systems = ranked(value)
    names = [s["name"] for s in systems]
    lines: list[list[Cell]] = [[title, *(cells[name] for name in names)] for _, title, cells in rows]
    how = [[title, said] for title, said in _cards(value)]
    said: dict[str, Cell] = {k: json.dumps(v) if isinstance(v, dict) else str(v) for k, v in value["protocol"].items()}
    return Report(
        "Comparison of systems",
        said | dict(value["machine"]),
        [
            Table("All systems", ("", *names), lines, _reading(value)),
            Table("What is not there, and why", ("", ""), [[f"({k})", why] for why, k in reasons.items()]),
            Table("How each number was computed", ("", ""), how),
        ],
        [f"{s['name']} failed: {s['failed']}" for s in systems if s["failed"]],
    )


def ranked(value: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The systems, best first by the row that decides; those without it last, as they were named."""
    lead = _lead(value)

    def place(system: Mapping[str, Any]) -> float:
        found = next((c for c in system["cells"] if c["name"] == lead and "interval" in c), None)
        if found is None or system["failed"]:
            return float("inf")
        return -float(found["interval"]["value"]) * (-1 if found["better"] == "lower" else 1)

    return sorted(value["systems"], key=place)


def _lead(value: Mapping[str, Any]) -> str:
    names = [cell["name"] for system in value["systems"] for cell in system["cells"] if "interval" in cell]
    return next((name for start in RANKED for name in names if name.startswith(start)), "")


def _reading(value: Mapping[str, Any]) -> str:
    notes = [f" {s['name']} {s['why']['size']}." for s in value["systems"] if "size" in s["why"]]
    notes += [
        f" {s['name']} was trained and measured elsewhere ({', '.join(s['machine'].values())})."
        for s in value["systems"]
        if s["machine"] != value["machine"]
    ]
    lead = _lead(value)
    order = f" Systems stand in the order of `{lead}`; where its intervals overlap the order is chance." if lead else ""
    return f"95 % intervals in brackets. A ! marks a number whose card warns.{order}{''.join(notes)}"


def _rows(value: Mapping[str, Any]) -> tuple[list[tuple[str, str, dict[str, str]]], dict[str, int]]:
    """(group, title, cell of each system) in the order of the table, and the numbered reasons of what is missing."""
    titles: dict[tuple[str, str], None] = {}
    for group in GROUPS:
        for system in value["systems"]:
            titles |= {(group, cell["name"]): None for cell in system["cells"] if cell["group"] == group}
    reasons: dict[str, int] = {}
    rows = []
    for group, title in titles:
        cells = {}
        for system in value["systems"]:
            found = next((c for c in system["cells"] if (c["group"], c["name"]) == (group, title)), None)
            if found is not None and "interval" in found:
                cells[system["name"]] = number(found)
                continue
            why = found["reason"] if found is not None else _why(system, group)
            cells[system["name"]] = f"- ({reasons.setdefault(why, len(reasons) + 1)})"
        rows.append((group, title, cells))
    return rows, reasons


def _why(system: Mapping[str, Any], group: str) -> str:
    failed = f"{system['name']} failed: {system['failed']}" if system["failed"] else ""
    return system["why"].get(group) or failed or "it has none of this kind"


def number(cell: Mapping[str, Any]) -> str:
    """A measured number with its interval; one that was counted stands alone."""
    value, low, high = (float(cell["interval"][k]) for k in ("value", "low", "high"))
    alone = low == value == high
    mark = " !" if cell["card"]["notes"] else ""
    return (_said(value) if alone else f"{_said(value)} [{_said(low)}, {_said(high)}]") + mark


def _said(value: float) -> str:
    if abs(value) >= 1e9:
        return f"{value:.3g}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _cards(value: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Title and card of every row; where systems have different ones, each with the systems it is of."""
    said: dict[str, dict[str, list[str]]] = {}
    for system in value["systems"]:
        for cell in system["cells"]:
            if "card" in cell:
                text = str(Card(**cell["card"]))
                said.setdefault(cell["name"], {}).setdefault(text, []).append(system["name"])
    for title, cards in said.items():
        for text, names in cards.items():
            yield (title if len(cards) == 1 else f"{title}: {', '.join(names)}"), text


def html(value: Mapping[str, Any], samples: Sequence[Shown], curves: bytes) -> str:
    """The same as one page, with pictures."""
    rows, reasons = _rows(value)
    systems = ranked(value)
    names = [s["name"] for s in systems]
    body: list[list[str]] = []
    for group, title in GROUPS.items():
        of = [(t, cells) for g, t, cells in rows if g == group]
        body += [[f"<b>{page.text(title)}</b>", *[""] * len(names)]] * bool(of)
        body += [[page.text(t), *(page.text(cells[name]) for name in names)] for t, cells in of]
    parts = [
        page.heading("Comparison of systems", 1),
        f"<p class=quiet>As of {time.strftime('%Y-%m-%d %H:%M')}.</p>",
        *(page.note(f"{s['name']} failed: {s['failed']}", "fault") for s in systems if s["failed"]),
        f"<p>{page.text(_reading(value))}</p>",
        page.table(body, ("", *names)),
        page.table([[f"({k})", page.text(why)] for why, k in reasons.items()]) if reasons else "",
        page.heading("Samples"),
        "<p class=quiet>The first captions, not chosen, the same seeds for all. First the true picture.</p>",
        page.panels([page.picture(_png([s], 3), s.caption, shown=False) for s in samples]),
        *([page.heading("Losses"), page.picture(curves, "smoothed losses; they do not compare")] if curves else []),
        page.heading("Terms"),
        page.settings({**value["protocol"], **value["machine"]}),
        f"<details><summary>How each number was computed</summary>{page.table(_how(value))}</details>",
    ]
    return page.whole("Comparison - tranh", [part for part in parts if part])


def _how(value: Mapping[str, Any]) -> list[list[str]]:
    return [[page.text(title), page.text(said)] for title, said in _cards(value)]
