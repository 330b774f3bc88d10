import logging

import engine_toys as toys
import pytest
import torch
from PIL import Image

from tranh.engine import checkpoint, find, fit
from tranh.engine.fit import fit_steps
from tranh.engine.frozen import load
from tranh.engine.log import draw_loss, read_log
from tranh.engine.rundir import RunDir
from tranh.engine.step import Stepper, make_accelerator
from tranh.engine.system import pack
from tranh.engine.train import train
from tranh.engine.weights import tensors_of
from tranh.files import read_json, read_tensors, write_tensors
from tranh.types import TranhError


def copies(stepper):
    tensors = {**tensors_of(stepper.family), **stepper.state()}
    tensors |= {f"{k}/{n}": v for k in stepper.averages.tracks for n, v in stepper.averages.tensors(k).items()}
    return {k: v.clone() for k, v in tensors.items()}


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_learns_and_leaves_everything(tmp_path):
    run, stage = (
        RunDir(tmp_path / "run"),
        toys.stage(steps=60, precision="fp32", sample_every=20, lr=3e-2, model={"dropout": 0.0}),
    )
    family = find.build(stage, toys.Toy)
    pictures = []

    def sample(model, step):
        pictures.append((step, model.training))
        return Image.new("RGB", (8, 8))

    events = list(train(stage, family, toys.Source(), run, assets={"tokenizer.json": b"{}"}, sample=sample))
    assert [e.done for e in events] == [*range(1, 61), 60] and events[-1].result.finished
    log = read_log(run.log)
    assert len(log) == 60
    assert {"step", "loss", "rms", "grad_norm", "lr", "muon_lr", "images_per_second", "seconds"} <= log[0].keys()
    assert sum(x["loss"] for x in log[-5:]) < 0.95 * sum(x["loss"] for x in log[:5])
    assert pictures == [(20, False), (40, False), (60, False)]
    assert {p.name for p in run.samples.iterdir()} == {
        "loss.png", "step_000020.png", "step_000040.png", "step_000060.png"
    }  # fmt: skip
    assert "middle" in (run.path / "parameters.txt").read_text()
    assert (run.path / "tokenizer.json").read_bytes() == b"{}"
    weights = run.metrics()["weights"]
    assert weights["scores"][weights["chosen"]] == min(weights["scores"].values())
    assert set(weights["scores"]) == {"raw", "0.050", "0.150"}
    assert all(torch.equal(v, read_tensors(run.weights)[k]) for k, v in tensors_of(family).items())
    assert read_json(run.done_file)["hash"] == run.hash()
    assert run.recipe()["stage"]["steps"] == 60 and "torch" in run.recipe()["versions"]


@pytest.mark.parametrize("seen", [0, 3])
def test_bad_step_changes_nothing(seen):
    stage = toys.stage(precision="fp32")
    stepper = Stepper(stage, find.build(stage, toys.Toy).train(), make_accelerator())
    for step in range(seen):
        assert stepper(toys.Source().batch(step, 8, 0), step).bad is None
    before = copies(stepper)
    report = stepper(toys.Source(bad=[seen]).batch(seen, 8, 0), seen)
    assert report.bad == "loss" and stepper.updates == seen
    assert equal(before, copies(stepper))  # BatchNorm's running mean would be NaN by now


@pytest.mark.parametrize("fail", [0, 4])
def test_bad_second_phase_undoes_the_first(fail):
    stage = toys.stage(precision="fp32")
    stepper = Stepper(stage, find.build(toys.stage(model={"fail": fail}), toys.Duel), make_accelerator())
    for step in range(fail):
        stepper(toys.Source().batch(step, 8, 0), step)
    before = copies(stepper)
    assert stepper(toys.Source().batch(fail, 8, 0), fail).bad == "painter.loss"
    assert equal(before, copies(stepper))
    assert stepper(toys.Source().batch(9, 8, 0), 9).bad is None
    assert not equal(before, copies(stepper))


def test_phases_touch_only_their_own():
    stage = toys.stage(precision="fp32", ema=())
    family = find.build(stage, toys.Duel)
    stepper, gradients = Stepper(stage, family, make_accelerator()), []
    family.register_forward_pre_hook(
        lambda module, given: gradients.append([n for n, p in module.named_parameters() if p.requires_grad])
    )
    report = stepper(toys.Source().batch(0, 8, 0), 0)
    assert gradients == [["judge.weight", "judge.bias"], ["painter.weight", "painter.bias"]]
    assert all(p.requires_grad for p in family.parameters())
    assert {"judge.loss", "painter.loss", "painter.distance", "judge.grad_norm"} <= report.figures.keys()


