"""Prompt expansion from recipe to picture: trained, exported, asked for, told to the caller."""

import pytest
import torch
from PIL import Image

from tranh.recipes import expander, models, run, system
from tranh.recipes.exported import export
from tranh.types import Request, Step, TranhError


class Blank:
    """A part that draws one colour."""

    def __init__(self):
        self.config, self.asked = {"image_size": 8}, []
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def meet(self, parts):
        pass

    def parameters(self):
        return iter([self.weight])

    def state_dict(self):
        return {"weight": self.weight.data}

    def draw(self, tokens, mask, seeds, *, steps=None, guidance=None, away=None):
        self.asked.append(tokens[0][mask[0]].tolist())
        yield Step(1, 1, 0.0, torch.zeros(len(tokens), 3, 8, 8), torch.zeros(len(tokens), 3, 8, 8))


class Says:
    def expand(self, prompt, seed=0):
        return f"{prompt}, on a beach" if seed % 2 else prompt


def test_the_expanded_prompt_is_drawn_and_told(assets):
    part = Blank()
    drawing = system.Alone({"blank": part}, assets, {})
    drawing.expander = Says()
    *_, last = drawing.generate_events(Request("a red circle", seed=4, count=2, expand=True))
    assert [told["expanded"] for told in last.result.settings] == ["a red circle", "a red circle, on a beach"]
    assert [told["prompt"] for told in last.result.settings] == ["a red circle"] * 2
    assert [drawing.tokenizer.decode(ids) for ids in part.asked] == ["a red circle", "a red circle, on a beach"]
    *_, last = drawing.generate_events(Request("a red circle"))
    assert "expanded" not in last.result.settings[0] and isinstance(last.result.images[0], Image.Image)


def test_a_model_of_other_words_is_told_what_to_do():
    with pytest.raises(TranhError, match="tranh train expander"):
        expander.for_words_of(b"{}", "mine")


def test_from_recipe_to_words(tmp_path):
    recipe = run.override(
        expander.recipe({"source": "scenes", "levels": {"one": 1}, "count": 64}),
        ["steps=2", "batch=4", "model.dim=32", "model.depth=1", "model.heads=2"],
    )
    for _ in run.train(recipe, tmp_path / "run", force=True):
        pass
    loaded = models.load(export(tmp_path / "run", tmp_path / "out"))
    said = loaded.expand("a red circle", seed=1)
    assert isinstance(said, str) and said == loaded.expand("a red circle", seed=1)
    loaded.written = b"other"
    with pytest.raises(TranhError):
        expander.assemble({}, {}, {})
