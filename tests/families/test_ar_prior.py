import json

import pytest
import torch
import torch.nn.functional as F

from tranh.families.ar_prior import ArPrior, draw
from tranh.nn.codes import PcaCodes
from tranh.types import Batch, Phase

SMALL = dict(vocab=40, clip_dim=16, components=10, codes=16, dim=32, depth=2, heads=4, max_len=8)


def batch(B=8, seed=0):
    g = torch.Generator().manual_seed(seed)
    tokens = torch.randint(0, 40, (B, 6), generator=g)
    mask = torch.arange(6) < torch.randint(2, 7, (B, 1), generator=g)
    image, text = (F.normalize(torch.randn(B, 16, generator=g) + 0.5, dim=-1) for _ in range(2))
    parts = {"clip.image": image, "clip.text": text}
    return Batch(torch.zeros(B, 3, 8, 8), ["a"] * B, tokens, mask, torch.arange(B), parts=parts)


def blurred(data, seed, times=4):
    """The batch repeated with noisy text embeddings, so that the dot product does not tell the examples apart."""
    text = data.parts["clip.text"].repeat(times, 1)
    text = F.normalize(text + 0.3 * torch.randn(text.shape, generator=torch.Generator().manual_seed(seed)), dim=-1)
    parts = {"clip.image": data.parts["clip.image"].repeat(times, 1), "clip.text": text}
    return data.replace(
        tokens=data.tokens.repeat(times, 1), mask=data.mask.repeat(times, 1), ids=torch.arange(len(text)), parts=parts
    )


def given(data):
    return data.tokens, data.mask, data.parts["clip.text"]


def noise(B, seed=1):
    return torch.randn(B, 16, generator=torch.Generator().manual_seed(seed))


def phase(seed=0):
    return Phase("train", 0, 100, torch.Generator().manual_seed(seed))


def train(prior, batches):
    optimizer, where = torch.optim.AdamW(prior.parameters(), lr=3e-3), phase()
    for data in batches:
        figures = prior(data, where)
        optimizer.zero_grad()
        figures["loss"].backward()
        optimizer.step()
    return figures


def toy():
    """For the contract."""
    torch.manual_seed(0)
    prior, data = ArPrior(**SMALL), batch()
    prior.prepare([data])
    return prior, data


@pytest.fixture(scope="module")
def trained():
    torch.manual_seed(0)
    prior, data = ArPrior(**SMALL), batch()
    prior.prepare([blurred(data, 0)])
    figures = train(prior, (blurred(data, seed) for seed in range(150)))
    return prior, data, figures


def test_one_batch_is_learned_by_heart():
    torch.manual_seed(0)
    prior, data = ArPrior(**SMALL), batch()
    prior.prepare([data])
    first = prior(data, phase())["loss"].item()
    figures = train(prior, [data] * 60)
    assert figures["loss"] < 0.5 * first and figures["cosine"] > 0.8


def test_samples_are_the_embeddings_learned_by_heart(trained):
    prior, data, _ = trained
    z = prior.sample(*given(data), noise(8), guidance=1.5, temperature=0.5)
    torch.testing.assert_close(z.norm(dim=-1), torch.ones(8))
    nearest = (z @ data.parts["clip.image"].T).argmax(1)
    assert (nearest == torch.arange(8)).sum() >= 7


@pytest.mark.parametrize("guidance", [1.0, 3.0])
@pytest.mark.parametrize("trained_well", [True, False])
def test_sampling_with_a_cache_is_sampling_without(trained, guidance, trained_well):
    prior, data, _ = trained
    if not trained_well:  # many codes are likely
        torch.manual_seed(1)
        prior = ArPrior(**SMALL)
        prior.prepare([data])
        torch.nn.init.normal_(prior.head.weight, std=0.1)
    options = dict(guidance=guidance, temperature=1.3, top_p=0.9)
    cached = prior.sample(*given(data), noise(8), **options)
    assert torch.equal(cached, prior.sample(*given(data), noise(8), cached=False, **options))


