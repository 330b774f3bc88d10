"""What happens when a thousand clients come at once?

    python benchmarks/serve/crowd.py --clients 1000 --rounds 5

A server with a stand-in for a model has room for 16 running jobs and 256 waiting ones. In each round every client
orders a picture in the same moment, on a connection of its own. Told are: how many were accepted and how many refused
with 429 and Retry-After, whether anything else was answered, how long /healthz took meanwhile, and the memory and open
descriptors of the server after each round: they must not grow.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np


async def ask(port: int, method: str, path: str, body: bytes = b"") -> tuple[int, dict[str, str], bytes]:
    """One request on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\ncontent-length: {len(body)}\r\n"
    writer.write(f"{head}content-type: application/json\r\n\r\n".encode() + body)
    try:
        await writer.drain()
        text = await reader.read()
    finally:
        writer.close()
    first, _, rest = text.partition(b"\r\n")
    fields, _, content = rest.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in fields.decode().lower().split("\r\n") if line)
    return int(first.split()[1]), headers, content


class Round:
    """What the clients of one round saw."""

    def __init__(self) -> None:
        self.answers: Counter[str] = Counter()
        self.health: list[float] = []
        self.over = False

    async def client(self, port: int, k: int) -> None:
        body = json.dumps({"request": {"prompt": f"picture {k}", "seed": k}}).encode()
        try:
            status, headers, _ = await ask(port, "POST", "/api/jobs", body)
        except (OSError, IndexError, ValueError) as error:
            self.answers[type(error).__name__] += 1
            return
        fine = status != 429 or headers.get("retry-after", "").isdigit()
        self.answers[str(status) if fine else "429 without Retry-After"] += 1

    async def doctor(self, port: int) -> None:
        while not self.over:
            begun = time.perf_counter()
            status, _, _ = await ask(port, "GET", "/healthz")
            self.health.append(time.perf_counter() - begun)
            self.answers[f"healthz {status}"] += 1
            await asyncio.sleep(0.05)

    async def run(self, port: int, clients: int) -> None:
        health = asyncio.create_task(self.doctor(port))
        await asyncio.sleep(0.3)
        await asyncio.gather(*(self.client(port, k) for k in range(clients)))
        self.over = True
        await health


def footprint(pid: int) -> tuple[float, int]:
    """Resident memory in MiB, and open descriptors."""
    status = Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0]
    return int(status) / 1024, len(os.listdir(f"/proc/{pid}/fd"))


async def idle(port: int) -> None:
    """Until nothing waits or runs any more."""
    while True:
        _, _, body = await ask(port, "GET", "/api/status")
        told = json.loads(body)
        if not told["queued"] and not told["running"]:
            return
        await asyncio.sleep(0.5)


async def ready(port: int) -> None:
    """Until the server answers."""
    while True:
        try:
            await ask(port, "GET", "/healthz")
            return
        except OSError:
            await asyncio.sleep(0.1)


async def measure(port: int, pid: int, clients: int, rounds: int) -> None:
    await ready(port)
    print("| round | answers | healthz median, worst (ms) | memory (MiB) | descriptors |\n|--:|---|--:|--:|--:|")
    memory, descriptors = footprint(pid)
    print(f"| before | | | {memory:.0f} | {descriptors} |", flush=True)
    for k in range(rounds):
        one = Round()
        await one.run(port, clients)
        await idle(port)
        await asyncio.sleep(1)
        memory, descriptors = footprint(pid)
        answers = ", ".join(f"{count} x {what}" for what, count in sorted(one.answers.items()))
        ms = 1000 * np.array(one.health)
        print(
            f"| {k + 1} | {answers} | {np.median(ms):.0f}, {ms.max():.0f} | {memory:.0f} | {descriptors} |", flush=True
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--port", type=int, default=8012)
    args = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(4096, 4 * args.clients),) * 2)
    data = Path(tempfile.mkdtemp(prefix="tranh-crowd-"))
    here = Path(__file__).with_name("stand_in.py")
    command = [sys.executable, str(here), "--data", str(data), "--port", str(args.port), "--step", "0.05"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        asyncio.run(measure(args.port, process.pid, args.clients, args.rounds))
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(data)


if __name__ == "__main__":
    main()
