"""The durable queue: jobs, who draws them, what was told of them, and the words that make an order idempotent.

It knows neither models nor pixels nor HTTP. Every change is one transaction, so a job is in exactly one state whenever
the server dies; a job that is drawn belongs to one attempt of one worker, and what any other says of it is not heard.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, case, delete, exists, func, insert, or_, select, update

from tranh.serve.album import Album, picture_of
from tranh.serve.blobs import NAME
from tranh.serve.faults import fault
from tranh.serve.orders import ENDS, Fault, Kind, Order, Picture, Record, Refused, Status, Update
from tranh.serve.tables import Database, inputs, jobs, keys, pictures, updates, workers

ATTEMPTS = 2
"""Times a job is begun, if the server dies under it."""

LEASE = 15.0
"""Seconds after which a worker that says nothing more is taken for dead."""

DAY = 86400.0
"""Seconds for which an idempotency key is remembered."""

LEAP = 2**32
"""What numbers of updates leap by where another worker had a job: who watched there may have seen some not kept."""


@dataclass(frozen=True)
class Standing:
    """How far a job is in an attempt; ``told`` is the number of its newest update, kept or not."""

    id: str
    attempt: int
    step: int
    steps: int
    told: int
    status: Status = "in_progress"


def fingerprint(order: Order) -> str:
    """SHA-256 of what is ordered."""
    told = json.dumps([order.tool, order.model, dict(order.request)], sort_keys=True, default=str)
    return hashlib.sha256(told.encode()).hexdigest()


def hashes_in(value: Any) -> set[str]:
    """The names of blobs in an order's request, however deep."""
    if isinstance(value, str):
        return {value} if NAME.fullmatch(value) else set()
    if isinstance(value, Mapping):
        return set().union(*map(hashes_in, value.values()))
    return set().union(*map(hashes_in, value)) if isinstance(value, Sequence) else set()


