"""Nearest training pictures, the promise of the limit, and copying told from chance."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu
from sklearn.neighbors import NearestNeighbors

from tranh.metrics import memory
from tranh.metrics.look import SIZE, compared, look, views
from tranh.metrics.memory import Limit, compare, limit, nearer, nearest


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@given(st.integers(20, 60), st.integers(1, 12), st.integers(1, 6), st.integers(0, 99))
def test_neighbours_are_those_of_scikit_learn(n, k, d, seed):
    index, query = normal(n, d, seed=seed), normal(5, d, seed=seed + 1)
    theirs, rows = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(index).kneighbors(query)
    found = nearest(query[None], index, k)
    torch.testing.assert_close(found.distance, torch.from_numpy(theirs).float(), atol=1e-3, rtol=1e-3)
    assert (found.row == torch.from_numpy(rows)).float().mean() > 0.9  # equal ones may change places


def test_the_best_view_counts():
    index, views_of = normal(30, 4), normal(2, 30, 4, seed=1)
    each = torch.stack([torch.cdist(view, index) for view in views_of]).amin(0)
    torch.testing.assert_close(nearest(views_of, index).distance[:, 0], each.amin(1), atol=1e-4, rtol=1e-4)
    assert (nearest(index[None], index).distance[:, 0] < 1e-3).all()


def test_memory_is_bounded_and_the_answer_the_same(monkeypatch):
    index, views_of = normal(500, 8), normal(3, 20, 8, seed=1)
    whole = nearest(views_of, index)
    monkeypatch.setattr(memory, "CELLS", 3 * 20 * 7)
    parts = nearest(views_of, index)
    assert torch.equal(whole.row, parts.row)
    torch.testing.assert_close(whole.distance, parts.distance)


def test_near_one_is_a_copy_and_near_many_is_none():
    far = torch.eye(40)
    lone = nearest(far[None, :1] + 0.01, far)
    crowd = nearest(torch.zeros(1, 1, 40), torch.cat([far[:10] * 0.01, far]))
    assert lone.ratio < 0.1 and crowd.distance[0, 0] < lone.distance[0, 0] and crowd.ratio > 0.9
    twice = nearest(far[None, :1] + 0.01, torch.cat([far[:1], far]))  # learned by heart because it was there twice
    assert twice.ratio < 0.1


@pytest.mark.parametrize("count", [20, 50, 99, 500])
def test_the_promise_of_the_limit_is_kept(count):
    """Of strangers, the promised share is below the limit on average: for ratios of any distribution."""
    ratios = torch.rand(400, count + 100, generator=torch.Generator().manual_seed(count)) ** 3
    limits = [limit(row[:count]) for row in ratios]
    share = sum(float((row[count:] < found.value).float().mean()) for row, found in zip(ratios, limits)) / len(limits)
    promised = limits[0].alarm
    assert promised == pytest.approx(max(1, int(0.01 * (count + 1))) / (count + 1))
    assert share == pytest.approx(promised, abs=0.25 * promised + 0.002)


def test_the_promise_is_kept_for_a_larger_index_than_the_limit_was_found_with():
    """Half of the pictures set the limit, then all are the index: strangers are not taken for copies more often."""
    share = []
    for seed in range(300):
        pictures, strangers = normal(60, 6, seed=seed), normal(60, 6, seed=1000 + seed)
        found = limit(nearest(pictures[None, :30], pictures[30:]).ratio)
        share.append(float((nearest(strangers[None], pictures).ratio < found.value).float().mean()))
    # Not so with each of the 60 left out in its turn: 0.029 where 1 / 61 is promised.
    assert sum(share) / len(share) == pytest.approx(1 / 31, abs=0.012)


def test_the_probability_to_be_nearer_is_that_of_mann_and_whitney():
    a, b = normal(60) - 0.5, normal(80, seed=1)
    found = nearer(a, b)
    theirs = mannwhitneyu(b.numpy(), a.numpy()).statistic / (60 * 80)
    assert found.value == pytest.approx(theirs) and found.low < theirs < found.high
    assert nearer(a, b) == found  # the same interval for the same seed
    ties = nearer(torch.zeros(30), torch.zeros(30))
    assert ties.value == 0.5
    apart = nearer(torch.zeros(30), torch.ones(40))
    assert apart.value == 1 and 0.8 < apart.low < 1  # no spread is seen; thirty are not certainty


def test_samples_from_the_same_distribution_are_no_copies():
    ratios = torch.rand(4, 300, generator=torch.Generator().manual_seed(0))
    found = compare(ratios[0], ratios[1], limit(ratios[2]))
    assert not found.copies and found.nearer.low < 0.5 < found.nearer.high and found.share.low <= 0.01
    copied = torch.where(torch.arange(300) % 5 == 0, 0.001, ratios[3])
    assert compare(copied, ratios[1], limit(ratios[2])).copies


def test_too_few_are_refused():
    few, enough, found = torch.rand(19), torch.rand(20), Limit(0.1, 0.01, 100)
    for call in (lambda: limit(few), lambda: compare(few, enough, found), lambda: compare(enough, few, found),
                 lambda: nearest(few[None, None], torch.rand(19, 19))):  # fmt: skip
        with pytest.raises(memory.TooFew, match="too few"):
            call()


def pictures(count, seed=0):
    """Smooth colour fields (count, 3, 64, 64)."""
    small = normal(count, 3, 6, 6, seed=seed)
    return torch.nn.functional.interpolate(small, size=64, mode="bicubic").mul(0.4).clamp(-1, 1)


def test_a_look_does_not_depend_on_size_brightness_contrast_or_noise():
    x = pictures(8)
    mine = compared(look(x))
    assert look(x).shape == (8, SIZE) and look(x).dtype == torch.uint8
    large = torch.nn.functional.interpolate(x, size=256, mode="bilinear")
    strangers = (mine[:, None] - compared(look(pictures(8, seed=1)))).norm(dim=-1).min()
    for changed in (large, 0.6 * x - 0.2, x + 0.05 * normal(*x.shape)):
        assert (compared(look(changed)) - mine).norm(dim=1).max() < 0.3 * strangers


def test_views_undo_a_mirror_a_shift_and_a_cut():
    x = pictures(8)
    mine = compared(look(x))
    for changed in (x.flip(-1), x.roll((2, -4), (2, 3)), x[..., 3:-3, 3:-3], x):
        best = torch.stack([(view - mine).norm(dim=1) for view in views(changed)]).amin(0)
        assert best.max() < 0.3, best
    assert views(x).shape == (170, 8, SIZE)


def test_flat_pictures_are_alike():
    grey = torch.zeros(2, 3, 64, 64) + torch.tensor([-0.5, 0.5]).view(2, 1, 1, 1)
    a, b = compared(look(grey + 0.004 * normal(*grey.shape)))
    assert torch.isfinite(a).all() and (a - b).norm() < 0.1
