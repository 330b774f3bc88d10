"""DDPM: contract, what it predicts, its variance and its bound."""

import pytest
import torch

from tranh.diffusion.schedule import stratified
from tranh.families.ddpm import Ddpm
from tranh.types import Batch, Phase, TranhError

LEARNS = {"steps": 40, "lr": 4e-3}


def tiny(**changes):
    torch.manual_seed(0)
    options = dict(image_size=16, fold=2, widths=[32, 64], reads=True, vocab=50, max_len=12, text_dim=32, text_depth=1,
                   text_heads=2)  # fmt: skip
    return Ddpm(**(options | changes))


def batch(size=4):
    g = torch.Generator().manual_seed(1)
    tokens = torch.randint(4, 50, (size, 8), generator=g)
    images = (torch.rand(size, 3, 16, 16, generator=g) * 255).round() / 127.5 - 1
    return Batch(images, [""] * size, tokens, torch.ones_like(tokens, dtype=torch.bool), torch.arange(size))


def toy():
    """For the contract."""
    return tiny(), batch()


def phase(step=0):
    return Phase("train", step, 100, torch.Generator().manual_seed(0))


def test_without_captions_it_reads_none():
    family, b = tiny(reads=False), batch()
    assert "vocab" not in family.config and family.text is None
    other = b.replace(tokens=b.tokens.roll(1, 0))
    with torch.no_grad():
        *_, one = family.draw(b.tokens, b.mask, [1, 2, 3, 4], steps=2)
        *_, two = family.draw(other.tokens, b.mask, [1, 2, 3, 4], steps=2)
    assert torch.equal(one.x, two.x)


def stirred(family):
    """Weights at random, so that every input reaches the output."""
    g = torch.Generator().manual_seed(5)
    for name, p in family.unet.named_parameters():
        if "conv_out" in name or "conv2.weight" in name:  # what begins at zero
            torch.nn.init.normal_(p, std=0.05, generator=g)
    return family


def test_captions_reach_the_picture_as_one_vector():
    family, b = stirred(tiny()), batch()
    n = torch.full((4,), 500)
    with torch.no_grad():
        told, other = (family.answer(b.images, n, family.vector(t, b.mask))[0] for t in (b.tokens, b.tokens.roll(1, 0)))
        half = b.mask.clone()
        half[:, 4:] = False
        padded = b.tokens.clone()
        padded[:, 4:] = 0
        short = family.vector(b.tokens[:, :4], b.mask[:, :4])
        torch.testing.assert_close(family.vector(padded, half), short, rtol=1e-4, atol=1e-5)
    assert (told - other).abs().max() > 1e-5


@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
def test_an_untrained_network_answers_nothing(prediction):
    """Its last layer is zero, so L_simple is the mean square of what should be answered."""
    family, b = tiny(prediction=prediction, variance="small"), batch()
    g = torch.Generator().manual_seed(0)
    n = (stratified(4, generator=g) * 1000).long()
    eps = torch.randn(b.images.shape, generator=g)
    bar = family.chain.vp.alpha_bar[n].view(-1, 1, 1, 1)
    answer = {"eps": eps, "x0": b.images, "v": bar.sqrt() * eps - (1 - bar).sqrt() * b.images}[prediction]
    torch.testing.assert_close(family(b, phase())["simple"], answer.square().mean())


def test_the_bound_moves_the_variance_alone():
    family, b = stirred(tiny()), batch()
    figures = family(b, phase())
    assert figures["loss"] > figures["simple"]
    out = family.unet.net.conv_out.weight
    both = torch.autograd.grad(figures["loss"], out)[0]
    simple = tiny(variance="learned")
    simple.load_state_dict(family.state_dict())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tranh.families.ddpm.LAMBDA", 0.0)
        alone = torch.autograd.grad(simple(b, phase())["loss"], simple.unet.net.conv_out.weight)[0]
    p = 3 * 4  # folded channels of the answer come first, those of the share after them
    torch.testing.assert_close(both[:p], alone[:p])
    assert both[p:].abs().max() > 0 and alone[p:].abs().max() == 0


@pytest.mark.parametrize("variance", ["small", "learned"])
def test_bits_are_the_sum_of_all_terms_and_the_log_estimates_them(variance):
    family, b = tiny(N=8, variance=variance, reads=False), batch(8)
    terms = torch.stack(list(family.bits(b)))
    assert terms.shape == (9, 8) and terms.isfinite().all() and (terms >= -1e-6).all()
    with torch.no_grad():  # as many pictures as terms: each batch asks for every one
        told = [family(b, Phase("train", 0, 1, torch.Generator().manual_seed(k)))["bits"] for k in range(4)]
    exact, guessed = terms.sum(0).mean(), torch.stack(told).mean()
    assert abs(guessed - exact) < 0.1 * exact, (guessed, exact)
    assert torch.equal(torch.stack(list(family.bits(b))), terms)


@pytest.mark.parametrize("sampler", Ddpm.samplers)
@pytest.mark.parametrize("variance", ["large", "learned"])
def test_every_sampler_draws(sampler, variance):
    family, b = stirred(tiny(variance=variance)), batch()
    with torch.no_grad():
        *_, last = family.draw(b.tokens, b.mask, [1, 2, 3, 4], steps=3, guidance=2.0, sampler=sampler)
        *_, alone = family.draw(b.tokens[2:3], b.mask[2:3], [3], steps=3, guidance=2.0, sampler=sampler)
    assert last.x.isfinite().all() and last.x.abs().max() <= 1
    torch.testing.assert_close(last.x[2:3], alone.x, atol=2e-4, rtol=0)


def test_what_cannot_be_is_refused():
    for told, words in (
        ({"schedule": "square"}, "choose one of linear, cosine"),
        ({"prediction": "score"}, "eps, x0, v"),
        ({"variance": "free"}, "small, large, learned"),
        ({"vocab": None}, "vocab is missing"),
    ):
        with pytest.raises(TranhError, match=words):
            tiny(**told)
    with pytest.raises(ValueError, match="multiple of fold"):
        tiny(image_size=18)
    with pytest.raises(TranhError, match="choose one of ddpm"):
        list(tiny().draw(batch().tokens, batch().mask, [0] * 4, sampler="plms"))
