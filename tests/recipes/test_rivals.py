"""The recipes of the two adversaries: their stages on Scenes and on own pictures, and what a reader lends them."""

from dataclasses import replace

import pytest
import torch

from tranh.engine import find
from tranh.families.reader import Reader
from tranh.recipes import run
from tranh.types import Draws


def built(stage):
    return find.build(replace(stage, model={**stage.model, "vocab": 60}))


@pytest.mark.parametrize("name", ["gan", "dmgan"])
def test_on_scenes_a_reader_lends_its_words(name):
    recipe = run.find(name)
    assert list(recipe.stages) == ["clip", "reader", name] and recipe.parts == ("clip", name)
    assert recipe.stages[name].data["levels"] == {"one": 1.0}
    family, reader = built(recipe.stages[name]), built(recipe.stages["reader"])
    assert isinstance(reader, Reader) and isinstance(family, Draws) and family.config["image_size"] == 64
    torch.nn.init.normal_(reader.text.positions)
    family.load_state_dict(dict(family.adopt(reader.state_dict())))
    for key, tensor in reader.text.state_dict().items():
        assert torch.equal(family.text.state_dict()[key], tensor), key


@pytest.mark.parametrize("name", ["gan", "dmgan"])
@pytest.mark.parametrize("source", ["digits", "my-pictures"])
def test_own_pictures_have_no_reader(name, source):
    recipe = run.find(name, {"source": source})
    assert list(recipe.stages) == ["clip", name]
    assert all(stage.data == {"source": source} and stage.init is None for stage in recipe.stages.values())


@pytest.mark.parametrize("name", ["gan", "dmgan"])
def test_other_levels(name):
    data = {"source": "scenes", "levels": {"two": 1.0}}
    assert all(stage.data == data for stage in run.find(name, data).stages.values())
    assert all(s.data["levels"] == {"one": 1.0} for s in run.find(name, {"source": "scenes"}).stages.values())


@pytest.mark.parametrize("name", ["gan", "dmgan"])
def test_what_is_trained_has_a_size_two_cores_can_carry(name):
    family = built(run.find(name).stages[name])
    assert sum(p.numel() for p in family.parameters()) < 8e6
