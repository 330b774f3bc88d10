"""The recipes of edits: they begin from the shipped model, take over what is not trained, and train."""

import shutil

import pytest
import torch

from tranh.engine.rundir import RunDir
from tranh.files import read_json, read_tensors, write_json
from tranh.recipes import models, run
from tranh.recipes.beside import Beside
from tranh.recipes.exported import export
from tranh.types import FAULTS, TranhError

SMALL = ["editor.model.hidden_size=64", "editor.model.depth=1", "editor.model.num_heads=2", "editor.model.label_tap=1"]


def test_they_begin_from_the_shipped_decoder_in_its_sizes():
    trained = models.trained()
    for name in ("editor", "motion"):
        recipe = run.find(name)
        stage = recipe.stages[name]
        assert stage.init == trained["decoder"].init and recipe.parts == (name,)
        assert all(stage.model[key] == trained["decoder"].config[key] for key in ("hidden_size", "depth", "text_dim"))
    assert run.find("editor").stages["editor"].model["faults"] == len(FAULTS)
    assert run.find("motion").stages["motion"].parents == {}


@pytest.mark.usefixtures("quick_look")
@pytest.mark.parametrize("name", ["editor", "motion"])
def test_a_stage_without_steps_is_taken_over_and_the_other_is_trained(name, tmp_path, monkeypatch):
    monkeypatch.setenv("TRANH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("tranh.recipes.sources.CAPTIONED", 40)
    monkeypatch.setattr("tranh.recipes.sources.ASKED", 40)
    told = [setting.replace("editor", name, 1) for setting in SMALL]
    told += [f"{name}.steps=1", f"{name}.batch=4", "data.count=8", f"{name}.init=null"]
    told += [f"{name}.data.{'changes' if name == 'editor' else 'sequences'}=8", f"{name}.model.patch_size=16"]
    told += [f"{name}.data.patches=4", "metrics_every=0"]
    recipe = run.override(run.find(name), [t for t in told if not (name == "motion" and t.startswith("data.count"))])
    for _ in run.train(recipe, tmp_path / "run", force=True):
        pass
    if name == "editor":
        taken = read_tensors(RunDir(tmp_path / "run" / "clip").weights)
        shipped = models.load().clip.state_dict()
        assert taken.keys() == shipped.keys() and all(torch.equal(taken[k], shipped[k]) for k in taken)
    made = models.load(export(tmp_path / "run", tmp_path / "out", "fp32"))
    assert isinstance(made, Beside) and list(made.parts) == [name]
    (tmp_path / "run").rename(tmp_path / "first")
    other = shutil.copytree(tmp_path / "first", tmp_path / "other")
    with pytest.raises(TranhError, match=f"has a part {name} that another has too"):
        export(tmp_path / "first", tmp_path / "joined", others=[other])
    (other / name).rename(other / "second")
    write_json(other / "recipe.json", read_json(other / "recipe.json") | {"parts": ["second"]})
    joined = models.load(export(tmp_path / "first", tmp_path / "joined", others=[other], together=True))
    assert isinstance(joined, Beside) and list(joined.parts) == [name, "second"]
    assert [file.name for file in (tmp_path / "joined").rglob("*.safetensors")] == ["parts.safetensors"]