def test_sampling_asks_what_training_answered(trained):
    """The greedy codes of sampling are the likeliest codes of the training pass over them."""
    prior, data, _ = trained
    z = prior.sample(*given(data), noise(8), guidance=1.0, temperature=0)
    u = 0.5 * torch.erfc(-noise(8)[:, 10].double() * 0.5**0.5)
    dot, yes = 8 + (u * 8).long(), torch.ones(8, dtype=torch.bool)
    codes = torch.zeros(8, 10, dtype=torch.long)
    for _ in range(10):  # each pass settles one more code
        codes = prior.logits(*given(data), yes, dot, codes).argmax(-1)
    torch.testing.assert_close(prior.pca.decode(codes), z)


def test_a_row_does_not_depend_on_its_company(trained):
    prior, data, _ = trained
    together = prior.sample(*given(data), noise(8))
    alone = prior.sample(*(part[2:3] for part in given(data)), noise(8)[2:3])
    torch.testing.assert_close(together[2:3], alone)


def test_codes_are_causal(trained):
    prior, data, _ = trained
    codes, yes = prior.pca.encode(data.parts["clip.image"]), torch.ones(8, dtype=torch.bool)
    dot = torch.zeros(8, dtype=torch.long)
    changed = codes.clone()
    changed[:, 5] = (changed[:, 5] + 1) % 16
    a, b = (prior.logits(*given(data), yes, dot, c) for c in (codes, changed))
    torch.testing.assert_close(a[:, :6], b[:, :6])
    assert not torch.allclose(a[:, 6:], b[:, 6:])


def test_codes_round_trip():
    g = torch.Generator().manual_seed(0)
    z = F.normalize(torch.randn(4000, 6, generator=g) @ torch.randn(6, 32, generator=g) + 0.5, dim=-1)
    pca = PcaCodes(32, 8, 256)
    pca.fit(z)
    codes = pca.encode(z)
    assert codes.min() == 0 and codes.max() == 255
    assert (pca.decode(codes) * z).sum(-1).mean() > 0.998
    assert pca.explained.sum() > 0.99 and bool((pca.explained.diff() <= 1e-6).all())
    counts = torch.bincount(codes[:, 0], minlength=256)
    assert counts.min() >= 14 and counts.max() <= 17  # 4000 / 256 = 15.6 in each bucket
    assert torch.equal(pca.encode(z[:3]), codes[:3])


def test_draw_follows_the_distribution():
    logits = torch.log(torch.tensor([[0.5, 0.1, 0.3, 0.1]]))
    u = (torch.arange(1000) + 0.5) / 1000

    def shares(**options):
        return torch.bincount(draw(logits.expand(1000, 4), u, **options), minlength=4) / 1000

    torch.testing.assert_close(shares(), torch.tensor([0.5, 0.1, 0.3, 0.1]), atol=0.002, rtol=0)
    torch.testing.assert_close(shares(top_p=0.7), torch.tensor([0.625, 0, 0.375, 0]), atol=0.002, rtol=0)
    assert shares(temperature=0)[0] == 1 and shares(top_p=0.01)[0] == 1


def test_config_builds_it_again():
    prior, data = ArPrior(**SMALL), batch()
    prior.prepare([data])
    again = ArPrior(**json.loads(json.dumps(prior.config)))
    again.load_state_dict(prior.state_dict())
    assert torch.equal(prior(data, phase())["loss"], again(data, phase())["loss"])
    assert torch.equal(prior.sample(*given(data), noise(8)), again.sample(*given(data), noise(8)))


def test_faults_say_what_is_allowed():
    with pytest.raises(ValueError, match="below clip_dim 16"):
        ArPrior(**{**SMALL, "components": 16})
    with pytest.raises(ValueError, match="at least one"):
        ArPrior(**SMALL).prepare([])
