"""The judge finds a right picture right, and any one change wrong."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes_readings import Knowing, perfect

from tranh.data.scenes.facts import visible
from tranh.data.scenes.labels import PICTURE_FIELDS, ROLES, THING_FIELDS
from tranh.data.scenes.layout import scene
from tranh.data.scenes.source import say
from tranh.data.scenes.world import LEVELS, Fact, place_of
from tranh.families.verifier import Reading
from tranh.recipes.judge import CHANCE, Judge, ceiling, renders
from tranh.types import TranhError

JUDGE = Judge(Knowing())
SOME = st.builds(
    scene, st.sampled_from(LEVELS), st.sampled_from(("test", "unseen", "validation")), st.integers(0, 10**6)
)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("split", ["test", "unseen"])
def test_a_perfect_reading_is_right(level, split):
    groups, grouped = set(), 0
    for i in range(300):
        value = scene(level, split, i)
        verdict = JUDGE.verdict(perfect(value, i), value, visible(value))
        assert verdict.exact, (value, verdict.wrong)
        groups |= {f.value if f.group == "relation" else f.group for f in verdict.facts}
        grouped += any(len(g) > 1 for g in value.groups)
    if level != "one":
        assert {"above", "left_of", "inside", "in_front_of"} <= groups
    assert grouped or level != "full"


def changed(reading: Reading, value, fact: Fact, rng: random.Random) -> Reading:
    """The perfect reading of a scene with one asked fact made untrue."""
    things = list(reading.things)

    def at(index: int) -> int:
        thing = value.things[index]
        return next(k for k, s in enumerate(things) if (s.x, s.y) == (thing.x, thing.y) and kind(s) == thing.kind)

    def kind(seen) -> str:
        return THING_FIELDS["kind"][seen.fields[0]]

    if fact.group in PICTURE_FIELDS:
        field, words = list(PICTURE_FIELDS).index(fact.group), PICTURE_FIELDS[fact.group]
        picture = list(reading.picture)
        picture[field] = (picture[field] + rng.randrange(1, len(words))) % len(words)
        return replace(reading, picture=tuple(picture))
    if fact.group == "count":
        extra = rng.choice(things)
        return replace(reading, things=(*things, extra) if rng.random() < 0.5 else tuple(things[1:]))
    k = at(fact.subject)
    if fact.group == "place":
        x, y = rng.random(), rng.random()
        if place_of(x, y) == fact.value:
            x = (x + 1 / 3) % 1
        things[k] = replace(things[k], x=x, y=y)
    elif fact.group == "relation":
        other = at(fact.object)
        if fact.value == "in_front_of":
            for who, role in ((k, "back"), (other, "front")):
                things[who] = replace(things[who], fields=(*things[who].fields[:-1], ROLES.index(role)))
        elif fact.value == "inside":
            things[k] = replace(things[k], x=things[k].x + 0.2 * rng.choice((-1, 1)))
        else:
            a, b = things[k], things[other]
            things[k], things[other] = replace(a, x=b.x, y=b.y), replace(b, x=a.x, y=a.y)
    else:
        field, words = list(THING_FIELDS).index(fact.group), THING_FIELDS[fact.group]
        fields = list(things[k].fields)
        fields[field] = (fields[field] + rng.randrange(1, len(words))) % len(words)
        things[k] = replace(things[k], fields=tuple(fields))
    return replace(reading, things=tuple(things))


@settings(max_examples=250, deadline=None)
@given(value=SOME, seed=st.integers(0, 1000))
def test_any_one_change_is_caught(value, seed):
    rng = random.Random(seed)
    facts = visible(value)
    fact = rng.choice(facts)
    verdict = JUDGE.verdict(changed(perfect(value, seed), value, fact, rng), value, facts)
    assert not verdict.exact, fact
    assert fact.group == "count" or fact.group in {f.group for f in verdict.wrong} or len(value.things) > 1


@settings(max_examples=50, deadline=None)
@given(value=SOME, seed=st.integers(0, 1000))
def test_the_order_of_things_seen_does_not_matter(value, seed):
    reading = perfect(value, seed)
    wrong = changed(reading, value, random.Random(seed).choice(visible(value)), random.Random(seed))
    turned = replace(wrong, things=wrong.things[::-1])
    assert sum(JUDGE.check(wrong, value, visible(value))) == sum(JUDGE.check(turned, value, visible(value)))


def test_a_missing_thing_costs_its_own_facts_only():
    value = next(s for i in range(999) if len((s := scene("full", "test", i)).things) == 4 and s.relations)
    reading = perfect(value)
    facts, gone = visible(value), value.things[3]
    less = replace(reading, things=tuple(t for t in reading.things if (t.x, t.y) != (gone.x, gone.y)))
    wrong = JUDGE.verdict(less, value, facts).wrong
    assert {f for f in wrong if f.group != "count"} == {f for f in facts if 3 in (f.subject, f.object)}
    assert JUDGE.verdict(Reading((), reading.picture), value, facts).seen == 0


def test_a_dense_caption_counts_and_a_short_one_does_not():
    value = scene("two", "test", 3)
    _, facts = say(value, "vi", "short", 1)
    more = replace(r := perfect(value), things=(*r.things, r.things[0]))
    assert JUDGE.verdict(more, value, facts, counted=False).exact
    assert not JUDGE.verdict(more, value, facts).exact


def test_many_things_seen_are_still_judged_quickly():
    value = scene("full", "test", 5)
    reading = perfect(value)
    crowd = replace(reading, things=tuple(reading.things * 10))
    assert [f.group for f in JUDGE.verdict(crowd, value, visible(value)).wrong] == ["count"]


def test_larger_pictures_are_averaged_and_others_refused():
    images = renders("one", "test", range(2))
    knowing = Knowing()
    knowing.learn("one", "test", range(2), [scene("one", "test", i) for i in range(2)])
    large = images.repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert Judge(knowing).read(large) == Judge(knowing).read(images)
    assert all(v.exact for v in ceiling(Judge(knowing), "one", "test", 2))
    assert "|" in Judge(knowing).describe(Judge(knowing).read(images)[0])
    for shape in ((1, 3, 32, 32), (3, 64, 64), (1, 3, 64, 128)):
        with pytest.raises(TranhError, match="at least 64"):
            JUDGE.read(torch.zeros(shape))


def test_chance():
    assert CHANCE["colour"] == 1 / 11 and CHANCE["kind"] == 1 / 25 and CHANCE["count"] == 1 / 5
