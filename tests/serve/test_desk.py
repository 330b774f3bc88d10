"""The desk over its store: restarts, watchers, several servers, full disks. The same for both kinds of database."""

from __future__ import annotations

import asyncio
import base64
import io
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from stubs import Stub

from tranh.engine.doors import Doors
from tranh.engine.jobs import Busy, Engine
from tranh.serve.desk import Desk
from tranh.serve.faults import arm
from tranh.serve.orders import ENDS, Order, Record, Refused, Update, Work
from tranh.serve.runner import _Live, as_png
from tranh.serve.store import Store
from tranh.types import Event

LEASE = 0.6


def seen() -> Image.Image:
    return Image.new("RGB", (8, 8), (1, 0, 0))


class Gated(Stub):
    """A stub whose every step waits until the gate is open, and which shows what it draws."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()

    def ready(self, order: Order, pictures: Callable[[str], Image.Image]) -> Work:
        work = super().ready(order, pictures)

        def events() -> Iterator[Event]:
            for event in work.events():
                yield replace(event, preview=seen)
                while not self.gate.wait(0.01):
                    yield Event("draw", event.done, event.total)

        return Work(work.cost, events)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines and other servers are looked at more often than once a second."""
    monkeypatch.setattr("tranh.serve.runner.TICK", 0.05)


def order(prompt: str = "a cat", **more: Any) -> Order:
    return Order("generate", "stub", {"prompt": prompt, **more})


@contextmanager
def desk(folder: Path, url: str, model: Stub | None = None, active: int = 2, **more: Any) -> Iterator[Desk]:
    engine = Engine(Doors(), active=active, waiting=30)
    opened = Desk([model or Stub()], engine, Store(folder, url, synced=False, lease=LEASE), **more)
    try:
        yield opened
    finally:
        opened.close()


def patiently(submit: Callable[[], Record]) -> Record:
    """Until there is room: a cancelled job leaves its place when its thread has seen it."""
    until = time.monotonic() + 20
    while True:
        try:
            return submit()
        except Busy:
            assert time.monotonic() < until
            time.sleep(0.01)


def wait(desk: Desk, id: str, owner: str = "", until: Any = ENDS) -> Record:
    end = time.monotonic() + 20
    while (record := desk.job(id, owner)).status not in until:
        assert time.monotonic() < end, record
        time.sleep(0.01)
    return record


def watched(desk: Desk, id: str, after: int = 0) -> list[Update]:
    async def told() -> list[Update]:
        return [update async for update in desk.watch(id, after=after)]

    return asyncio.run(asyncio.wait_for(told(), 20))


def growing(updates: list[Update]) -> bool:
    numbers = [update.number for update in updates]
    return numbers == sorted(set(numbers))


def test_what_was_accepted_is_drawn_after_a_restart(url: str, tmp_path: Path) -> None:
    model = Gated()
    with desk(tmp_path, url, model, active=1) as first:
        ids = [first.submit(order(seed=k, count=2)).id for k in range(3)]
        running = wait(first, ids[0], until=("in_progress",))
        assert running.attempts == 1 and first.job(ids[2]).queue_position > 0
        last = first._feed.last(ids[0])
    assert model.begun == 1
    model.gate.set()
    with desk(tmp_path, url, model) as second:
        for k, id in enumerate(ids):
            done = wait(second, id)
            assert done.status == "completed" and done.attempts == 1, "the stop of a server is not the job's fault"
            assert [picture.seed for picture in done.pictures] == [k, k + 1]
            assert Image.open(io.BytesIO(second.file(done.pictures[0]))).getpixel((0, 0)) == (5, k, 4)
        told = watched(second, ids[0], after=last)
        assert growing(told) and told[0].number > last and told[-1].kind == "end"
    with desk(tmp_path, url) as third:
        replayed = watched(third, ids[0])
        assert growing(replayed) and [one.kind for one in replayed if one.kind not in ("job",)] == ["image"] * 2 + [
            "end"
        ]
        assert watched(third, ids[0], after=replayed[2].number) == replayed[3:]
        assert [record.id for record in third.jobs()[0]] == ids[::-1]


