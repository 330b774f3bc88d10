import json

import pytest
import torch
import torch.nn.functional as F

from tranh.families.prior import Prior, best_of
from tranh.nn.sequence import SequenceTransformer, TextEncoder
from tranh.types import Batch, Phase

SMALL = dict(vocab=40, clip_dim=16, dim=32, depth=2, heads=4, max_len=8)


def batch(B=8, seed=0):
    g = torch.Generator().manual_seed(seed)
    tokens = torch.randint(0, 40, (B, 6), generator=g)
    mask = torch.arange(6) < torch.randint(2, 7, (B, 1), generator=g)
    image, text = (F.normalize(torch.randn(B, 16, generator=g) + 0.5, dim=-1) for _ in range(2))
    parts = {"clip.image": image, "clip.text": text}
    return Batch(torch.zeros(B, 3, 8, 8), ["a"] * B, tokens, mask, torch.arange(B), parts=parts)


def given(data):
    return data.tokens, data.mask, data.parts["clip.text"]


def noise(B, seed=1):
    return torch.randn(B, 16, generator=torch.Generator().manual_seed(seed))


def phase(seed=0):
    return Phase("train", 0, 100, torch.Generator().manual_seed(seed))


def toy():
    """For the contract."""
    torch.manual_seed(0)
    prior, data = Prior(**SMALL), batch()
    prior.prepare([data])
    return prior, data


@pytest.fixture(scope="module")
def trained():
    torch.manual_seed(0)
    prior, data = Prior(**SMALL), batch()
    prior.prepare([data])
    optimizer, where = torch.optim.AdamW(prior.parameters(), lr=3e-3), phase()
    first = prior(data, where)["loss"].item()
    for _ in range(250):
        figures = prior(data, where)
        optimizer.zero_grad()
        figures["loss"].backward()
        optimizer.step()
    return prior, data, first, figures


def test_one_batch_is_learned_by_heart(trained):
    _, _, first, figures = trained
    assert figures["loss"] < 0.5 * first and figures["cosine"] > 0.8


def test_samples_are_the_embeddings_learned_by_heart(trained):
    prior, data, _, _ = trained
    z = prior.sample(*given(data), noise(8))
    torch.testing.assert_close(z.norm(dim=-1), torch.ones(8))
    nearest = (z @ data.parts["clip.image"].T).argmax(1)
    assert (nearest == torch.arange(8)).sum() >= 7


def test_a_row_does_not_depend_on_its_company(trained):
    prior, data, _, _ = trained
    together = prior.sample(*given(data), noise(8), steps=4)
    alone = prior.sample(*(part[2:3] for part in given(data)), noise(8)[2:3], steps=4)
    torch.testing.assert_close(together[2:3], alone, atol=1e-5, rtol=1e-5)


def test_padding_and_a_dropped_caption_do_not_show(trained):
    prior, data, _, _ = trained
    tokens, mask, text = given(data)
    x, t, yes = noise(8), torch.full((8,), 0.5), torch.ones(8, dtype=torch.bool)
    other = tokens.masked_fill(~mask, 7)
    torch.testing.assert_close(
        prior.estimate(x, t, tokens, mask, text, yes), prior.estimate(x, t, other, mask, text, yes)
    )
    dropped = prior.estimate(x, t, tokens, mask, text, ~yes)
    changed = prior.estimate(x, t, tokens.flip(0), mask.flip(0), text.flip(0), ~yes)
    torch.testing.assert_close(dropped, changed)


def test_guidance_1_is_the_conditional_alone(trained):
    prior, data, _, _ = trained
    guided = prior.denoiser(*given(data), guidance=1.0)
    x, t, yes = noise(8), torch.full((8,), 0.5), torch.ones(8, dtype=torch.bool)
    assert torch.equal(guided(x, t), prior.estimate(x, t, *given(data), yes))


