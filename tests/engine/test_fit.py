"""What a plan predicts is what a training takes: on a clock that only the work itself moves on."""

import subprocess
import sys
from dataclasses import replace

import engine_toys as toys
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tranh.engine import checkpoint, find, score, train
from tranh.engine.fit import RESERVE, Cost, existing, measure
from tranh.engine.rundir import RunDir
from tranh.engine.weights import tensors_of


class Clock:
    """Stands still but for what is charged."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Charging(toys.Source):
    """A source whose training batches take a quarter of a second."""

    def __init__(self, clock):
        super().__init__()
        self.clock = clock

    def batch(self, step, size, seed):
        self.clock.now += 0.25
        return super().batch(step, size, seed)


def charged(clock, seconds, result):
    def work(*args):
        clock.now += seconds
        return result

    return work


def cost_of(stage, clock, tmp_path, **hooks):
    *_, last = measure(
        stage, find.build(stage, toys.Toy), Charging(clock), scratch=tmp_path, clock=clock, seconds=2.0, **hooks
    )
    return last.result


def test_the_prediction_is_what_the_training_takes(tmp_path, monkeypatch):
    """Batches, samples, points, checkpoints and the choice are all charged to one clock, in both."""
    clock, real_save = Clock(), checkpoint.save
    sample, point = charged(clock, 3.0, Image.new("RGB", (8, 8))), charged(clock, 7.0, {"x": 1.0})

    def save(*args):
        clock.now += 0.5
        return real_save(*args)

    monkeypatch.setattr(checkpoint, "save", save)
    stage = toys.stage(steps=60, sample_every=10, save_every=20, metrics_every=30)
    cost = cost_of(stage, clock, tmp_path, sample=sample, point=point)
    assert (cost.step, cost.sample, cost.point, cost.save) == (0.25, 3.0, 7.0, 0.5) and cost.measured == 8
    began = clock.now
    list(train.train(stage, find.build(stage, toys.Toy), Charging(clock), RunDir(tmp_path / "run"), sample=sample,
                     measure=point))  # fmt: skip
    actual = clock.now - began
    assert actual == pytest.approx(cost.begin + (cost.seconds(stage) - cost.begin) * (1 - RESERVE))
    assert not list(tmp_path.glob(".tranh-*"))


def test_the_choice_among_averages_is_counted(tmp_path, monkeypatch):
    clock = Clock()
    monkeypatch.setattr("tranh.engine.fit.held_out", lambda *a, **k: charged(clock, 1.5, 0.0))
    assert score.held_out and cost_of(toys.stage(ema=(0.05, 0.1)), clock, tmp_path).choice == 4 * 3 * 1.5


def test_bytes_are_those_of_a_checkpoint(tmp_path):
    stage, run = toys.stage(steps=4, save_every=2), RunDir(tmp_path / "run")
    cost = cost_of(stage, Clock(), tmp_path)
    list(train.train(stage, family := find.build(stage, toys.Toy), toys.Source(), run))
    sizes = {p.stem: p.stat().st_size for p in checkpoint.newest(run).path.glob("*.safetensors")}
    header = 8 + 3000  # at most, of each file
    assert 0 <= sizes["model"] - cost.weights < header and 0 <= sizes["optimizer"] - cost.optimizer < header
    assert cost.weights == sum(t.numel() * t.element_size() for t in tensors_of(family).values())
    assert cost.averages == 2 * sum(4 * p.numel() for p in family.parameters())
    finished = cost.disk(stage)[1]
    stored = sum(p.stat().st_size for p in run.path.rglob("*.safetensors"))
    assert finished <= stored < finished + 6 * header


def test_the_family_and_the_random_numbers_are_left_alone(tmp_path):
    stage = toys.stage()
    family = find.build(stage, toys.Toy)
    before, state = {k: v.clone() for k, v in tensors_of(family).items()}, torch.random.get_rng_state()
    list(measure(stage, family, toys.Source(), least=2, most=2))
    assert all(torch.equal(v, before[k]) for k, v in tensors_of(family).items()) and family.prepared == 0
    assert torch.equal(state, torch.random.get_rng_state())


POSITIVE = st.floats(1e-3, 10)


@settings(max_examples=50)
@given(
    POSITIVE, POSITIVE, POSITIVE, POSITIVE, st.integers(1, 400), st.integers(0, 90), st.integers(1, 90),
    st.floats(1, 1e4),
)  # fmt: skip
def test_the_steps_that_fit_are_the_most_that_fit(step, begin, sample, point, sample_every, metrics, save, seconds):
    cost = Cost(step, step, step, begin=begin, sample=sample, point=point, save=0.1, choice=0.3)
    stage = toys.stage(sample_every=sample_every, metrics_every=metrics, save_every=save)
    steps = cost.steps(stage, seconds)
    taken = [cost.seconds(replace(stage, steps=n)) for n in (steps, steps + 1)]
    assert steps >= 1 and taken[1] > seconds and (steps == 1 or taken[0] <= seconds)
    assert cost.seconds(replace(stage, steps=steps), done=steps) < taken[0]


CHILD = """
from tranh.engine import memory
large = bytearray(2**28)
del large
memory.forget_peak()
forgotten = memory.peak()
block = bytearray(b"x") * 2**27
held = memory.held()  # before the peak: reading it takes a little too
print(forgotten, memory.peak(), held, memory.limit() or 2**62)
"""


def test_memory_is_seen_to_grow_and_what_was_before_is_forgotten():
    """In a process of its own: this one holds freed memory that a new block may take."""
    told = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, check=True).stdout
    forgotten, peak, held, limit = map(int, told.split())
    assert peak - forgotten > 0.9 * 2**27 and 2**27 < held <= peak < forgotten + 2**28 and held < limit


def test_the_disk_of_a_folder_that_is_not_there_yet(tmp_path, monkeypatch):
    assert existing(tmp_path / "a" / "b") == tmp_path
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    assert existing(RunDir("runs/x").path) == tmp_path / "runs"


def test_memory_that_nobody_uses_goes_back() -> None:
    """Small blocks between which one stays are kept by the C library until it is asked."""
    code = (
        "from tranh.engine import memory\n"
        "blocks = [bytearray(60_000) for _ in range(8000)]\n"
        "kept = blocks[-1:]\n"
        "full = memory.held()\n"
        "blocks.clear()\n"
        "memory.give_back()\n"
        "assert full - memory.held() > 300 * 2**20, (full, memory.held())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
