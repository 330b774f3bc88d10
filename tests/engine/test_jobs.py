"""The engine: jobs end once and tell how, the queue has an end, the short are not stuck behind the long."""

import threading
import time

import pytest
import torch
from torch import nn

from tranh.engine.doors import Doors, Left
from tranh.engine.jobs import Busy, Engine
from tranh.types import Event, TranhError


class Net(nn.Module):
    def __init__(self, slow=0.002):
        super().__init__()
        self.slow, self.calls = slow, 0

    def forward(self, x):
        self.calls += 1
        time.sleep(self.slow)
        return x + 1


def counting(net, steps):
    """Work of some network calls; the result is how many were made."""

    def work():
        x = torch.zeros(1, 1)
        with torch.no_grad():
            for k in range(steps):
                x = net(x)
                yield Event("count", k + 1, steps)
        yield Event("count", steps, steps, result=int(x))

    return work


@pytest.fixture
def net():
    return Net()


@pytest.fixture
def engine(net):
    doors = Doors(patience=0.01)
    doors.put(net)
    with Engine(doors, active=4, waiting=3) as made:
        yield made


def test_work_is_done_and_told_while_it_is(engine, net):
    job = engine.submit(counting(net, 5))
    told = list(job.events(timeout=10))
    assert [number for number, _ in told] == [1, 2, 3, 4, 5, 6]
    assert told[2][1].done == 3 and job.wait() == 5 and job.state == "done"
    assert [n for n, _ in job.events(after=4)] == [5, 6]  # whoever comes back is told what it missed


def test_many_jobs_share_calls(engine, net):
    jobs = [engine.submit(counting(net, 30)) for _ in range(4)]
    assert [job.wait(20) for job in jobs] == [30] * 4
    assert net.calls < 90
    assert engine.load()["answered"] == 120 and engine.load()["calls"] == net.calls


def test_a_full_queue_refuses_and_says_when_to_come_back(engine, net):
    net.slow = 0.05
    jobs = [engine.submit(counting(net, 20)) for _ in range(4 + 3)]
    with pytest.raises(Busy, match="waiting already: try again in") as refused:
        for _ in range(8):
            engine.submit(counting(net, 1))
    assert refused.value.retry_after >= 1
    for job in jobs:
        job.cancel()
    for job in jobs:
        with pytest.raises(Left, match="cancelled"):
            job.wait(10)
    assert engine.submit(counting(net, 1)).wait(10) == 1  # there is room again


def test_a_job_that_waits_is_cancelled_without_being_begun(engine, net):
    net.slow = 0.02
    busy = [engine.submit(counting(net, 10**6)) for _ in range(4)]
    while engine.load()["running"] < 4:
        time.sleep(0.001)
    begun = []

    def never():
        begun.append(True)
        yield Event("", 1, 1)

    waiting = engine.submit(never)
    assert waiting.state == "queued" and engine.ahead(waiting) == 0
    waiting.cancel()
    assert waiting.state == "cancelled" and engine.load()["queued"] == 0
    for job in busy:
        job.cancel()
        with pytest.raises(Left):
            job.wait(10)
    assert not begun


def test_a_deadline_counts_from_the_start(engine, net):
    net.slow = 0.01
    job = engine.submit(counting(net, 10**6), within=0.2)
    with pytest.raises(Left, match="its time is over"):
        job.wait(10)
    assert job.state == "cancelled" and 0.1 < job.ended - job.created < 5


def test_a_fault_is_told_to_its_owner_and_the_engine_goes_on(engine, net):
    def broken():
        yield Event("", 1, 2)
        raise TranhError("no such thing")

    job = engine.submit(broken)
    with pytest.raises(TranhError, match="no such thing"):
        job.wait(10)
    assert job.state == "failed" and len(list(job.events())) == 1
    assert engine.submit(counting(net, 2)).wait(10) == 2


def test_of_those_that_wait_the_shortest_is_next_and_its_place_is_known(net):
    doors = Doors()
    doors.put(net)
    order, go = [], threading.Event()

    def named(name):
        def work():
            order.append(name)
            go.wait(10)
            yield Event("", 1, 1, result=name)

        return work

    with Engine(doors, active=1, waiting=9) as engine:
        first = engine.submit(named("first"))
        while not order:
            time.sleep(0.001)
        long = engine.submit(named("long"), cost=500)
        short = engine.submit(named("short"), cost=4)
        assert (engine.ahead(short), engine.ahead(long)) == (0, 1)
        go.set()
        assert [job.wait(10) for job in (first, long, short)] == ["first", "long", "short"]
    assert order == ["first", "short", "long"]


def test_what_is_left_of_the_time_is_foretold(engine, net):
    net.slow = 0.01
    assert engine.eta(engine.submit(counting(net, 1))) is None
    for _ in range(4):
        engine.submit(counting(net, 20), cost=20).wait(10)
    job = engine.submit(counting(net, 400), cost=400)
    while job.last is None:
        time.sleep(0.001)
    assert 1 < engine.eta(job) < 40
    job.cancel()


def test_a_closed_engine_cancels_what_is_left(net):
    doors = Doors()
    doors.put(net)
    engine = Engine(doors, active=2)
    jobs = [engine.submit(counting(net, 10**6)) for _ in range(4)]
    engine.close()
    assert [job.state for job in jobs] == ["cancelled"] * 4
    with pytest.raises(Left, match="was closed"):
        engine.submit(counting(net, 1))
    assert "forward" not in vars(net)
