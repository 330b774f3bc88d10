"""Recipes: found, overridden, trained stage by stage, resumed, exported and loaded again."""

from functools import partial
from pathlib import Path

import pytest
import torch

from tranh.engine.doctor import behaviour
from tranh.engine.rundir import RunDir
from tranh.files import read_json
from tranh.recipes import compare, models, run
from tranh.recipes.elsewhere import export_to
from tranh.recipes.exported import export
from tranh.recipes.memory import MEMORY, build
from tranh.types import Recipe, Request, TranhError


def drive(recipe: Recipe, root: Path, **options):
    return list(run.train(recipe, root, **options))


def test_the_whole_hierarchy_trains_resumes_exports_and_loads(tiny, tmp_path):
    root = tmp_path / "mine"
    drive(tiny, root, only="clip")
    events = drive(tiny, root)
    assert [e.stage for e in events if e.result] == ["prior", "ar_prior", "reader", "draft", "decoder"]
    before = {name: RunDir(root / name).hash() for name in tiny.stages}
    assert len(drive(tiny, root)) == 6  # nothing is trained twice
    assert before == {name: RunDir(root / name).hash() for name in tiny.stages}
    assert (root / "decoder" / "samples" / "step_000004.png").exists()
    pictures = torch.rand(40, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    (root / "decoder" / MEMORY).write_bytes(build([([f"picture {i}" for i in range(40)], pictures)]).save())
    system = models.load(export(root, tmp_path / "out", "fp32"))
    assert system.name == "mine" and system.memory.keys[29] == "picture 29"
    kept = read_json(tmp_path / "out" / "system.json")["parts"]
    assert all(kept[name]["config"] == part.config for name, part in system.parts.items())  # defaults may change
    *_, last = system.generate_events(Request("a red circle", steps=2))
    assert last.result.images[0].size == (64, 64)
    export_to("diffusers", str(root), tmp_path / "decoder")
    export_to("transformers", str(tmp_path / "out"), tmp_path / "clip")
    assert (tmp_path / "decoder/transformer/config.json").exists() and (tmp_path / "clip/config.json").exists()
    with pytest.raises(TranhError, match="not empty"):
        export_to("transformers", str(root), tmp_path / "clip")


def test_whether_captions_are_read_is_asked_in_passing(tiny, tmp_path, monkeypatch):
    drive(tiny, tmp_path / "plain", only="reader")
    monkeypatch.setattr(run.doctor, "watch", partial(run.doctor.watch, every=2))
    drive(tiny, tmp_path / "watched", only="reader")
    plain, watched = (RunDir(tmp_path / name / "reader") for name in ("plain", "watched"))
    assert plain.hash() == watched.hash()
    names = {f["name"] for f in read_json(watched.path / "doctor.json")["findings"]}
    assert names & {behaviour.BELONG, behaviour.REACHES}


def test_a_stage_needs_its_parents(tiny, tmp_path):
    with pytest.raises(TranhError, match="train 'clip' first"):
        drive(tiny, tmp_path / "r", only="decoder")


def test_minutes_fix_the_steps_before_the_start(tiny, tmp_path):
    drive(tiny, tmp_path / "r", only="clip", minutes=0.2)
    fixed = RunDir(tmp_path / "r" / "clip").stage().steps
    drive(tiny, tmp_path / "r", only="clip", minutes=99)
    assert RunDir(tmp_path / "r" / "clip").stage().steps == fixed >= 1


def test_every_recipe_can_be_compared_on_scenes():
    scenes = {"source": "scenes", "levels": {"one": 1.0}}
    for name in compare.known():
        assert compare.chosen(name, scenes).stages, name
    with pytest.raises(TranhError, match="only Scenes knows"):
        compare.chosen("verifier", {"source": "digits"})


def test_every_recipe_is_found_and_can_be_planned(tiny):
    assert {"unclip", "quick", "direct", "verifier"} <= set(run.names())
    for name in run.names():
        recipe = run.find(name)
        assert recipe.name == name and recipe.cost and recipe.expected
        order = list(recipe.stages)
        for at, stage in enumerate(recipe.stages.values()):
            assert all(order.index(parent) < at for parent in stage.parents.values())
    text = run.describe(run.find("quick"), Path("r"))
    assert "decoder: decoder" in text and "M parameters" in text


def test_direct_is_quick_without_clip():
    quick, direct = run.find("quick").stages, run.find("direct").stages
    for name, stage in direct.items():
        assert stage.steps == quick[name].steps and stage.data == quick[name].data
        told = {"clip_dim": None} if stage.family == "decoder" else {}
        assert stage.model == {**quick[name].model, **told} and not stage.parents


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("decoder.stepz=3", "did you mean 'steps'"),
        ("decodr.steps=3", "did you mean 'decoder'"),
        ("steps", "write key=value"),
        ("steps=many", "steps is a int"),
        ("decoder.model.widht=3", "has no 'widht'"),
        ("family=gan", "has no 'family'"),
    ],
)
def test_wrong_settings_are_refused_with_what_is_allowed(setting, says):
    with pytest.raises(TranhError, match=says):
        run.override(run.find("quick"), [setting])


def test_settings_reach_one_stage_or_all():
    settings = ["lr=2", "clip.batch=8", "decoder.model.depth=9", 'data.levels={"one": 1}']
    recipe = run.override(run.find("quick"), settings)
    assert {s.lr for s in recipe.stages.values()} == {2.0} and recipe.stages["clip"].batch == 8
    assert recipe.stages["decoder"].model["depth"] == 9 and "depth" not in recipe.stages["draft"].model
    assert all(s.data["levels"] == {"one": 1} for s in recipe.stages.values())


def test_unknown_recipe_model_and_stage_are_refused(tmp_path):
    with pytest.raises(TranhError, match="did you mean 'unclip'"):
        run.find("unclipp")
    with pytest.raises(TranhError, match="no model is called"):
        models.load("tranh-99")
    with pytest.raises(TranhError, match="did you mean 'decoder'"):
        list(run.train(run.find("quick"), tmp_path, only="decodr"))
