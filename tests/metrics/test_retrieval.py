"""Recall at k, against counting every order of what is equal, and against guessing."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tranh.metrics.retrieval import chance, hits, recalls
from tranh.types import TranhError


def counted(scores, true, k):
    """The share of all orders in which equal scores may stand where one of the first k is true."""
    best_first = sorted(scores, reverse=True)
    orders = [order for order in permutations(range(len(scores))) if [scores[i] for i in order] == best_first]
    return np.mean([any(true[i] for i in order[:k]) for order in orders])


@given(st.data())
def test_it_is_the_expectation_over_every_order_of_equals(data):
    size, k = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 7))
    scores = data.draw(st.lists(st.integers(0, 2), min_size=size, max_size=size))
    true = data.draw(st.lists(st.booleans(), min_size=size, max_size=size).filter(any))
    assert hits(np.array([scores]), np.array([true]), k)[0] == pytest.approx(counted(scores, true, k))


@given(st.integers(2, 8), st.integers(1, 12), st.randoms(use_true_random=False))
def test_who_answers_the_same_to_everything_gets_what_guessing_gets(size, k, random):
    true = np.array([[random.random() < 0.2 or i == j for j in range(size)] for i in range(size)])
    assert hits(np.ones((size, size)), true, k).mean() == pytest.approx(chance(true, k))


def test_guessing_one_of_many():
    assert chance(np.eye(200, dtype=bool), 5) == pytest.approx(5 / 200)


def test_what_is_known_is_found_and_the_intervals_hold_it():
    true = np.eye(40, dtype=bool)
    first, _, last = recalls(true.astype(float), true)
    assert (first.k, first.value.value, first.value.high, first.among) == (1, 1.0, 1.0, 40) and first.value.low < 1
    assert last.chance == pytest.approx(10 / 40)
    scores = np.random.default_rng(0).normal(size=(40, 40)) + 2 * true
    for recall in recalls(scores, true):
        assert recall.value.low <= recall.value.value <= recall.value.high and recall.value.value > recall.chance
    assert [recall.k for recall in recalls(scores[:, :40][:, :6][:6], true[:6, :6])] == [1, 5]


def test_another_true_one_counts_too():
    scores, true = np.array([[3.0, 2.0, 1.0]]), np.array([[False, True, True]])
    assert [hits(scores, true, k)[0] for k in (1, 2)] == [0, 1]


@pytest.mark.parametrize(
    ("scores", "true", "says"),
    [
        ([[1.0, 2.0]], [[True]], "shape"),
        ([[1.0, float("nan")]], [[True, False]], "NaN"),
        ([[1.0, 2.0]], [[False, False]], "no true candidate"),
    ],
)
def test_what_cannot_be_counted_is_refused(scores, true, says):
    with pytest.raises(TranhError, match=says):
        hits(np.array(scores), np.array(true), 1)
