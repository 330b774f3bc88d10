"""Doors: answers are those of being alone, calls are shared, and nobody waits for who is gone."""

import threading
import time
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tranh.engine.doors import YIELDS, Doors, Guest, Left, chosen


class Net(nn.Module):
    """Rows of numbers and a time each; counts its calls and their rows."""

    def __init__(self, slow=0.0):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.slow = nn.Linear(8, 32), nn.Linear(32, 8), slow
        self.rows = []

    def forward(self, x, t, *, scale=1.0, extra=None):
        self.rows.append(len(x))
        time.sleep(self.slow)
        y = self.second(torch.tanh(self.first(x) * t.view(-1, 1))) * scale
        return y if extra is None else {"y": y + extra["bias"], "none": None}


def walk(net, steps, seed, scale=1.0):
    """A sampler that knows nothing of doors."""
    x = torch.randn(1, 8, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        for i in range(steps):
            x = x - net(torch.cat([x, -x]), torch.tensor(1 - i / steps), scale=scale)[:1] / steps
    return x


def run_all(doors, works):
    """Every work in a thread and as a guest of its own; results or errors, in order."""
    out = [None] * len(works)

    def one(k):
        try:
            with doors.inside(Guest()) as guest:
                out[k] = works[k](guest)
        except BaseException as error:
            out[k] = error

    threads = [threading.Thread(target=one, args=(k,)) for k in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    return out


@pytest.fixture
def doors():
    made = Doors(rows=64, patience=0.05)
    yield made
    made.close()


def test_guests_at_different_steps_share_calls_and_get_what_they_would_get_alone(doors):
    net = Net(slow=0.002)
    steps = [8, 10, 12, 16] * 4
    alone = [walk(net, n, k) for k, n in enumerate(steps)]
    net.rows.clear()
    doors.put(net)
    together = run_all(doors, [lambda guest, k=k, n=n: walk(net, n, k) for k, n in enumerate(steps)])
    for one, other in zip(alone, together, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)
    assert len(net.rows) < sum(steps) / 5  # 184 calls alone; about as many as the longest walk has
    assert max(net.rows) > 8


@settings(max_examples=15, deadline=None)
@given(company=st.lists(st.integers(1, 6), min_size=1, max_size=6), tile=st.integers(1, 5))
def test_in_exact_mode_a_result_does_not_depend_on_its_company_by_a_bit(company, tile):
    net, doors = Net(), Doors(patience=0.01, tile=tile)
    doors.put(net)
    try:
        (alone,) = run_all(doors, [lambda guest: walk(net, 4, 0)])
        works = [lambda guest: walk(net, 4, 0)]
        works += [lambda guest, k=k, n=n: walk(net, n, k + 1) for k, n in enumerate(company)]
        assert torch.equal(run_all(doors, works)[0], alone)
        assert set(net.rows) == {tile}
    finally:
        doors.close()


def test_other_arguments_are_other_calls(doors):
    net = Net()
    doors.put(net)
    alone = [walk(net, 5, 3, scale) for scale in (1.0, 2.0)]
    made = run_all(doors, [lambda guest, s=s: walk(net, 5, 3, s) for s in (1.0, 2.0)])
    for one, other in zip(alone, made, strict=True):
        torch.testing.assert_close(one, other)
    assert max(net.rows) == 2


def test_trees_go_in_and_out_and_one_row_stands_for_all(doors):
    net = Net()
    doors.put(net)

    def ask(guest, rows):
        with torch.no_grad():
            return net(torch.ones(rows, 8), torch.ones(1), extra={"bias": torch.arange(8.0)[None]})

    made = run_all(doors, [lambda guest, n=n: ask(guest, n) for n in (1, 2, 3)])
    expected = ask(None, 1)["y"]
    for n, one in zip((1, 2, 3), made, strict=True):
        assert one["none"] is None and one["y"].shape == (n, 8)
        torch.testing.assert_close(one["y"], expected.expand(n, 8))
    assert sum(net.rows) == 1 + 2 + 3 + 1


class Odd(nn.Module):
    """What it gives has no rows, or it fails for some."""

    def forward(self, x):
        return int(x.sum())

    def encode(self, x):
        if (x < 0).any():
            raise ValueError("negative")
        return x * 2


def test_what_cannot_be_divided_is_answered_alone_and_faults_are_told_to_who_made_them(doors):
    odd = Odd()
    doors.put(odd, "forward", "encode")
    assert run_all(doors, [lambda guest, k=k: odd(torch.full((2,), k)) for k in range(4)]) == [0, 2, 4, 6]
    with torch.no_grad():
        made = run_all(doors, [lambda guest, k=k: odd.encode(torch.full((1,), k)) for k in (1, -1, 3)])
    assert made[0] == 2 and isinstance(made[1], ValueError) and made[2] == 6
    with pytest.raises(ValueError, match="no method 'decode'"):
        doors.put(odd, "decode")


def test_in_exact_mode_too_what_cannot_be_divided_is_answered_alone():
    odd, doors = Odd(), Doors(tile=3)
    doors.put(odd)
    try:
        assert run_all(doors, [lambda guest, k=k: odd(torch.full((2,), k)) for k in range(4)]) == [0, 2, 4, 6]
    finally:
        doors.close()


def test_precision_is_that_of_the_guest(doors):
    net = Net()
    doors.put(net)

    def ask(guest):
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            return net(torch.ones(1, 8), torch.ones(1))

    assert run_all(doors, [ask])[0].dtype == torch.bfloat16


def test_who_is_cancelled_or_late_leaves_at_the_next_door_and_the_others_go_on(doors):
    net = Net(slow=0.01)
    doors.put(net)
    guests = []

    def endless(guest):
        guests.append(guest)
        return walk(net, 10**6, 0)

    def late(guest):
        guest.deadline = time.monotonic() + 0.1
        return walk(net, 10**6, 1)

    def quick(guest):
        made = walk(net, 5, 2)
        while not guests:
            time.sleep(0.001)
        guests[0].cancel()
        return made

    first, second, third = run_all(doors, [endless, late, quick])
    assert isinstance(first, Left) and str(first) == "cancelled"
    assert isinstance(second, Left) and "time is over" in str(second)
    assert third.shape == (1, 8)


def test_nobody_waits_for_who_is_busy_elsewhere():
    doors, net = Doors(patience=5.0), Net()
    doors.put(net)

    def writing(guest):
        with doors.outside(guest):
            time.sleep(1.0)

    begun = time.monotonic()
    spent = {}

    def quick(guest):
        walk(net, 5, 0)
        spent["quick"] = time.monotonic() - begun

    run_all(doors, [writing, quick])
    doors.close()
    assert spent["quick"] < 1.0  # patience alone would have made it 25 seconds


def test_short_work_is_not_stuck_behind_long_and_long_work_ends():
    doors, net = Doors(rows=2, patience=0.001), Net(slow=0.004)
    doors.put(net)
    ended = []

    def work(steps, name):
        def one(guest):
            walk(net, steps, 0)
            ended.append(name)

        return one

    run_all(doors, [work(60, "long"), work(60, "long")] + [work(4, "short")] * 4)
    doors.close()
    assert ended == ["short"] * 4 + ["long"] * 2


def test_a_closed_house_is_as_it_was():
    doors, net = Doors(), Net()
    doors.put(net)
    doors.close()
    assert "forward" not in vars(net)
    with doors.inside(Guest()):
        assert walk(net, 3, 0).shape == (1, 8)  # nobody shares it any more, and it works


def test_threads_of_computing_are_the_doors_own():
    """A server gives its processors to the doors, and all its other threads compute alone."""
    before, found = torch.get_num_threads(), {}

    class Counting(nn.Module):
        def forward(self, x):
            x @ torch.ones(64, 64)  # where torch sees for the first time how many threads there are
            found["behind"] = torch.get_num_threads()
            return x

    try:
        doors, net = Doors(threads=3), Counting()
        torch.set_num_threads(1)
        doors.put(net)

        def work(guest):
            net(torch.zeros(64, 64))
            found["guest"] = torch.get_num_threads()

        assert run_all(doors, [work]) == [None]
        doors.close()
        assert found == {"behind": 3, "guest": 1} and torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_guests_out_of_step_come_into_step():
    net, doors = Net(slow=0.02), Doors(rows=16, patience=0.01)
    doors.put(net)
    try:
        late = [lambda guest, k=k: (time.sleep(0.01 * k), walk(net, 12, k)) for k in range(3)]
        run_all(doors, late)
        assert len(net.rows) <= 12 + 3  # 36 if whoever waited longest were answered at once
        assert doors.calls == len(net.rows) and doors.answered == 36 and doors.spent > 0.02 * doors.calls
    finally:
        doors.close()


def stands(served, key="net", rows=2, arrived=0.0, whole=False, needs=0.0):
    door, guest = SimpleNamespace(whole=whole), SimpleNamespace(served=served, needs=needs)
    return SimpleNamespace(door=door, guest=guest, key=key, rows=rows, arrived=arrived)


def test_a_full_call_goes_before_one_that_may_still_fill_but_not_for_long():
    new, old = [stands(0.0, "prior", 4)], [stands(1.0 + k) for k in range(9)]
    batch, full = chosen(new + old, 16, now=0.1)
    assert full and batch == old[:8]  # those with the least service, as many as fit
    assert chosen(new + old, 16, now=YIELDS) == (new, False)
    assert chosen(new + old[:7], 16, now=0.1) == (new, False)  # 14 rows are not full: the new one first
    alone = [stands(float(k), whole=True) for k in range(3)]
    assert chosen(alone, 16, now=0.0) == (alone[:1], False)


def test_who_needs_least_goes_first_and_waiting_counts():
    long, short = stands(0.1, needs=3.0), stands(0.3, "other", needs=0.5)
    assert chosen([long, short], 16, now=0.0)[0] == [short]
    assert chosen([stands(9.0, "other", needs=0.5), long], 16, now=0.0)[0] == [long]  # it took more than it said
    assert chosen([stands(0.0, "other", arrived=20.0), long], 16, now=20.0)[0] == [long]  # twenty seconds