def test_three_bad_steps_stop_at_the_last_good_state(tmp_path):
    bad, good = RunDir(tmp_path / "bad"), RunDir(tmp_path / "good")
    stage = toys.stage(steps=40, precision="fp32", save_every=9)
    events = train(stage, find.build(stage, toys.Toy), toys.Source(), good)
    for event in events:
        if event.done == 17:
            break
    events.close()
    with pytest.raises(TranhError) as found:
        list(train(stage, find.build(stage, toys.Toy), toys.Source(bad=[17, 18, 19]), bad))
    message = str(found.value)
    for word in (
        "step 17: loss nan, examples [",
        "lr 0.0015",
        "gradient norms before",
        "init=",
        "step 17, its last good",
    ):
        assert word in message.replace("lr 0.003", "lr 0.0015"), word
    a, b = checkpoint.newest(bad), checkpoint.newest(good)
    assert a.step == b.step == 17
    for name in ("model", "optimizer", "ema-0.050"):
        assert equal(a.tensors(name), b.tensors(name))
    lines = read_log(bad.log)
    assert [x["step"] for x in lines if "undone" in x] == [17, 18, 19] and lines[-1]["loss"] == "nan"
    assert len(lines[-1]["ids"]) == 8
    # with the data mended, the run goes on as if nothing had been
    list(train(stage, find.build(stage, toys.Toy), toys.Source(), bad))
    list(train(stage, find.build(stage, toys.Toy), toys.Source(), good))
    assert bad.weights.read_bytes() == good.weights.read_bytes()


def test_poisoned_weights_return_to_the_checkpoint(tmp_path):
    run, stage = RunDir(tmp_path), toys.stage(precision="fp32")
    family = find.build(stage, toys.Toy)
    with pytest.raises(TranhError, match="stands at step 10"):
        for event in train(stage, family, toys.Source(), run):
            if event.done == 13:
                family.first.weight.data.fill_(float("nan"))
    assert all(torch.equal(v, checkpoint.newest(run).tensors("model")[k]) for k, v in tensors_of(family).items())


def test_two_bad_steps_are_survived(tmp_path, caplog):
    run, stage = RunDir(tmp_path), toys.stage()
    caplog.set_level(logging.WARNING)
    assert list(train(stage, find.build(stage, toys.Toy), toys.Source(bad=[17, 18, 20]), run))[-1].result.finished
    assert read_json(run.done_file)["undone"] == 3 and "step 18 is undone" in caplog.text


def test_broken_preparation_is_named(tmp_path):
    with pytest.raises(TranhError, match="mean holds NaN"):
        list(train(toys.stage(), find.build(toys.stage(), toys.Toy), toys.Source(bad=[2]), RunDir(tmp_path)))


def test_other_recipe_is_refused(tmp_path):
    run = RunDir(tmp_path)
    events = train(toys.stage(), find.build(toys.stage(), toys.Toy), toys.Source(), run)
    next(events)
    other = toys.stage(lr=1e-4)
    with pytest.raises(TranhError, match="another process"):
        next(train(toys.stage(), find.build(other, toys.Toy), toys.Source(), run))
    events.close()
    with pytest.raises(TranhError, match="lr 0.003 there, 0.0001 here"):
        next(train(other, find.build(other, toys.Toy), toys.Source(), run))


def test_child_stands_on_its_parent(tmp_path):
    parent, child = RunDir(tmp_path / "toy"), RunDir(tmp_path / "child")
    stage = toys.stage(steps=3)
    list(train(stage, find.build(stage, toys.Toy), toys.Source(), parent))
    frozen = load(parent, toys.Toy)
    stage = toys.stage(family="child", steps=8, parents={"toy": "toy"})
    with pytest.raises(TranhError, match="stands on"):
        list(train(stage, find.build(stage, toys.Child), toys.Shelf(), child))
    whole = RunDir(tmp_path / "whole")
    list(train(stage, find.build(stage, toys.Child), toys.Shelf(), whole, parents={"toy": frozen}))
    assert whole.recipe()["parents"] == {"toy": parent.hash()}
    # resumed with a cold cache: the same bits
    events = train(stage, find.build(stage, toys.Child), toys.Shelf(), child, parents={"toy": frozen})
    for event in events:
        if event.done == 4:
            break
    events.close()
    list(train(stage, find.build(stage, toys.Child), toys.Shelf(), child, parents={"toy": load(parent, toys.Toy)}))
    assert child.weights.read_bytes() == whole.weights.read_bytes()


def test_init_starts_from_a_run(tmp_path):
    first, second = RunDir(tmp_path / "a"), RunDir(tmp_path / "b")
    list(train(toys.stage(steps=3), find.build(toys.stage(), toys.Toy), toys.Source(), first))
    stage = toys.stage(steps=3, lr=0.0, muon_lr=0.0, init=str(first.path), ema=())
    family = find.build(toys.stage(seed=5), toys.Toy)
    list(train(stage, family, toys.Source(), second))
    a, b = read_tensors(first.weights), read_tensors(second.weights)
    assert all(torch.equal(a[k], b[k]) for k, _ in family.named_parameters() if k in a)
    assert torch.equal(a["mean"], b["mean"]) and family.prepared == 0
    assert second.recipe()["init"] == first.hash()
    exported = tmp_path / "part.safetensors"
    write_tensors(exported, pack(family, "int8"))
    third = RunDir(tmp_path / "d")
    list(train(toys.stage(steps=1, lr=0.0, muon_lr=0.0, init=str(exported), ema=()), family, toys.Source(), third))
    c = read_tensors(third.weights)
    assert all((a[k] - c[k]).abs().max() <= a[k].abs().max() / 120 for k, _ in family.named_parameters() if k in a)
    with pytest.raises(TranhError, match="no run with weights"):
        next(train(toys.stage(init=str(tmp_path / "none")), family, toys.Source(), RunDir(tmp_path / "c")))


