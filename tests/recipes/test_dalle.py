"""The assembled DALL-E: choosing codes reaches a request, a picture is completed, what has no use is refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from tranh.edits.complete import complete
from tranh.families.clip import Clip
from tranh.families.dalle import Dalle
from tranh.families.dvae import Dvae
from tranh.recipes import run
from tranh.recipes.dalle import assemble
from tranh.recipes.exported import export
from tranh.text.tokenizer import Tokenizer
from tranh.types import Request, TranhError, capabilities


@pytest.fixture(scope="module")
def dalle(assets):
    tokenizer = Tokenizer.load(assets["tokenizer.json"])
    told = {"vocab": len(tokenizer), "max_len": tokenizer.max_length}
    torch.manual_seed(0)
    parts = {
        "dvae": Dvae(grid=4, codes=64, dim=8, width=8, wide=16),
        "clip": Clip(**told, dim=16, vision_width=32, vision_depth=1, vision_heads=2, text_width=32, text_depth=1,
                     text_heads=2),
        "dalle": Dalle(**told, grid=4, codes=64, dim=32, depth=1, heads=2),
    }  # fmt: skip
    for part in parts.values():
        for p in part.parameters():
            if p.ndim == 2 and not p.any():  # nothing may hide behind a zero
                torch.nn.init.normal_(p, std=0.2)
    return assemble({name: part.eval() for name, part in parts.items()}, assets, {"name": "tiny"})


def made(events):
    *_, last = events
    return last.result


def pixels(images):
    return np.stack([np.asarray(image).astype(int) for image in images])


def drawn(system, prompt="a red circle", **more):
    return pixels(made(system.generate_events(Request(prompt, **more))).images)


def photo():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (80, 100, 3), dtype=np.uint8))


def test_it_generates_and_completes(dalle):
    assert capabilities(dalle) == ("generates", "completes")
    assert dalle.sizes == (64,) and drawn(dalle, count=2).shape == (2, 64, 64, 3)


def test_how_codes_are_chosen_reaches_the_picture(dalle):
    plain = drawn(dalle)
    assert np.array_equal(plain, drawn(dalle))
    for how in (
        {"temperature": 3.0},
        {"top_p": 0.05},
        {"top_k": 2},
        {"guidance": 6.0},
        {"negative_prompt": "a blue cat"},
    ):
        assert not np.array_equal(plain, drawn(dalle, **how)), how
    likeliest = drawn(dalle, temperature=0.0, count=2)
    assert np.array_equal(likeliest[0], likeliest[1])  # no chance is left
    assert np.array_equal(likeliest[:1], drawn(dalle, top_k=1))


def test_settings_repeat_the_picture(dalle):
    result = made(dalle.generate_events(Request("a red circle", seed=3, temperature=1.5, top_k=9)))
    told = result.settings[0]
    assert (told["temperature"], told["top_k"], told["top_p"], told["guidance"]) == (1.5, 9, 0.95, 2.0)
    again = drawn(dalle, seed=3, **{k: told[k] for k in ("temperature", "top_k", "top_p", "guidance")})
    assert np.array_equal(pixels(result.images), again)


def test_other_requests_are_not_touched_by_one(dalle):
    """Two requests under way at once: each keeps its own way of choosing."""
    hot, plain = (dalle.generate_events(Request("a red circle", temperature=t)) for t in (3.0, None))
    alone = drawn(dalle)
    steps = [event for pair in zip(hot, plain, strict=True) for event in pair]
    assert np.array_equal(pixels(steps[-1].result.images), alone)
    assert not np.array_equal(pixels(steps[-2].result.images), alone)


def test_the_top_is_kept_and_the_rest_is_new(dalle):
    image = photo()
    result = made(complete(dalle, image, Request("a red circle", seed=1, count=2), rows=0.5))
    whole = pixels(result.images)
    square = np.asarray(image.crop((10, 0, 90, 80)).resize((64, 64), Image.Resampling.BOX)).astype(int)
    assert np.array_equal(whole[:, :32], np.stack([square[:32]] * 2))
    assert not np.array_equal(whole[0, 32:], square[32:]) and not np.array_equal(whole[0], whole[1])
    assert result.settings[0]["completed"] == {"rows": 32, "of": 64} and result.settings[1]["seed"] == 2
    assert np.array_equal(
        pixels(made(complete(dalle, image, Request("a red circle"), rows=0.7)).images)[0, :32], square[:32]
    )


def test_what_is_hidden_tells_nothing(dalle):
    image = photo()
    other = image.copy()
    other.paste((255, 0, 0), (0, 41, 100, 80))
    one, two = (made(complete(dalle, x, Request("a red circle"), rows=0.5)).images for x in (image, other))
    assert np.array_equal(pixels(one), pixels(two))
    other.paste((0, 0, 255), (0, 0, 100, 40))
    assert not np.array_equal(pixels(one), pixels(made(complete(dalle, other, Request("a red circle"))).images))


def test_nothing_kept_is_a_new_picture(dalle):
    result = made(complete(dalle, photo(), Request("a red circle", seed=4), rows=0.0))
    assert np.array_equal(pixels(result.images), drawn(dalle, seed=4))


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"temperature": -1.0}, "temperature is -1"),
        ({"top_k": -1}, "0 for all"),
        ({"top_p": 0.0}, "above 0"),
        ({"prior": "diffusion"}, "no prior"),
    ],
)
def test_refusals_say_what_is_allowed(dalle, more, says):
    with pytest.raises(TranhError, match=says):
        drawn(dalle, **more)


def test_systems_without_codes_refuse_what_is_for_codes(system):
    with pytest.raises(TranhError, match=r"tiny draws no codes.*temperature, top_p.*dalle"):
        drawn(system, temperature=1.0, top_p=0.9)
    with pytest.raises(TranhError, match="tiny cannot complete.*generates, denoises.*dalle"):
        list(complete(system, photo(), Request("a red circle"), name="tiny"))


def test_completing_refuses_what_cannot_be_meant(dalle):
    with pytest.raises(TranhError, match="no picture"):
        list(dalle.complete(Request("a red circle")))
    with pytest.raises(TranhError, match="strength 0"):
        list(dalle.complete(Request("a red circle", image=photo(), strength=0.0)))
    with pytest.raises(TranhError, match="rows is 1"):
        list(complete(dalle, photo(), Request("a red circle"), rows=1.0))


def test_without_a_dvae_it_is_refused(dalle, assets):
    with pytest.raises(TranhError, match="parts dalle and dvae"):
        assemble({"clip": dalle.parts["clip"], "dvae": dalle.parts["dvae"], "dalle": _Stranger()}, assets, {})


class _Stranger(torch.nn.Module):
    config = {"image_size": 64}

    def meet(self, parents):
        pass

    def draw(self, tokens, mask, seeds, *, steps=None, guidance=None, away=None):
        pass


TINY = {
    "dvae": ["grid=4", "codes=32", "dim=8", "width=8", "wide=16"],
    "clip": ["dim=16", "vision_width=32", "vision_depth=1", "vision_heads=2", "text_width=32", "text_depth=1",
             "text_heads=2"],
    "reader": ["text_dim=32", "text_depth=1", "text_heads=2"],
    "dalle": ["grid=4", "codes=32", "dim=32", "depth=1", "heads=2"],
}  # fmt: skip


def test_own_pictures_have_no_reader():
    stages = run.find("dalle", {"source": "digits"}).stages
    assert tuple(stages) == ("dvae", "clip", "dalle") and stages["dalle"].init is None
    assert all(dict(stage.data) == {"source": "digits"} for stage in stages.values())
    levels = {"source": "scenes", "levels": {"two": 1.0}}
    assert all(dict(stage.data) == levels for stage in run.find("dalle", levels).stages.values())


def test_the_recipe_trains_to_a_system(tmp_path, monkeypatch):
    from tranh.recipes import models

    monkeypatch.setenv("TRANH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("tranh.recipes.sources.CAPTIONED", 40)
    recipe = run.find("dalle")
    assert tuple(recipe.stages) == tuple(TINY) and recipe.stages["dalle"].init == "reader"
    recipe = replace(recipe, stages={name: recipe.stages[name] for name in ("dvae", "reader", "dalle")})
    settings = [f"{stage}.model.{one}" for stage in recipe.stages for one in TINY[stage]]
    recipe = run.override(recipe, [*settings, "data.count=8", "steps=1", "batch=4", "save_every=1", "sample_every=1"])
    for _ in run.train(recipe, tmp_path / "run"):
        pass
    assert list((tmp_path / "run" / "dalle" / "samples").glob("step_*.png"))
    system = models.load(export(tmp_path / "run", tmp_path / "out"))
    assert drawn(system, allow_unknown=True).shape == (1, 64, 64, 3)
