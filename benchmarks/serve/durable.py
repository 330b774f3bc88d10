"""Kill the server again and again while it works, and count what became of the jobs; and what a submit costs.

    python benchmarks/serve/durable.py --kills 200 --jobs 500
    python benchmarks/serve/durable.py --submits 300

The first starts a server with a model that draws one colour in a few milliseconds, orders jobs over HTTP with an
idempotency key each (asking again, as a client does, where no reply came), and sends SIGKILL at random times, while the
server starts too. At the end every job must be completed or reported as failed, none twice, with whole files and no
orphan; it exits with 1 if not. ``TRANH_DATABASE_URL`` chooses PostgreSQL; use an empty database.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import uvicorn
from PIL import Image

from tranh.engine.doors import Doors
from tranh.engine.jobs import Engine
from tranh.recipes.pictures import Pictures
from tranh.serve.app import create_app
from tranh.serve.desk import Desk
from tranh.serve.orders import ENDS, Order, Work
from tranh.serve.store import Store
from tranh.types import Event

LEASE = 1.0


class Colour:
    """Its picture has one colour, made of the seed."""

    name, created = "colour", 0
    about: Mapping[str, Any] = {}

    def ready(self, order: Order, pictures: Callable[[str], Image.Image]) -> Work:
        seed = int(order.request["seed"])

        def events() -> Iterator[Event]:
            for step in range(4):
                time.sleep(0.002)
                yield Event("draw", step + 1, 4)
            made = Image.new("RGB", (16, 16), (seed % 256, seed // 256, 0))
            yield Event("draw", 4, 4, result=Pictures([made], [], [{"seed": seed}]))

        return Work(4.0, events)

    def understand(self, prompt: str) -> Mapping[str, Any]:
        return {}


def opened(folder: Path) -> Desk:
    return Desk([Colour()], Engine(Doors(), active=4, waiting=200), Store(folder, lease=LEASE))


def serve(folder: Path) -> None:
    uvicorn.run(create_app(opened(folder)), uds=str(folder / "socket"), log_level="critical")


def forked(run: Callable[[], None]) -> int:
    """The id of a process that runs something and ends."""
    child = os.fork()
    if child == 0:
        try:
            run()
            os._exit(0)
        finally:  # nothing of its parent is tidied up by it
            os._exit(1)
    return child


def client_of(folder: Path) -> httpx2.Client:
    transport = httpx2.HTTPTransport(uds=str(folder / "socket"))
    return httpx2.Client(transport=transport, base_url="http://localhost", timeout=5)


def order(folder: Path, jobs: int) -> None:
    """A client: every job until a reply has come; then its number and id are written down."""
    with client_of(folder) as client, (folder / "accepted").open("a", buffering=1) as accepted:
        for number in range(jobs):
            asked = {"tool": "generate", "request": {"prompt": "a colour", "seed": number}}
            while True:
                try:
                    reply = client.post("/api/jobs", json=asked, headers={"Idempotency-Key": f"job {number}"})
                except httpx2.TransportError:
                    time.sleep(0.02)
                    continue
                if reply.status_code == 202:
                    accepted.write(f"{number} {reply.json()['id']}\n")
                    break
                time.sleep(float(reply.headers.get("retry-after", 0.1)))


def count(folder: Path) -> int:
    """Jobs that were accepted."""
    return (folder / "accepted").read_text().count("\n")


def reached(folder: Path, goal: int) -> None:
    """Wait until so many jobs were accepted, and the server answers."""
    with client_of(folder) as client:
        while True:
            try:
                client.get("/healthz")
                if count(folder) >= goal:
                    return
            except httpx2.TransportError:
                pass
            time.sleep(0.005)


def killed(folder: Path, kills: int, jobs: int, seed: int) -> bool:
    """Whether every promise was kept."""
    (folder / "accepted").touch()
    chance, client = random.Random(seed), forked(lambda: order(folder, jobs))
    for kill in range(kills):
        (folder / "socket").unlink(missing_ok=True)
        server = forked(lambda: serve(folder))
        more = chance.randint(-1, 2 * jobs // kills)  # it dies after so many orders; before it answers where negative
        if more >= 0:
            reached(folder, min(jobs, count(folder) + more))
        time.sleep(chance.uniform(0, 0.1))
        os.kill(server, signal.SIGKILL)
        os.waitpid(server, 0)
        print(f"\r{kill + 1} kills, {count(folder)} jobs accepted", end="", file=sys.stderr)
    print(file=sys.stderr)
    (folder / "socket").unlink(missing_ok=True)
    server = forked(lambda: serve(folder))
    os.waitpid(client, 0)
    os.kill(server, signal.SIGKILL)
    os.waitpid(server, 0)
    lines = (folder / "accepted").read_text().splitlines()
    return checked(folder, {int(number): id for number, id in map(str.split, lines)})


def checked(folder: Path, accepted: dict[int, str]) -> bool:
    desk = opened(folder)
    while desk.store.queue.count().keys() - ENDS:
        time.sleep(0.05)
    records, cursor = desk.jobs(limit=200)
    while cursor is not None:
        page, cursor = desk.jobs(cursor=cursor, limit=200)
        records += page
    seeds = Counter(int(record.order.request["seed"]) for record in records)
    ends = [[one.kind for one in desk.store.queue.told(record.id)].count("end") for record in records]
    pictures = [picture for record in records for picture in record.pictures]
    files = {path.name for path in desk.store.album.blobs.files()}
    states = Counter(record.status for record in records)
    kept = {
        "every job that was accepted is there, under its id": accepted
        == {int(record.order.request["seed"]): record.id for record in records},
        "none is there twice": set(seeds.values()) == {1},
        "each ended once": set(ends) == {1},
        "a completed one has its picture, a failed one says why": all(
            [picture.seed for picture in record.pictures] == [record.order.request["seed"]]
            if record.status == "completed"
            else record.status == "failed" and record.fault is not None and record.attempts == 2
            for record in records
        ),
        "every file is whole": all(
            hashlib.sha256(desk.store.album.blobs.read(name)).hexdigest() == name for name in files
        ),
        "no file is missing, none is an orphan": files == {picture.sha256 for picture in pictures},
    }
    desk.close()
    print(f"jobs: {len(records)} ({', '.join(f'{number} {state}' for state, number in states.items())})")
    for promise, true in kept.items():
        print(f"{'kept  ' if true else 'BROKEN'} {promise}")
    return all(kept.values())


def submits(folder: Path, count: int) -> None:
    """What a submit costs, beside the smallest thing that is as safe: a few bytes appended and synced."""
    desk = opened(folder)
    took, synced = [], []
    with (folder / "plain").open("ab", buffering=0) as file:
        for number in range(count):
            begun = time.perf_counter()
            id = desk.submit(Order("generate", "colour", {"seed": number})).id
            took.append(time.perf_counter() - begun)
            while desk.job(id).status not in ENDS:
                time.sleep(0.001)
            begun = time.perf_counter()
            file.write(b"x" * 4096)
            os.fsync(file.fileno())
            synced.append(time.perf_counter() - begun)
    desk.close()
    submit, sync = statistics.median(took), statistics.median(synced)
    print(f"a submit: {submit * 1e3:.2f} ms; 4 KiB written and synced: {sync * 1e3:.2f} ms; ratio {submit / sync:.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--submits", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    kept = True
    if asked.submits:
        with tempfile.TemporaryDirectory() as folder:
            submits(Path(folder), asked.submits)
    if asked.kills:
        with tempfile.TemporaryDirectory() as folder:
            kept = killed(Path(folder), asked.kills, asked.jobs, asked.seed)
    sys.exit(not kept)


if __name__ == "__main__":
    main()
