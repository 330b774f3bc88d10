"""What is sent to a server under load, and when: a pure function of a seed.

It knows neither the server nor how it is asked.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tranh.types import TranhError

GUIDANCE_AT = "@"
SHORT = 0.25
"""Share of prompts that name only the most important things."""


@dataclass(frozen=True)
class Kind:
    """Requests of one kind, and their share of all; ``guidance`` is the model's own if None."""

    steps: int
    share: float = 1.0
    guidance: float | None = None

    @property
    def name(self) -> str:
        told = f"{self.steps} steps" if self.steps != 1 else "1 step"
        return told if self.guidance is None else f"{told}, guidance {self.guidance:g}"


@dataclass(frozen=True)
class Planned:
    """One request: ``due`` in seconds from the start, ``seed`` of its picture."""

    number: int
    due: float
    kind: Kind
    prompt: str
    seed: int


def mix_of(told: str) -> tuple[Kind, ...]:
    """``4:0.5,25@1:0.5``: half of 4 steps, half of 25 steps with guidance 1. Shares are brought to a sum of 1.

    Raises:
        TranhError: it cannot be read.
    """
    kinds = []
    for part in filter(None, (word.strip() for word in told.split(","))):
        try:
            what, _, share = part.partition(":")
            steps, _, guidance = what.partition(GUIDANCE_AT)
            kind = Kind(int(steps), float(share or 1), float(guidance) if guidance else None)
        except ValueError:
            kind = Kind(0)
        if kind.steps < 1 or not 0 < kind.share < float("inf"):
            raise TranhError(
                f"{part!r} is no part of a mix: write STEPS:SHARE or STEPS@GUIDANCE:SHARE, as 4:0.5,25@1:0.5"
            )
        kinds.append(kind)
    if not kinds:
        raise TranhError("the mix is empty: write STEPS:SHARE, as 4:0.5,25:0.5")
    total = sum(kind.share for kind in kinds)
    return tuple(Kind(kind.steps, kind.share / total, kind.guidance) for kind in kinds)


def scenes(seed: int) -> Iterator[str]:
    """Prompts of Scenes without end, English and Vietnamese in turn, no two alike."""
    from tranh.data.scenes.layout import scene
    from tranh.data.scenes.source import say
    from tranh.data.scenes.world import LEVELS

    choice, told, index = random.Random(f"prompts {seed}"), set[str](), 0
    first = choice.randrange(10**6)
    while True:
        drawn = scene(LEVELS[index // 2 % len(LEVELS)], "test", first + index)
        densities = ("short", "dense") if choice.random() < SHORT else ("dense",)
        for density in densities:  # short ones are soon all told
            prompt = say(drawn, ("en", "vi")[index % 2], density, seed, index)[0]
            if prompt not in told:
                told.add(prompt)
                yield prompt
                break
        index += 1


def read_prompts(path: Path) -> list[str]:
    """The lines of a file, each once."""
    return list(dict.fromkeys(filter(None, (line.strip() for line in path.read_text("utf-8").splitlines()))))


def arrivals(rate: float, seconds: float, seed: int) -> list[float]:
    """Times of a Poisson process, in seconds: independent gaps, exponential with mean 1 / ``rate``."""
    choice, now, times = random.Random(f"arrivals {seed}"), 0.0, list[float]()
    while (now := now + choice.expovariate(rate)) < seconds:
        times.append(now)
    return times


def plan(rate: float, seconds: float, mix: Sequence[Kind], prompts: Iterable[str], seed: int = 0) -> list[Planned]:
    """Requests of ``seconds``, ``rate`` of them a second on average.

    Args:
        prompts: as many are taken as there are requests, so that the same iterator never gives one twice.

    Raises:
        TranhError: the rate or the time is not positive, or there are too few prompts.
    """
    if not rate > 0 or not seconds > 0:
        raise TranhError(f"rate {rate:g} a second for {seconds:g} seconds: give positive numbers")
    choice, times, words = random.Random(f"kinds {seed}"), arrivals(rate, seconds, seed), iter(prompts)
    kinds = choice.choices(mix, [kind.share for kind in mix], k=len(times))
    planned = []
    for number, (due, kind) in enumerate(zip(times, kinds, strict=True)):
        prompt = next(words, None)
        if prompt is None:
            raise TranhError(f"{number} prompts are left for {len(times)} requests, and none is sent twice: give more")
        planned.append(Planned(number, due, kind, prompt, choice.randrange(2**31)))
    return planned