def test_score_chooses_the_weights(tmp_path):
    run, calls = RunDir(tmp_path), []

    def score(model):
        calls.append(model.training)
        return [3.0, float("nan"), 2.0][len(calls) - 1]

    list(train(toys.stage(steps=4), find.build(toys.stage(), toys.Toy), toys.Source(), run, score=score))
    assert run.metrics()["weights"] == {"chosen": "0.150", "scores": {"raw": 3.0, "0.050": "nan", "0.150": 2.0}}
    assert run.weights.read_bytes() == run.average("0.150").read_bytes() and calls == [False] * 3


def test_failing_sampler_costs_a_warning(tmp_path, caplog):
    def sample(model, step):
        raise ZeroDivisionError

    events = train(
        toys.stage(steps=4, sample_every=2),
        find.build(toys.stage(), toys.Toy),
        toys.Source(),
        RunDir(tmp_path),
        sample=sample,
    )
    assert list(events)[-1].result.finished and "no sample at step 2" in caplog.text


def test_global_random_state_is_left_alone(tmp_path):
    state = torch.random.get_rng_state()
    list(train(toys.stage(steps=2), find.build(toys.stage(), toys.Toy), toys.Source(), RunDir(tmp_path)))
    assert torch.equal(state, torch.random.get_rng_state())


def test_minutes_become_steps(tmp_path):
    run, stage = RunDir(tmp_path), toys.stage()
    family = find.build(stage, toys.Toy)
    before = {k: v.clone() for k, v in tensors_of(family).items()}
    fitted = fit_steps(stage, 1.0, family, toys.Source(), run, measured=3)
    assert fitted.steps > 50 and not run.recipe_file.exists()
    assert equal(before, tensors_of(family)) and family.prepared == 0
    events = train(fitted, family, toys.Source(), run)
    next(events)
    events.close()
    assert fit_steps(stage, 1.0, family, toys.Source(), run) == fitted == run.stage()
    with pytest.raises(TranhError, match="positive"):
        fit_steps(stage, 0, family, toys.Source(), RunDir(tmp_path / "other"))


def test_a_long_stage_is_measured_longer(tmp_path, monkeypatch):
    """The first steps may fall on a busy moment: by 2 % of the minutes most steps are as they will be."""
    now, taken = [0.0], []

    class Timed(toys.Toy):
        def forward(self, batch, phase):
            taken.append(2.0 if len(taken) < 15 else 1.0)
            now[0] += taken[-1]
            return super().forward(batch, phase)

    monkeypatch.setitem(fit.measure.__kwdefaults__, "clock", lambda: now[0])
    monkeypatch.setattr(fit.time, "perf_counter", lambda: now[0])
    stage = toys.stage(sample_every=0, metrics_every=0)
    fitted = fit_steps(stage, 40.0, find.build(stage, Timed), toys.Source(), RunDir(tmp_path))
    assert 30 < len(taken) < 50 and 0.9 < fitted.steps / 2400 <= 1.0
    taken.clear()
    fit_steps(stage, 0.2, find.build(stage, Timed), toys.Source(), RunDir(tmp_path))
    assert len(taken) < 15


def test_missing_loss_is_named():
    class Silent(toys.Child):
        def forward(self, batch, phase):
            return {"accuracy": torch.zeros(())}

    stepper = Stepper(toys.stage(), Silent(), make_accelerator())
    with pytest.raises(TranhError, match="accuracy in phase 'train', but no 'loss'"):
        stepper(toys.make_batch(0, 8), 0)


def test_curve_of_a_log_with_gaps(tmp_path):
    lines = [{"step": 0, "a.loss": 1.0, "b.loss": 2.0}, {"step": 1, "a.loss": "nan", "b.loss": 1.0}]
    draw_loss(lines, tmp_path / "loss.png", "two")
    draw_loss([], tmp_path / "empty.png", "none")
    assert Image.open(tmp_path / "loss.png").size == (700, 400)


def test_weights_that_are_not_finite_are_never_saved(tmp_path):
    """Overflow after finite gradients: seen when the checkpoint is due, before the next loss is."""
    run, stage = RunDir(tmp_path), toys.stage(precision="fp32")
    family = find.build(stage, toys.Toy)
    family.param_groups = lambda phase: [toys.ParamGroup([family.last.bias])]  # nobody repairs what is poisoned here

    def poison(gradient):
        family.first.weight.data.fill_(float("inf"))

    with pytest.raises(TranhError, match="not finite after step 14.*stands at step 10"):
        for event in train(stage, family, toys.Source(), run):
            if event.done == 14:
                family.first.weight.register_hook(poison)
    assert checkpoint.newest(run).step == 10 and family.first.weight.isfinite().all()
