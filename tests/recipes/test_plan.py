"""The planner: right on a clock of its own, honest about what it does not know, and taught by what came true."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tranh.engine import curves, run_report
from tranh.engine.fit import Cost
from tranh.engine.rundir import RunDir
from tranh.recipes import past, plan, run
from tranh.recipes.past import Trust
from tranh.types import Stage, TranhError

COST = Cost(1.0, 0.9, 1.2, begin=5.0, weights=2**20, optimizer=2**21, averages=2**21, peak=2**30, before=2**29)


def drive(recipe, root, **options):
    return list(run.train(recipe, root, **options))


def planned(recipe, root, **options):
    *_, last = plan.make(recipe, root, **{"seconds": 0.01, **options})
    return last.result


def stage_plan(stage=None, cost=COST, **changes):
    stage = stage or Stage("decoder", steps=1000, batch=128)
    known = {"wanted": stage.steps, "parameters": 10**6, "done": 0, "open": 0.0, "pictures": 80000,
             "trust": Trust(0.9, 1.0, 1.1, 5), "share": None}  # fmt: skip
    return plan.StagePlan("decoder", stage, cost=cost, **{**known, **changes})


def advice(*stages, **changes):
    given = {"minutes": None, "memory_limit": 2**34, "disk_free": 2**40, **changes}
    return plan.advise(plan.Plan(run.find("quick"), Path("."), stages=stages, **given))


def test_a_whole_recipe_is_planned_from_nothing_and_nothing_is_trained(tiny, tmp_path):
    root = tmp_path / "r"
    made = planned(tiny, root)
    assert [one.name for one in made.stages] == list(tiny.stages) and not root.exists()
    for one in made.stages:
        assert one.cost.step > 0 and one.cost.peak > one.cost.weights > 0 and one.seconds > 4 * one.cost.low
        assert one.parameters * 4 <= one.cost.weights and one.pictures == 32
    text = plan.text(made)
    assert all(name in text for name in tiny.stages) and "a guess: no run here was compared yet" in text
    assert "not worth it from nothing: clip 16 of 16,000" in text and "init=tranh-1: clip" in text
    assert "see the README's table" in text
    low, middle, high = made.total
    assert low < middle < high


def test_minutes_are_divided_by_shares(tiny, tmp_path):
    minutes = 10.0
    made = planned(tiny, tmp_path / "r", minutes=minutes)
    shares = sum(stage.share for stage in tiny.stages.values())
    for one in made.stages:
        budget = 60 * minutes * one.stage.share / shares / one.trust.middle
        more = replace(one, stage=replace(one.stage, steps=one.stage.steps + 1))
        assert one.seconds <= budget < more.seconds and one.wanted == 4
    assert "what fits into 10 minutes by shares: clip " in plan.text(made)


def test_a_plan_goes_on_from_what_is_trained_and_learns_from_it(tiny, tmp_path, monkeypatch):
    root = tmp_path / "r"
    monkeypatch.setattr(past, "LEAST", 0.0)
    tiny = replace(tiny, stages={name: tiny.stages[name] for name in ("clip", "prior")})
    planned(tiny, root)
    drive(tiny, root, only="clip")
    lines = [line for line in past.read() if line["what"] == "run"]
    assert [line["stage"] for line in lines] == ["clip"] and lines[0]["predicted"] > 0 and lines[0]["actual"] > 0
    events = run.train(tiny, root)
    for event in events:
        if event.stage == "prior" and event.done == 2:
            break
    events.close()
    made = planned(tiny, root)
    clip, prior = made.stages[:2]
    assert clip.cost is None and clip.seconds == 0 and prior.done == 2
    ratio = lines[0]["actual"] / lines[0]["predicted"]
    assert prior.trust.runs == 1 and prior.trust.middle == pytest.approx(ratio)
    text = plan.text(made)
    assert "finished" in text and "2..4" in text and "from 1 past runs of this machine" in text
    assert "clip: held-out figure" in text  # what came out of the last one
    drive(tiny, root, only="prior")  # resumed: its time is not known
    assert [line["actual"] for line in past.read() if line["what"] == "run"][1:] == [None]


def test_minutes_are_the_prediction_of_a_fitted_training(tiny, tmp_path):
    drive(tiny, tmp_path / "r", only="clip", minutes=0.2)
    (line,) = past.read()
    share = 0.07 / sum(s.share for s in tiny.stages.values())
    looked = line["predicted"] - 12 * share  # what was spent before the stage got its share of the rest
    assert -12 * share < looked < line["actual"]


def test_trust_is_in_runs_of_this_machine():
    def line(family, ratio, machine=None, actual=100.0):
        return {"what": "run", "family": family, "machine": machine or past.machine(), "actual": actual,
                "predicted": actual / ratio}  # fmt: skip

    assert past.trust([], "clip") == Trust(*past.GUESS, 0)
    assert past.trust([line("clip", 3.0, "another"), line("clip", 3.0, actual=1.0)], "clip").runs == 0
    one = past.trust([line("prior", 1.5)], "clip")  # a single run is never a narrow range
    assert (one.low, one.middle, one.high, one.runs) == pytest.approx((1.35, 1.5, 1.65, 1))
    own = past.trust([line("prior", 9.0)] + [line("clip", r) for r in (1.0, 1.2, 2.0)], "clip")
    assert (own.low, own.middle, own.high, own.runs) == pytest.approx((1.0, 1.2, 2.0, 3))


def test_torn_and_strange_lines_are_left_out(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANH_CACHE", str(tmp_path))
    past.planned(Stage("clip"), COST, 2.0)
    with past.path().open("ab") as file:
        file.write(b'\xff\xfe\n[1]\n{"what": "else"}\n{"what": "run", "fam')
    assert [line["what"] for line in past.read()] == ["plan"]
    assert past.predicted(Stage("clip", steps=10)) == 2.0 + COST.seconds(Stage("clip", steps=10))
    assert past.predicted(Stage("clip", batch=9)) is None
    monkeypatch.setenv("TRANH_CACHE", str(tmp_path / "past.jsonl"))  # a file where the folder should be
    past.planned(Stage("clip"), COST, 2.0)
    assert past.read() == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"stage": Stage("decoder", steps=100, batch=16)}, "not worth it from nothing: decoder 1,600 of 50,000"),
        ({"pictures": 500}, "500 pictures, each seen 256 times: it can learn them by heart"),
        ({"pictures": 100}, "a batch of 128 is more than the 100 pictures there are"),
        ({"stage": Stage("outsider", steps=100, batch=16)}, "decoder 1,600 of 20,000"),
    ],
)
def test_advice_is_given_where_it_is_due(changes, says):
    told = " ".join(advice(stage_plan(**changes))[0])
    assert says in told
    assert not advice(stage_plan())[0]


def test_advice_about_the_machine():
    told, settings = advice(stage_plan(), memory_limit=2**30, disk_free=2**20, minutes=1.0, busy=2.0)
    assert settings == [f"decoder.batch={_batch(settings)}"] and 0 < _batch(settings) < 128
    assert "a batch of" in told[0] and "of disk are needed" in told[1] and "2.0 programs a processor" in told[2]
    assert "1 minutes are not enough" in told[3]
    few, settings = advice(stage_plan(Stage("decoder", steps=50, batch=128, init="x"), share=60.0, wanted=1000))
    assert settings == ["decoder.batch=32"] and "only 50 steps fit" in few[0]


def _batch(settings):
    return int(settings[0].split("=")[1])


def test_what_cannot_be_planned_is_refused(tiny, tmp_path):
    for options in ({"minutes": 0.0}, {"seconds": -1.0}):
        with pytest.raises(TranhError, match="positive"):
            planned(tiny, tmp_path, **options)


def test_describe_prints_every_setting_as_it_would_be_typed(tiny):
    text = run.describe(tiny, Path("r"))
    lines = [line for line in text.splitlines() if line.split("=")[0].split(".")[0] in tiny.stages and "=" in line]
    typed = [line for line in lines if not line.split(".")[1].startswith(("family=", "parents="))]
    assert len(typed) > 150 and 'decoder.parents={"clip": "clip"}' in lines and "decoder.model.drop=0.1" in lines
    again = run.override(run.find("quick"), typed)
    assert again.stages["draft"].init == "r/reader" and again.stages["clip"].init is None
    assert run.override(tiny, ["draft.init=null"]).stages["draft"].init is None
    for name, stage in again.stages.items():
        said = dict(
            line.removeprefix(f"{name}.model.").split("=", 1) for line in typed if line.startswith(f"{name}.model.")
        )
        assert {k: json.loads(v) for k, v in said.items()} == stage.model and stage.steps == 4


def test_train_writes_reports_and_measures(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(run_report, "panels", curves.panels)
    recipe = run.override(tiny, ["metrics_every=2", "metrics_count=8"])
    drive(recipe, tmp_path, only="clip")
    clip = RunDir(tmp_path / "clip")
    assert (tmp_path / "report.html").exists() and "1 of 6 stages" in (tmp_path / "report.html").read_text("utf-8")
    assert "R@1 of 8" in clip.report.read_text("utf-8") and clip.measures.read_bytes().count(b"\n") == 2
