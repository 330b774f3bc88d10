"""An open-loop load on a server: every request is sent when it is due, however slow the answers are.

Latency counts from the time a request was due, so a server that stalls cannot hide it by keeping the next ones from
being sent. Nothing is sent twice. It knows neither plots nor what an API looks like; what is sent is planned before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import h11

from tranh.serve.stress_apis import APIS, Failed, Target
from tranh.serve.stress_plan import Planned
from tranh.types import Event, TranhError

Outcome = Literal["done", "refused", "timeout", "error", "abandoned"]
REFUSALS = (429, 503)

LOOK = 0.5
"""Seconds between two reports of progress."""


@dataclass(frozen=True)
class Shot:
    """What became of a request; times in seconds from the start.

    Attributes:
        outcome: ``refused`` where the server said that it has too much to do, ``abandoned`` where the load was stopped.
        status: of HTTP where it was not done, 0 for none; why: what was said then.
    """

    planned: Planned
    sent: float
    ended: float
    outcome: Outcome
    status: int = 0
    why: str = ""

    @property
    def latency(self) -> float:
        """Seconds from the time it was due; of one that was given up, how long it was waited for."""
        return self.ended - self.planned.due


@dataclass(frozen=True)
class Load:
    """What a server did under one rate.

    Attributes:
        rate: requests a second; warm: seconds at the start that are left out of figures; seconds: those measured.
        timeout: seconds after which a request was given up.
        shots: in the order they ended.
    """

    rate: float
    warm: float
    seconds: float
    timeout: float
    shots: tuple[Shot, ...]


def run(
    target: Target,
    planned: Sequence[Planned],
    *,
    rate: float,
    seconds: float,
    warm: float = 0.0,
    timeout: float = 60.0,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Event]:
    """Send requests when they are due, and wait for their answers.

    Args:
        rate, seconds: what was planned, ``warm`` included in neither.
        timeout: seconds from the due time after which a request is given up (and cancelled, where the API can).
        stop: asked twice a second; then whatever is on its way is given up, and the result is what was had so far.

    Yields:
        Twice a second how many were sent and answered; the last event's ``result`` is the :class:`Load`.

    Raises:
        TranhError: nobody answers at that address.
    """
    if target.api not in APIS:
        raise TranhError(f"there is no API {target.api!r}; there are: {', '.join(APIS)}")
    shooting, stage = _Shooting(target, planned, timeout), f"{rate:g} a second"
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(_reachable(target))
        task = loop.create_task(shooting.all())
        while not task.done():
            loop.run_until_complete(asyncio.wait({task}, timeout=LOOK))
            if stop():
                seconds = min(seconds, max(0.0, loop.time() - shooting.begun - warm))
                task.cancel()
                loop.run_until_complete(asyncio.wait({task}))
            yield Event(stage, len(shooting.shots), len(planned), shooting.figures())
        if not task.cancelled():
            task.result()
    finally:
        loop.run_until_complete(_end())
        loop.close()
    load = Load(rate, warm, seconds, timeout, tuple(shooting.shots))
    yield Event(stage, len(planned), len(planned), shooting.figures(), result=load)


async def _reachable(target: Target) -> None:
    where = target.address
    try:
        _, writer = await asyncio.open_connection(where.host, where.port)
    except OSError as error:
        raise TranhError(
            f"nobody answers at {where.host}, port {where.port} ({error}): start the server first"
        ) from error
    writer.close()


async def _end() -> None:
    """Whatever is left, where the load was not waited for."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


class _Shooting:
    """The requests of one load on their way."""

    def __init__(self, target: Target, planned: Sequence[Planned], timeout: float) -> None:
        self.target, self.planned, self.timeout = target, planned, timeout
        self.shots: list[Shot] = []
        self.begun, self.sent = 0.0, 0

    def figures(self) -> dict[str, float]:
        refused = sum(shot.outcome == "refused" for shot in self.shots)
        wrong = sum(shot.outcome in ("timeout", "error") for shot in self.shots)
        return {"in_flight": self.sent - len(self.shots), "refused": refused, "failed": wrong}

    async def all(self) -> None:
        loop = asyncio.get_running_loop()
        self.begun = loop.time()
        async with asyncio.TaskGroup() as group:
            for one in self.planned:
                await asyncio.sleep(self.begun + one.due - loop.time())
                group.create_task(self.shoot(one))

    async def shoot(self, one: Planned) -> None:
        loop = asyncio.get_running_loop()
        sent = loop.time() - self.begun
        self.sent += 1
        outcome: Outcome = "done"
        status, why = 0, ""
        try:
            async with asyncio.timeout_at(self.begun + one.due + self.timeout):
                await APIS[self.target.api](self.target, one)
        except TimeoutError:
            outcome = "timeout"
        except Failed as failed:
            outcome, status, why = "refused" if failed.status in REFUSALS else "error", failed.status, failed.why
        except (OSError, h11.RemoteProtocolError) as error:
            outcome, why = "error", f"{type(error).__name__}: {error}"
        except asyncio.CancelledError:
            outcome = "abandoned"
            raise
        finally:
            self.shots.append(Shot(one, sent, loop.time() - self.begun, outcome, status, why))
