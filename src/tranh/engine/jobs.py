"""The engine: long work of many people at once, on shared networks, with a queue that has an end.

Work is an iterator of events, run in a thread of its own as a guest of the doors. It knows neither pictures nor HTTP:
a server is a thin shell over it, and any thread may use it directly.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from types import TracebackType
from typing import Any, Literal

from tranh.engine.doors import Doors, Guest, Left
from tranh.types import Event, TranhError

State = Literal["queued", "running", "done", "failed", "cancelled"]
ENDS: tuple[State, ...] = ("done", "failed", "cancelled")

ACTIVE, WAITING = 24, 64
"""More jobs at once than fit into one call, so that calls at several doors and of several shapes fill up."""

HALF_LIFE = 20
"""Finished jobs over which the speed that waiting times are foretold by forgets half of what it knew."""


class Busy(TranhError):
    """The queue is full. ``retry_after``: seconds after which there should be room."""

    def __init__(self, waiting: int, retry_after: float) -> None:
        super().__init__(f"{waiting} requests are waiting already: try again in {retry_after:.0f} s")
        self.retry_after = retry_after


class Job:
    """Work on its way.

    Attributes:
        id: counts up within one engine.
        cost: how much work it is, in any unit that all jobs share (network calls, say).
        state, error, result: where it stands, why it failed, what its last event carried.
    """

    def __init__(
        self, engine: Engine, id: int, work: Callable[[], Iterator[Event]], cost: float, deadline: float | None
    ) -> None:
        self.id, self.work, self.cost = id, work, cost
        self.guest, self._engine = Guest(deadline), engine
        self.state: State = "queued"
        self.error: BaseException | None = None
        self.result: Any = None
        self.created, self.started, self.ended = time.monotonic(), 0.0, 0.0
        self._events: list[Event] = []
        self._changed = threading.Condition()

    def cancel(self) -> None:
        """It stops at its next network call; one that still waits is never begun."""
        self.guest.cancel()
        if self._engine.forget(self):
            self._end("cancelled", Left("cancelled"))

    @property
    def last(self) -> Event | None:
        """The newest event."""
        return self._events[-1] if self._events else None

    def events(self, after: int = 0, timeout: float | None = None) -> Iterator[tuple[int, Event]]:
        """Events with their numbers from 1, those that were and those to come, until the job has ended.

        Args:
            after: number of the last one already known.
            timeout: seconds to wait for the next one; then the iterator ends, and may be asked for again.
        """
        while True:
            with self._changed:
                while len(self._events) <= after and self.state not in ENDS:
                    if not self._changed.wait(timeout):
                        return
                new = self._events[after:]
                ended = self.state in ENDS
            for event in new:
                after += 1
                yield after, event
            if ended and len(self._events) <= after:
                return

    def wait(self, timeout: float | None = None) -> Any:
        """What the last event carried, once the job has ended.

        Raises:
            TimeoutError: it has not ended in time.
            BaseException: what the work raised; :class:`tranh.engine.doors.Left` if it was cancelled.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self.state in ENDS, timeout):
                raise TimeoutError(f"job {self.id} has not ended after {timeout} s")
        if self.error is not None:
            raise self.error
        return self.result

    def _say(self, event: Event) -> None:
        with self._changed:
            if self._events and self._events[-1].preview is not None:  # it holds tensors; only the newest is looked at
                self._events[-1] = replace(self._events[-1], preview=None)
            self._events.append(event)
            self.result = event.result if event.result is not None else self.result
            self._changed.notify_all()

    def _end(self, state: State, error: BaseException | None = None) -> None:
        with self._changed:
            self.state, self.error, self.ended = state, error, time.monotonic()
            if self._events:
                self._events[-1] = replace(self._events[-1], preview=None)
            self._changed.notify_all()


