"""The server is killed at every point, and keeps its promises after the next start."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
from crashes import opened, order
from databases import Postgres

from tranh.serve.desk import Desk
from tranh.serve.orders import ENDS
from tranh.serve.store import Store

HERE = Path(__file__).parent


class Nursery:
    """Servers that are begun and die, see crashes.py."""

    def __init__(self) -> None:
        self._pid: int | None = None
        path = os.pathsep.join([str(HERE), os.environ["PYTHONPATH"]])
        self.process = subprocess.Popen(
            [sys.executable, HERE / "crashes.py"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path},
        )  # fmt: skip

    def begin(self, script: str, folder: Path, url: str, faults: str = "") -> int:
        """Start one; gives its process id."""
        asked = {"script": script, "folder": str(folder), "url": url, "faults": faults}
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        self._pid = int(self._told()["pid"])
        return self._pid

    def end(self) -> bool:
        """Wait for its end; gives whether it was killed."""
        status, self._pid = int(self._told()["status"]), None
        assert status in (0, signal.SIGKILL), status
        return status != 0

    def close(self) -> None:
        """It goes, and a server that a failed test has left."""
        if self._pid is not None:
            os.kill(self._pid, signal.SIGKILL)
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait(20) == 0

    def _told(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        told: dict[str, Any] = json.loads(self.process.stdout.readline())
        return told


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.close()


def settled(folder: Path, url: str) -> Desk:
    """A server that has begun after a crash, and has drawn what was left."""
    desk = opened(folder, url)
    until = time.monotonic() + 20
    while (count := desk.store.queue.count()).keys() - ENDS:
        assert time.monotonic() < until, count
        time.sleep(0.005)
    return desk


def check(desk: Desk, most: int) -> None:
    """What must hold whatever happened."""
    jobs, pictures = desk.jobs(limit=200)[0], desk.pictures(limit=200)[0]
    assert len(jobs) <= most, "a job is there twice"
    for record in jobs:
        told = desk.store.queue.told(record.id)
        numbers = [update.number for update in told]
        assert numbers == sorted(set(numbers)) and [update.kind for update in told].count("end") == 1
        assert told[-1].kind == "end" and told[-1].data["status"] == record.status
        assert {update.data["id"] for update in told if update.kind == "image"} == {one.id for one in record.pictures}
        assert record.attempts <= 2 and record.status == "completed", record
    assert {one.id for one in pictures} == {one.id for record in jobs for one in record.pictures}
    blobs, needed = desk.store.album.blobs, {one.sha256 for one in pictures}
    needed |= {str(record.order.request["image"]) for record in jobs if "image" in record.order.request}
    for path in blobs.files():
        if path.suffix == ".tmp":  # left alone while another server may be writing it; the sweep below takes it
            continue
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name, "a file is not whole"
    found = {path.name for path in blobs.files() if path.suffix != ".tmp"}
    assert needed <= found, "a picture has no file"
    with desk.store.database.writing() as do:
        do.exec_driver_sql("UPDATE uploads SET created_at = 0")
    desk.store.album.sweep()
    assert {path.name for path in blobs.files()} == needed
    # what was sent and not used, and, where other servers may be at work, what the dead one was about to delete
    assert len(found - needed) <= (1 if desk.store.sole else 2), "files are left that nothing can explain"


@pytest.mark.parametrize(("kind", "every"), [("sqlite", 1), pytest.param("postgres", 9, marks=pytest.mark.postgres)])
def test_killed_at_every_point(
    kind: str, every: int, nursery: Nursery, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Of PostgreSQL every ninth: what lies between is the same code."""
    killed, point = True, 1
    while killed:
        folder = tmp_path / str(point)
        folder.mkdir()
        server: Postgres | None = request.getfixturevalue("server") if kind == "postgres" else None
        url = server.fresh() if server is not None else f"sqlite:///{folder}/tranh.db"
        nursery.begin("whole", folder, url, f"*:{point}:kill")
        killed = nursery.end() and (kind == "sqlite" or point < 46)  # there, a server looks for the dead for ever
        said = (folder / "said").read_text() if (folder / "said").exists() else ""
        desk = settled(folder, url)
        check(desk, most=2)
        jobs = {record.order.request["seed"]: record for record in desk.jobs()[0]}
        made = {number: [picture.seed for picture in record.pictures] for number, record in jobs.items()}
        for number in (1, 2):
            if f"accepted {number}" in said and not (number == 2 and "discarded" in said):  # then it is being removed
                assert f"accepted {number} {jobs[number].id}\n" in said
                assert made[number] == [number] or (number == 1 and "accepted 2" in said and made[1] == [])
        assert "discarded" not in said or made[1] == []
        assert "removed" not in said or 2 not in jobs
        again = desk.submit(order(1), idempotency="one")
        assert 1 not in jobs or again.id == jobs[1].id, "who asks again gets the job that was kept"
        desk.close()
        point += every
    assert point > 25


