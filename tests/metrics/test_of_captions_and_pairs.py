"""R-precision, sharpness, PSNR, SSIM, neighbours and Inception score against closed forms and brute force."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from metric_toys import network, normal

from tranh.metrics import inception_score, psnr, r_precision, sharpness, ssim
from tranh.metrics.neighbours import neighbours
from tranh.types import TranhError


def names(n):
    return [f"caption {i}" for i in range(n)]


def test_r_precision_of_a_perfect_and_a_blind_judge():
    eye = torch.eye(40)
    perfect = r_precision.measure(eye, eye, names(40), network(), candidates=10)
    assert perfect.value == 1 and 0.9 < perfect.interval.low < 1
    assert perfect.card.settings["chance"] == 0.1 and perfect.card.settings["shuffled"] < 0.2
    same = torch.ones(40, 8)  # the same answer to everything: every place is shared
    blind = r_precision.measure(same, same, names(40), network(), candidates=10)
    assert blind.value == pytest.approx(0.1) and blind.card.settings["shuffled"] == pytest.approx(0.1)


def test_r_precision_of_noise_is_chance():
    found = r_precision.hits(normal(4000, 6), normal(4000, 6, 1), names(4000), candidates=20)
    assert float(found.mean()) == pytest.approx(1 / 20, abs=0.012)  # three and a half standard errors


def test_r_precision_by_brute_force_with_all_candidates():
    images, texts = normal(30, 5), normal(30, 5) + 0.8 * normal(30, 5, 1)
    cos = torch.nn.functional.normalize(images, dim=1) @ torch.nn.functional.normalize(texts, dim=1).T
    expected = (cos.argmax(1) == torch.arange(30)).double()
    assert r_precision.hits(images, texts, names(30), candidates=30).tolist() == expected.tolist()
    assert 0.2 < expected.mean() < 1


def test_the_same_words_are_no_wrong_answer():
    captions = ["a", "b"] * 20
    texts = torch.eye(2).repeat(20, 1)
    assert r_precision.hits(texts, texts, captions, candidates=2).tolist() == [1.0] * 40
    with pytest.raises(TranhError, match="2 different captions"):
        r_precision.hits(texts, texts, captions, candidates=3)


@given(st.integers(2, 50), st.integers(0, 5))
def test_shuffled_captions_never_stay(n, seed):
    moved = r_precision._moved(n, seed)
    assert sorted(moved.tolist()) == list(range(n)) and all(i != j for i, j in enumerate(moved.tolist()))


def test_sharpness_difference_by_hand():
    flat = torch.zeros(1, 1, 2, 2) - 1  # [0, 1]: all 0
    edge = flat.clone()
    edge[0, 0, 1, 1] = 1  # gradients at (1, 1): 1 + 1 against 0 + 0
    assert float(sharpness.sharpness_difference(edge, flat)) == pytest.approx(10 * math.log10(1 / 2))
    # A shift of brightness has no edges: infinitely near, where PSNR is not.
    assert math.isinf(float(sharpness.sharpness_difference(flat + 0.5, flat)))
    assert float(psnr.psnr(flat + 0.5, flat)) == pytest.approx(10 * math.log10(16))


def test_blur_costs_sharpness_more_than_noise_of_the_same_psnr():
    g = torch.Generator().manual_seed(0)
    real = torch.nn.functional.interpolate(torch.rand(16, 3, 4, 4, generator=g).round() * 2 - 1, scale_factor=8)
    blurred = torch.nn.functional.avg_pool2d(real, 5, 1, 2, count_include_pad=False)
    shade = real * (1 - (blurred - real).square().mean().sqrt() / real.square().mean().sqrt())
    assert psnr.measure(blurred, real).value == pytest.approx(psnr.measure(shade, real).value, abs=0.1)
    assert sharpness.measure(blurred, real).value < sharpness.measure(shade, real).value - 3


def test_equal_pictures():
    x = torch.rand(16, 3, 12, 12) * 2 - 1
    assert psnr.measure(x, x).value == 100 and sharpness.measure(x, x).value == 100
    assert ssim.measure(x, x).value == pytest.approx(1)
    assert torch.isinf(psnr.psnr(x, x)).all()
    for measure in (psnr.measure, ssim.measure, sharpness.measure):
        with pytest.raises(TranhError, match="one size"):
            measure(x, x[..., :11])
        with pytest.raises(TranhError, match="NaN"):
            measure(x / 0, x)
    with pytest.raises(TranhError, match="at least 11 pixels"):
        ssim.ssim(x[..., :10, :10], x[..., :10, :10])


def test_inception_score_in_closed_form():
    sure = torch.eye(5).repeat(20, 1)
    assert inception_score.inception_score(sure) == pytest.approx(5)  # all classes, each sure
    assert inception_score.inception_score(sure[:1].repeat(50, 1)) == pytest.approx(1)  # one class
    assert inception_score.inception_score(torch.full((50, 5), 0.2)) == pytest.approx(1)  # unsure
    with pytest.raises(TranhError, match="no probabilities"):
        inception_score.inception_score(normal(10, 3))


def test_neighbours_by_brute_force():
    real, fake, k = normal(60, 3), normal(50, 3, 1, 1.2), 4

    def reach(points, i):
        return sorted(math.dist(points[i], p) for j, p in enumerate(points) if j != i)[k - 1]

    a, b = real.tolist(), fake.tolist()
    ra, rb = [reach(a, i) for i in range(60)], [reach(b, i) for i in range(50)]
    inside = [[math.dist(x, y) <= ra[i] for i, x in enumerate(a)] for y in b]
    found = neighbours(real, fake, k)
    assert found.precision == pytest.approx(sum(any(row) for row in inside) / 50)
    assert found.density == pytest.approx(sum(map(sum, inside)) / 50 / k)
    assert found.coverage == pytest.approx(sum(any(row[i] for row in inside) for i in range(60)) / 60)
    assert found.recall == pytest.approx(sum(any(math.dist(x, y) <= rb[j] for j, y in enumerate(b)) for x in a) / 60)


def test_copies_lie_within_their_own_reach():
    real = normal(300, 64).float() + 5
    copies = real[torch.randperm(300, generator=torch.Generator().manual_seed(0))]
    found = neighbours(real, copies, k=5)
    assert (found.precision, found.recall, found.coverage) == (1, 1, 1)
    assert found.density == pytest.approx(6 / 5)  # its own copy and the copies of its five neighbours
