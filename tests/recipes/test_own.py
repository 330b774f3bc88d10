"""Any recipe trains on own pictures: prepared once, its own words, the same again after a stop; or from a model on."""

import json

import numpy as np
import pytest
from PIL import Image

from tranh.engine.rundir import RunDir
from tranh.recipes import models, own, run
from tranh.recipes.settings import configured
from tranh.text.tokenizer import Tokenizer
from tranh.text.words import Words
from tranh.types import TranhError

SMALL = [
    "clip.batch=16", "clip.model.vision_width=32", "clip.model.vision_depth=1", "clip.model.vision_heads=2",
    "clip.model.text_width=32", "clip.model.text_depth=1", "clip.model.text_heads=2", "clip.model.image_size=16",
    "data.size=16",
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    lines = []
    for i in range(48):
        pixels = rng.integers(0, 256, (4, 4, 3), np.uint8)
        Image.fromarray(pixels).resize((64, 64), Image.Resampling.BICUBIC).save(root / f"{i}.png")
        lines.append({"file_name": f"{i}.png", "text_en": f"the zebra {i}", "text_vi": f"con ngựa vằn {i}"})
    (root / "metadata.jsonl").write_text("".join(json.dumps(x, ensure_ascii=False) + "\n" for x in lines))
    return root


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("TRANH_CACHE", str(tmp_path_factory.getbasetemp() / "own-cache"))


def train(settings, root, only="clip"):
    last = None
    for event in run.train(configured("unclip", settings), root, only=only, force=True):
        last = event
    return last


def test_a_stage_trains_from_a_folder_and_the_same_command_does_nothing_more(folder, tmp_path):
    settings = [f"data={folder}", "clip.steps=2", *SMALL]
    assert train(settings, tmp_path).result.finished
    done = RunDir(tmp_path / "clip")
    stage = done.stage()
    assert stage.data["source"] == str(folder) and len(stage.data["hash"]) == 64
    tokenizer = Tokenizer.load((done.path / own.TOKENIZER).read_bytes())
    assert stage.model["vocab"] == len(tokenizer) < 4096
    words = Words.load((done.path / own.WORDS).read_bytes())
    assert {"zebra", "ngựa", "ngua"} <= set(words.counts) and "circle" not in words
    weights = done.hash()
    train(settings, tmp_path)
    assert done.hash() == weights


def test_pictures_that_changed_are_not_trained_on_under_an_old_name(folder, tmp_path):
    settings = [f"data={folder}", "clip.steps=2", *SMALL]
    train(settings, tmp_path)
    extra = folder / "extra.png"
    Image.new("RGB", (64, 64), "red").save(extra)
    with (folder / "metadata.jsonl").open("a") as lines:
        lines.write(json.dumps({"file_name": "extra.png", "text_en": "all red"}) + "\n")
    with pytest.raises(TranhError, match="was trained on other pictures"):
        train(settings, tmp_path)


def test_beginning_from_a_model_takes_its_weights_sizes_and_words(folder):
    recipe = configured("unclip", [f"data={folder}", "init=tranh-1", "decoder.steps=5"])
    there = models.folder("tranh-1")
    assert recipe.stages["decoder"].init == str(there / "parts" / "decoder.safetensors")
    assert recipe.stages["decoder"].model["label_sizes"] == [] and recipe.stages["decoder"].steps == 5
    assets = own.assets(recipe.stages["clip"].data)
    assert assets[own.TOKENIZER] == (there / own.TOKENIZER).read_bytes()
    assert {"zebra", "circle"} <= set(Words.load(assets[own.WORDS]).counts)
    with pytest.raises(TranhError, match="verifier-1 has none of the stages of unclip"):
        configured("unclip", ["init=verifier-1"])


def test_beginning_from_a_training_takes_its_stages(folder, tmp_path):
    train([f"data={folder}", "clip.steps=2", *SMALL], tmp_path / "first")
    recipe = configured("quick", [f"data={folder}", f"init={tmp_path / 'first'}"])
    clip = recipe.stages["clip"]
    assert clip.init == str(tmp_path / "first" / "clip") and clip.model["vision_width"] == 32
    assert recipe.stages["decoder"].init is None
    assert clip.data["words_of"] == str(tmp_path / "first" / "clip")
    with pytest.raises(TranhError, match="is no run with weights"):
        train([f"data={folder}", "clip.steps=1", *SMALL, f"clip.init={tmp_path}"], tmp_path / "second")


@pytest.mark.parametrize("name", ["unclip", "quick", "direct"])
def test_every_drawing_recipe_learns_from_own_pictures(name, folder):
    recipe = configured(name, [f"data={folder}"])
    assert all(stage.data["source"] == str(folder) for stage in recipe.stages.values())
    assert "decoder" in recipe.stages and "reader" not in recipe.stages


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["data=nowhere-at-all"], "there is nothing"),
        (["data.levels=1"], "own pictures have no levels"),
    ],
)
def test_what_cannot_be_meant_is_said(settings, message, folder, tmp_path):
    given = settings if settings[0].startswith("data=") else [f"data={folder}", *settings]
    with pytest.raises(TranhError, match=message):
        train([*given, "clip.steps=1"], tmp_path)


def test_a_recipe_that_needs_scenes_says_so(folder):
    with pytest.raises(TranhError, match="verifier learns from what only Scenes knows"):
        configured("verifier", [f"data={folder}"])
