"""Takes accepted jobs from the store to the engine, and what became of them back.

It knows neither models nor HTTP. The store says what is true: a job is begun when the store says it is this server's,
and has ended when the store says so; whatever dies in between is begun again by whoever finds it.
"""

from __future__ import annotations

import functools
import io
import json
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

from PIL import Image

from tranh.engine.doors import Left
from tranh.engine.jobs import ENDS as ENGINE_ENDS
from tranh.engine.jobs import Busy, Engine, Job
from tranh.serve.faults import fault
from tranh.serve.feed import Feed
from tranh.serve.orders import Fault, Order, Picture, Record, Refused, Status, Work
from tranh.serve.queue import LEAP, Standing
from tranh.serve.store import Store
from tranh.types import Event, TranhError

TICK = 1.0
"""Seconds between two looks at what nobody told of: deadlines, the dead, other servers."""

Encode = Callable[[Image.Image, Mapping[str, Any], Order], bytes]
"""A finished picture, its settings, and the order it was made for, as the bytes of a PNG."""

log = logging.getLogger(__name__)


def as_png(image: Image.Image, settings: Mapping[str, Any] | None = None, order: Order | None = None) -> bytes:
    """A picture as the bytes of a PNG, and nothing else of it."""
    data = io.BytesIO()
    image.save(data, "PNG")
    return data.getvalue()


@dataclass
class _Live:
    """A job in this server's engine, or on its way there."""

    id: str
    work: Work
    deadline: float | None = None  # of time.monotonic
    job: Job | None = None
    attempt: int = 0
    unwanted: threading.Event = field(default_factory=threading.Event)  # it was cancelled
    step: int = 0
    steps: int = 0
    place: int | None = None  # in the queue, as last told

    @property
    def late(self) -> bool:
        return self.deadline is not None and time.monotonic() > self.deadline


