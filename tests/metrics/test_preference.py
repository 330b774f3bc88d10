from collections import Counter
from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tranh.metrics import preference
from tranh.metrics.preference import Vote, agreement, check_connected, strengths, win_rates
from tranh.types import TranhError


def simulated(rng, of, raters, each, *, tie=-1.5, side=0.0, taste=0.0):
    """Votes of raters who prefer as Davidson says; ``taste`` is how far each rater's own strengths lie from ``of``."""
    names, votes = sorted(of), []
    for rater in range(raters):
        own = {name: of[name] + taste * rng.standard_normal() for name in names}
        for _ in range(each):
            left, right = rng.permutation(len(names))[:2]
            d = (own[names[left]] - own[names[right]] + side) / 2
            p = np.exp([d, tie, -d])
            answer = preference.ANSWERS[rng.choice(3, p=p / p.sum())]
            votes.append(Vote(str(rater), names[left], names[right], answer))
    return votes


def pair(wins, ties, losses, raters=1):
    answers = ["left"] * wins + ["same"] * ties + ["right"] * losses
    return [Vote(str(k % raters), "A", "B", answer) for k, answer in enumerate(answers)]


@pytest.mark.parametrize(("wins", "losses"), [(7, 3), (1, 30), (50, 50), (999, 1)])
def test_two_systems_have_a_closed_form(wins, losses):
    """Strengths differ by the log-odds of decided votes, whatever the ties."""
    for ties in (0, 5):
        found = strengths(pair(wins, ties, losses)).of
        assert found["A"].value - found["B"].value == pytest.approx(log(wins / losses), abs=1e-3)
        assert found["A"].value + found["B"].value == pytest.approx(0, abs=1e-9)


def test_a_liking_for_a_side_is_told_from_strength():
    """A wins 8 of 10 on the left and 6 of 10 on the right: the log-odds split into strength and side."""
    votes = [Vote("r", "A", "B", a) for a in ["left"] * 8 + ["right"] * 2]
    votes += [Vote("r", "B", "A", a) for a in ["right"] * 6 + ["left"] * 4]
    found = strengths(votes)
    left, right = log(8 / 2), log(6 / 4)
    assert found.of["A"].value - found.of["B"].value == pytest.approx((left + right) / 2, abs=1e-3)
    assert found.side.value == pytest.approx((left - right) / 2, abs=1e-3)


def test_the_fit_is_the_top_of_the_likelihood():
    """Compared with minorisation-maximisation (Hunter 2004), another algorithm for the same strengths."""
    votes = simulated(np.random.default_rng(1), {"A": 1.0, "B": 0.2, "C": -0.4, "D": -0.8}, 6, 60, tie=-99)
    swapped = [Vote(v.rater, v.right, v.left, {"left": "right", "right": "left"}[v.answer]) for v in votes]
    votes += swapped  # every vote in both orders: no side is liked
    wins = Counter(v.left if v.answer == "left" else v.right for v in votes)
    met = Counter(frozenset((v.left, v.right)) for v in votes)
    worth = dict.fromkeys("ABCD", 1.0)
    for _ in range(3000):
        worth = {
            i: wins[i] / sum(met[frozenset((i, j))] / (worth[i] + worth[j]) for j in worth if j != i) for i in worth
        }
    mean = sum(map(log, worth.values())) / 4
    found = strengths(votes).of
    assert {k: v.value for k, v in found.items()} == pytest.approx(
        {k: log(v) - mean for k, v in worth.items()}, abs=1e-4
    )


def test_known_strengths_are_recovered():
    of = {"A": 0.9, "B": 0.3, "C": -0.2, "D": -1.0}
    votes = simulated(np.random.default_rng(0), of, 30, 40, side=0.4, taste=0.2)
    found = strengths(votes)
    assert list(found.of) == ["A", "B", "C", "D"] and found.drawn == "raters"
    assert all(found.of[n].low < of[n] < found.of[n].high for n in of), found.of
    assert found.side.low < 0.4 < found.side.high and found.side.low > 0
    assert all(f.high - f.low < 1 for f in found.of.values())
    assert strengths(votes).of == found.of


@pytest.mark.parametrize(
    ("raters", "each", "taste"), [(20, 30, 0.0), (5, 40, 0.5), (40, 10, 0.8)], ids=["alike", "few", "many"]
)
def test_intervals_cover(raters, each, taste):
    """In 100 studies all three true strengths are inside together at least 90 times, and the intervals are no wider
    than that takes: a third of their width covers far less."""
    of, rng = {"A": 0.8, "B": 0.0, "C": -0.8}, np.random.default_rng(7)
    # Of raters who differ, the strengths that all of them together have are nearer to 0 than each one's own.
    true = {n: f.value for n, f in strengths(simulated(rng, of, 1500, 20, taste=taste)).of.items()} if taste else of
    inside = near = 0
    for _ in range(100):
        found = strengths(simulated(rng, of, raters, each, taste=taste)).of
        inside += all(found[n].low <= true[n] <= found[n].high for n in of)
        near += all(abs(found[n].value - true[n]) <= (found[n].high - found[n].low) / 6 for n in of)
    assert inside >= 90 and near <= 80, (inside, near)


