"""The votes on disk: one SQLite file that outlives the process and the power.

A vote is on the disk before it is acknowledged, and says in words what was compared, so that the file can be read
without the systems' folders. It knows neither pictures nor strengths.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from tranh.types import TranhError

TABLES = """
CREATE TABLE IF NOT EXISTS study (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS raters (
    id TEXT PRIMARY KEY, token TEXT UNIQUE NOT NULL, number INTEGER NOT NULL, language TEXT NOT NULL, at REAL NOT NULL,
    UNIQUE (language, number)
) STRICT;
CREATE TABLE IF NOT EXISTS votes (
    rater TEXT NOT NULL REFERENCES raters (id), position INTEGER NOT NULL, question TEXT NOT NULL, seen TEXT NOT NULL,
    prompt TEXT NOT NULL, language TEXT NOT NULL, "left" TEXT NOT NULL, "right" TEXT NOT NULL, answer TEXT NOT NULL,
    "check" TEXT NOT NULL, passed INTEGER, page TEXT NOT NULL, seconds REAL, at REAL NOT NULL,
    PRIMARY KEY (rater, position)
) STRICT;
"""
APPLICATION = 0x54726174
"""Marks the file as one of ours (SQLite's application_id)."""


@dataclass(frozen=True)
class Rater:
    """One who votes. ``token`` is the secret their browser keeps, ``id`` what the results call them."""

    id: str
    token: str
    number: int
    language: str


@dataclass(frozen=True)
class Record:
    """One vote as it is kept.

    Attributes:
        prompt, language: the caption that was shown and the language it is in.
        answer: ``left``, ``same``, ``right``, or ``broken`` where a picture could not be shown.
        check: which kind of check, empty for none; passed: whether it was, None for no check.
        page: the language of the page.
        seconds: from the pictures being there to the answer, as the browser says.
        at: seconds since 1970.
    """

    rater: str
    position: int
    question: str
    seen: str
    prompt: str
    language: str
    left: str
    right: str
    answer: str
    check: str
    passed: bool | None
    page: str
    seconds: float | None
    at: float = 0.0


class Votes:
    """The file, open. Every method may be called from any thread; other processes may have the same file open."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it.

        Raises:
            TranhError: it is something else, or cannot be opened.
        """
        self.path = path
        self.lock = threading.Lock()
        try:
            self.db = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
            mark = self.db.execute("PRAGMA application_id").fetchone()[0]
            empty = not self.db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if mark != APPLICATION and not empty:
                raise TranhError(f"{path} is a database, but not of votes: name another file with --votes.")
            self.db.execute("PRAGMA journal_mode = WAL")
            self.db.execute("PRAGMA synchronous = FULL")  # a vote acknowledged survives a power cut
            self.db.execute("PRAGMA foreign_keys = ON")
            if empty:
                self.db.execute(f"PRAGMA application_id = {APPLICATION}")
                self.db.executescript(TABLES)
        except sqlite3.Error as error:
            raise TranhError(
                f"{path} cannot be opened as a file of votes ({error}): name another with --votes."
            ) from error

    def close(self) -> None:
        self.db.close()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self.lock:
            self.db.execute("BEGIN IMMEDIATE")
            try:
                yield self.db
                self.db.execute("COMMIT")
            except BaseException:
                self.db.execute("ROLLBACK")
                raise

    def begin(self, protocol: Mapping[str, Any]) -> None:
        """Take these votes for a study.

        Raises:
            TranhError: they belong to another one; the message says what differs.
        """
        new = json.loads(json.dumps(dict(protocol)))
        with self._writing() as db:
            row = db.execute("SELECT value FROM study WHERE name = 'protocol'").fetchone()
            if row is None:
                db.execute("INSERT INTO study VALUES ('protocol', ?)", (json.dumps(new),))
                return
        old = json.loads(row[0])
        if old != new:
            changed = [f"{k}: {old.get(k)} there, {new.get(k)} here" for k in old | new if old.get(k) != new.get(k)]
            raise TranhError(
                f"{self.path} holds votes of another study ({'; '.join(changed)}). Name another file with --votes, or "
                "give the systems and options it was begun with."
            )

    def protocol(self) -> dict[str, Any] | None:
        """What the votes depend on; None before :meth:`begin`."""
        found = self._value("protocol")
        return None if found is None else dict(json.loads(found))

    def secret(self, name: str) -> str:
        """A random word of 22 letters that stays the same for this file."""
        with self._writing() as db:
            db.execute("INSERT OR IGNORE INTO study VALUES (?, ?)", (f"secret {name}", secrets.token_urlsafe(16)))
        return str(self._value(f"secret {name}"))

    def _value(self, name: str) -> str | None:
        with self.lock:
            row = self.db.execute("SELECT value FROM study WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def enter(self, language: str) -> Rater:
        """A new rater, with the next number of those who read the language."""
        with self._writing() as db:
            number = db.execute("SELECT count(*) FROM raters WHERE language = ?", (language,)).fetchone()[0]
            rater = Rater(secrets.token_hex(4), secrets.token_urlsafe(24), number, language)
            row = (rater.id, rater.token, rater.number, rater.language, time.time())
            db.execute("INSERT INTO raters VALUES (?, ?, ?, ?, ?)", row)
        return rater

    def rater(self, token: str) -> Rater | None:
        """Who has this secret."""
        with self.lock:
            row = self.db.execute("SELECT id, token, number, language FROM raters WHERE token = ?", (token,)).fetchone()
        return None if row is None else Rater(*row)

    def answered(self, rater: str) -> dict[int, str]:
        """A rater's answers by position."""
        with self.lock:
            rows = self.db.execute("SELECT position, answer FROM votes WHERE rater = ?", (rater,)).fetchall()
        return dict(rows)

    def add(self, record: Record) -> str:
        """Keep a vote and return the answer that is kept: of two votes on one task the first stands."""
        values = {field.name: getattr(record, field.name) for field in fields(Record)} | {"at": time.time()}
        names = ", ".join(f'"{name}"' for name in values)
        marks = ", ".join(f":{name}" for name in values)
        with self._writing() as db:
            db.execute(f"INSERT INTO votes ({names}) VALUES ({marks}) ON CONFLICT DO NOTHING", values)
            row = db.execute(
                "SELECT answer FROM votes WHERE rater = ? AND position = ?", (record.rater, record.position)
            ).fetchone()
        return str(row[0])

    def all(self) -> list[Record]:
        """Every vote, in the order they came."""
        names = [field.name for field in fields(Record)]
        columns = ", ".join(f'"{name}"' for name in names)
        with self.lock:
            rows = self.db.execute(f"SELECT {columns} FROM votes ORDER BY at, rowid").fetchall()
        found = (dict(zip(names, row, strict=True)) for row in rows)
        return [Record(**row | {"passed": None if row["passed"] is None else bool(row["passed"])}) for row in found]
