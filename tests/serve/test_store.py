"""The durable queue and its files, in SQLite and in a real PostgreSQL server: the same tests for both."""

from __future__ import annotations

import io
import sqlite3
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from databases import Postgres
from PIL import Image
from sqlalchemy import create_engine, text

from tranh.serve.faults import arm
from tranh.serve.orders import Fault, Order, Picture, Record, Refused
from tranh.serve.queue import LEAP, fingerprint
from tranh.serve.store import Store
from tranh.types import TranhError

DAY = 86400.0


class Clock:
    """Unix seconds that only a test moves."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(url: str, tmp_path: Path, clock: Clock) -> Iterator[Store]:
    store = Store(tmp_path, url, synced=False, clock=clock)
    yield store
    store.close()


def order(prompt: str = "a cat", **more: Any) -> Order:
    return Order("generate", "stub", {"prompt": prompt, **more})


def submit(store: Store, prompt: str = "a cat", owner: str = "", key: str | None = None, **more: Any) -> str:
    record = Record(uuid.uuid4().hex, owner, order(prompt, **more), "queued", store.queue.clock())
    return store.queue.insert(record, 4.0, key=key)[0]


def png(colour: int) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (8, 8), (colour, 0, 0)).save(data, "PNG")
    return data.getvalue()


def finish(store: Store, id: str, *colours: int) -> list[Picture]:
    """Draw a job that waits."""
    claimed = store.queue.claim(id)
    assert claimed is not None
    files = [png(colour) for colour in colours]
    made = [
        Picture(
            uuid.uuid4().hex, id, k, store.album.blobs.name(data), "image/png", 8, 8, len(data), k, {"seed": k}, 1.0
        )
        for k, data in enumerate(files)
    ]
    assert store.queue.finish(id, claimed[0].attempts, "completed", made=made, files=files)
    return made


def files(store: Store) -> set[str]:
    return {path.name for path in store.album.blobs.files()}


def test_a_job_goes_its_way(store: Store) -> None:
    id = submit(store, seed=2**61)
    assert [record.id for record, _, _ in store.queue.waiting()] == [id]
    made = finish(store, id, 1, 2)
    record = store.queue.job(id, "")
    assert record is not None and record.status == "completed" and record.order.request["seed"] == 2**61
    assert list(record.pictures) == made
    told = store.queue.told(id)
    assert [one.kind for one in told] == ["job", "job", "image", "image", "job", "end"]
    assert [one.number for one in told] == [1, 2, 3, 4, 5, 6]
    assert store.queue.told(id, 4) == told[4:]
    assert files(store) == {one.sha256 for one in made}
    assert store.queue.finish(id, 1, "failed") == [] and store.queue.claim(id) is None


def test_a_job_is_claimed_once(store: Store) -> None:
    ids = [submit(store, str(k)) for k in range(4)]
    claimed: list[str] = []

    def take() -> None:
        claimed.extend(id for id in ids if store.queue.claim(id) is not None)

    threads = [threading.Thread(target=take) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == sorted(ids)


def test_a_key_stands_for_one_job_for_a_day(store: Store, clock: Clock) -> None:
    first = submit(store, "a cat", key="k")
    assert submit(store, "a cat", key="k") == first
    assert store.queue.known("", fingerprint(order("a cat")), "k", False) == first
    with pytest.raises(Refused, match="another request") as refused:
        submit(store, "a dog", key="k")
    assert refused.value.status == 422 and refused.value.code == "idempotency_key_reused"
    assert submit(store, "a dog", "somebody else", key="k") != first
    clock.now += DAY + 1
    assert store.queue.known("", fingerprint(order("a cat")), "k", False) is None
    assert submit(store, "a dog", key="k") != first


def test_a_key_stands_for_one_job_however_many_come_at_once(store: Store) -> None:
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(submit(store, key="k\0é"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and len(set(found)) == 1 and len(store.queue.jobs("", None, None, 9)[0]) == 1


def test_who_asks_again_is_led_to_the_job_that_runs(store: Store) -> None:
    body = fingerprint(order())
    id = submit(store)
    assert store.queue.known("", body, None, True) == id
    assert store.queue.known("other", body, None, True) is None
    assert store.queue.known("", fingerprint(order(seed=1)), None, True) is None
    store.queue.claim(id)
    assert store.queue.known("", body, None, True) == id
    store.queue.cancel(id, "")
    assert store.queue.known("", body, None, True) is None, "it is about to end"


def test_owners_do_not_see_each_other(store: Store) -> None:
    id = submit(store, owner="a")
    picture = finish(store, id, 1)[0]
    assert store.queue.job(id, "b") is None and store.album.picture(picture.id, "b") is None
    assert store.queue.jobs("b", None, None, 9) == ([], None) and store.album.pictures("b", None, None, 9) == ([], None)
    store.queue.remove(id, "b")
    assert store.queue.cancel(id, "b") == []
    assert store.queue.job(id, "a") is not None and files(store) == {picture.sha256}
    assert store.album.may_read(picture.sha256, "a") and not store.album.may_read(picture.sha256, "b")


def test_a_text_that_names_anothers_file_gives_no_right_to_it(store: Store) -> None:
    sent = store.album.add(png(7), "image/png", "a")
    submit(store, owner="b", negative_prompt=sent)
    assert not store.album.may_read(sent, "b")


def test_files_that_were_sent_have_an_end(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tranh.serve.album.MOST_SENT", 3)
    others = store.album.add(png(1), "image/png", "b")
    sent = [store.album.add(png(k), "image/png", "a") for k in (2, 3, 4)]
    submit(store, owner="a", image=sent[0])
    store.album.add(png(2), "image/png", "a")  # sent again, it is the newest
    new = [store.album.add(png(k), "image/png", "a") for k in (5, 6)]
    assert files(store) == {others, sent[0], *new}
    new.append(store.album.add(png(7), "image/png", "a"))
    assert files(store) == {others, sent[0], *new} and store.album.may_read(sent[0], "a")  # its job needs it


def test_pages_stay_right_while_others_come_and_go(store: Store) -> None:
    ids = [submit(store, str(k)) for k in range(6)]
    made = [finish(store, id, k)[0].id for k, id in enumerate(ids)]
    page, cursor = store.queue.jobs("", None, None, 2)
    shown, place = store.album.pictures("", None, None, 2)
    assert [one.id for one in page] == ids[:3:-1] and [one.id for one in shown] == made[:3:-1]
    finish(store, submit(store, "new"), 99)
    store.queue.remove(ids[4], "")  # the last of the first page
    rest: list[str] = []
    while cursor is not None:
        page, cursor = store.queue.jobs("", None, cursor, 2)
        rest += [one.id for one in page]
    assert rest == ids[3::-1]
    shown, place = store.album.pictures("", None, place, 4)
    assert [one.id for one in shown] == made[3::-1] and place is None


def test_a_file_goes_with_the_last_that_needs_it(store: Store) -> None:
    sent = store.album.add(png(7), "image/png", "a")
    assert store.album.add(png(7), "image/png", "a") == sent
    first = submit(store, "with a picture", "a", image=sent, other={"list": [sent]})
    second = submit(store, "the same picture", "b")
    same = finish(store, second, 7)[0]
    assert files(store) == {sent} == {same.sha256}
    store.album.discard(same)
    assert store.album.sweep() == 0 and files(store) == {sent}
    store.queue.remove(first, "a")
    assert files(store) == {sent}, "it was sent less than a day ago"
    with store.database.writing() as do:
        do.execute(text("UPDATE uploads SET created_at = 0"))
    other = store.album.add(png(8), "image/png", "a")
    assert files(store) == {other}


def test_what_was_left_is_swept_at_the_start(url: str, tmp_path: Path) -> None:
    store = Store(tmp_path, url, synced=False)
    kept = finish(store, submit(store), 1)[0]
    store.close()
    folder = tmp_path / "blobs" / kept.sha256[:2]
    (folder / ("0" * 64)).write_bytes(b"no row refers to it")
    (folder / f".{kept.sha256}.1.2.tmp").write_bytes(b"ha")
    store = Store(tmp_path, url, synced=False)
    assert store.swept == 2 and files(store) == {kept.sha256}
    store.close()


def test_the_dead_are_replaced_once(url: str, tmp_path: Path, clock: Clock) -> None:
    """A worker that says nothing more has lost its job: it is begun again once, then it has failed."""
    store = Store(tmp_path, url, synced=False, clock=clock)
    id = submit(store)
    for attempt in (1, 2):
        claimed = store.queue.claim(id, after=40)
        assert claimed is not None and claimed[0].attempts == attempt
        store.queue.worker = f"another {attempt}"
        store.queue.beat()
        assert store.queue.recover() == [], "the one that draws it lives"
        clock.now += store.queue.lease + 1
        store.queue.beat()
        assert store.queue.recover() == [id] and store.queue.recover() == []
    record = store.queue.job(id)
    assert record is not None and record.status == "failed" and record.attempts == 2
    assert record.fault is not None and record.fault.code == "server_stopped"
    numbers = [one.number for one in store.queue.told(id)]
    assert numbers == sorted(set(numbers)) and numbers[2] > LEAP
    assert [one.kind for one in store.queue.told(id)].count("end") == 1
    store.close()


def test_what_was_begun_without_our_knowing_is_begun_again(store: Store, clock: Clock) -> None:
    """The answer to a claim was lost with its connection: the worker lives, and nobody draws its job."""
    lost, drawn, new = [submit(store, str(k)) for k in range(3)]
    store.queue.claim(lost, after=40)
    store.queue.claim(drawn)
    clock.now += store.queue.lease + 1
    store.queue.beat()
    store.queue.claim(new)
    assert store.queue.recover() == []
    assert store.queue.recover(held=[drawn]) == [lost] and store.queue.recover(held=[drawn]) == []
    again = store.queue.job(lost)
    assert again is not None and again.status == "queued" and again.attempts == 1
    assert store.queue.told(lost)[-1].number > LEAP
    assert store.queue.recover(held=[]) == [drawn]


def test_one_that_comes_back_from_the_dead_is_not_heard(store: Store, clock: Clock) -> None:
    id = submit(store)
    store.queue.claim(id)
    late, store.queue.worker = store.queue.worker, "another"
    clock.now += store.queue.lease + 1
    store.queue.beat()
    store.queue.recover()
    again = store.queue.claim(id)
    assert again is not None
    store.queue.worker = late
    made = Picture("p", id, 0, store.album.blobs.name(png(1)), "image/png", 8, 8, 9, 0, {}, 1.0)
    assert store.queue.finish(id, 1, "completed", made=[made], files=[png(1)]) == []
    assert files(store) == set(), "what it drew is not kept"
    store.queue.worker = "another"
    assert store.queue.finish(id, 2, "failed", why=Fault("no"))


def test_clocks_that_jump_do_not_make_time_negative(store: Store, clock: Clock) -> None:
    id = submit(store)
    claimed = store.queue.claim(id)
    clock.now -= 3600
    store.queue.finish(id, 1, "failed", why=Fault("no"))
    record = store.queue.job(id)
    assert claimed is not None and record is not None and record.started_at is not None
    assert record.completed_at is not None and record.completed_at >= record.started_at >= record.created_at


def test_a_full_disk_is_said_and_nothing_of_it_is_left(store: Store) -> None:
    for point in ("blob.half", "blob.written", "add.done"):
        arm(f"{point}:1:full")
        try:
            with pytest.raises(Refused, match="full") as refused:
                store.album.add(png(3), "image/png", "")
        finally:
            arm("")
        assert refused.value.status == 507 and files(store) == set()
    assert store.album.add(png(3), "image/png", "") in files(store), "there is room again"


def test_a_database_that_is_full_is_said(tmp_path: Path) -> None:
    store = Store(tmp_path, f"sqlite:///{tmp_path}/tranh.db")
    with store.database.reading() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    whole: Callable[[Any], None] = lambda do: do.exec_driver_sql(f"PRAGMA max_page_count={pages}")  # noqa: E731
    with pytest.raises(Refused) as refused, store.database.writing() as do:
        whole(do)
        do.execute(text("CREATE TABLE large AS SELECT zeroblob(1000000)"))
    assert refused.value.status == 507 and "full" in str(refused.value)
    store.close()


def test_other_databases_are_refused(tmp_path: Path, url: str) -> None:
    Store(tmp_path, url, synced=False).close()
    name = url.replace("postgresql:", "postgresql+psycopg:")
    with create_engine(name).begin() as connection:
        connection.execute(text("UPDATE tranh_store SET version = 99"))
    with pytest.raises(TranhError, match="99"):
        Store(tmp_path, url)
    with create_engine(name).begin() as connection:
        connection.execute(text("DROP TABLE tranh_store"))
    with pytest.raises(TranhError, match="another program's"):
        Store(tmp_path, url)


def test_places_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    (tmp_path / "tranh.db").write_bytes(b"not a database" * 99)
    for url, why in [
        ("", "cannot be opened.*not a database"),
        ("mysql://x/y", "allowed: sqlite"),
        ("nonsense", "allowed: sqlite"),
        (f"postgresql://x@/y?host={tmp_path}", "does not answer"),
    ]:
        with pytest.raises(TranhError, match=why):
            Store(tmp_path, url or None)
    (tmp_path / "tranh.db").unlink()
    store = Store(tmp_path)
    with pytest.raises(TranhError, match="another server uses"):
        Store(tmp_path)
    store.close()
    Store(tmp_path).close()


def test_the_disk_is_waited_for(tmp_path: Path) -> None:
    store = Store(tmp_path, f"sqlite:///{tmp_path}/tranh.db")
    with store.database.reading() as connection:
        names = ("journal_mode", "synchronous", "foreign_keys")
        asked = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in names}
    assert asked == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    store.close()
    assert sqlite3.connect(tmp_path / "tranh.db").execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.postgres
def test_one_setting_keeps_jobs_in_postgresql(
    server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    url = server.fresh()
    monkeypatch.setenv("TRANH_DATABASE_URL", url)
    with closing(Store(tmp_path / "one", clock=clock)) as one, closing(Store(tmp_path / "two", clock=clock)) as two:
        id = submit(one)
        assert not one.sole and [record.id for record in two.queue.jobs("", None, None, 10)[0]] == [id]
        assert not list(tmp_path.rglob("*.db"))
    monkeypatch.setenv("TRANH_DATABASE_URL", "postgresql://nobody@/nothing?host=/nowhere")
    with pytest.raises(TranhError):
        Store(tmp_path)