class Queue:
    """Jobs in a database.

    Args:
        worker: this process's name among those that use the database.
        lease: see :data:`LEASE`; clock: unix seconds.
    """

    def __init__(
        self,
        database: Database,
        album: Album,
        worker: str,
        *,
        lease: float = LEASE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.database, self.album, self.worker, self.lease, self.clock = database, album, worker, lease, clock

    # who is alive

    def beat(self, drawn: Sequence[Standing] = ()) -> list[str]:
        """Say that this worker lives, and how far its jobs are.

        Args:
            drawn: how far each job is that it draws.

        Returns:
            Those of them that it should stop: they were cancelled elsewhere, or are another's by now.
        """
        with self.database.writing() as do:
            until = self._now(do) + self.lease
            if not do.execute(update(workers).where(workers.c.id == self.worker).values(until=until)).rowcount:
                do.execute(insert(workers).values(id=self.worker, until=until))
            kept = set()
            for one in drawn:
                change = update(jobs).where(self._drawn_here(one.id, one.attempt), ~jobs.c.unwanted)
                far = {"step": one.step, "steps": one.steps, "told": self._later(one.told)}
                kept |= set(do.scalars(change.values(**far).returning(jobs.c.id)))
        return [one.id for one in drawn if one.id not in kept]

    def leave(self) -> None:
        """This worker takes no more; what waits in its queue is anybody's."""
        with self.database.writing() as do:
            do.execute(update(jobs).where(jobs.c.worker == self.worker, _waits()).values(worker=None))
            do.execute(delete(workers).where(workers.c.id == self.worker))

    def alone(self) -> bool:
        """Is no other worker alive?"""
        with self.database.reading() as ask:
            others = exists().where(workers.c.id != self.worker, workers.c.until >= self._now(ask))
            return not ask.scalar(select(others))

    def recover(self, sole: bool = False, held: Collection[str] | None = None) -> list[str]:
        """What the dead drew is begun again, once; then it has failed. What nobody wants any more is cancelled.

        Args:
            sole: every other worker is known to be dead.
            held: what this worker has; else what it began a lease ago, the answer being lost, is begun again too.

        Returns:
            The jobs that were touched.
        """
        ago = self.clock() - self.lease
        with self.database.writing() as do:
            dead = workers.c.id != self.worker
            if not sole:
                dead = and_(dead, workers.c.until < self._now(do))
            do.execute(delete(workers).where(dead))
            fault("recover.begun")
            lost: list[ColumnElement[bool]] = [jobs.c.worker.not_in(select(workers.c.id))]
            if held is not None:
                lost.append(and_(jobs.c.worker == self.worker, jobs.c.started_at < ago, jobs.c.id.not_in(held)))
            begun = select(jobs).where(jobs.c.status == "in_progress", or_(*lost)).order_by(jobs.c.number)
            found = do.execute(begun.with_for_update(skip_locked=True)).all()
            for job in found:
                if job.unwanted:
                    self._end(do, job, "cancelled", job.told + LEAP)
                elif job.attempts >= ATTEMPTS:
                    why = f"the server stopped {job.attempts} times while it drew this job, which is not tried again"
                    self._end(do, job, "failed", job.told + LEAP, Fault(why, code="server_stopped"))
                else:
                    self._wait_again(do, job, job.told + LEAP)
            fault("recover.done")
        return [job.id for job in found]

    # orders

    def known(self, owner: str, body: str, key: str | None, attach: bool) -> str | None:
        """The job that an order is already, by its idempotency key or because the same one still runs.

        Raises:
            Refused: the key was used for another order.
        """
        with self.database.reading() as ask:
            if key is not None and (found := self._keyed(ask, owner, body, key)):
                return found
            if attach:
                same = select(jobs.c.id).where(jobs.c.owner == owner, jobs.c.body == body, ~jobs.c.unwanted)
                return ask.scalar(same.where(jobs.c.status.not_in(ENDS)).order_by(jobs.c.number.desc()).limit(1))
        return None

    def insert(
        self, record: Record, cost: float, *, deadline: float | None = None, key: str | None = None
    ) -> tuple[str, list[Update]]:
        """Accept an order: from now on it is not lost.

        Returns:
            Its id, and the first update; the id of an older job and none where the key came earlier by a moment.

        Raises:
            Refused: the key was used for another order, or a file it refers to was deleted meanwhile.
        """
        body = fingerprint(record.order)
        told = Update(1, "job", {"status": "queued"})
        # a text may look like the name of another's file, and whoever ordered with a file may read it
        files = [one for one in hashes_in(record.order.request) if self.album.may_read(one, record.owner)]
        with self.database.writing() as do:
            if key is not None:
                self.database.alone_with(do, f"{record.owner}\n{key}")
                do.execute(delete(keys).where(keys.c.created_at < self.clock() - DAY))
                if found := self._keyed(do, record.owner, body, key):
                    return found, []
            self.database.blobs_shared(do)
            do.execute(
                insert(jobs).values(
                    id=record.id, owner=record.owner, tool=record.order.tool, model=record.order.model,
                    request=dict(record.order.request), body=body, cost=cost, status="queued", worker=self.worker,
                    told=1, created_at=record.created_at, deadline=deadline,
                )
            )  # fmt: skip
            _tell(do, record.id, [told])
            for sha256 in files:
                if self.album.blobs.has(sha256):
                    do.execute(insert(inputs).values(job=record.id, sha256=sha256))
            if key is not None:
                row = {"owner": record.owner, "key": _word(key), "job": record.id, "body": body}
                do.execute(insert(keys).values(**row, created_at=self.clock()))
            fault("insert.done")
        fault("insert.committed")
        return record.id, [told]

    def claim(self, id: str, after: int = 0) -> tuple[Record, list[Update]] | None:
        """Begin a job that waits; None if it does not, or another worker was quicker.

        Args:
            after: number of the last update that was told, though perhaps not kept.
        """
        leap = case((jobs.c.worker == self.worker, 0), else_=LEAP)
        with self.database.writing() as do:
            waiting = select(jobs.c.number).where(jobs.c.id == id, _waits()).with_for_update(skip_locked=True)
            begun = do.execute(
                update(jobs)
                .where(jobs.c.number == waiting.scalar_subquery(), _waits())
                .values(
                    status="in_progress", worker=self.worker, attempts=jobs.c.attempts + 1, started_at=self.clock(),
                    told=self._later(after) + leap + 1, step=0,
                )
                .returning(jobs)
            ).one_or_none()  # fmt: skip
            if begun is None:
                return None
            told = [Update(begun.told, "job", {"status": "in_progress"})]
            _tell(do, id, told)
            fault("claim.done")
        fault("claim.committed")
        return _record(begun), told

    def finish(
        self,
        id: str,
        attempt: int,
        status: Status,
        *,
        after: int = 0,
        made: Sequence[Picture] = (),
        files: Sequence[bytes] = (),
        notices: Sequence[str] = (),
        why: Fault | None = None,
    ) -> list[Update]:
        """A job ends, with all its pictures or none.

        Args:
            attempt: which one of this worker's ends; 0 for a job that was not begun.

        Returns:
            What is to be told; nothing if the job is no longer this worker's in this attempt.
        """
        with self.album.keeping(files) as do:
            mine = self._drawn_here(id, attempt) if attempt else and_(jobs.c.id == id, _waits())
            job = do.execute(select(jobs).where(mine).with_for_update()).one_or_none()
            if job is not None:
                for picture in made:
                    row = asdict(picture) | {"owner": job.owner, "settings": dict(picture.settings)}
                    do.execute(insert(pictures).values(**row))
                fault("finish.pictures")
                told = self._end(do, job, status, self._seen(job, after), why, made, notices)
            fault("finish.done")
        fault("finish.committed")
        if job is None:
            self.album.release(map(self.album.blobs.name, files))
            return []
        return told

    def put_back(self, id: str, attempt: int, after: int = 0) -> list[Update]:
        """A job that was begun waits again, as if it had not been: the server is told to stop."""
        with self.database.writing() as do:
            job = do.execute(select(jobs).where(self._drawn_here(id, attempt)).with_for_update()).one_or_none()
            if job is None:
                return []
            if job.unwanted:
                return self._end(do, job, "cancelled", max(job.told, after))
            do.execute(update(jobs).where(jobs.c.id == id).values(attempts=job.attempts - 1))
            return self._wait_again(do, job, max(job.told, after))

    def cancel(self, id: str, owner: str, after: int = 0) -> list[Update]:
        """One that waits is cancelled now, one that runs by whoever draws it; what has ended stays as it is."""
        with self.database.writing() as do:
            job = do.execute(select(jobs).where(_is(id, owner)).with_for_update()).one_or_none()
            if job is None or job.status in ENDS:
                return []
            if job.status == "queued":
                return self._end(do, job, "cancelled", self._seen(job, after))
            do.execute(update(jobs).where(jobs.c.id == id).values(unwanted=True))
            return []

    def remove(self, id: str, owner: str) -> None:
        """Forget a job, its pictures, and files that nothing else refers to."""
        with self.database.writing() as do:
            files = set(do.scalars(select(pictures.c.sha256).where(pictures.c.job == id, pictures.c.owner == owner)))
            files |= set(do.scalars(select(inputs.c.sha256).join(jobs).where(_is(id, owner))))
            do.execute(delete(jobs).where(_is(id, owner)))
            fault("remove.done")
        fault("remove.committed")
        self.album.release(files)

    # questions

    def job(self, id: str, owner: str | None = None) -> Record | None:
        """Where an order stands."""
        with self.database.reading() as ask:
            row = ask.execute(select(jobs).where(_is(id, owner))).one_or_none()
            return _record(row, _pictures_of(ask, [id])) if row is not None else None

    def jobs(self, owner: str, status: str | None, before: int | None, limit: int) -> tuple[list[Record], int | None]:
        """Orders of an owner, newest first, and the number below which the next page begins."""
        chosen = select(jobs).where(jobs.c.owner == owner)
        if status is not None:
            chosen = chosen.where(jobs.c.status == status)
        if before is not None:
            chosen = chosen.where(jobs.c.number < before)
        with self.database.reading() as ask:
            rows = ask.execute(chosen.order_by(jobs.c.number.desc()).limit(limit + 1)).all()
            found = _pictures_of(ask, [row.id for row in rows])
        following = rows[limit - 1].number if len(rows) > limit else None
        return [_record(row, found) for row in rows[:limit]], following

    def waiting(self, idle: bool = False, most: int = 200) -> list[tuple[Record, int, float | None]]:
        """Jobs that nobody alive has in his queue, or that this worker has; oldest first.

        Args:
            idle: those in others' queues too.

        Returns:
            Each with the number of its newest update, and when its time is over.
        """
        free = or_(jobs.c.worker.is_(None), jobs.c.worker == self.worker, ~jobs.c.worker.in_(select(workers.c.id)))
        chosen = select(jobs).where(_waits(), *(() if idle else (free,))).order_by(jobs.c.number).limit(most)
        with self.database.reading() as ask:
            return [(_record(row), row.told, row.deadline) for row in ask.execute(chosen)]

    def ahead(self, id: str) -> int:
        """How many jobs that wait came before one."""
        mine = select(jobs.c.number).where(jobs.c.id == id).scalar_subquery()
        with self.database.reading() as ask:
            return ask.scalar(select(func.count()).select_from(jobs).where(_waits(), jobs.c.number < mine)) or 0

    def count(self) -> dict[str, int]:
        """How many jobs are in each state."""
        with self.database.reading() as ask:
            rows = ask.execute(select(jobs.c.status, func.count().label("number")).group_by(jobs.c.status))
            return {row.status: row.number for row in rows}

    def told(self, id: str, after: int = 0) -> list[Update]:
        """What was told of a job after an update, of what is kept."""
        chosen = select(updates).where(updates.c.job == id, updates.c.number > after).order_by(updates.c.number)
        with self.database.reading() as ask:
            return [Update(row.number, row.kind, row.data) for row in ask.execute(chosen)]

    def standing(self, ids: Sequence[str]) -> list[Standing]:
        """How far some jobs are, as far as that was kept."""
        columns = (jobs.c.id, jobs.c.attempts, jobs.c.step, jobs.c.steps, jobs.c.told, jobs.c.status)
        with self.database.reading() as ask:
            return [Standing(*row) for row in ask.execute(select(*columns).where(jobs.c.id.in_(ids)))]

    # within a transaction

    def _now(self, connection: Connection) -> float:
        """For leases: the clock that all workers share."""
        return self.clock() if self.database.sqlite or self.clock is not time.time else self.database.now(connection)

    def _later(self, number: int) -> ColumnElement[int]:
        return (func.max if self.database.sqlite else func.greatest)(jobs.c.told, number)

    def _seen(self, job: Row[Any], after: int) -> int:
        """The greatest number that anybody can have seen of a job."""
        return max(int(job.told), after) + (0 if job.worker == self.worker else LEAP)

    def _keyed(self, ask: Connection, owner: str, body: str, key: str) -> str | None:
        used = select(keys).where(keys.c.owner == owner, keys.c.key == _word(key))
        row = ask.execute(used.where(keys.c.created_at >= self.clock() - DAY)).one_or_none()
        if row is not None and row.body != body:
            raise Refused(
                "this Idempotency-Key was used for another request within the last 24 hours: use a new one",
                status=422,
                code="idempotency_key_reused",
                param="Idempotency-Key",
            )
        return row.job if row is not None else None

    def _drawn_here(self, id: str, attempt: int) -> ColumnElement[bool]:
        here = (jobs.c.status == "in_progress", jobs.c.worker == self.worker, jobs.c.attempts == attempt)
        return and_(jobs.c.id == id, *here)

    def _wait_again(self, do: Connection, job: Row[Any], after: int) -> list[Update]:
        told = [Update(after + 1, "job", {"status": "queued"})]
        again = {"status": "queued", "worker": None, "step": 0, "started_at": None, "told": after + 1}
        do.execute(update(jobs).where(jobs.c.id == job.id).values(**again))
        _tell(do, job.id, told)
        return told

    def _end(
        self,
        do: Connection,
        job: Row[Any],
        status: Status,
        after: int,
        why: Fault | None = None,
        made: Sequence[Picture] = (),
        notices: Sequence[str] = (),
    ) -> list[Update]:
        said: list[tuple[Kind, Mapping[str, Any]]] = [("image", {"id": one.id, "index": one.index}) for one in made]
        said += [("job", {"status": status}), ("end", {"status": status})]
        told = [Update(after + k, kind, data) for k, (kind, data) in enumerate(said, 1)]
        ended = {
            "status": status, "fault": asdict(why) if why else None, "notices": list(notices), "told": told[-1].number,
            "completed_at": max(self.clock(), job.started_at or job.created_at), "worker": None,
        }  # fmt: skip
        do.execute(update(jobs).where(jobs.c.id == job.id).values(**ended))
        _tell(do, job.id, told)
        return told


def _word(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()


def _waits() -> ColumnElement[bool]:
    return jobs.c.status == "queued"


def _is(id: str, owner: str | None) -> ColumnElement[bool]:
    return jobs.c.id == id if owner is None else and_(jobs.c.id == id, jobs.c.owner == owner)


def _tell(do: Connection, id: str, told: Sequence[Update]) -> None:
    rows = [
        {"job": id, "number": one.number, "kind": one.kind, "data": dict(one.data), "picture": one.data.get("id")}
        for one in told
    ]
    do.execute(insert(updates), rows)


def _record(row: Row[Any], made: Mapping[str, list[Picture]] | None = None) -> Record:
    return Record(
        row.id, row.owner, Order(row.tool, row.model, row.request), row.status, row.created_at, row.started_at,
        row.completed_at, row.attempts, row.step, row.steps, pictures=tuple((made or {}).get(row.id, ())),
        notices=tuple(row.notices), fault=Fault(**row.fault) if row.fault else None,
    )  # fmt: skip


def _pictures_of(ask: Connection, ids: Sequence[str]) -> dict[str, list[Picture]]:
    found: dict[str, list[Picture]] = {}
    for row in ask.execute(select(pictures).where(pictures.c.job.in_(ids)).order_by(pictures.c.index)):
        found.setdefault(row.job, []).append(picture_of(row))
    return found
