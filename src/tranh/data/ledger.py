"""What a preparation has done so far, on the disk: committed with every shard, so a killed run loses at most one shard.

One SQLite file holds the counts, the shards and the prints of all pictures; it goes when the manifest is written. It
knows nothing of how pictures are made ready.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tranh.data.doubles import Seen
from tranh.data.ready import Left, Words
from tranh.types import TranhError

MANIFEST, LEFT, FILE = "manifest.json", "left_out.jsonl", "progress.sqlite"
COUNTERS = ("left", "changed", "odd", "splits")


@dataclass
class State:
    """Counts of what is done.

    Attributes:
        seen, kept: items looked at, and pictures that are in shards and stay there.
        written: pictures written, also those withdrawn later; the next one's number.
        left, changed, odd, splits: how often each was met.
        left_bytes: of ``left_out.jsonl`` that count.
        repairs: slips and words for the step ``spelling``, None before they were looked for.
    """

    seen: int = 0
    kept: int = 0
    written: int = 0
    left: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)
    odd: Counter[str] = field(default_factory=Counter)
    splits: Counter[str] = field(default_factory=Counter)
    words: Words = field(default_factory=Words)
    left_bytes: int = 0
    repairs: dict[str, str] | None = None

    def report(self) -> dict[str, Any]:
        """What the manifest says of it."""
        said = self.words.report
        captions = {
            "seen": said.seen,
            "dropped": self.words.dropped,
            "changed": dict(said.changed),
            "examples": said.examples,
            "forms": dict(self.words.forms),
            "repairs": self.repairs or {},
        }
        counters = {name: dict(sorted((+getattr(self, name)).items())) for name in COUNTERS}
        return {"kept": self.kept, "seen": self.seen, **counters, "captions": captions}


class Ledger:
    """The progress of one preparation.

    Args:
        out: its folder, made if need be.
        about: what is prepared and how; another one's progress is refused.

    Raises:
        TranhError: the folder holds something else, or another run is at work in it.
    """

    def __init__(self, out: Path, about: dict[str, Any]) -> None:
        out.mkdir(parents=True, exist_ok=True)
        others = [p.name for p in out.iterdir() if not p.name.startswith(".")] if not (out / FILE).exists() else []
        if others:
            raise TranhError(f"{out} is not empty ({sorted(others)[0]} is there): choose a new folder")
        self.out, self.about = out, json.dumps(about, sort_keys=True)
        try:
            self.seen = self._open()
        except sqlite3.OperationalError as error:
            raise TranhError(f"{out} cannot be worked in ({error}): is another run preparing into it?") from error
        except sqlite3.DatabaseError as error:
            raise TranhError(f"{out / FILE} is damaged ({error}): delete {out} and begin again") from error
        self.state = self._load()
        for stale in out.glob(".*.tmp"):
            stale.unlink()
        with (out / LEFT).open("ab") as file:  # what was written after the last commit is written again
            file.truncate(self.state.left_bytes)

    def _open(self) -> Seen:
        seen = Seen(self.out / FILE)
        self.base = seen.base
        self.base.execute("PRAGMA cache_size=-16384")  # KiB
        self.base.execute("PRAGMA locking_mode=EXCLUSIVE")  # held from the first write on
        self.base.execute("CREATE TABLE IF NOT EXISTS state(about TEXT, value TEXT)")
        self.base.execute("CREATE TABLE IF NOT EXISTS shards(first INTEGER, name TEXT, pictures INTEGER, sha256 TEXT)")
        self.base.execute("CREATE TABLE IF NOT EXISTS withdrawn(number INTEGER PRIMARY KEY)")
        self.base.execute("UPDATE state SET about = about")
        self.base.commit()
        return seen

    def _load(self) -> State:
        row = self.base.execute("SELECT about, value FROM state").fetchone()
        if row is None:
            self.base.execute("INSERT INTO state VALUES (?,?)", (self.about, json.dumps(_plain(State()))))
            self.base.commit()
            return State()
        if row[0] != self.about:
            self.close()
            raise TranhError(f"{self.out} was begun from another source or with other options: choose another folder")
        return _state(json.loads(row[1]))

    def shards(self) -> list[dict[str, Any]]:
        """The shards so far: the number of their first picture, name, pictures, sha256."""
        names = ("first", "name", "pictures", "sha256")
        rows = self.base.execute("SELECT first, name, pictures, sha256 FROM shards ORDER BY name")
        return [dict(zip(names, row, strict=True)) for row in rows]

    def count(self) -> int:
        """How many shards there are."""
        return int(self.base.execute("SELECT COUNT(*) FROM shards").fetchone()[0])

    def withdraw(self, number: int) -> None:
        """A picture that was written is to be taken out of its shard at the end."""
        self.seen.forget(number)
        self.base.execute("INSERT INTO withdrawn VALUES (?)", (number,))

    def withdrawn(self, first: int, stop: int) -> set[int]:
        """Numbers withdrawn, from ``first`` up to ``stop``."""
        rows = self.base.execute("SELECT number FROM withdrawn WHERE number >= ? AND number < ?", (first, stop))
        return {number for (number,) in rows}

    def add_shard(self, first: int, name: str, pictures: int, digest: str, left: list[Left]) -> None:
        """Commit a shard and what was left out of its range."""
        with (self.out / LEFT).open("ab") as file:
            file.writelines(as_json(asdict(one)) + b"\n" for one in left)
            file.flush()
            os.fsync(file.fileno())
            self.state.left_bytes = file.tell()
        self.base.execute("INSERT INTO shards VALUES (?,?,?,?)", (first, name, pictures, digest))
        self.commit()

    def replace_shard(self, name: str, pictures: int, digest: str) -> None:
        """A shard was written anew."""
        self.base.execute("UPDATE shards SET pictures = ?, sha256 = ? WHERE name = ?", (pictures, digest, name))

    def commit(self) -> None:
        """Keep everything up to here."""
        self.base.execute("UPDATE state SET value = ?", (json.dumps(_plain(self.state)),))
        self.base.commit()

    def close(self) -> None:
        self.seen.close()


def remove(out: Path) -> None:
    """Take the file away when all is done, and its journal, which a killed run leaves."""
    for name in (FILE, f"{FILE}-journal"):
        (out / name).unlink(missing_ok=True)


def as_json(value: Any) -> bytes:
    """One line of JSON in UTF-8; halves of letters, as in odd file names, as ``\\udcff``."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace")


def _plain(state: State) -> dict[str, Any]:
    numbers = {name: getattr(state, name) for name in ("seen", "kept", "written", "left_bytes", "repairs", *COUNTERS)}
    report = state.words.report
    words = [report.seen, report.changed, report.examples, state.words.forms, state.words.dropped]
    return {**numbers, "words": words}


def _state(plain: dict[str, Any]) -> State:
    state = State(plain["seen"], plain["kept"], plain["written"])
    state.left_bytes, state.repairs = plain["left_bytes"], plain["repairs"]
    for name in COUNTERS:
        setattr(state, name, Counter(plain[name]))
    seen, changed, examples, forms, dropped = plain["words"]
    state.words.report.seen, state.words.report.changed = seen, Counter(changed)
    state.words.report.examples = {step: [(a, b) for a, b in pairs] for step, pairs in examples.items()}
    state.words.forms, state.words.dropped = Counter(forms), dropped
    return state
