"""Matching accuracy and R-precision against enumeration of every draw, their floor, and the refusal to judge."""

from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tranh.metrics.interval import bootstrap
from tranh.metrics.matching import Ranks, accuracy, beats, place, precision, ranks, shuffled, shuffles
from tranh.types import TranhError

FEW = arrays(np.int64, st.tuples(st.integers(1, 4), st.integers(3, 7)), elements=st.integers(0, 3))  # many ties


def enumerated(scores, own, k):
    """R-precision of one picture by looking at every set of K - 1 wrong captions; ties share."""
    wrong = [s for j, s in enumerate(scores) if j != own]
    total = Fraction(0)
    draws = list(combinations(wrong, k - 1))
    for drawn in draws:
        if max(drawn) <= scores[own]:
            total += Fraction(1, 1 + drawn.count(scores[own]))
    return float(total / len(draws))


@given(FEW, st.data())
def test_no_draw_is_left_to_luck(scores, data):
    N, M = scores.shape
    own = data.draw(st.lists(st.integers(0, M - 1), min_size=N, max_size=N))
    k = data.draw(st.integers(2, M))
    found = ranks(scores, own)
    expected = [enumerated(row.tolist(), o, k) for row, o in zip(scores, own, strict=True)]
    np.testing.assert_allclose(precision(found, k), expected, rtol=1e-12)
    if k == 2:
        np.testing.assert_allclose(accuracy(found), expected)


def test_a_picture_is_not_asked_to_reject_what_is_true_of_it():
    scores = np.array([[0.5, 0.9, 0.1], [0.2, 0.3, 0.9]])
    assert accuracy(ranks(scores, [0, 2])).tolist() == [0.5, 1.0]
    true = np.array([[True, True, False], [False, False, True]])
    assert accuracy(ranks(scores, [0, 2], true)).tolist() == [1.0, 1.0]


def test_who_sees_nothing_gets_what_guessing_gets():
    blind = ranks(np.zeros((5, 200)), [0, 1, 2, 3, 4])
    np.testing.assert_allclose(precision(blind), 0.01)
    np.testing.assert_allclose(accuracy(blind), 0.5)


def test_who_sees_all_gets_all():
    seen = ranks(np.eye(150), range(150))
    assert (precision(seen) == 1).all() and (accuracy(seen) == 1).all()


def test_large_numbers_are_counted_exactly():
    n, w, m = 40000, 39990, 99
    exact = Fraction(1)
    for i in range(m):
        exact *= Fraction(w - i, n - i)
    of = Ranks(*(np.array([x]) for x in (w, 0, n)))
    assert precision(of)[0] == pytest.approx(float(exact), rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_shuffled_captions_give_the_floor(seed):
    scores = np.random.default_rng(seed).normal(size=(300, 300)) + 3 * np.eye(300)
    own = range(300)
    for measure, expected in ((accuracy, 0.5), (precision, 0.01)):
        floor = bootstrap(np.mean([measure(r) for r in shuffled(scores, own, seed)], axis=0).tolist(), confidence=0.999)
        assert floor.low <= expected <= floor.high
        assert np.mean(measure(ranks(scores, own))) > 1.5 * expected


@given(arrays(np.int64, (5, 5), elements=st.integers(0, 3)), st.integers(2, 5))
def test_over_all_shifts_the_floor_is_exact(scores, k):
    shifts = [ranks(scores, np.roll(range(5), shift).tolist()) for shift in range(5)]
    assert np.mean([accuracy(r) for r in shifts]) == pytest.approx(0.5)
    assert np.mean([precision(r, k) for r in shifts]) == pytest.approx(1 / k)


def test_knowing_which_caption_is_frequent_is_no_sight():
    own = [0] * 90 + [1, 2] * 5
    scores = np.tile([2.0, 1.0, 0.0], (100, 1))  # always says the frequent one
    found = [np.mean(precision(r, 3)) for r in (ranks(scores, own), *shuffled(scores, own))]
    assert found[0] == pytest.approx(0.9)
    np.testing.assert_allclose(found[1:], 0.9)


def test_shuffles_repeat_and_differ():
    first, again, other = (list(shuffles(50, seed)) for seed in (0, 0, 1))
    assert all((a == b).all() for a, b in zip(first, again, strict=True)) and (first[0] != other[0]).any()
    assert sorted(first[0].tolist()) == list(range(50)) and (first[0] != first[1]).any()


def test_beats():
    assert beats(np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 2.0])).tolist() == [0.0, 0.5, 1.0]


def test_a_figure_lies_between_floor_and_ceiling():
    rng = np.random.default_rng(0)
    floor, value, ceiling = (rng.random(2000) < p for p in (0.1, 0.5, 0.9))
    found = place(value.tolist(), floor.tolist(), ceiling.tolist(), floor.tolist(), "captions")
    assert found.refused == "" and found.floor.high < found.value.low and found.value.high < found.ceiling.low
    expected = (value.mean() - floor.mean()) / (ceiling.mean() - floor.mean())
    assert found.position.value == pytest.approx(expected) and found.position.low < 0.5 < found.position.high
    assert found.position.high - found.position.low > (found.value.high - found.value.low)  # the ends are unsure too
    assert place(value.tolist(), floor.tolist(), ceiling.tolist(), floor.tolist(), "captions") == found


def test_all_right_is_not_for_sure():
    found = place([1.0] * 30, [0.1, 0.0] * 15, [1.0] * 30, [0.1, 0.0] * 15, "captions")
    assert found.value.high == found.ceiling.high == 1 and found.ceiling.low == found.value.low < 0.95


def test_a_judge_that_cannot_see_real_pictures_is_not_asked_about_others():
    rng = np.random.default_rng(0)
    near = [(rng.random(100) < 0.5).tolist() for _ in range(2)]
    found = place([1.0] * 100, *near, near[0], "captions")
    assert found.value is None and found.position is None
    assert "cannot tell held-out captions apart: ceiling" in found.refused and "train it longer" in found.refused


def test_a_ceiling_of_frequent_captions_is_none():
    rare, frequent = [0.5, 0.0] * 50, [1.0] * 90 + [0.0] * 10
    assert place(rare, rare, frequent, rare, "captions").refused == ""
    assert "ceiling 0.9" in place(rare, rare, frequent, frequent, "captions").refused


def test_refusals():
    scores = np.zeros((2, 3))
    for wrong, says in (
        (lambda: ranks(scores, [0]), "give \\(N, M\\)"),
        (lambda: ranks(scores, [0, 1], np.zeros((2, 2))), "give \\(N, M\\)"),
        (lambda: ranks(scores * np.nan, [0, 1]), "NaN"),
        (lambda: ranks(scores[:, :1], [0, 0]), "two different captions"),
        (lambda: precision(ranks(scores, [0, 1]), 4), "2 to 3"),
        (lambda: precision(ranks(scores, [0, 1]), 1), "2 to 3"),
    ):
        with pytest.raises(TranhError, match=says):
            wrong()
