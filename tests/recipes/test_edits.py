"""Edits as people ask for them: a request, the part that can do it, pictures with their settings."""

import numpy as np
import pytest
import torch
from PIL import Image

from tranh.families.editor import Editor
from tranh.recipes.beside import Beside
from tranh.recipes.img2img import img2img
from tranh.recipes.inpaint import inpaint, outpaint
from tranh.recipes.instruct import instruct
from tranh.recipes.unclip import assemble
from tranh.text.tokenizer import Tokenizer
from tranh.types import Request, TranhError


@pytest.fixture(scope="module")
def editor(assets):
    tokenizer = Tokenizer.load(assets["tokenizer.json"])
    torch.manual_seed(0)
    family = Editor(
        vocab=len(tokenizer), max_len=tokenizer.max_length, clip_dim=16, text_dim=32, text_depth=1, text_heads=2,
        hidden_size=64, depth=2, num_heads=2, label_tap=1, steps=2,
    )  # fmt: skip
    for p in family.parameters():
        if p.ndim == 2 and not p.any():
            torch.nn.init.normal_(p, std=0.05)
    return family.eval()


@pytest.fixture(scope="module")
def able(parts, assets, editor):
    """The tiny hierarchy with an editor beside it."""
    system = assemble(parts, assets, {"name": "tiny", "steps": 2, "prior_steps": 1})
    system.beside = Beside({"editor": editor}, assets, {"name": "helpers"})
    return system


def picture(side=64, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8))


def pixels(image):
    return np.asarray(image).astype(int)


def result(events):
    *_, last = events
    return last.result


@pytest.mark.parametrize("while_sampling", [False, True])
def test_a_hierarchy_fills_in_by_the_part_beside_it_or_masked_while_sampling(able, while_sampling):
    mask = np.zeros((64, 64), dtype=np.uint8)
    mask[10:40, 20:50] = 255
    request = Request("a red circle", image=picture(), mask=Image.fromarray(mask), count=2, seed=3)
    made = result(inpaint(able, request, while_sampling))
    outside = mask == 0
    for image in made.images:
        assert np.array_equal(pixels(image)[outside], pixels(picture())[outside])
        assert not np.array_equal(pixels(image), pixels(picture()))
    alone = result(inpaint(able, request.replace(seed=4, count=1), while_sampling))
    assert np.array_equal(pixels(alone.images[0]), pixels(made.images[1]))
    assert made.settings[1] == alone.settings[0] and alone.settings[0]["edit"] == "inpaint"


def test_a_part_that_knows_other_words_is_no_help(parts, assets, editor):
    system = assemble(parts, assets, {"name": "tiny"})
    other = Tokenizer.train(["a b c d"]).save()
    system.beside = Beside({"editor": editor}, {**assets, "tokenizer.json": other}, {})
    with pytest.raises(TranhError, match="tiny cannot follow instructions"):
        next(instruct(system, Request("make it red", image=picture())))


def test_a_picture_is_drawn_on_beyond_its_borders(able):
    made = result(outpaint(able, Request("a red circle", image=picture(), extend=(0.5, 0.25, 0, 0.25))))
    assert made.images[0].size == (96, 96)
    assert np.array_equal(pixels(made.images[0])[16:80, 32:], pixels(picture()))
    assert made.settings[0]["extend"] == [0.5, 0.25, 0, 0.25]
    with pytest.raises(TranhError, match="extend is"):
        next(outpaint(able, Request("a red circle", image=picture())))


def test_a_picture_is_begun_from(able):
    request = Request("a red circle", image=picture(100), count=2, strength=0.2)
    made = result(img2img(able, request))
    assert [one["seed"] for one in made.settings] == [0, 1] and made.settings[0]["strength"] == 0.2
    again = result(img2img(able, request.replace(seed=1, count=1)))
    assert np.array_equal(pixels(again.images[0]), pixels(made.images[1]))
    for wrong, why in (
        (request.replace(image=None), "no picture to begin from"),
        (request.replace(strength=0.0), "strength is 0"),
    ):
        with pytest.raises(TranhError, match=why):
            next(img2img(able, wrong))
    with pytest.raises(TranhError, match="has no denoiser"):
        next(img2img(able.beside, request))


def faulty(editor, kind):
    """The same editor, sure of one answer."""
    shares = torch.zeros(1, 3)
    shares[0, kind] = 1.0
    editor.faults = lambda tokens, mask, images: shares
    return editor


@pytest.mark.parametrize(("kind", "why"), [(0, None), (1, "not in the picture"), (2, "more than one thing")])
def test_an_instruction_is_followed_or_answered_with_its_fault(able, editor, monkeypatch, kind, why):
    monkeypatch.setattr(editor, "faults", None, raising=False)
    faulty(editor, kind)
    request = Request("a red circle", image=picture(), seed=2)
    if why is None:
        made = result(instruct(able, request))
        assert made.images[0].size == (64, 64) and made.settings[0]["edit"] == "instruct"
        assert made.settings[0]["steps"] == 2
        return
    with pytest.raises(TranhError, match=why):
        next(instruct(able, request))
    assert result(instruct(able, request.replace(allow_unknown=True))).images


def test_words_nobody_taught_are_told(able):
    with pytest.raises(TranhError, match="frobnicate"):
        next(instruct(able, Request("frobnicate it", image=picture())))