def test_raters_who_differ_make_wider_intervals():
    """Votes of one rater stand or fall together: the same votes from fewer minds say less."""
    rng = np.random.default_rng(3)
    votes = simulated(rng, {"A": 0.3, "B": -0.3}, 10, 60, taste=1.5)
    apart = [Vote(str(k), v.left, v.right, v.answer) for k, v in enumerate(votes)]
    clustered, alone = strengths(votes).of["A"], strengths(apart).of["A"]
    assert clustered.value == pytest.approx(alone.value)
    assert clustered.high - clustered.low > 1.5 * (alone.high - alone.low)


def test_one_rater_speaks_for_one_rater():
    votes = simulated(np.random.default_rng(2), {"A": 0.5, "B": -0.5}, 1, 50)
    assert strengths(votes).drawn == "votes"


@pytest.mark.parametrize(
    ("votes", "words"),
    [
        ([], "two or more"),
        (pair(5, 0, 0), "A won every vote against B"),
        (pair(0, 0, 5), "B won every vote against A"),
        ([*pair(1, 0, 1), Vote("r", "C", "D", "same")], "nobody compared A, B with C, D"),
        ([*pair(1, 1, 1), Vote("r", "C", "A", "left"), Vote("r", "B", "C", "right")], "C won every vote against A, B"),
    ],
    ids=["nothing", "all won", "all lost", "two islands", "never beaten"],
)
def test_strengths_that_do_not_follow_are_refused(votes, words):
    with pytest.raises(TranhError, match=words):
        strengths(votes)


def test_a_circle_of_wins_is_enough():
    check_connected([Vote("r", a, b, "left") for a, b in ("AB", "BC", "CA")])


@given(st.lists(st.tuples(st.sampled_from("ABC"), st.sampled_from("ABC"), st.sampled_from(preference.ANSWERS))))
def test_any_votes_give_numbers_or_a_reason(given_votes):
    votes = [Vote(str(k % 7), a, b, answer) for k, (a, b, answer) in enumerate(given_votes) if a != b]
    try:
        found = strengths(votes)
    except TranhError:
        return
    values = [x for f in [*found.of.values(), found.side] for x in (f.low, f.value, f.high)]
    assert np.isfinite(values).all() and abs(sum(f.value for f in found.of.values())) < 1e-6


def test_win_rates():
    found = win_rates(pair(6, 2, 2, raters=10))
    assert found["A", "B"].value == 0.7 and found["B", "A"].value == pytest.approx(0.3)
    assert found["A", "B"].low == pytest.approx(1 - found["B", "A"].high)
    assert found["A", "B"].count == 10 and 0.3 < found["A", "B"].low < 0.6
    every = win_rates(pair(20, 0, 0, raters=5))
    assert every["A", "B"].high == 1 and every["A", "B"].low == pytest.approx(0.8389, abs=1e-4)
    assert every["B", "A"].low == 0 and every["B", "A"].high == pytest.approx(1 - 0.8389, abs=1e-4)
    one = win_rates([Vote("r", "A", "B", "same")])["A", "B"]
    assert one.value == 0.5 and one.low < 0.1 and one.high > 0.9


def test_win_rates_cover():
    of, inside = {"A": 0.5, "B": -0.5}, 0
    truth = 1 / (1 + np.exp(-1))
    rng = np.random.default_rng(5)
    for _ in range(100):
        found = win_rates(simulated(rng, of, 12, 10, tie=-99))["A", "B"]
        inside += found.low <= truth <= found.high
    assert inside >= 90


def test_agreement_is_krippendorffs():
    """His example B (Computing Krippendorff's Alpha-Reliability, 2011): two observers, ten units, alpha 0.095."""
    pairs = list(zip([0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]))
    votes = [
        Vote(str(r), "A", "B", ("left", "right")[x], str(k)) for k, one in enumerate(pairs) for r, x in enumerate(one)
    ]
    found = agreement(votes)
    assert found.alpha == pytest.approx(0.095, abs=1e-3) and found.same == 0.6 and found.pairs == 10


def test_agreement_does_not_ask_which_side():
    votes = [Vote("1", "A", "B", "left", "x"), Vote("2", "B", "A", "right", "x"), Vote("3", "A", "B", "same", "y")]
    found = agreement(votes)
    assert (found.same, found.alpha, found.pairs) == (1, None, 1)
    assert agreement(votes[:1]) is None
    assert agreement([votes[0], votes[0]]) is None  # nobody agrees with themselves