class Engine:
    """Runs jobs, up to ``active`` at once; of those that wait, the shortest first, but nobody for ever.

    Args:
        doors: of the networks that jobs share.
        active: jobs that run at once, each in its thread.
        waiting: jobs that may wait; more are refused.
    """

    def __init__(self, doors: Doors, active: int = ACTIVE, waiting: int = WAITING) -> None:
        if active < 1 or waiting < 0:
            raise ValueError(f"active {active}, waiting {waiting}: at least one job must run")
        self.doors, self.active, self.waiting = doors, active, waiting
        self._numbers = itertools.count(1)
        self._queue: list[Job] = []
        self._running: set[Job] = set()
        self._changed = threading.Condition()
        self._closed = False
        self._speed = 0.0  # cost per second, all jobs together
        self._threads = 0

    def submit(self, work: Callable[[], Iterator[Event]], cost: float = 1.0, within: float | None = None) -> Job:
        """Queue work.

        Args:
            work: makes the iterator that does it, in the job's own thread; its last event carries the result.
            cost: see :class:`Job`.
            within: seconds after which it is cancelled, waiting included.

        Raises:
            Busy: too many wait already.
        """
        deadline = None if within is None else time.monotonic() + within
        with self._changed:
            if self._closed:
                raise Left("the engine was closed")
            if len(self._queue) >= self.waiting + self.active - len(self._running):
                raise Busy(len(self._queue), self._foretold(sum(job.cost for job in self._queue) / 2))
            job = Job(self, next(self._numbers), work, cost, deadline)
            self._queue.append(job)
            if self._threads < self.active:
                self._threads += 1
                threading.Thread(target=self._work, name=f"job-{job.id}", daemon=True).start()
            self._changed.notify_all()
        return job

    def forget(self, job: Job) -> bool:
        """Take a job out of the queue; False if it was begun already."""
        with self._changed:
            if job not in self._queue:
                return False
            self._queue.remove(job)
            return True

    def ahead(self, job: Job) -> int:
        """How many jobs will be begun before one that waits; 0 once it runs."""
        with self._changed:
            order = self._order()
            return order.index(job) if job in order else 0

    def eta(self, job: Job) -> float | None:
        """Seconds until a job should have ended; None where nothing is known of the speed yet."""
        with self._changed:
            if not self._speed or job.state in ENDS:
                return None
            order = self._order()
            before = order[: order.index(job)] if job in order else []
            running = sum(_left(one) for one in self._running if one is not job)
            shared = min(running, _left(job) * len(self._running)) + sum(one.cost for one in before)
            return self._foretold(_left(job) + shared)

    def load(self) -> dict[str, float]:
        """Figures for whoever watches."""
        with self._changed:
            return {
                "queued": len(self._queue),
                "running": len(self._running),
                "calls": self.doors.calls,
                "answered": self.doors.answered,
                "speed": self._speed,
            }

    def close(self) -> None:
        """Cancel whatever is left, and take the doors away."""
        with self._changed:
            self._closed = True
            jobs = [*self._queue, *self._running]
            self._changed.notify_all()
        for job in jobs:
            job.cancel()
        with self._changed:
            self._changed.wait_for(lambda: self._threads == 0)
        self.doors.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _foretold(self, cost: float) -> float:
        return max(1.0, cost / self._speed) if self._speed else 5.0

    def _order(self) -> list[Job]:
        """Those that wait, the next one first: a second of waiting outweighs a second of work."""
        now, speed = time.monotonic(), self._speed or 1.0
        return sorted(self._queue, key=lambda job: job.cost - speed * (now - job.created))

    def _work(self) -> None:
        while True:
            with self._changed:
                # a thread that has nothing to do goes home; the next job brings another
                self._changed.wait_for(lambda: bool(self._queue) or self._closed, timeout=5.0)
                if not self._queue:
                    self._threads -= 1
                    self._changed.notify_all()
                    return
                job = self._order()[0]
                self._queue.remove(job)
                self._running.add(job)
            try:
                self._run(job)
            finally:
                with self._changed:
                    self._running.discard(job)
                    self._measure(job)
                    self._changed.notify_all()

    def _run(self, job: Job) -> None:
        try:
            job.guest.check()
            job.state, job.started = "running", time.monotonic()
            job.guest.needs = job.cost / self._speed if self._speed else 0.0
            with self.doors.inside(job.guest), closing(_closable(job.work())) as events:
                for event in events:
                    job._say(event)
                    job.guest.check()
            job._end("done")
        except Left as left:
            job._end("cancelled", left)
        except BaseException as error:
            job._end("failed", error)

    def _measure(self, job: Job) -> None:
        """The speed of the whole engine, from jobs that ended well: cost done while it ran, its own and the others'."""
        spent = job.ended - job.started
        if job.state != "done" or spent <= 0:
            return
        speed = job.cost * max(1, len(self._running) + 1) / spent
        keep = 0.5 ** (1 / HALF_LIFE)
        self._speed = speed if not self._speed else keep * self._speed + (1 - keep) * speed


def _closable(events: Iterator[Event]) -> Any:
    """The iterator itself, or a generator around one that cannot be closed."""
    return events if hasattr(events, "close") else (event for event in events)


def _left(job: Job) -> float:
    """Cost that a job still has before it."""
    last = job.last
    return job.cost if last is None or not last.total else job.cost * (1 - last.done / last.total)
