"""Of several candidates the one nearest to the prompt is kept, and can be drawn again alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tranh.recipes.caption_judge import judge_of
from tranh.recipes.system import candidates
from tranh.recipes.unclip import assemble
from tranh.types import Request, TranhError

PROMPT = "a large red circle"


def pixels(image):
    return np.asarray(image).astype(int)


def made(system, **asked):
    *_, last = system.generate_events(Request(PROMPT, size=64, steps=1, **asked))
    assert last.done == last.total
    return last.result


@pytest.fixture
def alone(parts, assets):
    """A decoder without CLIP."""
    return assemble({"decoder": parts["decoder"]}, assets, {"name": "bare", "steps": 2})


@given(st.integers(0, 2**62 - 1), st.integers(1, 20), st.integers(1, 20))
def test_seeds_of_candidates_begin_with_the_own_and_more_begin_with_the_same(seed, few, more):
    found = candidates(seed, few)
    assert found[0] == seed and len(set(found)) == few and all(0 <= one < 2**62 for one in found)
    assert candidates(seed, few + more)[:few] == found
    assert not set(candidates(seed + 1, few)) & set(found)


def test_the_nearest_is_kept_and_its_settings_draw_it_alone(system):
    result, judge = made(system, seed=5, candidates=4), judge_of(system)
    told = result.settings[0]
    each = [made(system, seed=seed).images[0] for seed in candidates(5, 4)]
    nearness = [judge.similarity(image, PROMPT) for image in each]
    best = int(np.argmax(nearness))
    assert len(set(nearness)) == 4
    assert (told["seed"], told["candidates"], told["ranker"]) == (5, 4, "tiny")
    assert told["chosen_seed"] == candidates(5, 4)[best] and told["similarity"] == pytest.approx(nearness[best])
    assert np.array_equal(pixels(result.images[0]), pixels(made(system, seed=told["chosen_seed"]).images[0]))
    assert "candidates" not in made(system, seed=5).settings[0]


def test_picture_k_is_the_single_picture_of_seed_plus_k(system):
    many = made(system, seed=8, count=2, candidates=3)
    for k in range(2):
        one = made(system, seed=8 + k, candidates=3)
        assert np.array_equal(pixels(many.images[k]), pixels(one.images[0])) and many.settings[k] == one.settings[0]
    [image] = system.generate(PROMPT, seed=9, candidates=3, size=64, steps=1)
    assert np.array_equal(pixels(many.images[1]), pixels(image))


def test_without_clip_it_is_refused_and_another_may_choose(alone, system):
    with pytest.raises(TranhError, match="bare has no CLIP.*--ranker"):
        made(alone, candidates=2)
    alone.ranker = judge_of(system)
    result = made(alone, seed=1, candidates=3)
    assert result.settings[0]["ranker"] == "tiny"
    nearness = [alone.ranker.similarity(made(alone, seed=seed).images[0], PROMPT) for seed in candidates(1, 3)]
    assert result.settings[0]["similarity"] == pytest.approx(max(nearness))


@pytest.mark.parametrize("count", [0, -1, 1001])
def test_how_many_is_checked(system, count):
    with pytest.raises(TranhError, match="candidates is .*1 to 1000"):
        made(system, candidates=count)