class Runner:
    """A thread that keeps engine and store in step.

    Args:
        ready: makes a job's work again, as it was when it was ordered.
        encode: a finished picture and its settings as the bytes of a PNG.

    Attributes:
        on_end: is told of every job that ends here, and of how many pictures it made.
    """

    def __init__(
        self, engine: Engine, store: Store, feed: Feed, ready: Callable[[Record], Work], encode: Encode
    ) -> None:
        self.engine, self.store, self.feed, self.ready, self.encode = engine, store, feed, ready, encode
        self.closing = False
        self.on_end: Callable[[Status, int], None] = lambda status, pictures: None
        self._live: dict[str, _Live] = {}
        self._owed: dict[str, Callable[[], object]] = {}  # ends that could not be written down yet
        self._foreign: dict[str, Standing] = {}
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._looked = time.monotonic()
        self._backlog = 1  # waiting in the store, as far as is known: more than none until it was asked
        self._feed()
        self._thread = threading.Thread(target=self._run, name="runner", daemon=True)
        self._thread.start()

    # from the desk

    def accept(self, record: Record, work: Work, within: float | None, key: str | None) -> str:
        """Keep an order and queue it.

        Returns:
            Its id, or that of the job that the idempotency key stands for already.

        Raises:
            Busy: too many wait. Refused: it could not be kept.
        """
        live = _Live(record.id, work, None if within is None else time.monotonic() + within)
        with self._lock:
            most, load = self.engine.waiting + self.engine.active, self.engine.load()
            if len(self._live) + self._backlog >= most:
                waits = max(0, len(self._live) + self._backlog - int(load["running"]))
                cost = sum(one.work.cost for one in self._live.values()) / 2
                raise Busy(waits, max(1.0, cost / load["speed"]) if load["speed"] else 5.0)
            self._live[record.id] = live
        try:
            deadline = None if within is None else record.created_at + within
            id, told = self.store.queue.insert(record, work.cost, deadline=deadline, key=key)
        except BaseException:
            self._drop(live)
            raise
        if id != record.id:
            self._drop(live)
            return id
        self.feed.begin(id)
        self.feed.tell(id, told)
        self._enter(live)
        self._changed.set()
        return id

    def cancel(self, id: str, owner: str) -> None:
        """Stop a job: at once if it waits, at its next network call if it runs."""
        with self.feed.quiet(id) as last:
            told = self.store.queue.cancel(id, owner, last)
            live = self._live.get(id)
            if live is not None:
                live.unwanted.set()
                if live.job is not None:
                    live.job.cancel()
                if told:
                    self._drop(live)
            if told:
                self.on_end("cancelled", 0)
            self.feed.tell(id, told)

    def seen(self, record: Record) -> Record:
        """A record with what is known of it only here: how far it is, its place in the queue, seconds until its end."""
        live = self._live.get(record.id)
        if live is None or live.job is None:
            waits = record.status == "queued"
            return replace(record, queue_position=self.store.queue.ahead(record.id)) if waits else record
        if record.status == "queued":
            return replace(record, queue_position=self.engine.ahead(live.job), eta_s=self.engine.eta(live.job))
        return replace(record, step=live.step, steps=live.steps, eta_s=self.engine.eta(live.job))

    def close(self, grace: float) -> None:
        """Begin nothing more, let what runs end for ``grace`` seconds, and put the rest back into the queue."""
        self.closing = True
        self._changed.set()
        self._thread.join()
        until = time.monotonic() + grace
        while time.monotonic() < until and any(live.attempt for live in list(self._live.values())):
            time.sleep(0.01)
        self.engine.close()
        self._settle()

    # in the thread of the runner

    def _run(self) -> None:
        while not self.closing:
            # alone, with nothing to do, there is nothing to look after
            idle = self.store.sole and not self._live and not self._owed and not self._backlog
            self._changed.wait(None if idle else TICK)
            self._changed.clear()
            try:
                self.tick()
            except Refused as error:
                log.warning("the store: %s", error)
            except Exception:
                log.exception("the runner goes on after a fault")

    def tick(self) -> None:
        """One look at everything."""
        self._settle()
        lives = list(self._live.values())
        for live in lives:
            if live.late and live.attempt == 0 and live.job is not None:
                live.job.cancel()  # it waits, and nobody else would look at the clock
        if not self.store.sole:
            self._meet_others([live for live in lives if live.attempt])
        self._feed()
        self._tell_places()

    def _settle(self) -> None:
        """Write down what could not be written before, and ends that the engine came to by itself."""
        for id, owed in list(self._owed.items()):
            try:
                owed()
            except Refused as error:
                if error.status != 507:  # where not even this fits, there may be room later
                    return
                continue
            self._owed.pop(id, None)
        for live in list(self._live.values()):
            if (
                live.attempt == 0
                and live.job is not None
                and live.job.state in ENGINE_ENDS
                and live.id not in self._owed
            ):
                if live.late or live.unwanted.is_set():
                    self._finish(live, "cancelled", why=None if live.unwanted.is_set() else _late())
                else:
                    self._drop(live, lost=True)  # the store did not give it to us: we ask again

    def _meet_others(self, running: list[_Live]) -> None:
        """Other servers use this database too: say that we live, and see who does not."""
        drawn = [Standing(one.id, one.attempt, one.step, one.steps, self.feed.last(one.id)) for one in running]
        now = time.monotonic()
        if drawn or now - self._looked > self.store.queue.lease / 3:
            for id in self.store.queue.beat(drawn):
                if (live := self._live.get(id)) is not None and live.job is not None:
                    live.unwanted.set()
                    live.job.cancel()
        if now - self._looked > self.store.queue.lease / 3:
            self._looked = now
            self.store.queue.recover(held=list(self._live))
        watched = [id for id in self.feed.watched() if id not in self._live or not self._live[id].attempt]
        standing = {one.id: one for one in self.store.queue.standing(watched)} if watched else {}
        for id, one in standing.items():
            if self._foreign.get(id) != one:
                self.feed.wake(id)
        self._foreign = standing

    def _feed(self) -> None:
        """Give the engine what waits in the store and nobody has, as long as it has room."""
        if self.store.sole and not self._backlog:
            return
        load = self.engine.load()
        room = self.engine.waiting + self.engine.active - int(load["queued"] + load["running"])
        if room <= 0:
            return
        idle = not self.store.sole and not load["queued"] and load["running"] < self.engine.active
        with self._lock:  # before: what ends meanwhile is not taken for lost
            known, before = set(self._live), self._backlog
        most = len(known) + room + 1  # one more than can be taken: else nobody asks again
        found = [one for one in self.store.queue.waiting(idle, most) if one[0].id not in known]
        with self._lock:
            self._backlog += len(found) - before  # and not set: more may have been lost meanwhile
        for record, told, deadline in found[:room]:
            if self.closing:
                return
            over = None if deadline is None else time.monotonic() + deadline - self.store.queue.clock()
            live = _Live(record.id, Work(1.0, lambda: iter(())), over)
            with self._lock:
                if record.id in self._live:
                    continue
                self._live[record.id] = live
                self._backlog -= 1
            self.feed.begin(record.id, told + LEAP)  # places in queues were told before, and not kept
            try:
                live.work = self.ready(record)
            except Exception as error:
                if isinstance(error, Refused) and error.status == 503:  # the store is away: it still waits there
                    self._drop(live, lost=True)
                    return
                if not isinstance(error, TranhError):
                    log.exception("job %s cannot be made ready", live.id)
                self._finish(live, "failed", why=_why(error))
                continue
            if not self._enter(live):
                return

    def _tell_places(self) -> None:
        for id in self.feed.watched():
            live = self._live.get(id)
            if live is None or live.job is None or live.attempt:
                continue
            place = self.engine.ahead(live.job)
            if place != live.place:
                live.place = place
                self._say_progress(live)

    # in the threads of the jobs

    def _enter(self, live: _Live) -> bool:
        """Into the engine's queue; what finds no room stays in the store, and comes later."""
        left = None if live.deadline is None else max(0.0, live.deadline - time.monotonic())
        try:
            live.job = self.engine.submit(lambda: self._draw(live), live.work.cost, left)
        except (Busy, Left) as error:
            self.closing = self.closing or isinstance(error, Left)
            self._drop(live, lost=True)
            return False
        if live.unwanted.is_set():
            live.job.cancel()
        return True

    def _draw(self, live: _Live) -> Iterator[Event]:
        if self.closing or live.unwanted.is_set():
            raise Left("the server stops")
        with self._outside(live), self.feed.quiet(live.id) as last:
            claimed = self.store.queue.claim(live.id, last)
            if claimed is None:
                self.feed.forget(live.id)
                raise Left("another server has it, or nobody wants it any more")
            record, told = claimed
            live.attempt = record.attempts
            self.feed.tell(live.id, told)
        result: Any = None
        try:
            for event in live.work.events():
                result = event.result if event.result is not None else result
                live.step, live.steps = event.done, event.total
                self._say_progress(live)
                if event.preview is not None:
                    self.feed.say(live.id, "preview", {"make": event.preview, "index": 0})
                fault("draw.step")
                yield event
            with self._outside(live):
                made, files = self._made(record, result)
                fault("draw.encoded")
                refused = list(getattr(result, "refused", ()))
                self._finish(live, "completed", made, files, [*result.notices, *refused])
        except (Left, GeneratorExit):
            if live.unwanted.is_set():
                self._finish(live, "cancelled")
            elif live.late:
                self._finish(live, "cancelled", why=_late())
            else:
                self._give_back(live)
            raise
        except BaseException as error:
            if not isinstance(error, TranhError):
                log.exception("job %s failed", live.id)
            self._finish(live, "failed", why=_why(error))
            raise

    def _outside(self, live: _Live) -> AbstractContextManager[None]:
        """Whoever waits for a batched call does not wait for one that writes to the disk."""
        return self.engine.doors.outside(live.job.guest) if live.job is not None else nullcontext()

    def _made(self, record: Record, result: Any) -> tuple[list[Picture], list[bytes]]:
        """Finished pictures and their files, not kept yet."""
        if result is None:
            raise TypeError("the work gave no pictures")
        made, files, now = [], [], time.time()
        for index, (image, settings) in enumerate(zip(result.images, result.settings, strict=True)):
            data = self.encode(image, settings, record.order)
            files.append(data)
            plain = json.loads(json.dumps(dict(settings), default=str))
            name, (width, height) = self.store.album.blobs.name(data), image.size
            made.append(
                Picture(
                    uuid.uuid4().hex, record.id, index, name, "image/png", width, height, len(data),
                    int(settings.get("seed") or 0), plain, now,
                )
            )  # fmt: skip
        return made, files

    def _finish(
        self,
        live: _Live,
        status: Status,
        made: Sequence[Picture] = (),
        files: Sequence[bytes] = (),
        notices: Sequence[str] = (),
        why: Fault | None = None,
    ) -> None:
        """Write an end down, now or as soon as that is possible."""
        write = functools.partial(self._write, live, status, made, files, notices, why)
        try:
            write()
        except Refused as error:
            if error.status == 507 and files:  # its end alone may still find room
                self._finish(live, "failed", why=_why(error))
            else:
                self._owed[live.id] = write
        except Exception as error:
            log.exception("the end of job %s could not be kept", live.id)
            if status == "failed":
                self._drop(live)
            else:
                self._finish(live, "failed", why=_why(error))

    def _write(
        self,
        live: _Live,
        status: Status,
        made: Sequence[Picture],
        files: Sequence[bytes],
        notices: Sequence[str],
        why: Fault | None,
    ) -> None:
        with self.feed.quiet(live.id) as after:
            told = self.store.queue.finish(
                live.id, live.attempt, status, after=after, made=made, files=files, notices=notices, why=why
            )
            self._drop(live)
            if told:
                self.on_end(status, len(made))
                self.feed.tell(live.id, told)
            else:  # it is another's by now, or was removed
                self.feed.forget(live.id)
        self._changed.set()

    def _give_back(self, live: _Live) -> None:
        try:
            with self.feed.quiet(live.id) as last:
                self.feed.tell(live.id, self.store.queue.put_back(live.id, live.attempt, last))
        except Refused as error:  # its lease will end, and then it is begun again
            log.warning("job %s could not be put back: %s", live.id, error)
        self._drop(live)

    def _say_progress(self, live: _Live) -> None:
        watched = self.feed.is_watched(live.id)
        share = min(99, round(100 * live.step / live.steps)) if live.steps else 0
        job = live.job
        eta = self.engine.eta(job) if job is not None and watched else None
        place = 0 if live.attempt or job is None else self.engine.ahead(job)
        told = {"step": live.step, "steps": live.steps, "progress": share, "eta_s": eta, "queue_position": place}
        self.feed.say(live.id, "progress", told)

    def _drop(self, live: _Live, lost: bool = False) -> None:
        """No longer ours; ``lost``: it still waits in the store, and whoever has it next tells of it."""
        with self._lock:
            if lost:
                self.feed.forget(live.id)
            self._live.pop(live.id, None)
            self._backlog += lost


def _late() -> Fault:
    return Fault("it took longer than was allowed", "timeout_error", "deadline_exceeded")


_ALLOCATOR = "DefaultCPUAllocator"
"""What torch names in a plain RuntimeError where a processor's memory does not suffice."""


def _why(error: BaseException) -> Fault:
    """What is told of a failure: the user's faults in full, of our own nothing that is inside."""
    if isinstance(error, Refused):
        return Fault(str(error), error.type, error.code, error.param)
    if isinstance(error, TranhError):
        return Fault(str(error), "invalid_request_error")
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or _ALLOCATOR in str(error):
        return Fault("there was not enough memory for it: ask for fewer or smaller pictures", code="out_of_memory")
    return Fault("the server failed at this job")
