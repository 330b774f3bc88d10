"""What the data doctor says: a finding for every kind of thing met, and the ledger that keeps them till the end.

It knows no check.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tranh.data.doctor.kinds import KINDS, SEVERITIES, Kind, Severity

USUAL = 0.5
"""Above this share of what was looked at, a warning of a ``usual`` kind is how these data are, and becomes a note."""

NAMED = 3
"""Examples told in one line."""


@dataclass(frozen=True)
class Example:
    """One thing met: its key, what was seen, and which picture (and other picture) of the collection it is, if any."""

    key: str
    note: str = ""
    place: int | None = None
    other: int | None = None


@dataclass(frozen=True)
class Finding:
    """All that was met of one kind.

    Attributes:
        seen: how many of how many, what is the matter, and the first examples.
        examples: the worst first, a few; ``findings.json`` has all.
    """

    name: str
    severity: Severity
    count: int
    seen: str
    remedy: str
    examples: tuple[Example, ...] = ()


def shown(text: str) -> str:
    """Any string as one line that can be printed: no control characters, no half characters."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode("ascii") for c in text)


class Ledger:
    """What was met so far, kept in a file so that memory does not grow with the number of things wrong.

    Args:
        file: a new file; ``:memory:`` for few.
    """

    def __init__(self, file: Path | str = ":memory:") -> None:
        self.base = sqlite3.connect(str(file))
        self.base.executescript(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-8192;"
            "CREATE TABLE met(id INTEGER PRIMARY KEY, kind TEXT, key TEXT, note TEXT, score REAL, place INTEGER,"
            " other INTEGER);"
            "CREATE INDEX by_kind ON met(kind, score);"
        )

    def note(
        self,
        kind: str,
        key: str,
        note: str = "",
        *,
        score: float = 0.0,
        place: int | None = None,
        other: int | None = None,
    ) -> None:
        """Write down one thing; the lower the score, the worse it is."""
        assert kind in KINDS, kind
        self.base.execute(
            "INSERT INTO met(kind, key, note, score, place, other) VALUES (?,?,?,?,?,?)",
            (kind, shown(key), shown(note), score, place, other),
        )  # fmt: skip

    def count(self, kind: str) -> int:
        """Things met: a picture or a line that was met twice counts once."""
        return int(self.base.execute("SELECT COUNT(DISTINCT key) FROM met WHERE kind = ?", (kind,)).fetchone()[0])

    def counts(self) -> dict[Severity, int]:
        """Kinds met so far, by severity."""
        out: dict[Severity, int] = dict.fromkeys(SEVERITIES, 0)
        for (kind,) in self.base.execute("SELECT DISTINCT kind FROM met"):
            out[KINDS[kind].severity] += 1
        return out

    def drop(self, kind: str, *, above: float | None = None) -> None:
        """Forget what was written of a kind, or only what scores above a limit."""
        limit = float("-inf") if above is None else above
        self.base.execute("DELETE FROM met WHERE kind = ? AND score > ?", (kind, limit))

    def examples(self, kind: str, most: int = -1) -> Iterator[Example]:
        """The worst first, each key once."""
        rows = self.base.execute(
            "SELECT key, note, place, other, MIN(score), MIN(id) FROM met WHERE kind = ? GROUP BY key"
            " ORDER BY 5, 6 LIMIT ?",
            (kind, most),
        )
        for key, note, place, other, _, _ in rows:
            yield Example(key, note, place, other)

    def findings(self, totals: dict[str, int], most: int = 12) -> list[Finding]:
        """One finding for every kind met, the worst first.

        Args:
            totals: how many of each unit were looked at.
            most: examples kept with each.
        """
        out = []
        for kind in sorted(KINDS.values(), key=lambda k: SEVERITIES.index(k.severity)):
            count = self.count(kind.name)
            if count:
                examples = tuple(self.examples(kind.name, most))
                out.append(_finding(kind, count, max(totals.get(kind.unit, 0), count), examples))
        return sorted(out, key=lambda f: SEVERITIES.index(f.severity))

    def close(self) -> None:
        self.base.close()


def _finding(kind: Kind, count: int, total: int, examples: tuple[Example, ...]) -> Finding:
    nature = kind.usual and count > USUAL * total
    told = "; ".join(f"{e.key} ({e.note})" if e.note else e.key for e in examples[:NAMED])
    more = ", ..." if count > NAMED else ""
    unit = kind.unit if count != 1 else kind.unit.removesuffix("s")
    amount = f"{count} of {total} {kind.unit}" if kind.unit in ("pictures", "captions") else f"{count} {unit}"
    seen = f"{amount}: {kind.what}: {told}{more}"
    if nature:
        return Finding(kind.name, "note", count, f"{seen}. As most are so, it is how these pictures are",
                       "nothing, if that is meant", examples)  # fmt: skip
    return Finding(kind.name, kind.severity, count, seen, kind.remedy, examples)
