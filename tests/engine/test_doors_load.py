"""What the order of service is good for, on a clock of its own: long and short requests on one network, computed calls
that take as long as those of the shipped model on one core (a fixed part and a part per row)."""

import random
import statistics
from dataclasses import dataclass, field
from types import SimpleNamespace

from tranh.engine.doors import PATIENCE, ROWS, chosen
from tranh.engine.jobs import ACTIVE, WAITING

SECONDS = {"prior": (0.0055, 0.00145), "decoder": (0.0095, 0.0107)}
"""Of a call: fixed, and per row."""
MIX = (4, 25)
RETURN = 0.0008
"""Seconds a guest takes from its answer to its next door."""


def lasts(door: str, rows: int) -> float:
    fixed, each = SECONDS[door]
    return fixed + each * rows


@dataclass
class Request:
    """Eight calls of the prior (two candidates, with and without the caption), then the steps; ``group`` stands for
    the length of its caption."""

    arrived: float  # in the queue, then at its door
    steps: int
    group: int
    due: float = 0.0
    done: int = 0
    guest: SimpleNamespace = field(init=False)
    door: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(whole=False))

    def __post_init__(self):
        self.guest = SimpleNamespace(served=0.0, needs=self.alone)

    @property
    def key(self):
        return ("prior" if self.done < 8 else "decoder"), self.group

    @property
    def rows(self):
        return 4 if self.done < 8 else 2

    @property
    def alone(self):
        return 8 * lasts("prior", 4) + self.steps * lasts("decoder", 2)


def requests(count: int, rate: float, groups: int) -> list[Request]:
    choice, now, made = random.Random(0), 0.0, []
    for _ in range(count):
        now += choice.expovariate(rate)
        made.append(Request(now, choice.choice(MIX), choice.randrange(groups), due=now))
    return made


def served(coming: list[Request]) -> tuple[list[tuple[float, Request]], float]:
    """When each of them ended, and until when."""
    coming, inside, ended, now, free = list(coming), [], [], 0.0, 0.0
    while coming or inside:
        while coming and coming[0].due <= now and len(inside) < ACTIVE:
            inside.append(coming.pop(0))
            inside[-1].arrived = now
        waiting = [one for one in inside if one.arrived <= now]
        others = [one.arrived for one in inside if one.arrived > now]
        if not waiting:
            now = min(others + [coming[0].due] if coming and len(inside) < ACTIVE else others)
            continue
        batch, full = chosen(waiting, ROWS, now)
        last = max(free, min(one.arrived for one in waiting)) + PATIENCE
        if others and not full and now < last:
            now = min(*others, last)
            continue
        rows = sum(one.rows for one in batch)
        spent = lasts(batch[0].key[0], rows)
        now = free = now + spent
        for one in batch:
            one.guest.served += spent * one.rows / rows
            one.done, one.arrived = one.done + 1, now + RETURN
            if one.done == 8 + one.steps:
                inside.remove(one)
                ended.append((now, one))
    return ended, now


def one_at_a_time(coming: list[Request]) -> list[tuple[float, Request]]:
    now, ended = 0.0, []
    for one in coming:
        now = max(now, one.due) + one.alone
        ended.append((now, one))
    return ended


def p95(ended: list[tuple[float, Request]], steps: int) -> float:
    return statistics.quantiles([end - one.due for end, one in ended if one.steps == steps], n=20)[-1]


def test_short_requests_are_not_stuck_behind_long_ones():
    mean = statistics.mean(Request(0.0, steps, 0).alone for steps in MIX)
    coming = requests(2000, 0.8 / mean, groups=2)
    ours, _ = served(coming)
    assert p95(one_at_a_time(coming), 4) > 4.5 * p95(ours, 4)
    assert p95(one_at_a_time(coming), 25) > p95(ours, 25)  # and the long ones do not pay for it


def test_where_more_comes_than_can_be_done_nine_tenths_of_what_batching_can_give_are_had():
    for groups in (1, 2):
        coming = requests(ACTIVE + WAITING + 400, 1e6, groups)
        ended, _ = served(coming)
        until = ended[-ACTIVE - 1][0]  # from there on it runs dry
        alone = sum(one.alone for end, one in ended if end <= until)
        best = sum(8 * lasts("prior", ROWS) / 4 + one.steps * lasts("decoder", ROWS) / 8 for _, one in ended)
        bound = sum(one.alone for _, one in ended) / best
        assert bound > 1.3 and alone / until > 0.9 * bound