def test_a_server_that_stops_lets_what_runs_end(url: str, tmp_path: Path) -> None:
    model = Stub(pause=0.02)
    with desk(tmp_path, url, model, active=1) as first:
        ids = [first.submit(order(seed=k)).id for k in range(2)]
        wait(first, ids[0], until=("in_progress",))
        first._runner.close(grace=10.0)
        assert first.job(ids[0]).status == "completed" and first.job(ids[1]).status == "queued"
        with pytest.raises(Refused, match="stops") as refused:
            first.submit(order())
        assert refused.value.status == 503


def test_only_the_newest_preview_is_told(url: str, tmp_path: Path) -> None:
    model = Gated()
    with desk(tmp_path, url, model) as opened:
        id = opened.submit(order(), within=30).id
        end = time.monotonic() + 20
        while opened.preview(id) is None:
            assert time.monotonic() < end

        async def told() -> list[Update]:
            found = []
            async for update in opened.watch(id):
                found.append(update)
                if update.kind == "preview":
                    model.gate.set()
            return found

        updates = asyncio.run(asyncio.wait_for(told(), 20))
        previews = [update for update in updates if update.kind == "preview"]
        assert growing(updates) and previews and set(previews[0].data) == {"b64_json", "index"}
        assert Image.open(io.BytesIO(base64.b64decode(previews[0].data["b64_json"]))).getpixel((0, 0)) == (1, 0, 0)
        again = watched(opened, id)
        assert not [update for update in again if update.kind == "preview"] and opened.preview(id) is None
        assert [update for update in updates if update.kind not in ("preview", "progress")] == [
            update for update in again if update.kind != "progress"
        ]


@pytest.mark.parametrize("active", [1, 2], ids=["while it waits", "while it runs"])
def test_what_takes_too_long_is_cancelled(url: str, tmp_path: Path, active: int) -> None:
    with desk(tmp_path, url, Gated(), active=active, deadline=30) as opened:
        opened.submit(order("first"))
        id = opened.submit(order(), within=0.2).id
        record = wait(opened, id)
        assert record.status == "cancelled" and record.fault is not None and record.fault.code == "deadline_exceeded"
        assert watched(opened, id)[-1].kind == "end"


def test_a_job_is_cancelled_wherever_it_stands(url: str, tmp_path: Path) -> None:
    with desk(tmp_path, url, Gated(), active=1) as opened:
        running, waiting = opened.submit(order("first")).id, opened.submit(order("second")).id
        wait(opened, running, until=("in_progress",))
        assert opened.cancel(waiting).status == "cancelled"
        opened.cancel(running)
        assert wait(opened, running).status == "cancelled" and opened.cancel(running).fault is None
        again = opened.retry(running)
        assert again.id != running and again.order == order("first")


def test_a_queue_has_an_end_and_who_asks_again_takes_no_room(url: str, tmp_path: Path) -> None:
    with desk(tmp_path, url, Gated(), active=1) as opened:
        opened.engine.waiting = 1
        first = opened.submit(order("first"), idempotency="k")
        second = opened.submit(order("second"))
        with pytest.raises(Busy) as busy:
            opened.submit(order("third"))
        assert busy.value.retry_after > 0
        assert opened.submit(order("first"), idempotency="k").id == first.id
        assert opened.submit(order("second"), attach=True).id == second.id
        opened.cancel(second.id)
        assert wait(opened, second.id).status == "cancelled"
        assert patiently(lambda: opened.submit(order("third"))).status == "queued"


def kept(store: Store, number: int) -> list[str]:
    """Orders that wait in a store, accepted by a server before."""
    records = [Record(uuid.uuid4().hex, "", order(seed=k, steps=1), "queued", 1.0) for k in range(number)]
    return [store.queue.insert(record, 1.0)[0] for record in records]


