"""One row for every picture looked at, in a file: what repeats, and what is only seen when all of them are known.

It knows neither pixels nor sentences, only what was noted of them.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from tranh.data.doctor.captions import Counted
from tranh.data.doctor.finding import Ledger
from tranh.data.doctor.pictures import Looked
from tranh.data.doubles import Seen


class Records:
    """What is kept of every picture.

    Args:
        folder: for two new files; None keeps them in memory.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.seen = Seen(":memory:" if folder is None else folder / "seen.sqlite")
        self.base = sqlite3.connect(":memory:" if folder is None else str(folder / "records.sqlite"))
        self.base.executescript(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-8192;"
            "CREATE TABLE items(place INTEGER PRIMARY KEY, key TEXT, split TEXT, label TEXT, languages TEXT,"
            " captions INTEGER, said BLOB, good INTEGER, listed INTEGER);"
            "CREATE INDEX by_key ON items(key);"
            "CREATE TABLE said(hash BLOB, language TEXT, times INTEGER, text TEXT, key TEXT, place INTEGER,"
            " PRIMARY KEY(hash, language)) WITHOUT ROWID;"
        )

    def add(
        self,
        place: int,
        key: str,
        split: str,
        label: str | None,
        captions: Sequence[Counted],
        looked: Looked | None,
        listed: bool,
    ) -> None:
        """Keep one picture's row."""
        labelled = ",".join(sorted({c.language for c in captions if c.said}))
        rows = [(digest(c.words), c.language, c.text[:80], key, place) for c in captions if c.words]
        said = digest(sorted(row[0].hex() for row in rows)) if rows else b""
        self.base.execute(
            "INSERT INTO items VALUES (?,?,?,?,?,?,?,?,?)",
            (place, key, split, label, labelled, len(captions), said,
             looked is not None, listed),
        )  # fmt: skip
        self.base.executemany(
            "INSERT INTO said VALUES (?,?,1,?,?,?) ON CONFLICT DO UPDATE SET times = times + 1",
            [(h, language, _sound(text), key, place) for h, language, text, key, place in rows],
        )

    def earlier(self, key: str) -> int | None:
        """The place of an earlier picture of the same key."""
        row = self.base.execute("SELECT place FROM items WHERE key = ? LIMIT 1", (key,)).fetchone()
        return None if row is None else int(row[0])

    def repeated(self, place: int, looked: Looked, ledger: Ledger, near: bool = True) -> None:
        """Note whether an earlier picture is this one again; its own row is already here."""
        found = self.seen.find(looked.print, near)
        if found is None:
            self.seen.add("", "", looked.print, place)
            return
        other, exact = found.number, found.exact
        key, split, label, said = self._row(place)
        first, first_split, first_label, first_said = self._row(other)
        across = bool(split and first_split and split != first_split)
        kind = ("duplicate" if exact else "near duplicate") + (" across splits" if across else "")
        where = f"as {first}" + (f": {split} and {first_split}" if across else "")
        ledger.note(kind, key, where, place=place, other=other)
        if exact and said and first_said and said != first_said:
            ledger.note("same picture, other captions", key, f"as {first}", place=place, other=other)
        if exact and label and first_label and label != first_label:
            note = f"{label} and {first_label}, as {first}"
            ledger.note("same picture, other label", key, note, place=place, other=other)

    def _row(self, place: int) -> tuple[str, str, str | None, bytes]:
        row: tuple[str, str, str | None, bytes] = self.base.execute(
            "SELECT key, split, label, said FROM items WHERE place = ?", (place,)
        ).fetchone()
        return row

    def close(self) -> None:
        self.seen.base.close()
        self.base.close()


def digest(words: Sequence[str]) -> bytes:
    """Eight bytes that stand for a sequence of words."""
    return hashlib.blake2b("\0".join(words).encode("utf-8", "replace"), digest_size=8).digest()


def _sound(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")
