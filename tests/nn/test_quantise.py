import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from tranh.nn.quantise import MovingCodebook, first_entries, nearest, perplexity, usage


def unit(*shape, seed=0):
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


@settings(max_examples=20, deadline=None)
@given(count=st.integers(1, 30), dim=st.integers(2, 9), seed=st.integers(0, 2**20))
def test_the_nearest_entry_has_the_least_distance(count, dim, seed):
    x, entries = unit(2, 5, dim, seed=seed), unit(count, dim, seed=seed + 1)
    distance = torch.cdist(x.flatten(0, 1).double(), entries.double())
    chosen = nearest(x, entries)
    assert chosen.shape == (2, 5)
    torch.testing.assert_close(distance.gather(1, chosen.view(-1, 1))[:, 0], distance.amin(1), atol=1e-5, rtol=0)


def test_nearest_is_the_same_inside_bf16():
    x, entries = unit(500, 16), unit(64, 16, seed=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = nearest(x, entries)
    assert torch.equal(inside, nearest(x, entries))


def test_perplexity_and_usage_in_closed_form():
    assert perplexity(torch.arange(8).repeat(3), 8).item() == pytest.approx(8)
    assert perplexity(torch.zeros(9, dtype=torch.long), 8).item() == pytest.approx(1)
    assert perplexity(torch.tensor([0, 0, 0, 1]), 8).item() == pytest.approx(
        math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))
    )
    assert usage(torch.tensor([[0, 0], [3, 5]]), 8).item() == pytest.approx(3 / 8)


def test_the_first_codebook_finds_the_groups_there_are():
    centres = unit(6, 12, seed=3)
    x = F.normalize(centres.repeat(50, 1) + 0.05 * unit(300, 12, seed=4), dim=-1)
    found = first_entries(x, 6, torch.Generator().manual_seed(0))
    best = (centres @ found.T).amax(1)
    assert (best > 0.99).all()
    torch.testing.assert_close(found.norm(dim=-1), torch.ones(6))
    more = first_entries(x[:4], 9, torch.Generator().manual_seed(0))  # fewer vectors than entries
    assert more.shape == (9, 12) and more.isfinite().all()


def test_entries_follow_the_mean_of_who_chose_them():
    book = MovingCodebook(2, 3, decay=0.5, dead=0.0)
    book.begin(torch.tensor([[1.0, 0, 0], [0, 1, 0]]))
    x = F.normalize(torch.tensor([[1.0, 0.2, 0], [1, 0.4, 0], [0, 1, 0.5]]), dim=-1)
    g = torch.Generator().manual_seed(0)
    book.follow(x, nearest(x, book.entries), g)
    expected = F.normalize(torch.stack([0.5 * torch.tensor([1.0, 0, 0]) + 0.5 * (x[0] + x[1]),
                                        0.5 * torch.tensor([0, 1.0, 0]) + 0.5 * x[2]]), dim=-1)  # fmt: skip
    torch.testing.assert_close(book.entries, expected)
    torch.testing.assert_close(book.chosen, torch.tensor([1.5, 1.0]))


def test_dead_entries_are_revived_where_nobody_is_near():
    book = MovingCodebook(8, 4, decay=0.9)
    book.begin(unit(1, 4).repeat(8, 1))  # seven are never the first to be nearest
    x = torch.cat([unit(1, 4).repeat(30, 1), unit(200, 4, seed=5)])
    g = torch.Generator().manual_seed(0)
    revived = sum(float(book.follow(x, nearest(x, book.entries), g)) for _ in range(60))
    codes = nearest(x, book.entries)
    assert revived > 0 and usage(codes, 8) == 1
    kept = torch.einsum("nd,nd->n", x, book.entries[codes]).mean()
    assert kept > 0.75
