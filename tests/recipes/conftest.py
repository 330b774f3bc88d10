"""A whole hierarchy with tiny random parts, for everything that needs a system and not its skill; and one to train."""

from functools import partial

import pytest
import torch

from tranh.data.scenes.layout import scene
from tranh.data.scenes.source import LANGUAGES, say
from tranh.engine import doctor
from tranh.families.ar_prior import ArPrior
from tranh.families.clip import Clip
from tranh.families.decoder import Decoder
from tranh.families.prior import Prior
from tranh.families.upsampler import Upsampler
from tranh.recipes import run
from tranh.recipes.unclip import assemble
from tranh.text.tokenizer import Tokenizer
from tranh.text.words import Words
from tranh.types import Recipe


@pytest.fixture(scope="module", autouse=True)
def without_curves():
    """Trainings draw no curves: they would take half of a short one's time, and are tested in the engine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tranh.engine.run_report.panels", lambda log, measured: {})
        patch.setattr("tranh.engine.train.draw_loss", lambda log, path, title: None)
        yield


@pytest.fixture(scope="session")
def assets():
    captions = [say(scene(level, "train", i), language, "dense", i)[0]
                for level in ("one", "two", "full") for i in range(150) for language in LANGUAGES]  # fmt: skip
    return {"tokenizer.json": Tokenizer.train(captions).save(), "words.json": Words.count(captions).save()}


@pytest.fixture(scope="session")
def parts(assets):
    tokenizer = Tokenizer.load(assets["tokenizer.json"])
    told = {"vocab": len(tokenizer), "max_len": tokenizer.max_length}
    torch.manual_seed(0)
    out = {
        "clip": Clip(**told, dim=16, vision_width=32, vision_depth=1, vision_heads=2, text_width=32, text_depth=1,
                     text_heads=2),
        "prior": Prior(**told, clip_dim=16, dim=32, depth=1, heads=2),
        "ar_prior": ArPrior(**told, clip_dim=16, components=8, codes=16, dim=32, depth=1, heads=2),
        "decoder": Decoder(**told, clip_dim=16, text_dim=32, text_depth=1, text_heads=2, hidden_size=64, depth=2,
                           num_heads=2),
        "upsampler": Upsampler(hidden_size=64, depth=1, num_heads=2, patch_size=32),
    }  # fmt: skip
    for part in out.values():
        for p in part.parameters():
            if p.ndim == 2 and not p.any():  # nothing may hide behind a zero
                torch.nn.init.normal_(p, std=0.05)
    return {name: part.eval() for name, part in out.items()}


@pytest.fixture(scope="session")
def system(parts, assets):
    return assemble(parts, assets, {"name": "tiny", "steps": 3, "prior_steps": 2, "upsampler_steps": 2})


TINY = {
    "clip": ["dim=16", "vision_width=32", "vision_depth=1", "vision_heads=2", "text_width=32", "text_depth=1",
             "text_heads=2"],
    "prior": ["clip_dim=16", "dim=32", "depth=1", "heads=2"],
    "ar_prior": ["clip_dim=16", "components=8", "codes=16", "dim=32", "depth=1", "heads=2"],
    "reader": ["text_dim=32", "text_depth=1", "text_heads=2"],
    "draft": ["text_dim=32", "text_depth=1", "text_heads=2", "hidden_size=64", "depth=2", "num_heads=2", "label_tap=1"],
    "decoder": ["clip_dim=16", "text_dim=32", "text_depth=1", "text_heads=2", "hidden_size=64", "depth=2",
                "num_heads=2", "label_tap=1"],
}  # fmt: skip


@pytest.fixture
def tiny(tmp_path, monkeypatch) -> Recipe:
    monkeypatch.setenv("TRANH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("tranh.recipes.sources.CAPTIONED", 40)
    settings = [f"{stage}.model.{setting}" for stage, values in TINY.items() for setting in values]
    everywhere = ["steps=4", "batch=4", "save_every=2", "sample_every=4", "data.count=16"]
    return run.override(run.find("quick"), settings + everywhere)


@pytest.fixture
def quick_look(monkeypatch):
    """The doctor's first look at a stage takes half of its steps: for trainings that go on whatever he finds."""
    monkeypatch.setattr("tranh.engine.doctor.before", partial(doctor.before, steps=12))
