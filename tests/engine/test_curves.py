"""Measures on the way: the training is the same with and without them, and their curve that of an unbroken run."""

import io
import json
import random

import engine_toys as toys
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tranh.engine import checkpoint, curves, find
from tranh.engine.log import read_log
from tranh.engine.rundir import RunDir
from tranh.engine.train import train
from tranh.engine.weights import tensors_of
from tranh.files import read_json, write_json
from tranh.types import Phase, TranhError


def go(run, measure=None, stop_after=None, **changes):
    stage = toys.stage(**{"metrics_every": 5, "ema": (0.05,), **changes})
    events = train(stage, find.build(stage, toys.Toy), toys.Source(), run, measure=measure)
    for event in events:
        if stop_after is not None and event.done >= stop_after:
            break
    events.close()
    return event


def careless(model, step):
    """A measure that does all it should not: draws from every global generator, and leaves training mode on."""
    torch.rand(3), np.random.rand(3), random.random()
    torch.manual_seed(step)
    value = float(model(toys.make_batch(1, 8), Phase("train", 0, 1, torch.Generator().manual_seed(0)))["loss"].detach())
    model.train()
    return {"error": value, "share": {"value": 0.5, "low": 0.4, "high": 0.7}, "odd": float("nan")}


def test_measuring_changes_no_bit(tmp_path):
    plain, measured = RunDir(tmp_path / "plain"), RunDir(tmp_path / "measured")
    go(plain)
    go(measured, careless)
    assert plain.weights.read_bytes() == measured.weights.read_bytes()
    assert (plain.path / "ema/0.050.safetensors").read_bytes() == (measured.path / "ema/0.050.safetensors").read_bytes()
    without = [[{k: v for k, v in x.items() if "second" not in k} for x in read_log(r.log)] for r in (plain, measured)]
    assert without[0] == without[1]
    assert not plain.measures.exists() and not (plain.samples / "measures.png").exists()


def test_points_are_due_every_so_many_steps_and_at_the_end_with_the_averages(tmp_path):
    run, seen = RunDir(tmp_path), []

    def measure(model, step):
        newest = model.first.weight.detach().clone()
        seen.append((step, model.training, newest))
        return {"KID": {"value": 1.0 / step, "low": 0.0, "high": 2.0 / step}}

    go(run, measure)
    assert [(step, training) for step, training, _ in seen] == [(s, False) for s in (5, 10, 15, 20, 24)]
    average = checkpoint.newest(run).tensors("ema-0.050")["first.weight"]
    assert torch.equal(seen[-1][2], average)
    lines = read_log(run.measures)
    assert [x["step"] for x in lines] == [5, 10, 15, 20, 24] and lines[1]["KID"]["high"] == 0.2
    with Image.open(run.samples / "measures.png") as picture:
        assert picture.size == (320, 230)


def test_never_unless_asked(tmp_path):
    def measure(model, step):
        raise AssertionError("asked")

    go(RunDir(tmp_path), measure, metrics_every=0)
    assert not RunDir(tmp_path).measures.exists()


def test_a_failing_measure_costs_a_warning(tmp_path, caplog):
    plain, broken = RunDir(tmp_path / "plain"), RunDir(tmp_path / "broken")

    def measure(model, step):
        if step > 5:
            raise ValueError("too few")
        return {"error": 1.0}

    go(plain)
    assert go(broken, measure).result.finished
    assert plain.weights.read_bytes() == broken.weights.read_bytes()
    assert "nothing measured at step 10" in caplog.text
    assert read_log(broken.measures)[1] == {"step": 10, "failed": "ValueError: too few"}
    assert curves.curves(read_log(broken.measures)) == {"error": [(5.0, 1.0, 1.0, 1.0)]}
    assert "Nothing measured at 4 points; step 24: ValueError: too few" in broken.report.read_text("utf-8")


