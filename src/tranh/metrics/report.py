"""A report for people: the same content as Markdown and as one HTML file that needs nothing beside it.

It knows tables, pictures and lines of text; what they are about is in the words it is given.
"""

from __future__ import annotations

import base64
import html as escape
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Cell = str | int | float | None


@dataclass(frozen=True)
class Table:
    """Rows under a title; ``note`` says how to read them."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""


@dataclass(frozen=True)
class Sample:
    """Pictures side by side, each (label, PNG), with what was asked and what of it is wrong, None if nobody knows."""

    caption: str
    pictures: Sequence[tuple[str, bytes]]
    wrong: Sequence[str] | None = ()
    note: str = ""


@dataclass(frozen=True)
class Report:
    """Title, the protocol everything rests on, warnings, tables and samples."""

    title: str
    card: Mapping[str, Cell]
    tables: Sequence[Table]
    warnings: Sequence[str] = ()
    samples: Sequence[Sample] = field(default_factory=tuple)
    samples_note: str = ""


def percent(interval: Mapping[str, Any]) -> str:
    """``93.1 % [91.4, 94.5]`` of an interval of shares."""
    return f"{100 * interval['value']:.1f} % [{100 * interval['low']:.1f}, {100 * interval['high']:.1f}]"


def points(interval: Mapping[str, Any]) -> str:
    """``-1.2 [-2.0, -0.3]`` percentage points of an interval of differences."""
    return f"{100 * interval['value']:+.1f} [{100 * interval['low']:+.1f}, {100 * interval['high']:+.1f}]"


def text(cell: Cell) -> str:
    if cell is None:
        return "-"
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)


def markdown(report: Report) -> str:
    """The report without its pictures."""
    lines = [f"# {report.title}", ""]
    lines += [f"> **Warning:** {warning}" for warning in report.warnings] + [""] * bool(report.warnings)
    lines += ["| protocol | |", "|---|---|", *(f"| {_md(k)} | {_md(text(v))} |" for k, v in report.card.items()), ""]
    for table in report.tables:
        lines += [f"## {table.title}", ""] + ([table.note, ""] if table.note else [])
        lines += ["| " + " | ".join(map(_md, table.columns)) + " |", "|" + "---|" * len(table.columns)]
        lines += ["| " + " | ".join(_md(text(cell)) for cell in row) + " |" for row in table.rows] + [""]
    if report.samples:
        lines += ["## Samples", "", report.samples_note, ""]
        for sample in report.samples:
            wrong = f" **wrong: {_md('; '.join(sample.wrong))}**" if sample.wrong else ""
            lines.append(f"- {_md(sample.caption)}{wrong}")
    return "\n".join(lines).rstrip() + "\n"


_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:75rem;padding:0 1rem;color:#1c1c1e;background:#fff}
table{border-collapse:collapse;margin:.5rem 0 1.5rem}
td,th{padding:.2rem .8rem;border-bottom:1px solid #ddd;text-align:left}
.warning{background:#fff3d6;border-left:4px solid #b36b00;padding:.5rem 1rem}.wrong{color:#b00020;font-weight:600}
.right{color:#0a6b2d}.samples{display:grid;grid-template-columns:repeat(auto-fill,minmax(17.5rem,1fr));gap:1.2rem}
figure{margin:0}figure div{display:flex;gap:.5rem}img{width:8.2rem;height:8.2rem;image-rendering:pixelated}
figcaption{font-size:13px;margin-top:.3rem}small{color:#666}
"""


def html(report: Report) -> str:
    """The report as one page: pictures inside, no script, nothing fetched."""
    e = escape.escape
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>",
        f"<title>{e(report.title)}</title><style>{_STYLE}</style><h1>{e(report.title)}</h1>",
        *(f"<p class=warning>{e(warning)}</p>" for warning in report.warnings),
        _table(Table("Protocol", ("", ""), list(report.card.items()))),
        *(_table(table) for table in report.tables),
    ]
    if report.samples:
        parts.append(f"<h2>Samples</h2><p>{e(report.samples_note)}</p><div class=samples>")
        parts += [_figure(sample) for sample in report.samples]
        parts.append("</div>")
    return "\n".join(parts) + "</html>\n"


def _table(table: Table) -> str:
    e = escape.escape
    head = "".join(f"<th>{e(c)}</th>" for c in table.columns) if any(table.columns) else ""
    rows = "".join("<tr>" + "".join(f"<td>{e(text(c))}</td>" for c in row) + "</tr>" for row in table.rows)
    note = f"<p>{e(table.note)}</p>" if table.note else ""
    return f"<h2>{e(table.title)}</h2>{note}<table><tr>{head}</tr>{rows}</table>"


def _figure(sample: Sample) -> str:
    e = escape.escape
    pictures = "".join(
        f'<span><img alt="{e(label)}" src="data:image/png;base64,{base64.b64encode(png).decode()}"><br>'
        f"<small>{e(label)}</small></span>"
        for label, png in sample.pictures
    )
    wrong = "<br>".join(f"<span class=wrong>{e(w)}</span>" for w in sample.wrong or ())
    if sample.wrong is not None:
        wrong = wrong or "<span class=right>all right</span>"
    note = f"<br><small>{e(sample.note)}</small>" if sample.note else ""
    return f"<figure><div>{pictures}</div><figcaption>{e(sample.caption)}<br>{wrong}{note}</figcaption></figure>"


def _md(value: str) -> str:
    return value.replace("|", "\\|").replace("\n", " ")
