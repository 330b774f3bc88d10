from collections import Counter
from itertools import combinations

import pytest
import rating_toys as toys
from hypothesis import given, settings
from hypothesis import strategies as st

from tranh.serve.rating.study import CHECK_EVERY, QUESTIONS, Picture, Prompt, System, study
from tranh.serve.rating.tasks import _before, plan
from tranh.types import TranhError


def system(name, captions, samples=4):
    prompts = {p.key: p for p in (Prompt(c) for c in captions)}
    pictures = {key: tuple(Picture(f"{key}/{k}", key.encode) for k in range(samples)) for key in prompts}
    return System(name, prompts, pictures)


def systems(count, captions, samples=4):
    return [system(f"s{n}", [{"": f"caption {i}"} for i in range(captions)], samples) for n in range(count)]


@settings(max_examples=60)
@given(st.integers(2, 4), st.integers(1, 9), st.integers(1, 40), st.integers(0, 30), st.integers(1, 9))
def test_every_plan(count, captions, per_rater, rater, samples):
    found = study(systems(count, captions, samples), per_rater=per_rater)
    tasks = plan(found, rater, per_rater)
    assert tasks == plan(found, rater, per_rater) and [t.position for t in tasks] == list(range(len(tasks)))
    real = [t for t in tasks if not t.check]
    assert len(real) == per_rater and len(tasks) - per_rater == -(-per_rater // CHECK_EVERY)
    assert not tasks[0].check
    assert found.questions == (QUESTIONS if samples > 1 else QUESTIONS[:2])
    asked = Counter(t.question for t in real)
    assert max(asked.values()) - min(asked[q] for q in found.questions) <= 1
    for t in tasks:
        left, right = t.pictures
        assert len(left) == len(right) == (found.grid((t.left, t.right), t.prompt) if t.question == "diversity" else 1)
        assert {s.system for s in left} == {t.left} and {s.system for s in right} == {t.right}
        assert all(s.sample < samples for s in left + right)
        if not t.check:
            assert t.left != t.right and t.right_answer is None
            assert {s.prompt for s in left + right} == {t.prompt} and not any(s.spoiled for s in left + right)
        else:
            assert t.left == t.right
            assert (left == right) == (t.right_answer == "same") == (t.check == "identical")


def test_pairs_questions_sides_and_captions_are_balanced():
    found = study(systems(3, 10), per_rater=30)
    tasks = [t for rater in range(60) for t in plan(found, rater, 30) if not t.check]
    for question in QUESTIONS:
        own = [t for t in tasks if t.question == question]
        pairs = Counter(frozenset((t.left, t.right)) for t in own)
        assert len(pairs) == 3 and max(pairs.values()) - min(pairs.values()) <= 1
        for pair in pairs:
            shown = [t for t in own if {t.left, t.right} == pair]
            first = sum(t.left == min(pair) for t in shown)
            assert abs(2 * first - len(shown)) <= 2
            captions = Counter(t.prompt for t in shown)
            assert len(captions) == 10 and max(captions.values()) - min(captions.values()) <= 1
            for caption in captions:  # each caption is seen on both sides
                assert len({t.left for t in shown if t.prompt == caption}) == 2


def test_raters_begin_with_different_questions_and_see_different_orders():
    found = study(systems(2, 6), per_rater=12)
    plans = [plan(found, rater, 12) for rater in (0, 2, 4)]
    assert [p[0].question for p in plans] == list(QUESTIONS)
    assert len({tuple(t.prompt for t in p) for p in plans}) == 3


def test_two_raters_in_a_row_see_the_same_with_sides_swapped():
    found = study(systems(3, 50), per_rater=30)
    for rater in (0, 6):
        first, second = ([t for t in plan(found, rater + k, 30) if not t.check] for k in (0, 1))
        assert [t.seen for t in first] != [t.seen for t in second]
        assert {(t.seen, t.left, t.right) for t in first} == {(t.seen, t.right, t.left) for t in second}


def test_checks_have_every_kind_and_no_side():
    found = study(systems(3, 10), per_rater=30)
    checks = [t for rater in range(60) for t in plan(found, rater, 30) if t.check]
    kinds = Counter(t.check for t in checks)
    assert set(kinds) == {"noise", "copies", "identical"} and kinds["identical"] < 0.35 * len(checks)
    sides = Counter(t.right_answer for t in checks)
    assert abs(sides["left"] - sides["right"]) < 0.25 * len(checks)


def test_captions_in_the_raters_language_are_preferred():
    captions = [{"en": "a cat"}, {"vi": "con mèo"}, {"en": "a dog", "vi": "con chó"}]
    found = study([system("a", captions), system("b", captions)], per_rater=30)
    for language, allowed in (("en", {"a cat", "a dog"}), ("vi", {"con mèo", "a dog"})):
        assert {t.prompt for t in plan(found, 0, 30, language)} <= allowed
    assert found.prompt("a dog").said("vi") == ("con chó", "vi") and found.prompt("a cat").said("vi") == ("a cat", "en")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([system("a", [{"": "x"}])], "two or more"),
        ([system("a", [{"": "x"}])] * 2, "names differ"),
        ([system("a", [{"": "x"}]), system("b", [{"": "y"}])], "a and b: 0"),
    ],
    ids=["one", "same name", "nothing shared"],
)
def test_what_cannot_be_compared_is_refused(given, words):
    with pytest.raises(TranhError, match=words):
        study(given)


def test_systems_joined_through_a_third():
    a, b, c = system("a", [{"": "x"}]), system("b", [{"": "X. "}, {"": "y"}]), system("c", [{"": "y"}])
    found = study([a, b, c])
    assert set(found.shared) == {("a", "b"), ("b", "c")} and "a and c share no caption" in " ".join(found.notes)
    assert {frozenset((t.left, t.right)) for t in plan(found, 0, 30) if not t.check} == {
        frozenset("ab"),
        frozenset("bc"),
    }


def test_one_picture_each_leaves_variety_out():
    found = study(systems(2, 3, samples=1))
    assert "diversity" not in found.questions and "diversity is not asked" in found.notes[0]
    with pytest.raises(TranhError, match="no question is left"):
        study(systems(2, 3, samples=1), questions=["diversity"])
    with pytest.raises(TranhError, match="allowed, each once"):
        study(systems(2, 3), questions=["beauty"])


def test_of_many_captions_some_are_drawn():
    found = study(systems(2, 50), most=7)
    assert {len(keys) for keys in found.shared.values()} == {7} and "7 of 50 captions" in found.notes[0]
    assert found.shared == study(systems(2, 50), most=7).shared != study(systems(2, 50), most=7, seed=1).shared


def test_the_protocol_knows_every_picture(tmp_path):
    folders = [toys.folder(tmp_path / name, red) for name, red in toys.RED.items()]
    before = toys.study_of(folders).protocol
    assert toys.study_of(folders).protocol == before
    (folders[0] / "3-1.png").write_bytes((folders[1] / "3-1.png").read_bytes())
    after = toys.study_of(folders).protocol
    assert [n for n in toys.RED if before["systems"][n] != after["systems"][n]] == ["quokka"]
    for a, b in combinations(toys.RED, 2):
        assert before["systems"][a] != before["systems"][b]


@given(st.integers(1, 40), st.integers(0, 20))
def test_raters_go_on_where_the_one_before_stopped(per_rater, rater):
    found = study(systems(3, 5), per_rater=per_rater)
    for question in QUESTIONS:
        count = sum(t.question == question and not t.check for t in plan(found, 2 * rater, per_rater))
        assert count == _before(found, question, rater + 1, per_rater) - _before(found, question, rater, per_rater)
