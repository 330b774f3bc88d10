"""Folders of diffusers from elsewhere: what runs, and what is refused before anything of it is opened."""

import importlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

import foreign_toys as toys

import tranh
from tranh.recipes import foreign, models
from tranh.recipes.foreign_folder import CLASSES, PIPELINES, RENAMED, check_files
from tranh.types import Request, TranhError, capabilities

MAKERS = {"sd": toys.stable_diffusion, "sdxl": toys.sdxl, "kandinsky": toys.kandinsky, "prx": toys.prx}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Each made once, when it is first asked for."""
    root, made = tmp_path_factory.mktemp("folders"), {}

    def get(name):
        if name not in made:
            made[name] = MAKERS[name](root / name)
        return made[name]

    return get


@pytest.fixture
def copy(folders, tmp_path):
    """A Stable Diffusion folder to spoil."""
    return shutil.copytree(folders("sd"), tmp_path / "copy")


@pytest.fixture(scope="module")
def systems(folders):
    loaded = {}
    return lambda name: (
        loaded.setdefault(name, None) or loaded.__setitem__(name, tranh.load(folders(name))) or (loaded[name])
    )


def pixels(image):
    return np.asarray(image).astype(int)


@pytest.mark.parametrize("name", MAKERS)
def test_it_draws_what_stock_diffusers_draws(folders, systems, name):
    import diffusers

    system = systems(name)
    *steps, last = system.generate_events(
        Request("a red circle", negative_prompt="a blue star", seed=4, steps=2, guidance=3.0, size=32, count=2)
    )
    found = last.result
    assert [image.size for image in found.images] == [(32, 32)] * 2 and last.done == last.total == steps[-1].total
    assert [event.done for event in steps] == list(range(1, last.total + 1))
    settings = found.settings[1]
    assert settings["seed"] == 5 and settings["steps"] == 2 and settings["guidance"] == 3.0 and settings["size"] == 32
    assert settings["negative_prompt"] == "a blue star" and len(settings["hash"]) == 16
    # The same pipeline by diffusers itself, with the parts loaded here (it cannot find PRX's text encoder by name).
    parts = system.pipeline.components
    kind = getattr(diffusers, type(system.pipeline).__name__)
    if name in ("kandinsky", "prx"):
        stock = kind(**parts)
    else:
        stock = kind.from_pretrained(folders(name), use_safetensors=True)
    stock.set_progress_bar_config(disable=True)
    theirs = stock(
        "a red circle", negative_prompt="a blue star", num_inference_steps=2, guidance_scale=3.0, height=32, width=32,
        generator=torch.Generator().manual_seed(5), **({"use_resolution_binning": False} if name == "prx" else {}),
    ).images[0]  # fmt: skip
    assert np.array_equal(pixels(found.images[1]), pixels(theirs))
    assert not np.array_equal(pixels(found.images[0]), pixels(theirs))


@pytest.mark.parametrize("name", MAKERS)
def test_picture_k_is_the_single_picture_of_seed_plus_k(systems, name):
    system = systems(name)
    many = system.generate("một hình tròn", seed=7, count=2, steps=2, size=32)
    one = system.generate("một hình tròn", seed=8, steps=2, size=32)[0]
    assert np.array_equal(pixels(many[1]), pixels(one)) and not np.array_equal(pixels(many[0]), pixels(one))


def test_what_it_is(systems):
    system = systems("sd")
    assert capabilities(system) == ("generates",) and system.name == "sd" and system.steps == 50
    batch = system.generate_batch(["a", "b"], [1, 2], 32, 2)
    assert batch.shape == (2, 3, 32, 32) and batch.min() >= -1 and batch.max() <= 1
    assert np.array_equal(pixels(system.generate("b", seed=2, steps=2, size=32)[0]),
                          ((batch[1].permute(1, 2, 0) + 1) * 127.5).round().int().numpy())  # fmt: skip


def test_a_long_prompt_is_said_to_be_cut(systems):
    *_, last = systems("sd").generate_events(Request("a red circle " * 20, steps=1, size=32))
    assert "its end is not read" in last.result.notices[0]


def test_whoever_leaves_stops_it(systems):
    system = systems("sd")
    events = system.generate_events(Request("a red circle", steps=50, size=32))
    assert next(events).done == 1
    events.close()  # returns once the pipeline's thread has ended
    assert np.array_equal(*[pixels(system.generate("a", steps=2, size=32)[0]) for _ in range(2)])


def test_the_command_runs_it(folders, tmp_path):
    from typer.testing import CliRunner

    from tranh import cli
    from tranh.engine.picture import read_settings

    out = tmp_path / "x.png"
    told = ["generate", "a red circle", "--model", str(folders("sd")), "--steps", "2", "--size", "32", "-o", str(out)]
    done = CliRunner().invoke(cli.app, told, prog_name="tranh")
    assert done.exit_code == 0, done.output
    assert read_settings(out)["prompt"] == "a red circle"


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (Request("  "), "no words"),
        (Request("a", size=33), "divisible by"),
        (Request("a", steps=0), "1 to 1000"),
        (Request("a", prior="diffusion"), "no prior"),
        (Request("a", refuse_copies=True), "no index"),
    ],
)
def test_requests_that_cannot_be_met(systems, request_, says):
    with pytest.raises(TranhError, match=says):
        list(systems("sd").generate_events(request_))


# What is refused


def refused(folder, says):
    with pytest.raises(TranhError, match=says):
        models.load(folder)


@pytest.mark.parametrize("name", ["diffusion_pytorch_model.bin", "x.ckpt", "model.pt", "a.pkl", "b.pickle", "c.pth"])
def test_pickles_are_refused_also_beside_safetensors(copy, name):
    (copy / "unet" / name).write_bytes(b"\x80\x04.")
    refused(copy, "may be a pickle")


def test_weights_that_are_only_pickles_are_refused(copy):
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save({"x": torch.zeros(1)}, weights.with_suffix(".bin"))
    weights.unlink()
    refused(copy, "may be a pickle")


def test_a_folder_without_weights_is_refused(copy):
    (copy / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    refused(copy, "no .safetensors")


def test_a_pickle_by_another_name_is_no_safetensors(copy):
    torch.save({"x": torch.zeros(1)}, copy / "unet" / "diffusion_pytorch_model.safetensors")
    refused(copy, "cannot be loaded")


@pytest.mark.parametrize(
    "value",
    [["diffusers", "StableDiffusionPipeline"], ["transformers", "Trainer"], ["os", "system"], ["builtins", "eval"],
     ["subprocess", "Popen"], ["my_pipeline", "UNet"], ["diffusers", None], ["diffusers"],
     [None, "UNet2DConditionModel"],
     ["diffusers.utils", "AutoencoderKL"], [["diffusers"], "AutoencoderKL"], ["transformers", "pipelines.pipeline"]],
)  # fmt: skip
def test_a_class_that_is_not_on_the_list_is_refused(copy, value):
    toys.edit(copy / "model_index.json", unet=value)
    refused(copy, "unet")


@pytest.mark.parametrize("kind", ["StableDiffusionInpaintPipeline", "DiffusionPipeline", "../x", None, 7, ["a"]])
def test_a_pipeline_that_is_not_on_the_list_is_refused(copy, kind):
    toys.edit(copy / "model_index.json", _class_name=kind)
    refused(copy, "pipelines from text to a picture")


@pytest.mark.parametrize("name", ["../evil", "/etc", "a/b", "..", "", ".hidden"])
def test_a_component_whose_name_leads_elsewhere_is_refused(copy, name):
    toys.edit(copy / "model_index.json", **{name: ["diffusers", "AutoencoderKL"]})
    refused(copy, "has a component")


@pytest.mark.parametrize("file", ["pipeline.py", "unet/modeling.py", "vae/kernel.so", "x.sh", "unet/weights.h5"])
def test_code_and_unknown_files_are_refused(copy, file):
    (copy / file).write_text("print('run')")
    refused(copy, "neither weights")


@pytest.mark.parametrize("key", ["auto_map", "custom_pipeline", "trust_remote_code", "attn_implementation"])
def test_settings_that_ask_for_code_are_refused(copy, key):
    toys.edit(copy / "text_encoder" / "config.json", **{key: {"AutoModel": "evil/repo--modeling.Evil"}})
    refused(copy, "code or kernels of its own")


@pytest.mark.parametrize("where", ["unet/diffusion_pytorch_model.safetensors", "unet", "vae/extra.json"])
def test_links_that_lead_outside_are_refused(copy, tmp_path, where):
    outside = tmp_path / "outside"
    link = copy / where
    if link.exists():
        shutil.move(link, outside)
    else:
        outside.write_text("{}")
    link.symlink_to(outside)
    refused(copy, "leads outside")


def test_an_index_of_weights_that_leads_outside_is_refused(copy):
    index = copy / "unet" / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "../../secret.safetensors"}}))
    refused(copy, "weights are .safetensors files beside it")


def test_a_broken_configuration_is_refused(copy):
    (copy / "vae" / "config.json").write_text("{")
    refused(copy, "is no JSON")


def test_a_missing_part_is_refused(copy):
    shutil.rmtree(copy / "vae")
    refused(copy, "no folder vae")


def test_the_list_names_classes_that_are_there():
    import diffusers

    for library, kinds in CLASSES.items():
        for kind, module in kinds.items():
            assert hasattr(importlib.import_module(module), RENAMED.get(kind, kind)), (library, kind)
    assert all(hasattr(diffusers, kind) for kind in PIPELINES)


# The hub, without a network


def test_a_hub_that_cannot_be_reached_is_said(monkeypatch):
    import huggingface_hub

    def gone(*args, **kwargs):
        raise OSError("Name or service not known")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", gone)
    with pytest.raises(TranhError, match="'nobody/nothing' is no folder here.*Name or service not known.*network"):
        models.load("nobody/nothing")


def test_from_the_hub_only_data_is_fetched_and_links_into_its_cache_are_followed(monkeypatch, folders, tmp_path):
    import huggingface_hub

    cache = tmp_path / "models--some--one"
    snapshot = shutil.copytree(folders("sd"), cache / "snapshots" / "abc")
    weights = snapshot / "unet" / "diffusion_pytorch_model.safetensors"
    (cache / "blobs").mkdir()
    shutil.move(weights, cache / "blobs" / "123")
    weights.symlink_to(cache / "blobs" / "123")
    asked = []

    def given(repository, allow_patterns, ignore_patterns):
        asked.append((repository, allow_patterns))
        return str(snapshot)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", given)
    system = models.load("some/one")
    assert system.name == "some/one" and system.generate("a", steps=1, size=32)[0].size == (32, 32)
    assert len(asked) == 2 and not any("safetensors" in pattern for pattern in asked[0][1])
    suffixes = {pattern.rsplit(".", 1)[1] for _, patterns in asked for pattern in patterns}
    assert suffixes == {"json", "txt", "model", "safetensors"}
    with pytest.raises(TranhError, match="leads outside"):
        check_files(snapshot)


def test_a_repository_is_refused_before_its_weights_are_fetched(monkeypatch, copy):
    import huggingface_hub

    asked = []
    monkeypatch.setattr(huggingface_hub, "snapshot_download",
                        lambda *args, **told: asked.append(told["allow_patterns"]) or str(copy))  # fmt: skip
    toys.edit(copy / "model_index.json", unet=["evil", "Evil"])
    with pytest.raises(TranhError, match="evil.Evil"):
        foreign.from_hub("some/one")
    assert len(asked) == 1


@pytest.mark.parametrize("name", ["tranh-99", "no/such/folder", "./x/y", "/no/such", "../models/x", "a/b/c"])
def test_what_is_no_hub_id_is_not_asked_of_it(monkeypatch, name):
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *args, **told: pytest.fail("asked the hub"))
    with pytest.raises(TranhError, match="no model is called"):
        models.load(name)