def test_prepare_standardises():
    prior, data = Prior(**SMALL), batch(64)
    prior.prepare(batch(64) for _ in range(1))
    x = prior.standardise(data.parts["clip.image"])
    torch.testing.assert_close(x.mean(0), torch.zeros(16), atol=1e-5, rtol=0)
    torch.testing.assert_close(x.std(0, correction=0), torch.ones(16), atol=1e-4, rtol=0)
    torch.testing.assert_close(prior.restore(x), data.parts["clip.image"], atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="at least one"):
        prior.prepare([])


def test_config_builds_it_again():
    prior = Prior(**SMALL)
    again = Prior(**json.loads(json.dumps(prior.config)))
    again.load_state_dict(prior.state_dict())
    data = batch()
    assert torch.equal(prior(data, phase())["loss"], again(data, phase())["loss"])


def test_groups_hold_every_parameter_once():
    prior = Prior(**SMALL)
    groups = {group.optimizer: group for group in prior.param_groups("train")}
    assert sum(len(group.params) for group in groups.values()) == len(list(prior.parameters()))
    assert len(groups["muon"].params) == 2 * 5 and all(p.ndim == 2 for p in groups["muon"].params)
    assert any(p is prior.head.weight for p in groups["adamw"].params)


def test_a_long_caption_is_refused():
    data = batch()
    long = data.replace(tokens=data.tokens.repeat(1, 2), mask=data.mask.repeat(1, 2))
    with pytest.raises(ValueError, match="longer than max_len 8"):
        Prior(**SMALL)(long, phase())


def test_best_of_keeps_the_closer_candidate():
    text = F.normalize(torch.randn(5, 4), dim=-1)
    candidates = torch.stack([torch.randn(5, 4), torch.randn(5, 4)])
    kept = best_of(candidates, text)
    dots = (candidates * text).sum(-1)
    torch.testing.assert_close((kept * text).sum(-1), dots.max(0).values)


def test_text_encoder_sees_both_ways_but_no_padding():
    torch.manual_seed(0)
    encoder, data = TextEncoder(40, 32, 2, 4, 8), batch()
    for block in encoder.transformer.blocks:
        torch.nn.init.normal_(block.attention.out.weight, std=0.2)
    out = encoder(data.tokens, data.mask)
    assert out.shape == (8, 6, 32)
    padded = encoder(data.tokens.masked_fill(~data.mask, 3), data.mask)
    torch.testing.assert_close(padded[data.mask], out[data.mask])
    changed = data.tokens.clone()
    changed[:, 1] = (changed[:, 1] + 1) % 40  # every caption has at least two tokens
    assert not torch.allclose(encoder(changed, data.mask)[:, 0], out[:, 0])


@pytest.mark.parametrize("pieces", [[1] * 7, [4, 2, 1], [7]])
def test_a_causal_transformer_may_be_extended_by_any_number_of_tokens(pieces):
    torch.manual_seed(0)
    trunk = SequenceTransformer(32, 2, 4, causal=True)
    for p in trunk.parameters():
        torch.nn.init.normal_(p, std=0.2)
    x, mask = torch.randn(3, 7, 32), torch.rand(3, 7) > 0.3
    mask[:, 0] = True
    cache = trunk.new_cache(3, 7, x.dtype, x.device)
    parts = zip(x.split(pieces, 1), mask.split(pieces, 1), strict=True)
    out = torch.cat([trunk.extend(part, cache, seen) for part, seen in parts], dim=1)
    torch.testing.assert_close(out[mask], trunk(x, mask)[mask])
    with pytest.raises(ValueError, match="holds 7 tokens"):
        trunk.extend(x[:, :1], cache)
    with pytest.raises(ValueError, match="causal=True"):
        SequenceTransformer(32, 1, 4).extend(x, cache)


def test_a_step_in_bfloat16():
    prior, data = Prior(**SMALL), batch()
    with torch.autocast("cpu", torch.bfloat16):
        loss = prior(data, phase())["loss"]
    loss.backward()
    assert loss.dtype == torch.float32 and prior.head.weight.grad is not None
