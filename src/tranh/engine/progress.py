"""Shows any stream of events to a person: a bar in a terminal, plain lines elsewhere. It passes the events on."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tranh.types import Event

SHOWN = 4


def describe(event: Event) -> str:
    """The figures worth a line: losses first, then rates and speed, at most four."""

    def rank(name: str) -> tuple[int, str]:
        last = name.split(".")[-1]
        order = {"loss": 0, "images_per_second": 1, "lr": 2, "grad_norm": 3}
        return (order.get(last, 9), name)

    names = sorted(event.figures, key=rank)[:SHOWN]
    return "  ".join(
        f"{event.figures[n]:.1f} images/s" if n == "images_per_second" else f"{n} {event.figures[n]:.4g}" for n in names
    )


def show(events: Iterable[Event], *, every: int = 10, to: TextIO | None = None) -> Iterator[Event]:
    """Pass events through and show them on the way.

    Args:
        events: of one or several stages, one after the other.
        every: steps between lines where there is no terminal.
        to: stream to write to; standard error if None.
    """
    stream = to or sys.stderr
    console = Console(file=stream)
    yield from _bars(events, console) if console.is_terminal else _lines(events, stream, every)


def _bars(events: Iterable[Event], console: Console) -> Iterator[Event]:
    figures = TextColumn("{task.fields[figures]}")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), figures)
    with Progress(*columns, console=console, refresh_per_second=4, speed_estimate_period=120) as progress:
        tasks = {}
        for event in events:
            if event.stage not in tasks:  # a resumed stage begins in the middle: its speed is measured from there
                tasks[event.stage] = progress.add_task(event.stage, total=event.total, completed=event.done, figures="")
            progress.update(tasks[event.stage], completed=event.done)
            if event.figures:  # the last event may bring a result only
                progress.update(tasks[event.stage], figures=describe(event))
            yield event


def _lines(events: Iterable[Event], stream: TextIO, every: int) -> Iterator[Event]:
    begun: dict[str, tuple[float, int]] = {}
    for event in events:
        now = time.monotonic()
        first, done = begun.setdefault(event.stage, (now, event.done))
        if event.done % every == 0 or event.done == event.total or event.result is not None:
            speed = (event.done - done) / (now - first) if now > first else 0.0
            left = f"  {_clock((event.total - event.done) / speed)} left" if speed and event.done < event.total else ""
            print(f"{event.stage} {event.done}/{event.total}  {describe(event)}{left}", file=stream, flush=True)
        yield event


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
