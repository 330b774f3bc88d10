"""``tranh serve`` against a server that draws one picture at a time with stock diffusers, in one run on one machine.

Same weights, steps, precision and threads; both servers live all the time, and are loaded in turns. Figures, in the
order they are measured (each is a phase, kept when it is done; the same command goes on where it was stopped):

- equal: stock diffusers draws the same picture (in float32, where rounding cannot grow) with as many network calls;
- bound: what batching can give at most: seconds per row of each network in its best call, and in one picture's call;
- single: latency of one request alone, of both servers and of the library called in this process;
- overhead: the share of the time in which work waits and no network computes, with the engine in this process;
- full: pictures a second with mixed steps where more waits than can be done: the same requests to both, in turns;
- beside: at 80 % of what the one-at-a-time server can do, how long 4-step requests take beside 25-step ones.

python benchmarks/serve/load.py [--minutes 30] [--threads 2] [--out runs/load]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
from load_report import BLOCKS, draw, report, speed
from peer import Peer

import tranh
from tranh.engine.doors import Doors
from tranh.engine.jobs import ACTIVE, Engine
from tranh.recipes.served import Served
from tranh.serve.ask import Address, asked
from tranh.serve.stress import run
from tranh.serve.stress_apis import APIS, Target
from tranh.serve.stress_plan import Kind, Planned, mix_of, plan, scenes

MIX = "4:0.5,25:0.5"
SIZE = 64
OUTSTANDING = 32
"""Requests that wait or run while a server is full: more than it works at, fewer than it refuses."""

AT_ONCE = (2, 4, 8, 16, 32)
"""Rows of the decoder's calls that are timed; 2 is one picture with guidance."""

SHARES = {"single": 0.1, "overhead": 0.1, "full": 0.35, "beside": 0.4}
"""Of the minutes."""


class Kept:
    """What was measured so far, in a file; a phase that is there is not measured again."""

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self.path = path
        self.data: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"settings": settings}
        if self.data["settings"] != settings:
            raise SystemExit(f"{path} was measured with {self.data['settings']}, now it is {settings}: another --out")

    def once(self, name: str, measure: Callable[[], Any]) -> Any:
        if name not in self.data:
            print(f"{time.strftime('%H:%M:%S')} {name}", file=sys.stderr, flush=True)
            self.data[name] = measure()
            part = self.path.with_suffix(".part")
            part.write_text(json.dumps(self.data, indent=1))
            part.replace(self.path)
        return self.data[name]


def equal(system: Any, peer: Peer) -> dict[str, Any]:
    """Largest difference of the pictures in levels of 255, and calls of the networks for each."""
    calls = {"library": [0, 0], "peer": [0, 0]}
    now = ["library"]

    def count(k: int) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            calls[now[0]][k] += 1

        return hook

    prior = next(iter(system.priors.values()))
    hooks = [
        system.decoder.unet.register_forward_hook(count(0)),
        peer.pipeline.transformer.register_forward_hook(count(0)),
        prior.transformer.register_forward_hook(count(1)),
    ]
    own, system.precision = system.precision, "fp32"
    worst = 0.0
    try:
        for prompt, (seed, steps, guidance) in zip(scenes(99), ((1, 4, None), (2, 25, None), (3, 8, 1.0))):
            now[0] = "library"
            ours = system.generate(prompt, seed=seed, steps=steps, guidance=guidance, size=SIZE)[0]
            now[0] = "peer"
            theirs = peer.draw(prompt, seed, steps, guidance)
            worst = max(worst, float(np.abs(np.asarray(ours, float) - np.asarray(theirs, float)).max()))
    finally:
        system.precision = own
        for hook in hooks:
            hook.remove()
    return {"levels": worst, "calls": calls}


def bound(system: Any) -> dict[str, Any]:
    """Milliseconds of the networks' calls by rows, the median of rounds in which all sizes take turns."""
    decoder, prior = system.decoder, next(iter(system.priors.values()))
    tokens, mask = system.tokenizer.encode([system.understand(next(scenes(1))).text], multiple=8)
    found: dict[str, dict[str, list[float]]] = {"decoder": {}, "prior": {}}
    with torch.no_grad(), system.computing():
        context, seen = decoder.pair_context(tokens, mask, None)
        for _ in range(12):
            for rows in AT_ONCE:
                half = rows // 2

                def wide(x: torch.Tensor, half: int = half) -> torch.Tensor:
                    return x.repeat(half, *[1] * (x.ndim - 1))

                x, t = torch.randn(rows, 3, SIZE, SIZE), torch.full((rows,), 0.5)
                begun = time.perf_counter()
                decoder.denoise(x, t, wide(context), wide(seen))
                found["decoder"].setdefault(str(rows), []).append(time.perf_counter() - begun)
                if rows < 4:
                    continue
                z, keep = torch.randn(rows, prior.config["clip_dim"]), torch.arange(rows) % 2 == 0
                many = (tokens.expand(rows, -1), mask.expand(rows, -1))
                begun = time.perf_counter()
                prior.estimate(z, t, *many, z, keep)
                found["prior"].setdefault(str(rows), []).append(time.perf_counter() - begun)
    return {
        name: {rows: 1e3 * statistics.median(times[2:]) for rows, times in by.items()} for name, by in found.items()
    }


