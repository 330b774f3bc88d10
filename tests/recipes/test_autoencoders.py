"""The recipes of autoencoder and VAE: sizes of the data they are for, and what users hold."""

import inspect

import pytest
import torch

from tranh.engine import find
from tranh.families.autoencoder import Autoencoder
from tranh.families.vae import Vae
from tranh.recipes import autoencoder, vae, vae_plain
from tranh.recipes.natural import natural
from tranh.recipes.run import find as recipe_of
from tranh.recipes.run import names, override
from tranh.types import TranhError, capabilities

RECIPES = {"autoencoder": autoencoder, "vae": vae, "vae_plain": vae_plain}


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_are_found_and_their_settings_are_known(name):
    assert name in names()
    for data, side in ((None, 64), ({"source": "digits"}, 8)):
        made = recipe_of(name, data)
        assert made.parts[-1] == list(made.stages)[-1]
        stage = made.stages[made.parts[-1]]
        assert stage.data["size"] == stage.model["image_size"] == side
        assert stage.model.keys() <= inspect.signature(find.family(stage.family)).parameters.keys()
        find.family(stage.family)(**stage.model)


def test_only_scenes_have_a_reader():
    assert list(vae.recipe().stages) == ["reader", "vae"] and vae.recipe().stages["vae"].init == "reader"
    assert list(vae.recipe({"source": "digits"}).stages) == ["vae"]


def test_a_readers_words_fit():
    made = vae.recipe()
    reader = find.family("reader")(vocab=40, max_len=16, **made.stages["reader"].model)
    family = Vae(vocab=40, max_len=16, **made.stages["vae"].model)
    taken = family.adopt(reader.state_dict())
    assert torch.equal(taken["text.tokens.weight"], reader.text.tokens.weight)
    assert taken.keys() == family.state_dict().keys()


def test_the_form_is_a_setting():
    made = override(autoencoder.recipe(), ["model.form=dense", "model.width=400", "model.latent=20"])
    family = Autoencoder(**made.stages["autoencoder"].model)
    assert [p.shape for p in family.parameters() if p.ndim == 2] == [(400, 12288), (20, 400), (400, 20), (12288, 400)]


def test_a_size_that_is_said_stays():
    assert natural({"source": "digits", "size": 16})["size"] == 16 and natural({"source": "scenes"})["size"] == 64


def test_an_autoencoder_is_held_by_what_it_can():
    torch.manual_seed(0)
    system = autoencoder.assemble({"autoencoder": Autoencoder(image_size=8, width=16, latent=4)}, {}, {"name": "mine"})
    assert capabilities(system) == ("autoencodes",) and system.size == 8 and system.name == "mine"
    x = torch.rand(2, 3, 8, 8)
    assert system.encode(x).shape == (2, 4) and system.decode(system.encode(x)).shape == x.shape
    assert system.hash == system.hash
    with pytest.raises(TranhError, match="none of the parts reader"):
        autoencoder.assemble({"reader": torch.nn.Linear(1, 1)}, {}, {})
