"""What happens when a thousand clients come at once?

    python benchmarks/serve/crowd.py --clients 1000 --rounds 5

A server with a stand-in for a model has room for 16 running jobs and 256 waiting ones. In each round every client
orders a picture in the same moment, on a connection of its own. Told are: how many were accepted and how many refused
with 429 and Retry-After, whether anything else was answered, how long /healthz took meanwhile, and the memory and open
descriptors of the server after each round: they must not grow. Health is asked by a process of its own: one that opens
a thousand connections is late itself.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

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


async def client(port: int, k: int, answers: Counter[str]) -> None:
    body = json.dumps({"request": {"prompt": f"picture {k}", "seed": k}}).encode()
    try:
        status, headers, _ = await ask(port, "POST", "/api/jobs", body)
    except (OSError, IndexError, ValueError) as error:
        answers[type(error).__name__] += 1
        return
    fine = status != 429 or headers.get("retry-after", "").isdigit()
    answers[str(status) if fine else "429 without Retry-After"] += 1


def doctor(port: int, over: Any, told: Any) -> None:
    """Ask for health until it is over, and tell how long each answer took."""

    async def visits() -> list[tuple[int, float]]:
        found = []
        while not over.is_set():
            begun = time.perf_counter()
            status, _, _ = await ask(port, "GET", "/healthz")
            found.append((status, time.perf_counter() - begun))
            await asyncio.sleep(0.02)
        return found

    told.put(asyncio.run(visits()))


async def crowd(port: int, clients: int) -> tuple[Counter[str], list[float]]:
    """What the clients of one round were answered, and the seconds that health took meanwhile."""
    away = multiprocessing.get_context("spawn")
    over, told = away.Event(), away.Queue()
    process = away.Process(target=doctor, args=(port, over, told))
    process.start()
    await asyncio.sleep(1.5)
    answers: Counter[str] = Counter()
    await asyncio.gather(*(client(port, k, answers) for k in range(clients)))
    over.set()
    found = await asyncio.to_thread(told.get)
    process.join()
    answers.update(f"healthz {status}" for status, _ in found)
    return answers, [seconds for _, seconds in found]


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
        told, health = await crowd(port, clients)
        await idle(port)
        await asyncio.sleep(1)
        memory, descriptors = footprint(pid)
        answers = ", ".join(f"{count} x {what}" for what, count in sorted(told.items()))
        ms = 1000 * np.array(health)
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
