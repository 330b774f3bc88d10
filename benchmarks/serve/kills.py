"""Is anything lost or doubled when the server is killed again and again?

    python benchmarks/serve/kills.py --jobs 500 --kills 200

A server with a stand-in for a model is killed (SIGKILL) at random moments and begun again at once, while a client that
does not give up orders pictures and asks for them. At the end, and after one more start, the server must hold every
job once, finished or reported failed, with all its pictures, and no file that belongs to nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

Given = TypeVar("Given")
PATIENCE = 60.0
"""Seconds that the server may be away for before the client gives up."""


class Server:
    """The process that is killed, and what is asked of it."""

    def __init__(self, data: Path, port: int, step: float, jobs: int) -> None:
        here = Path(__file__).with_name("stand_in.py")
        self.command = [sys.executable, str(here), "--data", str(data), "--port", str(port), "--step", str(step)]
        self.command += ["--waiting", str(jobs)]
        self.url, self.process = f"http://127.0.0.1:{port}", self._begin()
        self.lock = threading.Lock()

    def _begin(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill(self) -> None:
        """In the middle of whatever it does; the next one begins at once."""
        with self.lock:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = self._begin()

    def end(self) -> None:
        with self.lock:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)

    def ask(self, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
        """The JSON of a reply (or its bytes), however often one has to ask."""
        data = None if body is None else json.dumps(body).encode()
        told = {"content-type": "application/json", **(headers or {})}

        def once() -> Any:
            with urllib.request.urlopen(urllib.request.Request(self.url + path, data, told), timeout=10) as reply:
                found = reply.read()
                return json.loads(found) if "json" in reply.headers["content-type"] else found

        return self.patiently(once)

    def patiently(self, once: Callable[[], Given]) -> Given:
        """Until it works; what the server refuses is no accident."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                return once()
            except urllib.error.HTTPError as error:
                if error.code not in (429, 503) or time.monotonic() > until:
                    raise RuntimeError(f"{error.code}: {error.read().decode()}") from error
                time.sleep(0.2)
            except (OSError, json.JSONDecodeError):  # gone in the middle of a word
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)


def killing(server: Server, kills: int, seed: int, done: threading.Event) -> None:
    """Kill it at random moments, from its first breath to the middle of its work."""
    rng = random.Random(seed)
    for k in range(kills):
        time.sleep(rng.uniform(0.1, 3.0))
        server.kill()
        print(f"killed {k + 1}/{kills}", flush=True)
    done.set()


def every(server: Server) -> list[dict[str, Any]]:
    """All jobs, page by page."""
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = server.ask(f"/api/jobs?limit=200{cursor}")
        found += page["data"]
        if not page["next"]:
            return found
        cursor = f"&cursor={page['next']}"


def ends(server: Server, id: str) -> int:
    """How often the end of a job was told, in all that is told of it; numbers never go back."""
    text = server.ask(f"/api/jobs/{id}/events").decode()
    numbers = [int(line[4:]) for line in text.splitlines() if line.startswith("id: ")]
    assert numbers == sorted(set(numbers)), f"{id}: {numbers}"
    return sum(line == "event: end" for line in text.splitlines())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--step", type=float, default=0.05, help="seconds of each of a job's 8 steps")
    parser.add_argument("--port", type=int, default=8011)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, help="kept afterwards; by default a folder that is removed")
    args = parser.parse_args()
    data = args.data or Path(tempfile.mkdtemp(prefix="tranh-kills-"))
    server, done = Server(data, args.port, args.step, args.jobs), threading.Event()
    begun = time.monotonic()
    threading.Thread(target=killing, args=(server, args.kills, args.seed, done), daemon=True).start()
    ids = []
    for k in range(args.jobs):  # over the whole time
        order = {"request": {"prompt": f"picture {k}", "seed": k, "count": 1 + k % 2}}
        ids.append(server.ask("/api/jobs", order, {"idempotency-key": f"order-{k}"})["id"])
        if not done.is_set():
            time.sleep(1.6 * args.kills / args.jobs)
    done.wait()
    while open_ones := [job for job in every(server) if job["status"] in ("queued", "in_progress")]:
        print(f"{len(open_ones)} left", flush=True)
        time.sleep(1)
    server.end()
    server = Server(data, args.port, args.step, args.jobs)  # what it finds at its start it puts in order
    jobs = every(server)
    images = [image for job in jobs for image in job["images"]]
    files = [server.ask(image["url"]) for image in images]
    states = Counter(job["status"] for job in jobs)
    told = Counter(ends(server, job["id"]) for job in jobs)
    server.end()
    kept = {p.name.split(".")[0]: p for p in data.rglob("*") if p.is_file() and len(p.name.split(".")[0]) == 64}
    wanted = {hashlib.sha256(file).hexdigest() for file in files}
    faults = {
        "jobs lost": len(set(ids) - {job["id"] for job in jobs}),
        "jobs doubled": len(jobs) - len({job["id"] for job in jobs}) + max(0, len(jobs) - len(set(ids))),
        "orders doubled": len(jobs) - len({job["request"]["prompt"] for job in jobs}),
        "neither finished nor reported": len(jobs) - states["completed"] - states["failed"],
        "finished without all its pictures": sum(
            len(job["images"]) != job["request"]["count"] for job in jobs if job["status"] == "completed"
        ),
        "not told its end exactly once": sum(count for times, count in told.items() if times != 1),
        "files lost": len(wanted - kept.keys()),
        "files of nothing": len(kept.keys() - wanted),
    }
    print(f"{len(jobs)} jobs in {time.monotonic() - begun:.0f} s with {args.kills} kills: {dict(states)}")
    for fault, count in faults.items():
        print(f"{count:5}  {fault}")
    if args.data is None:
        shutil.rmtree(data)
    sys.exit(1 if any(faults.values()) else 0)


if __name__ == "__main__":
    main()