def test_points_after_the_checkpoint_are_dropped_on_resuming(tmp_path):
    whole, torn = RunDir(tmp_path / "whole"), RunDir(tmp_path / "torn")

    def measure(model, step):
        return {"length": float(sum(v.norm() for v in tensors_of(model).values()))}

    go(whole, measure, save_every=10)
    go(torn, measure, save_every=10, stop_after=17)
    for file in (torn.state / "step_00000017").iterdir():  # closing saved: go back to 10, as a power cut would
        file.write_bytes(b"")
    with torn.measures.open("ab") as file:
        file.write(json.dumps({"step": 15, "length": 99.0}).encode() + b'\n{"step": 20, "len')
    events = train(
        stage := toys.stage(metrics_every=5, ema=(0.05,), save_every=10), find.build(stage, toys.Toy), toys.Source(),
        torn, measure=measure,
    )  # fmt: skip
    assert next(events).done == 11
    assert [x["step"] for x in read_log(torn.measures)] == [5, 10]
    events.close()
    go(torn, measure, save_every=10)
    assert torn.measures.read_bytes() == whole.measures.read_bytes()


def test_a_run_begun_before_measures_were_known_goes_on(tmp_path):
    run = RunDir(tmp_path)
    go(run, metrics_every=0, stop_after=7)
    old = read_json(run.recipe_file)
    del old["stage"]["metrics_every"], old["stage"]["metrics_count"]
    write_json(run.recipe_file, old)
    assert run.stage().metrics_every == 0
    with pytest.raises(TranhError, match="metrics_every 0 there, 5 here"):
        go(run)
    assert go(run, metrics_every=0).result.finished


VALUES = st.one_of(st.floats(), st.integers(-5, 5), st.text(max_size=3), st.none(), st.booleans())


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(1, 30), st.dictionaries(st.text(max_size=4), VALUES, max_size=3)), max_size=9))
def test_any_figures_are_kept_and_can_be_drawn(tmp_path_factory, points):
    path = tmp_path_factory.mktemp("m") / "measures.jsonl"
    for step, figures in points:
        curves.add(path, step, {k: v for k, v in figures.items() if k != "step"})
    lines = read_log(path)
    steps = [x["step"] for x in lines]
    assert steps == sorted(set(steps)) and (not points or steps[-1] == points[-1][0])
    found = curves.curves(lines)
    assert all(np.isfinite(p).all() for part in found.values() for p in part)
    curves.keep_until(path, 10)
    assert [x["step"] for x in read_log(path)] == [s for s in steps if s <= 10]


def test_panels_of_a_log_with_gaps():
    log = [{"step": 0, "a.loss": 1.0, "lr": 0.1, "images_per_second": 3.0}, {"step": 1, "a.loss": "nan", "lr": 0.2}]
    drawn = curves.panels(log, [{"step": 1, "x": 1.0}, {"step": 2, "x": {"value": 2.0, "low": 1.0, "high": 3.0}}])
    assert list(drawn) == ["loss", "x", "learning rate", "gradient norm", "speed"]
    assert {Image.open(io.BytesIO(png)).size for png in drawn.values()} == {(320, 230)}
    assert curves.panels([], []) == {}


def test_losses_side_by_side_are_on_a_scale_of_factors():
    """A loss that begins at 60 leaves the others their shape; one that goes below 0 is still drawn."""
    for low, scale in ((0.1, "log"), (-0.4, "symlog")):
        _, (ax, *_) = curves._canvas(2, 1)
        ax.plot([0, 1, 2], [60.0, 1.0, low])
        curves._steep(ax)
        assert ax.get_yscale() == scale and ax.get_ylim()[0] < low
    log = [{"step": k, "seconds": 60.0, "loss": 60.0 / (k + 1) - 1} for k in range(100)]
    assert curves.together({"a": {"x": log}, "b": {"y": log[:50]}, "c": {}}).startswith(b"\x89PNG")
