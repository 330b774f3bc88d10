"""Latent diffusion as a system: stock diffusers loads its folder, reads captions as it does and draws its pictures."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tranh.families.clip import Clip
from tranh.families.kl import Kl
from tranh.families.latent import Latent
from tranh.recipes import foreign, models, run
from tranh.recipes.elsewhere import export_to
from tranh.recipes.exported import export
from tranh.recipes.stable import export_pipeline, stock_tokenizer
from tranh.recipes.system import assemble
from tranh.text.normalise import normalise
from tranh.text.tokenizer import Tokenizer
from tranh.types import Request, TranhError

PROMPT = "a large red circle"


@pytest.fixture(scope="module")
def latent(assets):
    tokenizer = Tokenizer.load(assets["tokenizer.json"])
    torch.manual_seed(0)
    clip = Clip(
        vocab=len(tokenizer), max_len=tokenizer.max_length, image_size=32, dim=16, vision_width=32, vision_depth=1,
        vision_heads=2, text_width=32, text_depth=2, text_heads=2,
    )  # fmt: skip
    kl = Kl(image_size=32, channels=[8, 16, 16], groups=4)
    unet = Latent(
        vocab=len(tokenizer), max_len=40, image_size=32, text_dim=32, channels=[16, 32], heads=2, groups=4, steps=4,
    )  # fmt: skip
    for p in unet.unet.parameters():
        if p.ndim == 2:
            torch.nn.init.normal_(p, std=0.1)  # nothing may hide behind small weights
    unet.scale.fill_(1.7)
    parts = {"clip": clip.eval(), "kl": kl.eval(), "latent": unet.eval()}
    return assemble(parts, assets, {"name": "toy"})


@pytest.fixture(scope="module")
def folder(latent, tmp_path_factory):
    return export_pipeline(latent, tmp_path_factory.mktemp("stable") / "out")


@pytest.fixture(scope="module")
def stock(folder):
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.mark.parametrize(("steps", "guidance"), [(4, 1.0), (7, 3.0), (1, 2.0), (13, 7.5)])
def test_stock_diffusers_draws_the_same_picture(latent, stock, steps, guidance):
    noise = torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(3))[None]
    theirs = stock(
        PROMPT, latents=noise, num_inference_steps=steps, guidance_scale=guidance, output_type="pt"
    ).images  # fmt: skip
    ours = latent.generate_batch([PROMPT], [3], steps=steps, guidance=guidance)
    torch.testing.assert_close(theirs, (ours + 1) / 2, atol=1e-3, rtol=0)
    other = latent.generate_batch(["a small blue star"], [3], steps=steps, guidance=guidance)
    assert (ours - other).abs().max() > 1e-2


def test_a_negative_prompt_is_the_same_too(latent, stock):
    noise = torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(5))[None]
    theirs = stock(
        PROMPT, negative_prompt="a blue star", latents=noise, num_inference_steps=4, guidance_scale=3.0,
        output_type="np",
    ).images[0]  # fmt: skip
    ours = latent.generate(PROMPT, negative_prompt="a blue star", seed=5, steps=4, guidance=3.0)[0]
    assert np.abs(np.asarray(ours) - 255 * theirs).max() < 1


def test_it_is_a_genuine_stable_diffusion_folder(folder, latent):
    index = json.loads((folder / "model_index.json").read_text())
    assert index["_class_name"] == "StableDiffusionPipeline"
    assert index["text_encoder"] == ["transformers", "CLIPTextModel"]
    vae = json.loads((folder / "vae" / "config.json").read_text())
    assert vae["_class_name"] == "AutoencoderKL" and abs(vae["scaling_factor"] - 1.7) < 1e-6
    assert not [p for p in folder.rglob("*") if p.suffix in (".bin", ".ckpt", ".py")]


def test_its_text_encoder_has_clips_weights(latent, stock):
    theirs = stock.text_encoder.state_dict()
    for name, tensor in latent.parts["clip"].text_model.state_dict().items():
        assert torch.equal(theirs[name], tensor), name


SAID = ["a large red circle", "một hình tròn đỏ lớn", "mot hinh tron do lon", "", "<pad> star", "A  Red\tCAT"]


@pytest.mark.parametrize("caption", SAID)
def test_the_tokenizer_gives_our_numbers(latent, stock, caption):
    rows = stock.tokenizer([caption], padding="max_length", max_length=40, truncation=True, return_tensors="pt")
    tokens, mask = latent.tokenizer.encode([normalise(caption)])
    assert torch.equal(rows.input_ids, latent.drawer.padded(tokens, mask))
    assert stock.tokenizer.model_max_length == 40


@given(st.text(alphabet=st.characters(blacklist_categories=("Cs", "Cc", "Cf", "Mn", "Mc", "Me", "Z")), max_size=12))
@settings(max_examples=150)
def test_the_tokenizer_gives_our_numbers_for_any_text(latent, text):
    theirs = _tokenizer(latent)([text], padding="max_length", max_length=40, truncation=True, return_tensors="pt")
    said = " ".join(text.lower().split())
    tokens, mask = latent.tokenizer.encode([said])
    if normalise(text) == said:  # where the order of tone marks is left alone
        assert torch.equal(theirs.input_ids, latent.drawer.padded(tokens, mask))


def _tokenizer(latent, kept={}):  # noqa: B006
    if not kept:
        kept["it"] = stock_tokenizer(latent.tokenizer, 40)
    return kept["it"]


def test_a_long_prompt_is_cut_as_stock_pipelines_cut_it(latent, stock):
    caption = "a red circle and a blue star " * 8
    rows = stock.tokenizer([caption], padding="max_length", max_length=40, truncation=True, return_tensors="pt")
    tokens, mask = latent.tokenizer.encode([normalise(caption)])
    assert torch.equal(rows.input_ids, latent.drawer.padded(tokens, mask))
    with pytest.raises(TranhError, match="this model reads 40"):
        latent.generate(caption)


def test_its_folder_runs_as_any_other(folder, latent):
    system = models.load(folder)
    assert isinstance(system, foreign.Foreign)
    images = system.generate(PROMPT, seed=3, steps=2, count=2)
    assert [image.size for image in images] == [(32, 32)] * 2
    assert system._cut("a red circle") == () and "its end is not read" in system._cut("a red circle " * 30)[0]


TINY = {
    "reader": ["text_dim=32", "text_depth=1", "text_heads=2"],
    "clip": ["dim=16", "vision_width=32", "vision_depth=1", "vision_heads=2", "text_width=32", "text_depth=1",
             "text_heads=2"],
    "kl": ["channels=[8,8,16]", "groups=4"],
    "latent": ["text_dim=32", "channels=[16,32]", "heads=2", "groups=4", "steps=2"],
}  # fmt: skip


@pytest.mark.usefixtures("quick_look")
def test_the_recipe_trains_draws_and_is_exported_for_diffusers(tmp_path, monkeypatch):
    from diffusers import StableDiffusionPipeline

    monkeypatch.setenv("TRANH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("tranh.recipes.sources.CAPTIONED", 40)
    told = [f"{stage}.model.{setting}" for stage, values in TINY.items() for setting in values]
    small = run.override(run.find("latent"), [*told, "steps=2", "batch=4", "data.count=16"])
    root = tmp_path / "run"
    for _ in run.train(small, root, force=True):
        pass
    system = models.load(export(root, tmp_path / "out", "fp32"))
    assert system.sizes == (32,) and system.generate(PROMPT)[0].size == (32, 32)
    assert float(system.drawer.scale) != 1
    stock = StableDiffusionPipeline.from_pretrained(export_to("diffusers", str(root), tmp_path / "stable"))
    stock.set_progress_bar_config(disable=True)
    noise = torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(0))[None]
    theirs = stock(PROMPT, latents=noise, num_inference_steps=2, guidance_scale=3.0, output_type="pt").images
    ours = system.generate_batch([PROMPT], [0], steps=2, guidance=3.0)
    torch.testing.assert_close(theirs, (ours + 1) / 2, atol=1e-3, rtol=0)


@pytest.mark.parametrize("data", [None, {"source": "digits"}, {"source": "scenes", "levels": {"two": 1.0}}])
def test_its_stages_are_the_same_for_other_data(data):
    recipe = run.find("latent", data)
    words = [] if data == {"source": "digits"} else ["reader"]
    assert list(recipe.parts) == ["clip", "kl", "latent"] and list(recipe.stages) == [*words, *recipe.parts]
    assert all(stage.data["source"] == (data or {"source": "scenes"})["source"] for stage in recipe.stages.values())


def test_another_system_is_no_stable_diffusion(parts, assets):
    with pytest.raises(TranhError, match="clip, kl and latent"):
        export_pipeline(type("Other", (), {"parts": parts, "name": "other"})(), None)


def test_requests_go_through(latent):
    *_, last = latent.generate_events(Request(PROMPT, seed=4, steps=3))
    assert last.result.settings[0]["steps"] == 3 and last.done == last.total == 3
