"""A run that dies at any moment ends as one that never did."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import engine_toys as toys
import pytest
import torch

from tranh.engine import checkpoint, find
from tranh.engine.log import CLOCK, read_log
from tranh.engine.rundir import RunDir
from tranh.engine.train import train
from tranh.files import read_tensors


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def go(run, stage, source=None, kind=toys.Toy, stop_after=None, **more):
    """Train; with ``stop_after`` drop the generator as a dying process would: without saving."""
    events = train(stage, find.build(stage, kind), source or toys.Source(), run, **more)
    last = None
    for last in events:
        if stop_after is not None and last.done >= stop_after:
            break
    events.close()
    return last


def course(run):
    return [{k: v for k, v in line.items() if k not in CLOCK} for line in read_log(run.log)]


def same(a: RunDir, b: RunDir) -> None:
    assert a.weights.read_bytes() == b.weights.read_bytes()
    assert course(a) == course(b)
    assert [p.name for p in sorted((a.path / "ema").iterdir())] == [p.name for p in sorted((b.path / "ema").iterdir())]
    for file in (a.path / "ema").iterdir():
        assert file.read_bytes() == (b.path / "ema" / file.name).read_bytes()
    assert a.metrics() == b.metrics()


SOAK = [pytest.param(seed, 60, marks=pytest.mark.soak) for seed in range(2, 32)]


@pytest.mark.parametrize(("seed", "kills"), [(0, 6), (1, 6), *SOAK])
def test_killed_at_random_moments(tmp_path, seed, kills):
    whole, torn = RunDir(tmp_path / "whole"), RunDir(tmp_path / "torn")
    go(whole, toys.stage(steps=60, precision="bf16"), toys.Source(bad=[19, 43]))
    child = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("kill_child.py")), str(torn.path), str(seed), str(kills)],
        capture_output=True, text=True, timeout=100 + 5 * kills, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert child.returncode == 0, child.stderr
    assert int(child.stdout.split()[2]) >= min(kills, 6) / 2  # it did die
    same(whole, torn)
    assert len(course(torn)) == 60 and sum("undone" in line for line in course(torn)) == 2


@pytest.mark.parametrize("kind", [toys.Toy, toys.Duel])
def test_closed_and_resumed(tmp_path, kind):
    whole, torn = RunDir(tmp_path / "whole"), RunDir(tmp_path / "torn")
    stage = toys.stage(precision="fp32")
    go(whole, stage, kind=kind)
    for moment in (3, 11, 12):
        assert go(torn, stage, kind=kind, stop_after=moment).done == moment
        assert checkpoint.newest(torn).step == moment  # closing saves
    assert go(torn, stage, kind=kind).result.finished
    same(whole, torn)


def test_prepare_is_called_once(tmp_path):
    stage, run = toys.stage(steps=4), RunDir(tmp_path)
    first, second = find.build(stage, toys.Toy), find.build(stage, toys.Toy)
    events = train(stage, first, toys.Source(), run)
    next(events)
    events.close()
    list(train(stage, second, toys.Source(), run))
    assert (first.prepared, second.prepared) == (1, 0)
    assert torch.equal(first.mean, second.mean) and first.mean.abs().sum() > 0


def damage_hash(folder):
    data = bytearray((folder / "optimizer.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "optimizer.safetensors").write_bytes(data)


def damage_missing(folder):
    (folder / "state.json").unlink()


def damage_manifest(folder):
    (folder / "MANIFEST.json").write_text("{")


def damage_short(folder):
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:100])


@pytest.mark.parametrize("damage", [damage_hash, damage_missing, damage_manifest, damage_short])
def test_corrupt_checkpoint_falls_back(tmp_path, damage, caplog):
    whole, torn = RunDir(tmp_path / "whole"), RunDir(tmp_path / "torn")
    go(whole, toys.stage())
    go(torn, toys.stage(), stop_after=12)
    damage(torn.state / "step_00000012")
    assert checkpoint.newest(torn).step == 10
    assert "step_00000012 is skipped" in caplog.text
    go(torn, toys.stage())
    same(whole, torn)


def test_all_checkpoints_corrupt_begins_anew(tmp_path):
    whole, torn = RunDir(tmp_path / "whole"), RunDir(tmp_path / "torn")
    go(whole, toys.stage())
    go(torn, toys.stage(), stop_after=12)
    for folder in torn.state.glob("step_*"):
        damage_hash(folder)
    go(torn, toys.stage())
    same(whole, torn)


def test_last_two_are_kept(tmp_path):
    run = RunDir(tmp_path)
    go(run, toys.stage(), stop_after=15)
    assert sorted(p.name for p in run.state.glob("step_*")) == ["step_00000010", "step_00000015"]


def test_torn_log_line_is_cut(tmp_path):
    whole, torn = RunDir(tmp_path / "whole"), RunDir(tmp_path / "torn")
    go(whole, toys.stage())
    go(torn, toys.stage(), stop_after=10)
    with torn.log.open("ab") as file:
        file.write(json.dumps({"step": 10, "loss": 1.0}).encode() + b'\n{"step": 11, "lo')
    go(torn, toys.stage())
    same(whole, torn)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_saves_and_stops(tmp_path, number):
    before, run = signal.getsignal(number), RunDir(tmp_path)
    events = train(toys.stage(), find.build(toys.stage(), toys.Toy), toys.Source(), run)
    for event in events:
        if event.done == 7 and event.result is None:
            os.kill(os.getpid(), number)
    assert not event.result.finished and event.result.step == 7
    assert checkpoint.newest(run).step == 7 and not run.finished
    assert signal.getsignal(number) is before
    assert go(run, toys.stage()).result.finished


def test_finished_run_is_left_alone(tmp_path):
    run = RunDir(tmp_path)
    go(run, toys.stage(steps=3))
    before = run.weights.stat().st_mtime_ns
    events = list(train(toys.stage(steps=3), find.build(toys.stage(), toys.Toy), toys.Source(), run))
    assert len(events) == 1 and events[0].result.finished and run.weights.stat().st_mtime_ns == before


def test_checkpoint_holds_no_pickle(tmp_path):
    run = RunDir(tmp_path)
    go(run, toys.stage(), stop_after=5)
    names = {p.name for p in (run.state / "step_00000005").iterdir()}
    assert all(name.endswith((".safetensors", ".json")) for name in names)
    assert "middle.weight" in read_tensors(run.state / "step_00000005" / "model.safetensors")
