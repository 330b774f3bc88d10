"""GLIDE and DDPM as recipes and systems: samplers of a request, filling in a part."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from tranh.families.ddpm import Ddpm
from tranh.families.glide import Glide
from tranh.recipes import run
from tranh.recipes.beside import Beside
from tranh.recipes.inpaint import inpaint
from tranh.recipes.system import assemble
from tranh.text.tokenizer import Tokenizer
from tranh.types import Request, TranhError, capabilities


@pytest.fixture(scope="module")
def glide(assets):
    tokenizer = Tokenizer.load(assets["tokenizer.json"])
    torch.manual_seed(0)
    family = Glide(
        vocab=len(tokenizer), max_len=tokenizer.max_length, text_dim=32, text_depth=1, text_heads=2, image_size=16,
        fold=2, widths=[32, 64],
    )  # fmt: skip
    torch.nn.init.normal_(family.unet.net.conv_out.weight, std=0.05)
    return assemble({"glide": family.eval()}, assets, {"name": "tiny", "steps": 2})


def pixels(image):
    return np.asarray(image).astype(int)


def test_a_request_names_its_sampler(glide, system):
    assert "fills" in capabilities(glide.drawer)
    drawn = {name: pixels(glide.generate("a red circle", sampler=name)[0]) for name in glide.samplers}
    assert set(drawn) == {"ddpm", "ddim", "euler", "heun", "dpm++"}
    own = pixels(glide.generate("a red circle")[0])
    assert np.array_equal(own, drawn["dpm++"]) and not np.array_equal(own, drawn["ddpm"])
    *_, last = glide.generate_events(Request("a red circle", sampler="heun"))
    assert last.result.settings[0]["sampler"] == "heun"
    with pytest.raises(TranhError, match="choose one of ddpm"):
        glide.generate("a red circle", sampler="plms")
    with pytest.raises(TranhError, match="draws in one way"):
        system.generate("a red circle", sampler="ddim")


def picture(side, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8))


def box(side, share=0.5):
    hole = np.zeros((side, side), dtype=np.uint8)
    hole[: int(side * share), : int(side * share)] = 255
    return Image.fromarray(hole)


@pytest.mark.parametrize("side", [16, 50, 8])
def test_every_pixel_outside_the_mask_stays(glide, side):
    image, hole = picture(side), box(side)
    *_, last = inpaint(glide, Request("a red circle", image=image, mask=hole, count=2, seed=3))
    first, second = (pixels(made) for made in last.result.images)
    outside = np.asarray(hole) == 0
    for made in (first, second):
        assert made.shape == (side, side, 3) and np.array_equal(made[outside], pixels(image)[outside])
        assert not np.array_equal(made[~outside], pixels(image)[~outside])
    assert not np.array_equal(first, second)
    *_, again = inpaint(glide, Request("a red circle", image=image, mask=hole, seed=4))
    assert np.array_equal(pixels(again.result.images[0]), second)


def test_what_cannot_be_filled_in_is_refused(glide, assets):
    image, hole = picture(16), box(16)
    with pytest.raises(TranhError, match=r"cannot fill in a part \(it does nothing\). Systems that can: glide"):
        list(inpaint(Beside({}, assets, {}), Request("a red circle", image=image, mask=hole)))
    with pytest.raises(TranhError, match="the mask is 8 x 8 and the picture 16 x 16"):
        list(inpaint(glide, Request("a red circle", image=image, mask=hole.resize((8, 8)))))
    with pytest.raises(TranhError, match="nothing of the mask is white"):
        list(inpaint(glide, Request("a red circle", image=image, mask=Image.new("L", (16, 16)))))
    with pytest.raises(TranhError, match="crop it first"):
        list(inpaint(glide, Request("a red circle", image=image.crop((0, 0, 16, 8)), mask=hole)))
    with pytest.raises(TranhError, match="a picture and a mask"):
        list(inpaint(glide, Request("a red circle", image=image)))


@pytest.mark.parametrize("kind,side", [("digits", 16), ("idx", 28), ("folder", None)])
def test_tiny_pictures_are_drawn_at_their_own_side(kind, side, monkeypatch):
    monkeypatch.setattr("tranh.recipes.natural.detect", lambda source: SimpleNamespace(kind=kind))
    stage = run.find("ddpm", {"source": "mine"}).stages["ddpm"]
    assert stage.data.get("size") == stage.model.get("image_size") == side
    part = Ddpm(**stage.model)
    assert part.image_size == (side or 64)
    if side:
        x = torch.zeros(1, 3, side, side)
        assert part.unet(x, torch.zeros(1)).shape == (1, 6, side, side)


@pytest.mark.parametrize(
    "data", [None, {"source": "scenes", "levels": {"two": 1.0}}, {"source": "pictures", "size": 64}]
)
def test_the_recipes_stand_on_what_the_data_tell(data):
    glide, ddpm = run.find("glide", data), run.find("ddpm", data)
    told = data or {"source": "scenes", "levels": {"one": 1.0}}
    assert list(glide.stages) == (["reader", "glide"] if told["source"] == "scenes" else ["glide"])
    assert not ddpm.stages["ddpm"].model
    for recipe in (glide, ddpm):
        assert all(stage.data.items() >= told.items() for stage in recipe.stages.values())
        assert recipe.parts == (recipe.name,)
