"""Many requests on one model's networks: each gets what it gets alone, whoever comes, goes, or is cancelled there."""

import copy
import threading
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tranh.engine.doors import Doors, Guest, Left
from tranh.engine.jobs import Busy, Engine
from tranh.recipes.served import Served, networks
from tranh.recipes.tools import tool
from tranh.recipes.unclip import assemble
from tranh.types import Request, TranhError

RED = Image.new("RGB", (64, 64), (200, 30, 30))
HOLE = Image.new("L", (64, 64))
HOLE.paste(255, (16, 16, 48, 48))


def picture(id):
    return {"red": RED, "hole": HOLE}[id]


def pixels(images):
    return [np.asarray(image.convert("RGB")).astype(int) for image in images]


@contextmanager
def serving(system, exact=False, patience=0.02, **engine):
    """The system behind doors, and an engine before them; afterwards it is as it was."""
    doors = Doors(rows=16, patience=patience)
    served = Served(system, doors, exact=exact)
    with Engine(doors, **engine) as running:
        yield served, running


def ordered(served, engine, orders):
    """Jobs of orders (tool, values), all submitted at once."""
    ready = [served.ready(name, values, picture) for name, values in orders]
    return [engine.submit(one.events, one.cost) for one in ready]


MIXED = [
    ("generate", {"prompt": "a red circle", "steps": 3, "seed": 1, "size": 64}),
    ("generate", {"prompt": "một ngôi sao xanh dương lớn ở bên trái", "steps": 6, "guidance": 3.5, "size": 64}),
    ("generate", {"prompt": "a blue star", "steps": 2, "guidance": 1.0, "seed": 4, "count": 2, "size": 64}),
    ("generate", {"prompt": "a small green square", "steps": 2, "size": 256, "negative_prompt": "red"}),
    ("generate", {"prompt": "a red star", "steps": 3, "prior": "autoregressive", "size": 64}),
    ("variation", {"image": "red", "steps": 4, "seed": 2}),
    ("inpaint", {"image": "red", "mask": "hole", "prompt": "a blue star", "steps": 3}),
    ("img2img", {"image": "red", "prompt": "a green square", "steps": 4, "strength": 0.5}),
]


@pytest.mark.parametrize("exact", [False, True])
def test_mixed_requests_get_at_once_what_they_get_alone(system, exact):
    with serving(system, exact) as (served, engine):
        alone = [job.wait(60) for order in MIXED for job in ordered(served, engine, [order])]
        calls = engine.doors.calls
        together = [job.wait(60) for job in ordered(served, engine, MIXED)]
        shared = engine.doors.calls - calls
    for one, other in zip(alone, together, strict=True):
        for a, b in zip(pixels(one.images), pixels(other.images), strict=True):
            assert np.abs(a - b).max() <= (0 if exact else other.settings[0]["tolerance"])
        assert other.settings[0]["exact"] is exact and other.settings[0]["tolerance"] == (0 if exact else 1)
    assert shared < calls


def test_exact_pictures_are_the_same_after_a_restart(system, parts, assets):
    with serving(system, exact=True) as (served, engine):
        before = [job.wait(60) for job in ordered(served, engine, MIXED[:3])]
    again = assemble(copy.deepcopy(parts), assets, {"name": "tiny", "steps": 3, "prior_steps": 2, "upsampler_steps": 2})
    with serving(again, exact=True) as (served, engine):
        (job,) = ordered(served, engine, MIXED[1:2])
        assert np.array_equal(pixels(job.wait(60).images)[0], pixels(before[1].images)[0])


