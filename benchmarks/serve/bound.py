"""What batching can give on this machine, and what of it many requests get: the decoder's network at several batch
sizes, requests of mixed steps at saturation against one by one, the scheduler's own cost, and a single request's time.

Everything is a ratio within one run, measured in turns; times are the processor's, so that other programs disturb less,
and the clock's beside them. python benchmarks/serve/bound.py [--model tranh-1] [--requests 24] [--repeats 5]
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

import tranh
from tranh.engine.doors import Doors
from tranh.engine.jobs import Engine
from tranh.recipes.served import Served
from tranh.types import Request

BATCHES = (1, 2, 4, 8)
MIX = (4, 8, 25)
SIDE = 64


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of the processor, and of the clock."""
    processor, clock = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - processor, time.perf_counter() - clock


def network(system: Any, repeats: int) -> dict[int, float]:
    """Guided pictures per second of the decoder's network, by pictures in a call, in shares of one at a time."""
    tokens, mask = system.tokenizer.encode(["a large red circle above a small blue square"])
    noise, t = torch.randn(2 * max(BATCHES), 3, SIDE, SIDE), torch.full((2 * max(BATCHES),), 0.5)
    spent: dict[int, list[float]] = {n: [] for n in BATCHES}
    with torch.no_grad(), system.computing():
        told = {n: system.decoder.pair_context(tokens.expand(n, -1), mask.expand(n, -1), None) for n in BATCHES}
        for _, n in itertools.product(range(repeats + 1), BATCHES):
            spent[n].append(timed(partial(system.decoder.denoise, noise[: 2 * n], t[: 2 * n], *told[n]))[0] / n)
    best = {n: min(each[1:]) for n, each in spent.items()}  # the first is warm-up
    return {n: best[1] / each for n, each in best.items()}


def prompts(count: int) -> list[Request]:
    """Requests with different prompts, steps and guidance."""
    choice = random.Random(0)
    sizes, colours, kinds = ("small", "large"), ("red", "blue", "green", "yellow"), ("circle", "star", "square", "cat")

    def thing() -> str:
        return f"a {choice.choice(sizes)} {choice.choice(colours)} {choice.choice(kinds)}"

    return [
        Request(
            f"{thing()} above {thing()}" if k % 2 else thing(), seed=k, steps=choice.choice(MIX), size=SIDE,
            guidance=choice.choice((1.5, 2.0, 2.5, 4.0)),
        )
        for k in range(count)
    ]  # fmt: skip


def draw(system: Any, requests: list[Request]) -> None:
    for request in requests:
        *_, _ = system.generate_events(request)


class Networks:
    """The processor's seconds inside the networks of a system, whoever calls them."""

    def __init__(self, doors: Doors) -> None:
        self.seconds, self._inside = 0.0, False
        for door in doors._doors:
            door.method = self._counted(door.method)

    def _counted(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            if self._inside:  # one network calls another
                return method(*args, **kwargs)
            begun, self._inside = time.thread_time(), True
            try:
                return method(*args, **kwargs)
            finally:
                self._inside = False
                self.seconds += time.thread_time() - begun

        return counted


@dataclass(frozen=True)
class Run:
    """Seconds of the processor, of it outside the networks, and of the clock; guests answered by a call."""

    processor: float
    outside: float
    clock: float
    company: float = 1.0


def one_by_one(system: Any, requests: list[Request]) -> Run:
    doors = Doors()
    Served(system, doors)
    networks = Networks(doors)
    processor, clock = timed(lambda: draw(system, requests))  # no guest: doors let it through
    doors.close()
    return Run(processor, processor - networks.seconds, clock)


def together(system: Any, requests: list[Request], exact: bool) -> Run:
    with Engine(doors := Doors(), waiting=len(requests)) as engine:
        served = Served(system, doors, exact=exact)
        networks = Networks(doors)

        def work() -> None:
            jobs = [engine.submit(partial(served.run, "generate", r), served.cost("generate", r)) for r in requests]
            for job in jobs:
                job.wait()

        processor, clock = timed(work)
    return Run(processor, processor - networks.seconds, clock, doors.answered / doors.calls)


def _once(engine: Engine, served: Served, request: Request) -> None:
    engine.submit(lambda: served.run("generate", request)).wait()


def single(system: Any, repeats: int) -> dict[str, float]:
    """A request alone through the engine, and in exact mode, in shares of calling the library: medians of turns."""
    request = Request("a large red circle above a small blue square", steps=8, size=SIDE)
    spent: dict[str, list[float]] = {"library": [], "engine": [], "exact": []}
    for turn, name in itertools.product(range(repeats + 1), spent):
        if name == "library":
            seconds = timed(lambda: draw(system, [request]))[0]
        else:
            with Engine(doors := Doors()) as engine:
                served = Served(system, doors, exact=name == "exact")
                run = partial(_once, engine, served, request)
                run()  # threads are new and, in exact mode, shapes are looked at once
                seconds = timed(run)[0]
        if turn:
            spent[name].append(seconds)
    turns = list(zip(*spent.values(), strict=True))
    return {name: statistics.median(turn[k] / turn[0] for turn in turns) for k, name in enumerate(spent)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="tranh-1")
    parser.add_argument("--requests", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=None, help="also write the figures as JSON")
    args = parser.parse_args()
    torch.set_num_threads(1)
    system = tranh.load(args.model)
    draw(system, prompts(1))
    bound = network(system, args.repeats)
    print("decoder's network, guided pictures per second against one at a time:")
    print("  " + ", ".join(f"{n}: {gain:.2f}" for n, gain in bound.items()))
    requests, found = prompts(args.requests), []
    for _ in range(max(1, args.repeats // 2)):
        found.append(
            (one_by_one(system, requests), together(system, requests, False), together(system, requests, True))
        )

    def middle(figure: Callable[[Run, Run, Run], float]) -> float:
        return statistics.median(figure(*turn) for turn in found)

    gain, clock = middle(lambda a, t, e: a.processor / t.processor), middle(lambda a, t, e: a.clock / t.clock)
    overhead = middle(lambda a, t, e: (t.outside - a.outside) / t.processor)
    company, exact = middle(lambda a, t, e: t.company), middle(lambda a, t, e: a.processor / e.processor)
    print(f"{len(requests)} requests of {MIX} steps at once against one by one: {gain:.2f} times the pictures in the")
    share = gain / max(bound.values())
    print(f"  processor's time ({clock:.2f} by the clock), {share:.0%} of the bound, {company:.1f} guests a call")
    print(f"scheduler (beyond networks, and what drawing one by one takes beside them): {overhead:.1%} of the time")
    print(f"exact mode: {exact:.2f} times one by one")
    one = single(system, args.repeats)
    print(f"one request alone, against the library: engine {one['engine']:.3f}, exact mode {one['exact']:.2f}")
    if args.out:
        figures = {
            "bound": bound, "gain": gain, "gain_by_clock": clock, "overhead": overhead, "company": company,
            "exact_gain": exact, "single": one,
        }  # fmt: skip
        args.out.write_text(json.dumps(figures, indent=2), "utf-8")


if __name__ == "__main__":
    main()