@contextmanager
def started(command: Sequence[str], where: Address, threads: int, log: Path) -> Iterator[int]:
    """A server as a process of its own, until the end; gives its number."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    with log.open("w") as out, subprocess.Popen(command, env=environment, stdout=out, stderr=out) as process:
        try:
            for _ in range(600):
                if process.poll() is not None:
                    raise SystemExit(f"{' '.join(command)} ended:\n{log.read_text()[-2000:]}")
                if asyncio.run(_lives(where)):
                    break
                time.sleep(0.2)
            else:
                raise SystemExit(f"{' '.join(command)} does not answer; see {log}")
            yield process.pid
        finally:
            process.terminate()
            process.wait(20)


async def _lives(where: Address) -> bool:
    try:
        async with asked(where, "GET", "/healthz") as reply:
            return reply.status == 200
    except OSError:
        return False


def drained(target: Target, planned: Sequence[Planned], process: int) -> dict[str, Any]:
    """When each of some requests was answered, with so many on their way all the time.

    Figures are of the time between the first quarter of the answers, when the server is in its stride, and the last
    request sent, after which it runs dry; ``computed`` are the seconds processors worked for the server meanwhile.
    """
    ends: list[tuple[float, int]] = []
    marks: list[tuple[float, float]] = []

    async def all_of_them() -> None:
        room, begun = asyncio.Semaphore(OUTSTANDING), time.perf_counter()

        async def one(asked_for: Planned) -> None:
            try:
                await APIS[target.api](target, asked_for)
            finally:
                room.release()
            ends.append((time.perf_counter() - begun, asked_for.kind.steps))
            if len(ends) == len(planned) // 4:
                marks.append((ends[-1][0], computed(process)))

        async with asyncio.TaskGroup() as group:
            for asked_for in planned:
                await room.acquire()
                group.create_task(one(asked_for))
            marks.append((time.perf_counter() - begun, computed(process)))

    asyncio.run(all_of_them())
    (first, before), (last, after) = marks
    return {"ends": ends, "from": first, "until": last, "computed": after - before}


async def _answered(target: Target, planned: Planned) -> float:
    begun = time.perf_counter()
    await APIS[target.api](target, planned)
    return time.perf_counter() - begun


def computed(process: int) -> float:
    """Seconds that processors have worked for a process."""
    told = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(told[11]) + int(told[12])) / os.sysconf("SC_CLK_TCK")


def singles(system: Any, targets: dict[str, Target], prompts: Iterator[str], seconds: float) -> list[dict[str, float]]:
    """Rounds of one request each to every server and to the library, in turns; the first round warms them."""
    rounds: list[dict[str, float]] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end or len(rounds) < 4:
        one = Planned(0, 0.0, Kind(12), next(prompts), len(rounds))
        told = {name: asyncio.run(_answered(target, one)) for name, target in targets.items()}
        begun = time.perf_counter()
        system.generate(one.prompt, seed=one.seed, steps=12, size=SIZE)
        rounds.append(told | {"library": time.perf_counter() - begun})
    return rounds[1:]


def apart(measure: Callable[[], Any]) -> Any:
    """What is measured in a thread of its own, whose team of OpenMP's threads is gone afterwards: where a second one is
    about, more than there are processors, all of them sleep between any two products."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(measure).result()


def overhead(model: str, prompts: Iterator[str], seconds: float, threads: int) -> dict[str, Any]:
    """The engine in this process, full for so many seconds."""
    kinds, doors = mix_of(MIX), Doors(threads=threads)
    torch.set_num_threads(1)
    served = Served(tranh.load(model), doors)

    def ready(one: Planned) -> Any:
        values = {"prompt": one.prompt, "seed": one.seed, "steps": one.kind.steps, "size": SIZE}
        return served.ready("generate", values, lambda _: None)  # type: ignore[arg-type,return-value]

    planned = iter(plan(10.0, max(20.0, seconds), kinds, prompts))
    jobs = []
    with Engine(doors) as engine:
        begun, end = time.perf_counter(), time.monotonic() + seconds
        spent, calls, answered = doors.spent, doors.calls, doors.answered
        while time.monotonic() < end:
            if engine.load()["queued"] < ACTIVE and (one := next(planned, None)) is not None:
                work = ready(one)
                jobs.append(engine.submit(work.events, work.cost))
            else:
                time.sleep(0.02)
        wall, spent = time.perf_counter() - begun, doors.spent - spent
        done = sum(job.state == "done" for job in jobs)
        calls, answered = doors.calls - calls, doors.answered - answered
        for job in jobs:
            job.cancel()
    torch.set_num_threads(threads)
    return {"wall": wall, "computing": spent, "pictures": done, "calls": calls, "answered": answered}