def test_alone_a_request_gets_what_the_library_gives(system):
    request, options = tool("generate").asked(MIXED[1][1], picture)
    *_, plain = tool("generate").run(system, request, options)
    with serving(system) as (served, engine):
        (job,) = ordered(served, engine, MIXED[1:2])
        assert np.array_equal(pixels(job.wait(60).images)[0], pixels(plain.result.images)[0])
    *_, after = tool("generate").run(system, request, options)  # the doors are gone
    assert np.array_equal(pixels(after.result.images)[0], pixels(plain.result.images)[0])
    assert not any(method in vars(owner) for owner, method in networks(system))


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whoever_leaves_at_any_door_changes_nothing_for_the_others(system, data):
    stays = ("generate", {"prompt": "a red circle", "steps": 5, "seed": 3, "size": 64})
    doors = Doors(rows=16, patience=0.02)
    served = Served(system, doors, exact=True)
    last_door = 8
    leave = data.draw(st.lists(st.integers(0, last_door), min_size=1, max_size=3), label="calls before each leaves")
    with Engine(doors) as engine:
        (alone,) = ordered(served, engine, [stays])
        alone.wait(60)
        (job,) = ordered(served, engine, [stays])
        ended = []

        def goes(k, calls):
            guest = Guest()
            count = 0

            def counted():
                nonlocal count
                count += 1
                if count > calls:
                    guest.cancel()
                Guest.check(guest)

            guest.check = counted
            try:
                with doors.inside(guest):
                    for _ in served.run("generate", Request("a blue star", seed=k, steps=9, size=64)):
                        pass
            except Left:
                ended.append(k)

        threads = [threading.Thread(target=goes, args=(k, calls)) for k, calls in enumerate(leave)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert sorted(ended) == list(range(len(leave)))
        assert np.array_equal(pixels(job.wait(60).images)[0], pixels(alone.result.images)[0])


def test_a_cancelled_job_and_one_whose_time_is_over_stop_at_a_door(system):
    long = {"prompt": "a red circle", "steps": 900, "size": 64}
    with serving(system) as (served, engine):
        ready = served.ready("generate", long, picture)
        cancelled, late = engine.submit(ready.events, ready.cost), engine.submit(ready.events, ready.cost, within=0.3)
        next(iter(cancelled.events()))
        cancelled.cancel()
        with pytest.raises(Left, match="cancelled"):
            cancelled.wait(30)
        with pytest.raises(Left, match="time is over"):
            late.wait(30)
        assert cancelled.last.done < 900 and late.last.done < 900
        (after,) = ordered(served, engine, MIXED[:1])
        assert after.wait(30).images


def test_only_the_newest_step_can_be_seen_and_nothing_is_drawn_for_nobody(system):
    with serving(system) as (served, engine):
        ready = served.ready("generate", {"prompt": "a red circle", "steps": 6, "size": 64}, picture)
        seen, kept = [], []

        def events():
            for event in ready.events():
                if event.preview is not None and event.done % 2 == 0:
                    seen.append(event.preview())
                yield event

        job = engine.submit(events, ready.cost)
        job.wait(30)
        kept = [event for _, event in job.events() if event.preview is not None]
    assert [image.size for image in seen] == [(64, 64)] * 3 and not kept
    assert not np.array_equal(np.asarray(seen[0]), np.asarray(seen[-1]))


def test_short_requests_are_not_stuck_behind_long_ones_and_a_full_queue_says_when(system):
    long = ("generate", {"prompt": "a red circle", "steps": 60, "size": 64})
    short = ("generate", {"prompt": "a blue star", "steps": 3, "size": 64})
    with serving(system, active=4, waiting=2) as (served, engine):
        running = ordered(served, engine, [long] * 3)
        (quick,) = ordered(served, engine, [short])
        quick.wait(60)
        assert all(job.state == "running" for job in running)
        more = ordered(served, engine, [long] * 3)
        with pytest.raises(Busy) as busy:
            ordered(served, engine, [short])
        assert busy.value.retry_after > 0
        for job in running + more:
            job.cancel()


def test_orders_that_cannot_be_met_are_refused_before_they_are_queued(system):
    with serving(system) as (served, _):
        for name, values, says in (
            ("generate", {"prompt": "a flurgle"}, "flurgle"),
            ("generate", {"prompt": "a red circle", "size": 65}, "64 or 256"),
            ("generate", {"prompt": "a red circle", "sampler": "ddim"}, "no samplers"),
            ("generate", {"prompt": "a red circle", "temperature": 1}, "draws no codes"),
            ("complete", {"image": "red", "prompt": "a red circle"}, "cannot complete"),
            ("paint", {}, "no tool"),
        ):
            with pytest.raises(TranhError, match=says):
                served.ready(name, values, picture)
        told = served.understand("a red flurgle")
        assert told["unknown"][0]["word"] == "flurgle" and told["language"] == "en"
        assert {"generate", "variation", "animate"} <= set(served.tools()) and "complete" not in served.tools()


def test_more_work_costs_more(system):
    with serving(system) as (served, _):
        asked = [(4, 1, 64, 1.0), (4, 1, 64, 2.0), (8, 1, 64, 2.0), (8, 2, 64, 2.0), (8, 2, 256, 2.0)]
        costs = [served.cost("generate", Request("a", steps=n, count=c, size=s, guidance=g)) for n, c, s, g in asked]
        assert costs == sorted(costs) and costs[:4] == [4, 8, 16, 32]
        assert served.cost("animate", Request("", frames=10, steps=4)) > served.cost("variation", Request("", steps=4))
