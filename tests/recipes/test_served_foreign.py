"""Folders of diffusers behind doors: unchanged pipelines of many requests share networks, and each gets its own."""

import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import foreign_toys as toys

from tranh.engine.doors import Doors, Guest, Left
from tranh.engine.jobs import Engine
from tranh.recipes import foreign
from tranh.recipes.served import Served
from tranh.types import Request, TranhError

FOREIGN = {"sd": toys.stable_diffusion, "sdxl": toys.sdxl, "kandinsky": toys.kandinsky, "prx": toys.prx}


def ordered(served, engine, orders):
    """Jobs of orders, all submitted at once."""
    ready = [served.ready("generate", values, None) for values in orders]
    return [engine.submit(one.events, one.cost) for one in ready]


@pytest.mark.parametrize("name", FOREIGN)
def test_any_folder_of_diffusers_is_shared_unchanged(name, tmp_path):
    system = foreign.load(FOREIGN[name](tmp_path / name))
    others = [one for one in ("EulerDiscreteScheduler", "DPMSolverMultistepScheduler") if one in system.samplers]
    asked = [
        Request("a red circle", steps=2, guidance=3.0, size=32),
        Request("a blue star", steps=4, guidance=5.0, size=32),
        Request("a red circle and a star", steps=3, guidance=1.0, size=32),
        Request("a house", steps=3, guidance=4.0, size=32),
    ]
    chosen = [*others[:2], None, None, None, None][: len(asked)]
    out = [None] * len(asked)

    def draw(k, sampler):
        told = system._arguments(asked[k], asked[k].prompt, k)
        out[k] = np.asarray(system.own(sampler)(**told, output_type="np").images[0])

    for k, sampler in enumerate(chosen):
        draw(k, sampler)
    alone, doors = list(out), Doors(rows=16, patience=0.1)
    served = Served(system, doors)

    def guest(k, sampler):
        with doors.inside(Guest()):
            draw(k, sampler)

    threads = [threading.Thread(target=guest, args=each) for each in enumerate(chosen)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    within = 1e-3 if name == "kandinsky" else 1e-5  # its random prior makes 25 steps of rounding larger
    for one, other in zip(alone, out, strict=True):
        assert np.abs(one - other).max() < within
    assert doors.calls < 0.7 * doors.answered
    with Engine(doors) as engine:  # and through the engine, with what is seen on the way
        jobs = ordered(served, engine, [{"prompt": "a star", "steps": n, "size": 32} for n in (2, 3)])
        made = [job.wait(60) for job in jobs]
        assert all(one.images[0].size == (32, 32) and one.settings[0]["exact"] is False for one in made)
        *_, last = (event for event in served.run("generate", Request("a star", steps=2, size=32)) if event.preview)
        assert last.preview().size[0] == last.preview().size[1]
        ready = served.ready("generate", {"prompt": "a star", "steps": 500, "size": 32}, None)
        job = engine.submit(ready.events, ready.cost)
        next(iter(job.events()))
        begun = time.monotonic()
        job.cancel()
        with pytest.raises(Left):
            job.wait(30)
        assert time.monotonic() - begun < 10
        with pytest.raises(TranhError, match="no sampler"):
            served.ready("generate", {"prompt": "a star", "sampler": "magic"}, None)


def test_in_exact_mode_a_folder_of_diffusers_does_not_see_its_company(tmp_path):
    system = foreign.load(toys.stable_diffusion(tmp_path / "sd"))
    orders = [{"prompt": "a star", "steps": n, "seed": n, "size": 32} for n in (2, 3, 4)]
    doors = Doors(rows=16, patience=0.02)
    served = Served(system, doors, exact=True)
    with Engine(doors) as engine:
        (first,) = (job.wait(60) for job in ordered(served, engine, orders[:1]))
        made = [job.wait(60) for job in ordered(served, engine, orders)]
    assert np.array_equal(np.asarray(first.images[0]), np.asarray(made[0].images[0]))
    assert made[0].settings[0]["tolerance"] == 0