def test_a_job_that_kills_its_server_is_tried_twice(nursery: Nursery, url: str, tmp_path: Path) -> None:
    store = Store(tmp_path, url)
    store.close()
    for faults, dies in [("draw.encoded:1:kill", True), ("finish.done:1:kill", True), ("", False)]:
        nursery.begin("whole" if dies and faults.startswith("draw") else "drawing", tmp_path, url, faults)
        assert nursery.end() == dies
    desk = settled(tmp_path, url)
    record = desk.jobs()[0][-1]
    assert record.status == "failed" and record.attempts == 2 and not record.pictures
    assert record.fault is not None and record.fault.code == "server_stopped"
    desk.close()


@contextmanager
def serving(nursery: Nursery, folder: Path, url: str) -> Iterator[tuple[int, httpx2.Client]]:
    """A server that is killed at the end, or was before: its process id, and a client of it."""
    (folder / "socket").unlink(missing_ok=True)
    pid = nursery.begin("serving", folder, url)
    transport = httpx2.HTTPTransport(uds=str(folder / "socket"))
    with httpx2.Client(transport=transport, base_url="http://localhost") as client:
        until = time.monotonic() + 20
        while True:
            try:
                client.get("/api/jobs")
                break
            except httpx2.TransportError:
                assert time.monotonic() < until
                time.sleep(0.02)
        yield pid, client
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        assert nursery.end()


def watch(client: httpx2.Client, id: str, last: int = 0, kill: int | None = None) -> list[tuple[int, str, Any]]:
    """What is told of a job after a number; its server may be killed as soon as it told of progress."""
    seen: list[tuple[int, str, Any]] = []
    told: dict[str, str] = {}
    with client.stream("GET", f"/api/jobs/{id}/events", headers={"Last-Event-ID": str(last)}) as reply:
        for line in reply.iter_lines():
            name, _, value = line.partition(": ")
            told[name] = value
            if line or "id" not in told:
                continue
            seen.append((int(told["id"]), told["event"], json.loads(told["data"])))
            if kill is not None and told["event"] == "progress":
                os.kill(kill, signal.SIGKILL)
                return seen
            told.clear()
    return seen


def test_a_watcher_goes_on_after_a_restart(nursery: Nursery, url: str, tmp_path: Path) -> None:
    """Over HTTP: the server is killed under a client, which comes back with the last number it saw."""
    asked = {"request": {"prompt": "a cat", "seed": 5, "steps": 6}}
    with serving(nursery, tmp_path, url) as (pid, client):
        id = client.post("/api/jobs", json=asked, headers={"Idempotency-Key": "k"}).json()["id"]
        before = watch(client, id, kill=pid)
    with serving(nursery, tmp_path, url) as (_, client):
        assert client.post("/api/jobs", json=asked, headers={"Idempotency-Key": "k"}).json()["id"] == id
        after = watch(client, id, before[-1][0])
        done = client.get(f"/api/jobs/{id}").json()
    numbers = [number for number, _, _ in before + after]
    assert numbers == sorted(set(numbers)) and after[-1][1] == "end"
    assert [kind for _, kind, _ in before + after if kind in ("image", "end")] == ["image", "end"]
    assert done["status"] == "completed" and done["attempts"] == 2 and done["images"][0]["seed"] == 5


def test_a_watcher_of_what_waits_goes_on_after_a_restart(nursery: Nursery, url: str, tmp_path: Path) -> None:
    """The job was not begun when the server was killed: it is begun once, after the others are drawn again."""
    with serving(nursery, tmp_path, url) as (pid, client):
        *_, id = [
            client.post("/api/jobs", json={"request": {"prompt": "a cat", "seed": k, "steps": 20}}).json()["id"]
            for k in range(3)  # two are drawn at a time
        ]
        before = watch(client, id, kill=pid)
    assert [kind for _, kind, _ in before] == ["job", "progress"]
    assert before[0][2]["status"] == "queued" and before[1][2]["steps"] == 0
    with serving(nursery, tmp_path, url) as (_, client):
        after = watch(client, id, before[-1][0])
        done = client.get(f"/api/jobs/{id}").json()
    numbers = [number for number, _, _ in before + after]
    assert numbers == sorted(set(numbers)), "each is told once"
    states = [(kind, data["status"]) for _, kind, data in before + after if kind in ("job", "end")]
    assert states == [("job", "queued"), ("job", "in_progress"), ("job", "completed"), ("end", "completed")]
    assert [data["seed"] for _, kind, data in after if kind == "image"] == [2]
    assert done["status"] == "completed" and done["attempts"] == 1 and len(done["images"]) == 1
