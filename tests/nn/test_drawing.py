import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tranh.nn.drawing import cooled, draw, guided, likeliest, nucleus, warped


def scores(rows, codes, seed, spread=3.0):
    return spread * torch.randn(rows, codes, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=30, deadline=None)
@given(
    codes=st.integers(2, 40), seed=st.integers(0, 2**20), temperature=st.floats(0.05, 5), k=st.integers(1, 50),
    p=st.floats(0.01, 0.999),
)  # fmt: skip
def test_the_same_as_the_warpers_of_transformers(codes, seed, temperature, k, p):
    from transformers.generation.logits_process import (
        LogitsProcessorList,
        TemperatureLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
    )

    x = scores(4, codes, seed)
    theirs = [TemperatureLogitsWarper(temperature), TopKLogitsWarper(k), TopPLogitsWarper(p)]
    for ours, one in zip((cooled(x, temperature), likeliest(x, k), nucleus(x, p)), theirs, strict=True):
        torch.testing.assert_close(ours, one(None, x))
    torch.testing.assert_close(warped(x, temperature, k, p), LogitsProcessorList(theirs)(None, x))


def test_draws_follow_the_distribution():
    x = torch.log(torch.tensor([[0.5, 0.1, 0.3, 0.1]]))
    chance = (torch.arange(1000) + 0.5) / 1000

    def shares(**how):
        return torch.bincount(draw(x.expand(1000, 4), chance, **how), minlength=4) / 1000

    torch.testing.assert_close(shares(), torch.tensor([0.5, 0.1, 0.3, 0.1]), atol=0.002, rtol=0)
    torch.testing.assert_close(shares(top_k=2), torch.tensor([0.625, 0, 0.375, 0]), atol=0.002, rtol=0)
    torch.testing.assert_close(shares(top_p=0.7), torch.tensor([0.625, 0, 0.375, 0]), atol=0.002, rtol=0)
    squared = torch.tensor([0.25, 0.01, 0.09, 0.01]) / 0.36
    torch.testing.assert_close(shares(temperature=0.5), squared, atol=0.002, rtol=0)
    assert shares(temperature=0)[0] == 1 and shares(top_k=1)[0] == 1 and shares(top_p=1e-6)[0] == 1


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    chance=st.one_of(st.sampled_from([0.0, 1 - 2**-24]), st.floats(0, 1, exclude_max=True)),
    k=st.integers(0, 12),
    p=st.floats(0.05, 1),
)
def test_what_cannot_come_never_comes(seed, chance, k, p):
    x = scores(3, 10, seed, spread=20.0)
    codes = draw(x, torch.full((3,), chance), 1.0, k, p)
    allowed = warped(x.double(), 1.0, k, p).softmax(-1) > 0
    assert allowed[torch.arange(3), codes].all()


@pytest.mark.parametrize("scale", [0.0, 1.0, 3.0])
def test_guidance_goes_from_without_to_told_and_beyond(scale):
    a, b = scores(2, 5, 0), scores(2, 5, 1)
    torch.testing.assert_close(guided(a, b, scale), (1 - scale) * a + scale * b)
