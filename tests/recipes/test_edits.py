"""Edits as people ask for them: a request, the part that can do it, pictures with their settings."""

import itertools

import numpy as np
import pytest
import torch
from PIL import Image

from tranh.families.editor import Editor
from tranh.recipes.beside import Beside
from tranh.recipes.img2img import img2img
from tranh.recipes.inpaint import inpaint, outpaint
from tranh.recipes.instruct import instruct
from tranh.recipes.moving import moving
from tranh.recipes.restyle import restyle
from tranh.recipes.turn import turn
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


def test_a_hole_in_a_large_picture_is_enlarged_by_the_upsampler(able, parts, assets):
    large, mask = picture(256), Image.new("L", (256, 256), 0)
    mask.paste(255, (64, 64, 192, 192))
    request = Request("a red circle", image=large, mask=mask, seed=3)
    made = pixels(result(inpaint(able, request)).images[0])
    outside = np.asarray(mask) == 0
    assert np.array_equal(made[outside], pixels(large)[outside])
    small = assemble({k: v for k, v in parts.items() if k != "upsampler"}, assets, {"name": "tiny", "steps": 3})
    small.beside = able.beside
    assert not np.array_equal(made, pixels(result(inpaint(small, request)).images[0]))


def test_without_a_part_that_learned_it_a_denoiser_is_masked_and_that_is_said(system, able):
    request = Request("a red circle", image=picture(), mask=Image.new("L", (64, 64), 255), seed=3)
    made = result(inpaint(system, request))
    assert any("no part that learned to fill in" in notice for notice in made.notices)
    masked = result(inpaint(system, request, while_sampling=True))
    assert np.array_equal(pixels(made.images[0]), pixels(masked.images[0]))
    assert not any("learned" in notice for notice in [*masked.notices, *result(inpaint(able, request)).notices])


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
    assert [image.size for image in made.images] == [(256, 256)] * 2
    assert result(img2img(able, request.replace(size=64, count=1))).images[0].size == (64, 64)
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
        for size, side in ((64, 64), (None, 256)):
            made = result(instruct(able, request.replace(size=size)))
            assert made.images[0].size == (side, side) and made.settings[0]["edit"] == "instruct"
            assert made.settings[0]["steps"] == 2 and made.settings[0]["size"] == side
        with pytest.raises(TranhError, match="64 or 256 px, 100 was asked"):
            next(instruct(able, request.replace(size=100)))
        return
    with pytest.raises(TranhError, match=why):
        next(instruct(able, request))
    assert result(instruct(able, request.replace(allow_unknown=True))).images


def test_words_nobody_taught_are_told(able):
    with pytest.raises(TranhError, match="frobnicate"):
        next(instruct(able, Request("frobnicate it", image=picture())))


@pytest.fixture(scope="module")
def moves(assets):
    """A tiny part that is told when, and one that sees depth."""
    tokenizer = Tokenizer.load(assets["tokenizer.json"])
    torch.manual_seed(1)
    family = Editor(
        vocab=len(tokenizer), max_len=tokenizer.max_length, clip_dim=None, text_dim=32, text_depth=1, text_heads=2,
        hidden_size=64, depth=2, num_heads=2, label_tap=1, steps=2, moments=True, faults=0,
    )  # fmt: skip
    for p in family.parameters():
        if p.ndim == 2 and not p.any():
            torch.nn.init.normal_(p, std=0.05)
    return {"motion": family.eval(), "depth": Stripes()}


class Stripes(torch.nn.Module):
    """Sees the left third two layers up, the middle one, the right one as the setting."""

    def depth(self, images):
        S = images.shape[-1]
        ranks = 2 - torch.arange(S) * 3 // S
        return ranks.expand(len(images), 1, S, S)


@pytest.fixture
def filming(parts, assets, editor, moves):
    system = assemble(parts, assets, {"name": "tiny", "steps": 2, "prior_steps": 1})
    system.beside = Beside({**moves, "editor": editor}, assets, {})
    return system


def test_a_sentence_moves_from_its_first_frame(filming):
    request = Request("a red circle", frames=5, seed=3)
    made = result(moving(filming, request))
    assert len(made.images) == 5 and made.settings[0]["frames"] == 5
    frames = [pixels(image) for image in made.images]
    assert all(not np.array_equal(a, b) for a, b in itertools.pairwise(frames))
    again = result(moving(filming, request.replace(image=made.images[0])))
    assert all(np.abs(pixels(a) - b).max() <= 2 for a, b in zip(again.images, frames, strict=True))
    with pytest.raises(TranhError, match="allowed: 2 to 64"):
        next(moving(filming, request.replace(frames=1)))


def test_who_cannot_move_is_told_who_can(able):
    with pytest.raises(TranhError, match="tiny cannot make a picture move .*tranh train motion"):
        next(moving(able, Request("a red circle")))


def test_a_picture_is_turned_in_its_layers(filming):
    events = list(turn(filming, Request("", image=picture(), frames=4), shift=4 / 64))
    made = events[-1].result
    assert made.settings[0]["layers"] == 3 and len(made.images) == 4
    there, _, back, _ = (pixels(image) for image in made.images)
    assert np.array_equal(there, back) and not np.array_equal(there, pixels(made.images[1]))
    with pytest.raises(TranhError, match="no picture to turn"):
        list(turn(filming, Request("")))
    with pytest.raises(TranhError, match="a shift of 0.9"):
        next(turn(filming, Request("", image=picture()), shift=0.9))


def test_a_style_is_asked_for_in_the_language_of_its_words_or_by_a_picture(able, editor, monkeypatch):
    asked = []
    encode = able.tokenizer.encode
    monkeypatch.setattr(able.tokenizer, "encode", lambda texts, **how: asked.append(texts) or encode(texts, **how))
    monkeypatch.setattr(editor, "faults", lambda tokens, mask, images: torch.eye(3)[:1], raising=False)
    for style, words in (("in watercolour", "it in watercolour"), ("màu nước", "thành màu nước")):
        asked.clear()
        made = result(restyle(able, Request(style, image=picture(), allow_unknown=True)))
        assert made.settings[0]["edit"] == "restyle" and made.settings[0]["prompt"] == style
        assert any(words in text for texts in asked for text in texts)
    request = Request("", image=picture(), other=picture(seed=1), steps=4)
    near, far = (result(restyle(able, request.replace(strength=s))).images[0] for s in (0.0, 1.0))
    assert not np.array_equal(pixels(near), pixels(far))
    for wrong in (Request("", image=picture()), request.replace(prompt="in neon")):
        with pytest.raises(TranhError, match="one of the two"):
            next(restyle(able, wrong))
