"""Every recipe takes every kind of data: Scenes, handwritten digits, and a folder of pictures with captions.

Each stage is built small, reads a batch of the real source with what its parents say of it, and takes one step of
training; a system that draws draws a picture for a caption of that data.
"""

import importlib
import inspect
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from tranh.data.sources import digits
from tranh.engine import find
from tranh.engine.frozen import Frozen, attach
from tranh.engine.start import start
from tranh.engine.step import Stepper, make_accelerator
from tranh.engine.weights import load_tensors, tensors_of
from tranh.recipes import compare, run
from tranh.recipes.sources import assets_of, source_of
from tranh.types import Autoencodes, Embeds, Enlarges, Generates

RECIPES = [
    name
    for name in run.names()
    if "data" in inspect.signature(importlib.import_module(f"{run.PACKAGE}.{name}").recipe).parameters
]
BATCH = 4

READS = {"text_dim": 32, "text_depth": 1, "text_heads": 2}
BODY = {"hidden_size": 64, "depth": 2, "num_heads": 2}
CRITIC = {"critic_width": 8, "critic_dim": 16, "critic_heads": 2}
SMALL = {
    "ar_prior": {"clip_dim": 16, "components": 8, "codes": 8, "dim": 32, "depth": 1, "heads": 2},
    "autoencoder": {"width": 32, "depth": 1, "latent": 8},
    "clip": {"dim": 16, "vision_width": 32, "vision_depth": 1, "vision_heads": 2, "text_width": 32, "text_depth": 1,
             "text_heads": 2},
    "dalle": {"codes": 16, "dim": 32, "depth": 2, "heads": 2, "text_depth": 1},
    "ddpm": READS | {"widths": [32, 32]},
    "decoder": READS | BODY | {"clip_dim": 16, "label_tap": 1},
    "dmgan": READS | CRITIC | {"dim": 32, "depth": 1, "heads": 2, "widths": [16, 8, 8], "memory": 16},
    "dvae": {"codes": 16, "dim": 8, "width": 16, "wide": 16},
    "enhancer": {"width": 16, "depth": 2},
    "expander": {"dim": 32, "depth": 1, "heads": 2},
    "flow": READS | BODY | {"painter_width": 32, "peaks": 2, "detail_width": 16, "detail_depth": 1},
    "gan": READS | CRITIC | {"dim": 32, "depth": 1, "heads": 2},
    "glide": READS | {"widths": [32, 32]},
    "kl": {"channels": [8, 8, 16], "groups": 4},
    "latent": {"text_dim": 32, "channels": [16, 32], "heads": 2, "groups": 4},
    "matcher": {"dim": 16, "widths": [8, 8, 16], "depths": [0, 0, 0], "text_width": 16, "text_depth": 1},
    "prior": {"clip_dim": 16, "dim": 32, "depth": 1, "heads": 2},
    "reader": READS,
    "straightener": {"width": 16, "depth": 2},
    "upsampler": {"patch_size": 32, "hidden_size": 64, "depth": 1, "num_heads": 2},
    "vae": READS | {"width": 32, "depth": 1, "encoder_depth": 1, "heads": 2},
}  # fmt: skip
CARD = {"steps": 2, "prior_steps": 1, "upsampler_steps": 1}


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """What a recipe is told of each kind of data, and a cache that all share."""
    folder = tmp_path_factory.mktemp("pictures")
    rng, lines = np.random.default_rng(0), []
    for i in range(12):
        small = Image.fromarray(rng.integers(0, 256, (5, 5, 3), np.uint8))
        small.resize((48, 48), Image.Resampling.BICUBIC).save(folder / f"{i}.png")
        said = {"text_en": f"a thing with number {i}", "text_vi": f"một vật có số {i}"}
        lines.append(json.dumps({"file_name": f"{i}.png", **said}, ensure_ascii=False) + "\n")
    (folder / "metadata.jsonl").write_text("".join(lines), "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRANH_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr("tranh.recipes.sources.CAPTIONED", 40)
        patch.setattr(digits.Digits, "__len__", lambda self: 60)
        yield {"scenes": None, "digits": {"source": "digits"}, "folder": {"source": str(folder)}}


def shrunken(recipe):
    """The recipe with small networks, few pictures and small batches."""
    stages = {}
    for name, stage in recipe.stages.items():
        without = {key for key, value in stage.model.items() if value is None}  # a part that is left out
        model = {**stage.model, **{k: v for k, v in SMALL[stage.family].items() if k not in without}}
        few = {"count": 8} if stage.data["source"] == "scenes" else {}
        stages[name] = replace(stage, model=model, data={**stage.data, **few}, batch=BATCH, steps=10, warmup=1)
    return replace(recipe, stages=stages)


def stepped(recipe, root):
    """Take one step of every stage, each begun as the loop begins it.

    Returns:
        families and reports by stage, the assets of the last stage and its batch.
    """
    assets = {name: assets_of(stage.data) for name, stage in recipe.stages.items()}
    recipe, families, reports, batch = run.resolve(recipe, root, assets), {}, {}, None
    for name, stage in recipe.stages.items():
        source = source_of(stage.data, assets[name])
        parents = {part: Frozen(families[parent], parent) for part, parent in stage.parents.items()}
        family = families[name] = find.build(stage)
        family.meet({part: parent.family for part, parent in parents.items()})
        if stage.init is not None:
            begun = tensors_of(families[stage.init.rsplit("/", 1)[-1]])
            load_tensors(family, family.adopt(begun), stage.init)
        else:
            start(stage, family, (attach(source.batch(k, BATCH, 0), parents) for k in range(4)))
        batch = attach(source.batch(0, BATCH, stage.seed), parents)
        reports[name] = Stepper(stage, family.train(), make_accelerator())(batch, 0)
    return families, reports, assets[name], batch


def test_the_compared_are_among_them():
    assert {name.replace("-", "_") for name in compare.ORDER} <= set(RECIPES)


@pytest.mark.parametrize("kind", ["scenes", "digits", "folder"])
@pytest.mark.parametrize("name", RECIPES)
def test_it_learns_from_it_and_draws(name, kind, sources, tmp_path):
    recipe = shrunken(run.find(name, sources[kind]))
    families, reports, assets, batch = stepped(recipe, tmp_path)
    for stage, report in reports.items():
        assert report.bad is None, (stage, report)
        norms = [value for key, value in report.figures.items() if key.endswith("grad_norm")]
        assert norms and min(norms) > 0, (stage, report)
    module, _, function = recipe.system.partition(":")
    parts = {part: families[part].eval() for part in recipe.parts if part in families}
    system = getattr(importlib.import_module(module), function)(parts, assets, CARD)
    if isinstance(system, Generates):
        made = system.generate_batch(batch.captions[:1], [0])
        assert made.shape == (1, 3, system.size, system.size)
    elif isinstance(system, Autoencodes):
        made = system.decode(system.encode(batch.images))
        assert made.shape == batch.images.shape
    elif name == "expander":
        made = torch.tensor(len(system.expand(batch.captions[0])))
    elif isinstance(system, Enlarges):
        *_, last = system.enlarge(batch.images[:1, :, :16, :16], [0])
        made = last.x
        assert made.shape == (1, 3, 64, 64)
    else:
        (part,) = (part for part in parts.values() if isinstance(part, Embeds))
        made = part.embed_images(batch.images)
    assert torch.isfinite(made).all()
