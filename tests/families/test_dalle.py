import pytest
import torch

from tranh.families.dalle import Dalle
from tranh.families.dvae import Dvae
from tranh.types import Batch, Phase, TranhError

SMALL = dict(vocab=40, max_len=8, image_size=16, grid=4, codes=32, dim=32, depth=2, heads=4, text_depth=1)


def dvae():
    torch.manual_seed(0)
    return Dvae(image_size=16, grid=4, codes=32, dim=8, width=16, wide=24).eval()


def batch(B=8, seed=0):
    g = torch.Generator().manual_seed(seed)
    images = torch.rand(B, 3, 16, 16, generator=g) * 2 - 1
    tokens = torch.randint(4, 40, (B, 6), generator=g)
    mask = torch.arange(6) < torch.randint(3, 7, (B, 1), generator=g)
    codes = torch.randint(0, 32, (B, 16), generator=g)
    return Batch(images, ["a"] * B, tokens, mask, torch.arange(B), parts={"dvae.codes": codes})


def phase(seed=0):
    return Phase("train", 0, 100, torch.Generator().manual_seed(seed))


def toy(**more):
    """For the contract."""
    torch.manual_seed(0)
    family = Dalle(**{**SMALL, **more})
    family.meet({"dvae": dvae()})
    return family, batch()


@pytest.fixture(scope="module", params=["one", "encoder"])
def trained(request):
    """Each reading, which has learned eight captioned pictures by heart."""
    family, data = toy(reading=request.param)
    optimizer = torch.optim.AdamW(family.parameters(), lr=5e-3)
    first, where = family(data, phase())["codes"], phase()
    for _ in range(120):
        figures = family(data, where)
        optimizer.zero_grad()
        figures["loss"].backward()
        optimizer.step()
    assert figures["codes"] < 0.3 * first
    return family.eval(), data


def chance(B, seed=0):
    return torch.rand(B, 16, generator=torch.Generator().manual_seed(seed))


def codes_of(family, data, u, **how):
    *_, codes = family.sample(data.tokens, data.mask, u, **how)
    return codes


@pytest.mark.parametrize("reading", ["one", "encoder"])
@pytest.mark.parametrize("guidance", [1.0, 2.5])
def test_sampling_with_a_cache_is_sampling_without(reading, guidance):
    family, data = toy(reading=reading)
    for p in family.parameters():  # nothing hides behind a zero, and many codes are likely
        if p.ndim == 2 and not p.any():
            torch.nn.init.normal_(p, std=0.2)
    how = dict(guidance=guidance, temperature=1.2, top_k=20, top_p=0.95)
    cached = codes_of(family.eval(), data, chance(8), **how)
    assert torch.equal(cached, codes_of(family, data, chance(8), cached=False, **how))
    assert len(cached.unique()) > 10
    rows = [list(family.sample(data.tokens[k : k + 1], data.mask[k : k + 1], chance(8)[k : k + 1], **how))[-1][0]
            for k in (0, 5)]  # fmt: skip
    assert torch.equal(torch.stack(rows), cached[[0, 5]])


def test_what_was_learned_by_heart_is_drawn(trained):
    family, data = trained
    right = (codes_of(family, data, chance(8), temperature=0.3) == data.parts["dvae.codes"]).float().mean()
    assert right > 0.9
    other = data.replace(tokens=data.tokens.roll(1, 0), mask=data.mask.roll(1, 0))
    assert (codes_of(family, other, chance(8), temperature=0.3) == data.parts["dvae.codes"]).float().mean() < 0.4


def test_sampling_asks_what_training_answered(trained):
    """The likeliest codes of sampling are those of the training pass over them."""
    family, data = trained
    codes = codes_of(family, data, chance(8), temperature=0)
    h, _ = family.stack(data.tokens, data.mask, family.inputs(codes[:, :-1]))
    assert torch.equal(family.head(h).argmax(-1), codes)


def test_given_codes_are_kept_and_gone_on_from(trained):
    family, data = trained
    true = data.parts["dvae.codes"]
    codes = codes_of(family, data, chance(8), given=true[:, :8], temperature=0)
    assert torch.equal(codes[:, :8], true[:, :8]) and (codes[:, 8:] == true[:, 8:]).float().mean() > 0.9
    blank = torch.zeros(1, 8, dtype=torch.long)
    assert (codes_of(family, data, chance(8), given=blank)[:, :8] == 0).all()
    steps = list(family.draw(data.tokens, data.mask, range(8), given=true[:, :8]))
    assert [(s.index, s.steps) for s in steps] == [(1, 2), (2, 2)]


def test_drawing_decodes_the_codes(trained):
    family, data = trained
    *_, last = family.draw(data.tokens, data.mask, range(8), temperature=0, guidance=1.0)
    codes = codes_of(family, data, chance(8), temperature=0)
    vae = family.met["dvae"]
    torch.testing.assert_close(last.x, vae.decode(vae.latents_of(codes.view(8, 4, 4))).clamp(-1, 1))


def test_guidance_goes_away_from_another_caption(trained):
    family, data = trained
    plain, empty = (codes_of(family, data, chance(8), guidance=g) for g in (1.0, 3.0))
    away = data.tokens[:1, :5], data.mask[:1, :5]
    assert not torch.equal(plain, codes_of(family, data, chance(8), guidance=3.0, away=away))
    assert empty.shape == plain.shape


def test_the_loss_is_the_cross_entropy_of_codes_and_an_eighth_of_words():
    family, data = toy(drop=0.0)
    figures = family(data, phase())
    uniform = {"codes": torch.tensor(32.0).log(), "words": torch.tensor(40.0).log()}  # heads begin at zero
    for name, value in uniform.items():
        torch.testing.assert_close(figures[name], value)
    torch.testing.assert_close(figures["loss"], 7 / 8 * uniform["codes"] + uniform["words"] / 8)
    other, _ = toy(reading="encoder")
    assert "words" not in other(data, phase())


def test_dropped_captions_are_not_seen():
    family, data = toy(drop=1.0)
    torch.nn.init.normal_(family.head.weight, std=0.2)
    other = data.replace(tokens=data.tokens.roll(1, 0), mask=data.mask.roll(1, 0))
    assert torch.equal(family(data, phase())["codes"], family(other, phase())["codes"])


@pytest.mark.parametrize("reading", ["one", "encoder"])
def test_a_reader_lends_its_caption_encoder(reading):
    from tranh.nn.sequence import TextEncoder

    family, data = toy(reading=reading)
    text = TextEncoder(40, 32, 1, 4, 8, causal=reading == "one")
    torch.nn.init.normal_(text.transformer.blocks[0].down_proj.weight, std=0.2)
    lent = {f"text.{k}": v for k, v in text.state_dict().items()} | {"questions.queries": torch.ones(3, 32)}
    family.load_state_dict(family.adopt(lent))
    if reading == "encoder":
        torch.testing.assert_close(family.stack.text(data.tokens, data.mask), text(data.tokens, data.mask))
    else:  # its blocks are the first of the stack
        own = family.stack.transformer.blocks[0].state_dict()
        assert all(torch.equal(v, own[k]) for k, v in text.transformer.blocks[0].state_dict().items())
        assert torch.equal(family.stack.tokens.weight, text.tokens.weight)


def test_a_dvae_of_another_shape_is_refused():
    family, _ = toy()
    with pytest.raises(TranhError, match="codes=32, its dvae has 16"):
        family.meet({"dvae": Dvae(image_size=16, grid=4, codes=16, dim=8, width=16, wide=24)})
    with pytest.raises(ValueError, match="one .* encoder"):
        toy(reading="both")
