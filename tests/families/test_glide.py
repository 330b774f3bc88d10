"""GLIDE: contract, caption, filling in."""

import pytest
import torch

from tranh.families.glide import Glide
from tranh.families.reader import Reader
from tranh.nn.holes import random_holes
from tranh.types import Batch, Fills, Phase

LEARNS = {"steps": 40, "lr": 4e-3}


def tiny(**changes):
    torch.manual_seed(0)
    options = dict(vocab=50, max_len=12, text_dim=32, text_depth=1, text_heads=2, image_size=16, fold=2,
                   widths=[32, 64])  # fmt: skip
    return Glide(**(options | changes))


def batch(size=4):
    g = torch.Generator().manual_seed(1)
    tokens = torch.randint(4, 50, (size, 8), generator=g)
    images = (torch.rand(size, 3, 16, 16, generator=g) * 255).round() / 127.5 - 1
    return Batch(images, [""] * size, tokens, torch.ones_like(tokens, dtype=torch.bool), torch.arange(size))


def toy():
    """For the contract: an untrained one answers 0 to everything."""
    return stirred(tiny()), batch()


def stirred(family):
    """Weights at random, so that every input reaches the output."""
    g = torch.Generator().manual_seed(5)
    for name, p in family.unet.named_parameters():
        if "conv_out" in name or "conv2.weight" in name:  # what begins at zero
            torch.nn.init.normal_(p, std=0.05, generator=g)
    return family


def test_every_word_reaches_the_picture_and_padding_does_not():
    family, b, n = stirred(tiny()), batch(), torch.full((4,), 500)
    with torch.no_grad():

        def answer(tokens, mask):
            return family.answer(b.images, n, family.text(tokens, mask), mask, None, None)

        plain = answer(b.tokens, b.mask)
        for place in (0, 3, 7):
            other = b.tokens.clone()
            other[:, place] = 49 - other[:, place]
            assert (answer(other, b.mask) - plain).abs().max() > 1e-6
        padded = torch.nn.functional.pad(b.tokens, (0, 3)), torch.nn.functional.pad(b.mask, (0, 3))
        torch.testing.assert_close(answer(*padded), plain, rtol=1e-4, atol=1e-5)


def test_what_is_known_reaches_the_picture_outside_the_hole_only():
    family, b, n = stirred(tiny()), batch(), torch.full((4,), 500)
    holes = torch.zeros(4, 1, 16, 16, dtype=torch.bool)
    holes[..., 4:12, 4:12] = True
    with torch.no_grad():
        context = family.text(b.tokens, b.mask)

        def answer(known):
            return family.answer(torch.zeros_like(b.images), n, context, b.mask, known, holes)

        plain = answer(b.images)
        assert torch.equal(answer(torch.where(holes, 0.3, b.images)), plain)
        assert (answer(torch.where(holes, b.images, 0.3)) - plain).abs().max() > 1e-5
        nothing = family.answer(b.images, n, context, b.mask, None, None)
        hidden = family.answer(b.images, n, context, b.mask, b.images, torch.ones_like(holes))
        assert torch.equal(nothing, hidden)


@pytest.mark.parametrize("inpaint", [0.0, 0.5])
@pytest.mark.parametrize("sampler", Glide.samplers)
def test_outside_the_hole_nothing_changes(inpaint, sampler):
    family, b = stirred(tiny(inpaint=inpaint)), batch()
    assert isinstance(family, Fills)
    holes = random_holes(4, 16, 1.0, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        *_, last = family.fill(b.tokens, b.mask, range(4), b.images, holes, steps=3, sampler=sampler)
        rows = slice(1, 2)
        *_, alone = family.fill(
            b.tokens[rows], b.mask[rows], [1], b.images[rows], holes[rows], steps=3, sampler=sampler
        )
    assert torch.equal(torch.where(holes, 0.0, last.x), torch.where(holes, 0.0, b.images))
    assert (last.x - b.images)[holes.expand_as(b.images)].abs().max() > 0.01
    torch.testing.assert_close(last.x[rows], alone.x, atol=2e-4, rtol=0)


def test_without_inpainting_there_are_no_inputs_for_it():
    widths = {tiny(inpaint=share).unet.net.conv_in.in_channels for share in (0.0, 0.2)}
    told = tiny().unet.where.shape[1]  # where a place is
    assert widths == {3 * 4 + told, 7 * 4 + told}


def test_a_reader_lends_its_words():
    family, other = tiny(), tiny()
    torch.nn.init.normal_(other.text.tokens.weight)
    lent = {k: v for k, v in other.state_dict().items() if k.startswith("text.")} | {
        "questions.queries": torch.zeros(3)
    }
    family.load_state_dict(dict(family.adopt(lent)))
    assert torch.equal(family.text.tokens.weight, other.text.tokens.weight)


def test_kernels_go_to_muon_and_what_sees_only_time_does_not():
    family = tiny()
    muon, adamw = ({id(p) for p in group.params} for group in family.param_groups("train"))
    net = family.unet.net
    assert {id(net.mid_block.resnets[0].conv1.weight), id(net.mid_block.attentions[0].proj_in.weight)} <= muon
    assert {id(net.conv_in.weight), id(net.conv_out.weight), id(net.time_embedding.linear_1.weight)} <= adamw
    assert id(net.mid_block.resnets[0].time_emb_proj.weight) in adamw
    assert len(muon) + len(adamw) == len(list(family.parameters()))


def test_a_loss_needs_no_randomness_of_its_own():
    family, b = tiny(), batch()
    once, again = (family(b, Phase("train", 0, 1, torch.Generator().manual_seed(3)))["loss"] for _ in range(2))
    assert torch.equal(once, again)


def test_a_reader_lends_its_questions():
    reader = Reader(vocab=50, max_len=12, text_dim=32, text_depth=1, text_heads=2, thing_sizes=[4, 2],
                    picture_sizes=[3])  # fmt: skip
    family = tiny(questions=5)
    family.load_state_dict(dict(family.adopt(reader.state_dict())))
    assert torch.equal(family.questions.queries, reader.questions.queries)