def test_a_long_queue_is_drawn_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what found no room when it was accepted, while hundreds that are older wait."""
    model, store = Gated(), Store(tmp_path, f"sqlite:///{tmp_path}/tranh.db", synced=False)
    ids = kept(store, 240)
    engine = Engine(Doors(), active=1, waiting=219)
    opened = Desk([model], engine, store)
    try:
        assert engine.load()["queued"] + engine.load()["running"] == 220
        with pytest.raises(Busy):
            opened.submit(order())
        engine.waiting, submit, full = 300, engine.submit, threading.Event()

        def once(*given: Any) -> Any:
            if full.is_set():
                return submit(*given)
            full.set()
            raise Busy(300, 1.0)

        monkeypatch.setattr(engine, "submit", once)
        ids.append(opened.submit(order(steps=1)).id)
        model.gate.set()
        for id in ids:
            assert wait(opened, id).status == "completed"
    finally:
        opened.close()


def test_what_is_lost_while_the_store_is_asked_is_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with desk(tmp_path, f"sqlite:///{tmp_path}/tranh.db") as opened:
        runner, queue = opened._runner, opened.store.queue
        live = _Live(kept(opened.store, 1)[0], Work(1.0, lambda: iter(())))
        waiting = queue.waiting

        def meanwhile(*given: Any) -> Any:
            found = waiting(*given)
            runner._drop(live, lost=True)
            monkeypatch.setattr(queue, "waiting", waiting)
            return found

        monkeypatch.setattr(queue, "waiting", meanwhile)
        runner._live[live.id], runner._backlog = live, 1
        runner._feed()
        runner._changed.set()
        assert wait(opened, live.id).status == "completed"


def test_a_picture_that_is_lost_or_damaged_fails_its_job_and_not_the_server(url: str, tmp_path: Path) -> None:
    store = Store(tmp_path, url, synced=False)
    names = [store.album.add(as_png(Image.new("RGB", (8, 8), (k, 0, 0))), "image/png", "") for k in range(2)]
    records = [Record(uuid.uuid4().hex, "", order(image=name), "queued", 1.0) for name in names]
    ids = [store.queue.insert(record, 1.0)[0] for record in records] + kept(store, 1)
    store.album.blobs.path(names[0]).unlink()
    store.album.blobs.path(names[1]).write_bytes(b"no picture")
    store.close()
    with desk(tmp_path, url) as opened:
        lost, damaged, sound = [wait(opened, id) for id in ids]
        assert (lost.status, damaged.status, sound.status) == ("failed", "failed", "completed")
        assert lost.fault is not None and lost.fault.code == "not_found"
        assert damaged.fault is not None and damaged.fault.type == "server_error"
        assert not opened._runner._live, "no place is held for them"


def test_a_job_waits_while_its_store_does_not_answer(tmp_path: Path) -> None:
    class Away(Stub):
        times = 2

        def ready(self, order: Order, pictures: Callable[[str], Image.Image]) -> Work:
            self.times -= 1
            if self.times >= 0:
                raise Refused("the database of jobs does not answer", status=503, type="server_error")
            return super().ready(order, pictures)

    url = f"sqlite:///{tmp_path}/tranh.db"
    store = Store(tmp_path, url, synced=False)
    ids = kept(store, 2)
    store.close()
    with desk(tmp_path, url, Away()) as opened:
        assert [wait(opened, id).status for id in ids] == ["completed"] * 2


def test_a_full_disk_fails_the_job_and_not_the_server(url: str, tmp_path: Path) -> None:
    with desk(tmp_path, url) as opened:
        for point in ("blob.half", "finish.pictures"):
            arm(f"{point}:1:full")
            try:
                record = wait(opened, opened.submit(order()).id)
            finally:
                arm("")
            assert record.status == "failed" and record.fault is not None and not record.pictures
            assert record.fault.code == "insufficient_storage" and "full" in record.fault.message
            assert not list(opened.store.album.blobs.files())
        assert wait(opened, opened.submit(order()).id).status == "completed"


def test_an_end_that_finds_no_room_is_written_later(url: str, tmp_path: Path) -> None:
    """Not even that it failed can be written: the job ends as soon as there is room, and no restart is needed."""
    with desk(tmp_path, url) as opened:
        arm("finish.*:0:full")
        try:
            id = opened.submit(order()).id
            time.sleep(0.3)
            assert opened.job(id).status == "in_progress"
        finally:
            arm("")
        assert wait(opened, id).status == "failed"
        assert growing(watched(opened, id))


def test_too_little_memory_fails_the_job_and_not_the_server(url: str, tmp_path: Path) -> None:
    with desk(tmp_path, url) as opened:
        arm("draw.step:1:memory")
        try:
            record = wait(opened, opened.submit(order()).id)
        finally:
            arm("")
        assert record.status == "failed" and record.fault is not None and record.fault.code == "out_of_memory"
        failed = wait(opened, opened.submit(order("fail")).id)
        assert failed.fault is not None and "secret" not in failed.fault.message
        assert wait(opened, opened.submit(order()).id).status == "completed"


def test_a_job_that_is_removed_while_it_runs_leaves_nothing(url: str, tmp_path: Path) -> None:
    model = Gated()
    with desk(tmp_path, url, model) as opened:
        id = opened.submit(order()).id
        wait(opened, id, until=("in_progress",))
        opened.remove(id)
        model.gate.set()
        with pytest.raises(Refused, match="no job"):
            opened.job(id)
        other = wait(opened, opened.submit(order()).id).pictures[0]
        assert [path.name for path in opened.store.album.blobs.files()] == [other.sha256]
        opened.discard(other.id)
        assert not list(opened.store.album.blobs.files()) and opened.pictures() == ([], None)


def test_pictures_are_small_marked_and_read_again(url: str, tmp_path: Path) -> None:
    with desk(tmp_path, url) as opened:
        picture = wait(opened, opened.submit(order(size=600), "a").id, "a").pictures[0]
        small = Image.open(io.BytesIO(opened.thumb(picture)))
        assert small.format == "WEBP" and small.size == (256, 256)
        assert opened.mark(picture.id, "a", favourite=True).favourite
        assert (
            opened.pictures("a", favourite=True)[0][0].id == picture.id and not opened.pictures("a", favourite=False)[0]
        )
        with pytest.raises(Refused, match="no image"):
            opened.mark(picture.id, "b", favourite=True)
        sent = opened.add(opened.file(picture), "image/png", "a")
        assert wait(opened, opened.submit(order(image=sent), "a").id, "a").status == "completed"
        with pytest.raises(Refused, match="no picture"):
            opened.submit(order(image=sent), "b")


@pytest.mark.parametrize("strange", ["", "a\0b", "../x", "ł" * 9, "9" * 40, "None"])
def test_strange_names_are_not_found(url: str, tmp_path: Path, strange: str) -> None:
    with desk(tmp_path, url) as opened:
        for asked in (opened.job, opened.picture, opened.picture_in, opened.cancel, opened.remove):
            with pytest.raises(Refused) as refused:
                asked(strange)
            assert refused.value.status == 404
        for paged in (opened.jobs, opened.pictures):
            with pytest.raises(Refused, match="no cursor"):
                paged(cursor=strange)
        with pytest.raises(Refused, match="allowed: queued"):
            opened.jobs(status=strange)


def test_watchers_are_no_threads(tmp_path: Path) -> None:
    model = Gated()
    with desk(tmp_path, f"sqlite:///{tmp_path}/tranh.db", model) as opened:
        id = opened.submit(order()).id
        wait(opened, id, until=("in_progress",))

        async def last() -> Update:
            async for update in opened.watch(id):
                seen = update
            return seen

        async def many() -> tuple[int, list[Update]]:
            loop = asyncio.get_running_loop()
            tasks = [asyncio.create_task(last()) for _ in range(300)]
            await asyncio.sleep(0.5)
            threads = threading.active_count()
            loop.call_soon(model.gate.set)
            return threads, await asyncio.wait_for(asyncio.gather(*tasks), 20)

        threads, ends = asyncio.run(many())
        assert threads < 60 and {update.kind for update in ends} == {"end"}
        assert not opened._feed.watched()


def test_servers_of_one_database_draw_nothing_twice(server: Any, tmp_path: Path) -> None:
    url, models = server.fresh(), [Stub(pause=0.02), Stub(pause=0.02)]
    with desk(tmp_path, url, models[0], active=2) as first, desk(tmp_path, url, models[1], active=2) as second:
        ids = [first.submit(order(seed=k)).id for k in range(16)]
        assert [wait(second, id).status for id in ids] == ["completed"] * 16
        assert sum(model.begun for model in models) == 16 and models[1].begun > 0
        assert all(first.job(id).attempts == 1 and len(first.job(id).pictures) == 1 for id in ids)


def test_a_job_is_watched_and_cancelled_from_another_server(server: Any, tmp_path: Path) -> None:
    url, model = server.fresh(), Gated()
    with desk(tmp_path, url, model) as first, desk(tmp_path, url, Gated()) as second:
        id = first.submit(order()).id
        wait(second, id, until=("in_progress",))

        async def told() -> list[Update]:
            found = []
            async for update in second.watch(id):
                found.append(update)
                if update.kind == "progress":
                    await asyncio.to_thread(second.cancel, id)
            return found

        updates = asyncio.run(asyncio.wait_for(told(), 20))
        assert growing(updates) and updates[-1].data["status"] == "cancelled"
        assert first.job(id).status == "cancelled"
