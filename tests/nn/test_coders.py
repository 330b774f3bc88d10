"""Coders: shapes of every form, captions reach the picture, spots see where patches lie."""

import pytest
import torch

from tranh.nn.coders import DECODERS, ENCODERS, ConvEncoder, Shape, Spots, checked, grids, pooled

FORMS = list(ENCODERS)


def caption(rows, width, tokens=5):
    g = torch.Generator().manual_seed(1)
    mask = torch.arange(tokens)[None] < torch.arange(1, rows + 1)[:, None]
    return torch.randn(rows, tokens, width, generator=g), mask


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("side", [8, 24, 64])
@pytest.mark.parametrize("context", [0, 12])
def test_shapes(form, side, context):
    shape = Shape(side, 32, 1, 4, 8, context)
    told = caption(3, context) if context else None
    z = ENCODERS[form](shape, 6)(torch.zeros(3, 3, side, side), told)
    assert z.shape == (3, 6)
    assert DECODERS[form](shape, 6)(z, told).shape == (3, 3, side, side)


@pytest.mark.parametrize("form", FORMS)
def test_both_z_and_the_caption_reach_the_picture_and_padding_does_not(form):
    torch.manual_seed(0)
    decoder = DECODERS[form](Shape(16, 32, 1, 4, 8, 12), 4)
    for p in decoder.parameters():
        torch.nn.init.normal_(p, std=0.2)
    z, (context, mask) = torch.randn(3, 4), caption(3, 12)
    x = decoder(z, (context, mask))
    assert (decoder(z + 1, (context, mask)) - x).abs().mean() > 1e-3
    assert (decoder(z, (context + 1, mask)) - x).abs().mean() > 1e-3
    padding = torch.where(mask[..., None], context, torch.full((), 9.0))
    torch.testing.assert_close(decoder(z, (padding, mask)), x)


def test_the_mean_of_a_caption_is_of_its_real_tokens():
    context, mask = caption(3, 12)
    torch.testing.assert_close(pooled((context, mask), context)[1], context[1, :2].mean(0))
    assert pooled(None, torch.zeros(3, 4)).shape == (3, 0)


def test_the_dense_form_is_the_textbooks():
    encoder, decoder = ENCODERS["dense"](Shape(28, 400), 20), DECODERS["dense"](Shape(28, 400), 20)
    sizes = [tuple(m.weight.shape) for half in (encoder, decoder) for m in half.modules() if hasattr(m, "weight")]
    assert sizes == [(400, 3 * 784), (20, 400), (400, 20), (3 * 784, 400)]


def test_grids_halve_until_they_are_small():
    assert grids(64) == (4, [16, 8, 4]) and grids(8) == (1, [8, 4]) and grids(28) == (1, [28, 14, 7])
    with pytest.raises(ValueError, match="multiple"):
        grids(50)


def test_a_patch_sees_where_it_lies_from_a_spot():
    spots = Spots(32, 4)
    with torch.no_grad():
        spots.pose[-1].weight.zero_()
        spots.pose[-1].bias.zero_()  # a spot in the middle, a quarter of the side wide
    seen = spots.look(torch.zeros(1, 32)).unflatten(2, (1, 2, -1))[0, :, 0, :, 0]  # (N, 2): x, y
    torch.testing.assert_close(seen[0], torch.tensor([-1.5, -1.5]))
    torch.testing.assert_close(seen[1], torch.tensor([-0.5, -1.5]))
    torch.testing.assert_close(seen[-1], torch.tensor([1.5, 1.5]))


def test_unknown_forms_are_refused():
    with pytest.raises(ValueError, match="dense, conv, transformer"):
        checked("round")
    assert isinstance(ENCODERS[checked("conv")](Shape(8, 16), 2), ConvEncoder)
