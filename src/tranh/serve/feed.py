"""What is told of jobs to whoever watches right now: everything from the store, and what is only told live.

It knows no database. States, pictures and ends are told after they were kept; of progress the newest, and of previews
the newest of each picture, are held here and forgotten with the job.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tranh.serve.orders import Kind, Update

PROGRESS, ENDED = 256, 64
"""Updates of progress that are held for a job, and jobs that are held after their end."""

LIVE: tuple[Kind, ...] = ("progress", "preview")


@dataclass
class _Told:
    """Of one job: updates after number ``base``, in order."""

    base: int
    last: int
    updates: list[Update] = field(default_factory=list)
    ended: bool = False


class Feed:
    """Updates of jobs, and who waits for them. Any thread may tell; whoever waits does so in an event loop."""

    def __init__(self) -> None:
        self._told: OrderedDict[str, _Told] = OrderedDict()
        self._waiting: dict[str, set[tuple[asyncio.AbstractEventLoop, asyncio.Event]]] = {}
        self._quiet: list[str] = []
        self._lock = threading.Lock()
        self.closed = False

    def begin(self, id: str, last: int = 0) -> None:
        """From now on everything of a job is told here; its newest update had number ``last``."""
        with self._lock:
            self._told[id] = _Told(last, last)

    def base(self, id: str) -> int | None:
        """The number after which everything of a job is known here; None where nothing is."""
        with self._lock:
            told = self._told.get(id)
            return told.base if told is not None else None

    def last(self, id: str) -> int:
        """Number of a job's newest update, 0 if nothing of it is known here."""
        with self._lock:
            told = self._told.get(id)
            return told.last if told is not None else 0

    @contextmanager
    def quiet(self, id: str) -> Iterator[int]:
        """Nothing is said of a job for now, so that what is kept meanwhile comes after its newest update, as given."""
        with self._lock:
            self._quiet.append(id)
        try:
            yield self.last(id)
        finally:
            with self._lock:
                self._quiet.remove(id)

    def say(self, id: str, kind: Kind, data: Mapping[str, Any]) -> None:
        """Tell what is not kept."""
        with self._lock:
            told = self._told.get(id)
            if told is not None and not told.ended and id not in self._quiet:
                self._hold(id, told, Update(told.last + 1, kind, data))

    def tell(self, id: str, updates: Sequence[Update]) -> None:
        """Tell what was kept, with the numbers it was kept under."""
        with self._lock:
            told = self._told.get(id)
            if told is None:
                return
            for update in updates:
                if update.number > told.last:
                    self._hold(id, told, update)
            if told.ended:
                told.updates = [one for one in told.updates if one.kind != "preview"]
                self._told.move_to_end(id)
                ended = [one for one, other in self._told.items() if other.ended]
                for old in ended[:-ENDED]:
                    del self._told[old]

    def forget(self, id: str) -> None:
        """Nothing more of a job is told here: it was removed, or another server has it. Whoever waits looks again."""
        with self._lock:
            self._told.pop(id, None)
            self._wake(id)

    def since(self, id: str, after: int) -> list[Update] | None:
        """What was told after a number; None where that is not wholly known here, or nothing more will come."""
        with self._lock:
            told = self._told.get(id)
            if told is None or after < told.base or (told.ended and after >= told.last):
                return None
            return [update for update in told.updates if update.number > after]

    def newest(self, id: str, kind: Kind) -> Update | None:
        """The newest update of a kind."""
        with self._lock:
            told = self._told.get(id)
            return next((one for one in reversed(told.updates) if one.kind == kind), None) if told else None

    def watched(self) -> list[str]:
        """Jobs that somebody watches."""
        with self._lock:
            return list(self._waiting)

    def is_watched(self, id: str) -> bool:
        """Does anybody watch a job?"""
        return id in self._waiting

    @contextmanager
    def listening(self, id: str) -> Iterator[asyncio.Event]:
        """An event that is set whenever something is told of a job."""
        changed = asyncio.Event()
        waiting = (asyncio.get_running_loop(), changed)
        with self._lock:
            self._waiting.setdefault(id, set()).add(waiting)
        try:
            yield changed
        finally:
            with self._lock:
                self._waiting[id].discard(waiting)
                if not self._waiting[id]:
                    del self._waiting[id]

    def _hold(self, id: str, told: _Told, update: Update) -> None:
        if update.kind == "preview":
            index = update.data.get("index")
            told.updates = [u for u in told.updates if u.kind != "preview" or u.data.get("index") != index]
        told.updates.append(update)
        told.last = update.number
        told.ended = update.kind == "end"
        if update.kind == "progress":
            progress = [one for one in told.updates if one.kind == "progress"]
            if len(progress) > PROGRESS:
                told.updates.remove(progress[0])
        self._wake(id)

    def close(self) -> None:
        """Nobody waits any longer: whoever does looks once more, and leaves."""
        with self._lock:
            self.closed = True
            for id in self._waiting:
                self._wake(id)

    def wake(self, id: str) -> None:
        """Something of a job has changed elsewhere: whoever waits looks again."""
        with self._lock:
            self._wake(id)

    def _wake(self, id: str) -> None:
        for loop, changed in self._waiting.get(id, ()):
            if not loop.is_closed():
                loop.call_soon_threadsafe(changed.set)
