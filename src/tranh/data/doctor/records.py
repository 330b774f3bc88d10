"""One row for every picture looked at, in a file: what repeats, and what is only seen when all of them are known.

It knows neither pixels nor sentences, only what was noted of them.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tranh.data.doctor.captions import Counted
from tranh.data.doctor.finding import Ledger
from tranh.data.doctor.pictures import Looked

ALIKE, APART = 0.98, 4.5
"""Least correlation and most mean difference (of 255) of the 16 x 16 coloured pixels of two pictures that are nearly
the same, their mean colours taken off. A copy that was shrunk, packed at JPEG's quality 60 or lit otherwise is within;
no two of 1,797 handwritten digits of 8 x 8 pixels are, nor of 1,500 Scenes of one thing."""
SIGNS = 14
"""Signs of the perceptual hash, of 64, that may differ; a quarter of it must be equal to be looked up."""
CANDIDATES = 500
"""Pictures of an equal quarter that are compared at most."""


class Records:
    """What is kept of every picture.

    Args:
        folder: for a new file; None keeps it in memory.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.base = sqlite3.connect(":memory:" if folder is None else str(folder / "records.sqlite"))
        self.base.executescript(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-8192;"
            "CREATE TABLE items(place INTEGER PRIMARY KEY, key TEXT, split TEXT, label TEXT, languages TEXT,"
            " captions INTEGER, said BLOB, good INTEGER, listed INTEGER, sha TEXT, signs BLOB, fine BLOB);"
            "CREATE INDEX by_key ON items(key); CREATE INDEX by_sha ON items(sha);"
            "CREATE TABLE quarters(quarter INTEGER, place INTEGER, PRIMARY KEY(quarter, place)) WITHOUT ROWID;"
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
            "INSERT INTO items VALUES (?,?,?,?,?,?,?,?,?,NULL,NULL,NULL)",
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
        double = self._double(looked, near)
        signs = looked.print.signs
        self.base.execute(
            "UPDATE items SET sha = ?, signs = ?, fine = ? WHERE place = ?",
            (looked.print.sha256, signs.to_bytes(8, "big"), looked.fine, place),
        )
        if double is None:
            if near:
                self.base.executemany("INSERT INTO quarters VALUES (?,?)", [(q, place) for q in quarters(signs)])
            return
        other, exact = double
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

    def _double(self, looked: Looked, near: bool) -> tuple[int, bool] | None:
        """The first earlier picture that this one repeats, and whether it does so byte for byte."""
        sha = looked.print.sha256
        row = self.base.execute("SELECT place FROM items WHERE sha = ? ORDER BY place LIMIT 1", (sha,)).fetchone()
        if row:
            return int(row[0]), True
        if not near:
            return None
        rows = self.base.execute(
            "SELECT place, signs, fine FROM items WHERE place IN"
            f" (SELECT place FROM quarters WHERE quarter IN (?,?,?,?) LIMIT {CANDIDATES}) ORDER BY place",
            quarters(looked.print.signs),
        )
        for place, signs, fine in rows:
            apart = (int.from_bytes(signs, "big") ^ looked.print.signs).bit_count()
            if apart <= SIGNS and alike(fine, looked.fine):
                return int(place), False
        return None

    def close(self) -> None:
        self.base.close()


def digest(words: Sequence[str]) -> bytes:
    """Eight bytes that stand for a sequence of words."""
    return hashlib.blake2b("\0".join(words).encode("utf-8", "replace"), digest_size=8).digest()


def quarters(signs: int) -> tuple[int, ...]:
    """Four numbers, one for each 16 signs and its place."""
    return tuple((i << 16) | (signs >> (16 * i)) & 0xFFFF for i in range(4))


def alike(a: bytes, b: bytes) -> bool:
    """Are two pictures nearly the same, by (16, 16, 3) uint8 of each?"""
    x, y = (np.frombuffer(v, np.uint8).astype(np.float32).reshape(-1, 3) for v in (a, b))
    x, y = x - x.mean(0), y - y.mean(0)
    both = float(np.sqrt((x * x).sum() * (y * y).sum()))
    return float(np.abs(x - y).mean()) <= APART and float((x * y).sum()) >= ALIKE * both


def _sound(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")
