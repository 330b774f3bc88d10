"""The durable queue against a model of it: whatever happens in whatever order, no job is lost, doubled or half done."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import delete

from tranh.serve.album import Album
from tranh.serve.blobs import Blobs
from tranh.serve.orders import ENDS, Fault, Order, Picture, Record
from tranh.serve.queue import ATTEMPTS, Queue
from tranh.serve.tables import Database, jobs, workers

LEASE = 10.0
WHO, WHICH = st.sampled_from([0, 1]), st.sampled_from([0, 0, 1, 2])


@dataclass
class Known:
    """What a job must be."""

    status: str = "queued"
    attempts: int = 0
    holder: str = ""
    unwanted: bool = False
    colour: int = 0
    pictures: int = 0
    last: int = 1


def machine(url: str, folder: Path) -> type[RuleBasedStateMachine]:
    database = Database(url, synced=False)
    album = Album(database, Blobs(folder))

    class Rules(RuleBasedStateMachine):
        known: dict[str, Known]

        @initialize()
        def begin(self) -> None:
            with database.writing() as do:
                do.execute(delete(jobs))
                do.execute(delete(workers))
            album.sweep()
            self.now, self.known, self.keys = 1e9, dict[str, Known](), dict[str, str]()
            self.held: dict[str, set[tuple[str, int]]] = {}
            self.queues = [self.born(), self.born()]

        def born(self) -> Queue:
            queue = Queue(database, album, uuid.uuid4().hex, lease=LEASE, clock=lambda: self.now)
            queue.beat()
            return queue

        @precondition(lambda self: len(self.known) < 3)
        @rule(who=WHO, key=st.sampled_from([None, "a"]))
        def submit(self, who: int, key: str | None) -> None:
            order = Order("generate", "stub", {"prompt": f"of {key}"})
            id, told = self.queues[who].insert(Record(uuid.uuid4().hex, "", order, "queued", self.now), 1.0, key=key)
            if key is not None and (old := self.keys.get(key)) in self.known:
                assert id == old and told == []
            else:
                assert id not in self.known and [one.number for one in told] == [1]
                self.known[id] = Known(colour=len(self.known) % 3)
            if key is not None:
                self.keys[key] = id

        @precondition(lambda self: self.known)
        @rule(who=WHO)
        def claim(self, who: int) -> None:
            """All that waits; what does not is not given."""
            queue = self.queues[who]
            for id, known in self.known.items():
                claimed = queue.claim(id)
                assert (claimed is not None) == (known.status == "queued")
                if claimed is not None:
                    known.status, known.holder, known.attempts = "in_progress", queue.worker, known.attempts + 1
                    assert claimed[0].attempts == known.attempts
                    self.held.setdefault(queue.worker, set()).add((id, known.attempts))

        def mine(self, worker: str, id: str, attempt: int) -> bool:
            known = self.known.get(id)
            return known is not None and (known.status, known.holder, known.attempts) == (
                "in_progress",
                worker,
                attempt,
            )

        @rule(who=WHO, well=st.booleans())
        def finish(self, who: int, well: bool) -> None:
            """Also what is no longer this worker's: nobody listens then."""
            queue = self.queues[who]
            for id, attempt in self.held.pop(queue.worker, set()):
                heard = self.mine(queue.worker, id, attempt)
                data = b"picture %d" % (self.known[id].colour if id in self.known else 0)
                made = Picture(uuid.uuid4().hex, id, 0, Blobs.name(data), "image/png", 1, 1, len(data), 0, {}, self.now)
                told = (
                    queue.finish(id, attempt, "completed", made=[made], files=[data])
                    if well
                    else queue.finish(id, attempt, "failed", why=Fault("no"))
                )
                assert bool(told) == heard
                if heard:
                    self.known[id].status = "completed" if well else "failed"
                    self.known[id].pictures = int(well)

        @rule(who=WHO)
        def stop(self, who: int) -> None:
            """In order: what it draws waits again, as if it had not been begun."""
            queue = self.queues[who]
            for id, attempt in self.held.pop(queue.worker, set()):
                heard = self.mine(queue.worker, id, attempt)
                assert bool(queue.put_back(id, attempt)) == heard
                if heard and self.known[id].unwanted:
                    self.known[id].status = "cancelled"
                elif heard:
                    self.known[id].status, self.known[id].attempts = "queued", attempt - 1
            queue.leave()
            self.queues[who] = self.born()

        def one(self, which: int) -> tuple[str, Known]:
            """One of the jobs; those that have not ended come first."""
            found = sorted(self.known.items(), key=lambda one: one[1].status in ENDS)
            return found[which % len(found)]

        @rule(who=WHO, crashed=st.booleans())
        def time_passes(self, who: int, crashed: bool) -> None:
            """A lease; only one worker says meanwhile that it lives, the other is dead or slow."""
            if crashed:
                self.queues[1 - who] = self.born()
            self.now += LEASE + 1
            queue = self.queues[who]
            queue.beat()
            alive = {queue.worker}
            lost = {id for id, one in self.known.items() if one.status == "in_progress" and one.holder not in alive}
            assert set(queue.recover()) == lost and queue.recover() == []
            for id in lost:
                known = self.known[id]
                if known.unwanted:
                    known.status = "cancelled"
                else:
                    known.status = "failed" if known.attempts >= ATTEMPTS else "queued"

        @precondition(lambda self: self.known)
        @rule(who=WHO, which=WHICH, remove=st.booleans())
        def cancel(self, who: int, which: int, remove: bool) -> None:
            id, known = self.one(which)
            told = self.queues[who].cancel(id, "")
            assert bool(told) == (known.status == "queued")
            known.unwanted = known.status == "in_progress"
            known.status = "cancelled" if told else known.status
            if remove:
                self.queues[who].remove(id, "")
                del self.known[id]

        @invariant()
        def the_store_is_as_known(self) -> None:
            queue = self.queues[0]
            records = {record.id: record for record in queue.jobs("", None, None, 1000)[0]}
            assert records.keys() == self.known.keys()
            for id, known in self.known.items():
                record, told = records[id], queue.told(id)
                assert (record.status, record.attempts, len(record.pictures)) == (
                    known.status, known.attempts, known.pictures,
                )  # fmt: skip
                numbers = [one.number for one in told]
                assert numbers == sorted(set(numbers)) and numbers[-1] >= known.last
                known.last = numbers[-1]
                assert [one.kind for one in told].count("end") == (known.status in ENDS)
                assert told[-1].kind == "end" if known.status in ENDS else told[-1].data == {"status": known.status}
            needed = {b"picture %d" % one.colour for one in self.known.values() if one.pictures}
            assert {path.name for path in album.blobs.files()} == {Blobs.name(data) for data in needed}

    return Rules


def test_no_job_is_lost_doubled_or_half_done(url: str, tmp_path: Path) -> None:
    rules = machine(url, tmp_path / "blobs")
    few = settings(
        max_examples=25 if url.startswith("sqlite") else 8,
        stateful_step_count=30,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(rules, settings=few)
