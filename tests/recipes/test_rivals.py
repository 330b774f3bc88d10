"""The recipes of the two adversaries: their stages on Scenes and on own pictures, and what a reader lends them."""

from dataclasses import replace

import pytest
import torch

from tranh.engine import find
from tranh.families.reader import Reader
from tranh.recipes import run
from tranh.recipes.gan import patch_of
from tranh.types import Draws


def built(stage):
    return find.build(replace(stage, model={**stage.model, "vocab": 60}))


JUDGES = {"gan": [], "dmgan": ["clip"]}
"""Stages of what says, beside the adversaries, how well pictures match captions."""


@pytest.mark.parametrize("name", ["gan", "dmgan"])
def test_on_scenes_a_reader_lends_its_words_and_a_painter_all_that_draws(name):
    recipe = run.find(name)
    assert list(recipe.stages) == [*JUDGES[name], "reader", "painter", name] and recipe.parts == (*JUDGES[name], name)
    assert recipe.stages[name].data["levels"] == {"one": 1.0}
    family, vae = built(recipe.stages[name]), built(recipe.stages["painter"])
    reader = built(recipe.stages["reader"])
    assert isinstance(reader, Reader) and isinstance(family, Draws) and family.config["image_size"] == 64
    torch.nn.init.normal_(reader.text.positions)
    vae.load_state_dict(dict(vae.adopt(reader.state_dict())))
    family.load_state_dict(dict(family.adopt(vae.state_dict())))
    own = family.state_dict()
    for key, tensor in reader.text.state_dict().items():
        assert torch.equal(own[f"text.{key}"], tensor), key
    painter = {"gan": "generator", "dmgan": "painter"}[name]
    for key, tensor in vae.decoder.state_dict().items():
        assert torch.equal(own[f"{painter}.{key}"], tensor), key


@pytest.mark.parametrize("name", ["gan", "dmgan"])
def test_other_pictures_have_no_reader(name):
    recipe = run.find(name, {"source": "digits"})
    assert list(recipe.stages) == [*JUDGES[name], "painter", name]
    assert all(stage.data["source"] == "digits" for stage in recipe.stages.values())
    assert recipe.stages["painter"].init is None and recipe.stages[name].init == "painter"
    side = recipe.stages[name].data["size"]
    assert side == {"gan": 8, "dmgan": 64}[name] == built(recipe.stages[name]).config["image_size"]


@pytest.mark.parametrize("side", [32, 64])
def test_nothing_of_the_painter_is_lost_on_the_way_to_dmgan(side):
    with torch.device("meta"):
        stages = run.find("dmgan", {"source": "my-pictures", "size": side}).stages
        family, vae = built(stages["dmgan"]), built(stages["painter"])
    own = family.state_dict()
    for key, tensor in vae.decoder.state_dict().items():
        assert own[f"painter.{key}"].shape == tensor.shape, key


@pytest.mark.parametrize("size,patch", [(8, 1), (28, 4), (32, 4), (64, 8), (256, 8), (50, 2), (7, 1)])
def test_patches_leave_a_grid(size, patch):
    assert patch_of(size) == patch


@pytest.mark.parametrize("name", ["gan", "dmgan"])
def test_other_levels(name):
    data = {"source": "scenes", "levels": {"two": 1.0}, "size": 64}
    assert all(stage.data == data for stage in run.find(name, data).stages.values())
    assert all(s.data["levels"] == {"one": 1.0} for s in run.find(name, {"source": "scenes"}).stages.values())


@pytest.mark.parametrize("name", ["gan", "dmgan"])
def test_what_is_trained_has_a_size_two_cores_can_carry(name):
    family = built(run.find(name).stages[name])
    assert sum(p.numel() for p in family.parameters()) < 16e6
