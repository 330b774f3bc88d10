"""The expander learns pairs of captions, ends where they end, and draws each row from its own seed."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tranh.data.scenes.layout import scene
from tranh.data.scenes.source import say
from tranh.engine.contract import overfit_one_batch
from tranh.families.expander import Expander, pick
from tranh.text.tokenizer import Tokenizer
from tranh.types import Batch

B = 6
LEARNS = dict(steps=120, lr=3e-3)


def pairs():
    """Short and dense captions of six scenes, and their tokenizer."""
    scenes = [scene("one", "train", i) for i in range(B)]
    short, dense = ([say(s, "en", how, "pairs", i)[0] for i, s in enumerate(scenes)] for how in ("short", "dense"))
    tokenizer = Tokenizer.train(short + dense, size=512)
    tokens, mask = tokenizer.encode(short)
    labels = dict(zip(("dense", "dense_mask"), tokenizer.encode(dense), strict=True))
    return Batch(torch.zeros(B, 3, 8, 8), short, tokens, mask, torch.arange(B), labels), dense, tokenizer


def small(tokenizer):
    torch.manual_seed(0)
    return Expander(vocab=len(tokenizer), dim=48, depth=2, heads=4)


def toy():
    """For the contract."""
    batch, _, tokenizer = pairs()
    return small(tokenizer), batch


@pytest.fixture(scope="module")
def learned():
    batch, dense, tokenizer = pairs()
    family = small(tokenizer)
    overfit_one_batch(family, batch, **LEARNS)
    return family.eval(), batch, dense, tokenizer


def test_what_was_learned_by_heart_is_said_again(learned):
    family, batch, dense, tokenizer = learned
    said = family.expand(batch.tokens, batch.mask, range(B), temperature=0)
    assert [tokenizer.decode(ids) for ids in said] == dense


def test_saying_token_by_token_is_asking_all_at_once(learned):
    """The scores of the cached walk are those that training saw."""
    family, batch, _, _ = learned
    said = family.expand(batch.tokens[:1], batch.mask[:1], [3], temperature=0)[0]
    again = torch.tensor([[2, *said]])
    labels = {"dense": again, "dense_mask": torch.ones_like(again, dtype=torch.bool)}
    figures = family(batch.replace(tokens=batch.tokens[:1], mask=batch.mask[:1], labels=labels), None)
    assert figures["right"] == 1


def test_a_row_depends_on_its_caption_and_seed_alone(learned):
    family, batch, _, _ = learned
    how = dict(temperature=3.0, top_p=1.0)
    together = family.expand(batch.tokens, batch.mask, range(B), **how)
    T = int(batch.mask[2].sum())
    assert family.expand(batch.tokens[2:3, :T], batch.mask[2:3, :T], [2], **how) == together[2:3]
    assert family.expand(batch.tokens[2:3], batch.mask[2:3], [99], **how) != together[2:3]


@given(st.integers(0, 2**31), st.floats(0.3, 2), st.floats(0.05, 1))
def test_draws_are_from_the_nucleus(seed, temperature, top_p):
    g = torch.Generator().manual_seed(seed)
    scores, u = torch.randn(1, 12, generator=g).expand(400, -1), torch.rand(400, generator=g, dtype=torch.float64)
    found = pick(scores, u, temperature, top_p).bincount(minlength=12)
    p, order = torch.softmax(scores[0].double() / temperature, 0).sort(descending=True)
    nucleus = int((p.cumsum(0) - p < top_p).sum())
    share = torch.zeros(12, dtype=torch.float64)
    share[order[:nucleus]] = p[:nucleus] / p[:nucleus].sum()
    assert (found[share == 0] == 0).all()
    assert (found / 400 - share).abs().max() < 0.15
