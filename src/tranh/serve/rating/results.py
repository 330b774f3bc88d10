"""From votes to what they say: strengths, win rates, agreement, who was left out; as JSON, as text and as CSV.

It reads records only, so that a file of votes can be read without the systems' folders.
"""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, get_args

from tranh.metrics.interval import Interval
from tranh.metrics.preference import Answer, Vote, agreement, strengths, win_rates
from tranh.serve.rating.study import PASS_AT_LEAST
from tranh.serve.rating.votes import Record
from tranh.types import TranhError

COLUMNS = (
    "rater", "excluded", "position", "question", "check", "passed", "prompt", "language", "left", "right", "answer",
    "winner", "page", "seconds", "at", "seen",
)  # fmt: skip


@dataclass(frozen=True)
class Attention:
    """How a rater did: votes that count, checks answered and failed, and whether they are left out."""

    rater: str
    votes: int
    checks: int
    failed: int
    excluded: bool
    seconds: float | None


def attention(records: Sequence[Record]) -> list[Attention]:
    """Every rater, in the order they came. Two checks must be failed before a rater is left out: one is a slip."""
    of: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        of[record.rater].append(record)
    found = []
    for rater, own in of.items():
        checks = [r for r in own if r.passed is not None]
        failed = sum(not r.passed for r in checks)
        times = [r.seconds for r in own if r.seconds is not None]
        out = failed > 1 and len(checks) - failed < PASS_AT_LEAST * len(checks)
        found.append(
            Attention(rater, len(own) - len(checks), len(checks), failed, out, median(times) if times else None)
        )
    return found


def results(records: Sequence[Record], systems: Sequence[str] = ()) -> dict[str, Any]:
    """What the votes say, as JSON values.

    Args:
        systems: names in the order they are listed where no strengths are known.

    Returns:
        ``raters``, ``excluded`` (their attention), ``votes`` that count, ``broken``, and ``questions``: by name, each
        with ``all`` and one entry per language of the page: systems, strengths or ``refused`` (why there are none), win
        rates, side, ties, agreement.
    """
    raters = attention(records)
    out = {rater.rater for rater in raters if rater.excluded}
    counted = [r for r in records if not r.check and r.rater not in out and r.answer in get_args(Answer)]
    pages = sorted({r.page for r in counted})
    questions: dict[str, Any] = {}
    for question in dict.fromkeys(r.question for r in counted):
        own = [r for r in counted if r.question == question]
        parts = {"all": own} | ({page: [r for r in own if r.page == page] for page in pages} if len(pages) > 1 else {})
        questions[question] = {name: _one(part, systems) for name, part in parts.items() if part}
    return {
        "raters": len(raters),
        "excluded": [asdict(rater) for rater in raters if rater.excluded],
        "checks": {"answered": sum(r.checks for r in raters), "failed": sum(r.failed for r in raters)},
        "votes": len(counted),
        "broken": sum(r.answer == "broken" for r in records),
        "questions": dict(sorted(questions.items(), key=lambda item: _place(item[0]))),
    }


def _place(question: str) -> int:
    from tranh.serve.rating.study import QUESTIONS

    return QUESTIONS.index(question) if question in QUESTIONS else len(QUESTIONS)


def _one(records: Sequence[Record], systems: Sequence[str]) -> dict[str, Any]:
    votes = [Vote(r.rater, r.left, r.right, r.answer, r.seen) for r in records]  # type: ignore[arg-type]
    named = {name for vote in votes for name in (vote.left, vote.right)}
    value: dict[str, Any] = {
        "votes": len(votes),
        "raters": len({vote.rater for vote in votes}),
        "systems": [name for name in systems if name in named] or sorted(named),
        "win_rates": [{"of": a, "against": b} | _interval(rate) for (a, b), rate in win_rates(votes).items()],
        "left": sum(vote.answer == "left" for vote in votes),
        "ties": sum(vote.answer == "same" for vote in votes),
    }
    alike = agreement(votes)
    value["agreement"] = None if alike is None else asdict(alike)
    try:
        found = strengths(votes)
    except TranhError as error:
        return value | {"refused": str(error)}
    value["systems"] = list(found.of)
    value["strengths"] = [{"system": name} | _interval(strength) for name, strength in found.of.items()]
    return value | {"side": _interval(found.side), "drawn": found.drawn}


def _interval(found: Interval) -> dict[str, float]:
    return {"value": found.value, "low": found.low, "high": found.high, "count": found.count}


def as_text(value: Mapping[str, Any]) -> str:
    """Results for a terminal."""
    lines = [f"{value['votes']} votes of {value['raters']} raters, {len(value['excluded'])} of them left out"]
    for question, parts in value["questions"].items():
        for part, one in parts.items():
            where = "" if part == "all" else f", pages in {part}"
            lines += ["", f"{question}{where}: {one['votes']} votes of {one['raters']} raters"]
            wide = max(len(name) for name in one["systems"])
            for row in one.get("strengths", ()):
                ends = f"[{row['low']:+.2f}, {row['high']:+.2f}]"
                lines.append(f"  {row['system']:{wide}}  strength {row['value']:+.2f} {ends}  {row['count']} showings")
            if "refused" in one:
                lines.append(f"  no strengths: {one['refused']}")
            for row in one["win_rates"]:
                ends = f"[{row['low']:.0%}, {row['high']:.0%}]"
                lines.append(f"  {row['of']:{wide}}  preferred to {row['against']:{wide}}  {row['value']:.0%} {ends}")
            if one["agreement"]:
                rest = "" if (alpha := one["agreement"]["alpha"]) is None else f", Krippendorff's alpha {alpha:.2f}"
                lines.append(f"  agreement {one['agreement']['same']:.0%}{rest}")
    return "\n".join(lines)


def as_csv(records: Sequence[Record]) -> str:
    """Every vote, those left out and checks too, one a line.

    A cell that a spreadsheet would take for a formula gets an apostrophe in front.
    """
    out = {rater.rater for rater in attention(records) if rater.excluded}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for record in records:
        winner = {"left": record.left, "right": record.right}.get(record.answer, "")
        row = asdict(record) | {
            "excluded": int(record.rater in out),
            "passed": "" if record.passed is None else int(record.passed),
            "winner": "" if record.check else winner,
            "at": f"{record.at:.3f}",
        }
        writer.writerow([_cell(row[name]) for name in COLUMNS])
    return text.getvalue()


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def counts(records: Sequence[Record]) -> Counter[str]:
    """Votes per question that are no checks, for the line the server prints."""
    return Counter(record.question for record in records if not record.check)
