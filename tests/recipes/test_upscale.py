"""Larger and mended pictures of requests: sizes, seeds, tiles, warnings, refusals; and the recipe that trains them."""

import types

import numpy as np
import pytest
import torch
from PIL import Image

from tranh.diffusion.loss import rows
from tranh.families.enhancer import Enhancer
from tranh.families.straightener import Straightener
from tranh.nn.pixels import to_images
from tranh.recipes import models, outside, run
from tranh.recipes.enhancer import SIDE, assemble
from tranh.recipes.exported import export
from tranh.recipes.upscale import default, enhance, upscale
from tranh.types import Request, TranhError, capabilities


def awake(family):
    torch.nn.init.normal_(family.out.weight, std=0.02)
    return family.eval()


@pytest.fixture(scope="module")
def enhancing():
    torch.manual_seed(0)
    parts = {
        "upscaler": awake(Enhancer(width=16, depth=1)),
        "restorer": awake(Enhancer(width=16, depth=1, scale=1, fold=2, means=1.0)),
        "straightener": Straightener(width=16, depth=1).eval(),
    }
    return assemble(parts, {}, {"name": "tiny"})


def picture(width, height, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def made(events):
    *_, last = events
    return last.result


def test_capabilities(enhancing):
    assert capabilities(enhancing) == ("enlarges", "restores")


@pytest.mark.parametrize(
    "size, factor, want",
    [
        (None, None, (96, 64)),
        (None, 16, (384, 256)),
        (60, None, (60, 40)),
        (96, None, (96, 64)),
        (256, None, (256, 171)),
    ],
)
def test_it_is_as_large_as_asked(enhancing, size, factor, want):
    result = made(upscale(enhancing, Request("", image=picture(24, 16), size=size), factor))
    assert [image.size for image in result.images] == [want]
    assert result.settings[0]["edit"] == "upscale" and result.settings[0]["model"] == "tiny"


def test_the_mean_is_one_and_samples_are_of_their_seeds(enhancing):
    image = picture(16, 16)
    mean = made(upscale(enhancing, Request("", image=image, count=2, seed=3)))
    assert np.array_equal(*mean.images)
    several = made(upscale(enhancing, Request("", image=image, count=2, seed=3, steps=3), sampled=True)).images
    alone = made(upscale(enhancing, Request("", image=image, seed=4, steps=3), sampled=True)).images
    assert not np.array_equal(*several) and np.array_equal(several[1], alone[0])


def test_tiles_are_the_whole_where_they_reach_far_enough(enhancing):
    """The overlap holds all that a pixel depends on: the picture in tiles is the picture asked at once."""
    part = enhancing.upscaler
    small = torch.rand(1, 3, SIDE + 24, 20, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        *_, tiled = enhancing.enlarge(small, [0])
        t = torch.ones(1)
        whole = part.denoise(torch.zeros(1, 3, 4 * (SIDE + 24), 80), t, small, torch.zeros(1))
    assert enhancing.tile == (SIDE, part.reach // 4)
    assert (tiled.x - whole).abs().mean() < 0.2 * (whole - part.enlarged(small)).abs().mean()


@pytest.mark.parametrize("size", [(33, 20), (300, 17)])
def test_mending_keeps_the_size(enhancing, size):
    result = made(enhance(enhancing, Request("", image=picture(*size)), straighten=False))
    assert result.images[0].size == size and not np.array_equal(result.images[0], picture(*size))


def test_what_is_skewed_is_said(enhancing):
    result = made(enhance(enhancing, Request("", image=picture(32, 32))))  # an untrained one sees corners in the middle
    assert any("not held straight" in notice for notice in result.notices)


@pytest.mark.parametrize(
    "changes, factor, says",
    [
        ({"image": None}, None, "no picture"),
        ({"image": picture(8, 8)}, None, "8 x 8; sides of 16 to"),
        ({"size": 24}, None, "cannot become 24 px"),
        ({"size": 5000}, None, "cannot become 5000 px"),
        ({}, 3, "choose 4, 16 or 64"),
    ],
)
def test_refusals(enhancing, changes, factor, says):
    request = Request("", **({"image": picture(24, 24)} | changes))
    with pytest.raises(TranhError, match=says):
        next(upscale(enhancing, request, factor))


def test_who_cannot_says_what_it_does(enhancing, system):
    with pytest.raises(TranhError, match=r"tiny cannot mend pictures \(it generates"):
        next(enhance(system, Request("", image=picture(24, 24))))
    with pytest.raises(TranhError, match="train its stage restorer"):
        next(enhance(assemble({"upscaler": enhancing.upscaler}, {}, {}), Request("", image=picture(24, 24)), False))
    with pytest.raises(TranhError, match="should be a Enhancer"):
        assemble({"upscaler": enhancing.straightener}, {}, {})


def test_of_no_name_the_shipped_one_is_taken(monkeypatch, enhancing):
    monkeypatch.setattr(models, "available", list)
    monkeypatch.setattr(models, "load", lambda name: name)
    assert default() == "tranh-1" and default("mine") == "mine"
    with pytest.raises(TranhError, match="tranh train enhancer"):
        default(None, None)
    monkeypatch.setattr(models, "available", lambda: [models.ModelInfo("edits-1", None, {})])
    with pytest.raises(TranhError, match="tranh train enhancer"):
        default(None, None)  # what is shipped has other parts
    beside = types.SimpleNamespace(parts=enhancing.parts | {"editor": None}, card={"name": "edits-1"})
    monkeypatch.setattr(models, "load", lambda name: beside)
    assert capabilities(default()) == capabilities(default(None, None)) == ("enlarges", "restores")
    assert default().name == "edits-1" and set(default().parts) == set(enhancing.parts)


class Knows:
    """A decoder that knows some pictures by heart: it answers with the nearest."""

    name = "wise"

    def __init__(self, *known):
        self.known = torch.cat(known)

    def embed_images(self, images):
        return torch.zeros(len(images), 4)

    def embed_texts(self, tokens, mask):
        raise AssertionError("not asked")

    def unclip(self, embeddings, prompts, guidance=None):
        def denoise(x, t):
            off = ((1 - rows(t, x)) * self.known - x).square().mean((1, 2, 3))
            return self.known[off.argmin()][None]

        return denoise


def test_pictures_of_its_world_pass_and_others_are_named():
    one, other = picture(64, 64, 1), picture(64, 64, 2)
    model = Knows(to_images(np.asarray(one)[None]))
    assert outside.warning(model, one) == []
    (said,) = outside.warning(model, other)
    assert "unlike all that wise was trained on" in said
    assert outside.warning(object(), other) == []
    assert outside.warning(model, one.resize((256, 256), Image.Resampling.NEAREST)) == []


def test_the_recipe_trains_and_what_it_made_is_loaded(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("tranh.recipes.sources.CAPTIONED", 10)
    settings = ["steps=2", "batch=4", "save_every=2", "sample_every=2", "model.width=16",
                "model.depth=1", "data.count=64", "upscaler.data.windows=[64]",
                "upscaler.data.size=32", "restorer.data.windows=[32]", "restorer.data.size=32"]  # fmt: skip
    recipe = run.override(run.find("enhancer"), settings)
    for _ in run.train(recipe, tmp_path / "run"):
        pass
    export(tmp_path / "run", tmp_path / "out")
    system = models.load(tmp_path / "out")
    assert capabilities(system) == ("enlarges", "restores") and system.straightener is not None
    assert made(upscale(system, Request("", image=picture(16, 16)))).images[0].size == (64, 64)