def beside(
    target: Target, planned: Sequence[Planned], rate: float, seconds: float, warm: float
) -> list[dict[str, Any]]:
    """What became of each request of a plan, without the warm-up."""
    *_, last = run(target, planned, rate=rate, seconds=seconds, warm=warm, timeout=600.0)
    return [
        {"steps": shot.planned.kind.steps, "due": shot.planned.due, "latency": shot.latency, "outcome": shot.outcome}
        for shot in last.result.shots
        if shot.planned.due >= warm
    ]


def each_in_turn(turn: Sequence[str], measure: Callable[[str], Any]) -> dict[str, Any]:
    return {name: measure(name) for name in turn}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tranh-1")
    parser.add_argument("--minutes", type=float, default=30.0, help="of measuring, all phases together")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--port", type=int, default=8900, help="of ours; the next is the peer's")
    parser.add_argument("--out", type=Path, default=Path("runs/load"))
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the servers are ended with it
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(args.threads)
    settings = {"model": args.model, "minutes": args.minutes, "threads": args.threads, "mix": MIX, "size": SIZE,
                "torch": torch.__version__, "diffusers": __import__("diffusers").__version__}  # fmt: skip
    kept = Kept(args.out / "load.json", settings)
    seconds = {name: 60 * args.minutes * share for name, share in SHARES.items()}
    system, kinds, prompts = tranh.load(args.model), mix_of(MIX), scenes(0)
    kept.once("equal", lambda: apart(lambda: equal(system, Peer(system))))
    kept.once("bound", lambda: apart(lambda: bound(system)))
    kept.once("overhead", lambda: apart(lambda: overhead(args.model, prompts, seconds["overhead"], args.threads)))
    where = {name: Address("127.0.0.1", args.port + k) for k, name in enumerate(("ours", "peer"))}
    targets = {name: Target(address, "openai", size=str(SIZE)) for name, address in where.items()}
    threads = str(args.threads)
    ours = [sys.executable, "-m", "tranh", "serve", "--model", args.model, "--port", str(args.port)]
    ours += ["--data", str(args.out / "data"), "--active", str(ACTIVE)]
    peer = [sys.executable, str(Path(__file__).with_name("peer.py")), "--model", args.model]
    peer += ["--port", str(args.port + 1), "--threads", threads]
    with (
        started(ours, where["ours"], args.threads, args.out / "ours.log") as first,
        started(peer, where["peer"], args.threads, args.out / "peer.log") as second,
    ):
        process = {"ours": first, "peer": second}

        def full_of(planned: Sequence[Planned], name: str) -> dict[str, Any]:
            return drained(targets[name], planned, process[name])

        def beside_them(planned: Sequence[Planned], name: str) -> list[dict[str, Any]]:
            return beside(targets[name], planned, rate, each - warm, warm)

        kept.once("single", lambda: singles(system, targets, scenes(7), seconds["single"]))
        mean = statistics.median(one["peer"] for one in kept.data["single"])
        expected = mean * sum(kind.steps * kind.share for kind in kinds) / 12  # seconds of a request of the mix
        count = max(3 * OUTSTANDING, round(seconds["full"] / BLOCKS["full"] / (1.7 * expected)))
        for k in range(BLOCKS["full"]):
            planned = plan(1.0, 4.0 * count, kinds, scenes(100 + k), seed=k)[:count]
            turn = ("ours", "peer") if k % 2 == 0 else ("peer", "ours")
            kept.once(f"full {k}", partial(each_in_turn, turn, partial(full_of, planned)))
        full = [kept.data[f"full {k}"]["peer"] for k in range(BLOCKS["full"])]
        told = kept.data["bound"]
        fixed = system.prior_steps * told["prior"]["4"] / told["decoder"]["2"]
        work = fixed + sum(kind.steps * kind.share for kind in kinds)
        rate = 0.8 * statistics.mean(speed(one, fixed)[0] for one in full) / work
        each = seconds["beside"] / BLOCKS["beside"] / 2
        warm = 0.2 * each
        for k in range(BLOCKS["beside"]):
            planned = plan(rate, each, kinds, scenes(200 + k), seed=50 + k)
            turn = ("ours", "peer") if k % 2 == 0 else ("peer", "ours")
            kept.once(f"beside {k}", partial(each_in_turn, turn, partial(beside_them, planned)))
    text = report(kept.data, kinds, system.prior_steps)
    (args.out / "load.md").write_text(text + "\n")
    draw(kept.data, args.out / "load.png")
    print(text)


if __name__ == "__main__":
    main()
