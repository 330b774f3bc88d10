"""Pairs differ by what was asked for and by nothing else, to the value and to the pixel; splits do not leak."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from tranh.data.scenes.changes import OPS, TARGETED
from tranh.data.scenes.draw import render
from tranh.data.scenes.facts import THRESHOLD, canonical, difference, visible
from tranh.data.scenes.layout import combinations, generator, held_out, is_unseen
from tranh.data.scenes.pairs import Pair, changed, faulty, meant, pair, telling
from tranh.data.scenes.world import LEVELS, Fact, Relation, Scene, Thing

COUNT = 56

GOLDEN = "e4f2a1bc6385cf61"

STAR = Thing("star", "red", "normal", "small", "normal", "flat", None, 0.2, 0.2)
MOON = Thing("moon", "blue", "normal", "medium", "normal", "flat", None, 0.2, 0.7)
TWO = Scene("plain_white", "plain", "flat", (STAR, MOON), (Relation("above", 0, 1),), ((0,), (1,)))


@cache
def pairs(level: str, split: str) -> tuple[Pair, ...]:
    return tuple(pair(level, split, i) for i in range(COUNT))


every = pytest.mark.parametrize("level", LEVELS)


def test_pairs_are_the_same_on_every_machine() -> None:
    text = "".join(repr(pairs(level, "train")[:14]) for level in LEVELS) + repr(
        [faulty("two", "test", i) for i in (0, 1)]
    )
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == GOLDEN


@every
def test_operations_take_turns(level: str) -> None:
    assert Counter(p.op for p in pairs(level, "train")) == dict.fromkeys(OPS, COUNT // len(OPS))
    assert pair(level, "train", 3, "add").op == "add"


@every
def test_train_shows_nothing_that_is_held_out(level: str) -> None:
    for p in pairs(level, "train"):
        assert not any(held_out(*c) for c in combinations(p.before) | combinations(p.after))
    for p in (pair(level, "unseen", i) for i in range(14)):
        assert is_unseen(p.after) or (p.op == "remove" and is_unseen(p.before))


@every
def test_no_other_word_is_touched(level: str) -> None:
    for p in pairs(level, "train"):
        things = list(p.before.things)
        if p.op == "remove":
            del things[p.target]
        if p.op == "add":
            assert p.subject == len(things)
            things.append(p.after.things[-1])
        assert canonical(p.after) == p.after and len(things) == len(p.after.things)
        asked = {f.group for f in p.asked}
        for i, (old, new) in enumerate(zip(things, p.after.things, strict=True)):
            if p.op == "restyle":  # a style hides words: what it still shows is compared below
                continue
            apart = {group for group in vars(old) if getattr(old, group) != getattr(new, group)}
            hidden = {"shade", "material", "expression"} - {f.group for f in visible(p.after) if f.subject == i}
            free = {"x", "y"} if "place" in asked and i == p.subject else {"expression"} if "kind" in asked else set()
            assert apart <= (asked | free | hidden if i == p.subject else set()), p
        whole = {g for g in ("setting", "light", "style") if getattr(p.before, g) != getattr(p.after, g)}
        assert whole <= (set() if p.op != "restyle" else {"setting", "light", "style"})


@every
def test_what_is_visible_before_and_after_is_asked_or_kept(level: str) -> None:
    for p in pairs(level, "train"):
        facts = visible(p.after)
        assert p.asked and set(p.asked) <= set(facts) and not set(p.asked) & set(p.kept)
        assert not set(p.asked) <= set(visible(p.before))
        if p.op in ("add", "remove"):
            continue  # things are numbered anew; see the examples below
        was = {(f.group, f.subject, f.object): f.value for f in visible(p.before)}
        for fact in set(facts) - set(p.asked):
            assert was.get((fact.group, fact.subject, fact.object), fact.value) == fact.value
        assert set(p.kept) == set(facts) & set(visible(p.before)) - set(p.asked)


@every
def test_the_change_can_be_seen_and_lies_where_its_thing_is(level: str) -> None:
    size, grid = 64, (np.arange(64) + 0.5) / 64
    for p in pairs(level, "train")[:28]:
        before, after = render(p.before, size), render(p.after, size)
        assert difference(before, after) > THRESHOLD, p
        boxes = [] if p.target is None or p.op == "add" else [p.before.things[p.target]]
        boxes += [] if p.subject is None else [p.after.things[p.subject]]
        if p.op == "restyle":
            continue
        free = np.zeros((size, size), bool)
        for t in boxes:  # half as much again, for tilted things, halos and shadows
            free |= (abs(grid - t.x)[None] < 1.5 * t.radius + 0.05) & (abs(grid - t.y)[:, None] < 1.5 * t.radius + 0.05)
        if p.before.style != "pixel":
            assert np.array_equal(before[~free], after[~free]), p


@every
def test_a_target_is_told_apart(level: str) -> None:
    for p in pairs(level, "train"):
        assert (p.target is None) == (p.named == ())
        if p.op in TARGETED:
            assert meant(p.before, p.named) == (p.target,) and p.named[0].group == "kind"
            assert set(p.named) <= set(visible(p.before))
    beside = [p for p in pairs("full", "train") if p.op == "add" and p.target is not None]
    assert all(any(f.group == "relation" for f in p.asked) for p in beside)


def test_a_thing_is_told_apart_by_as_little_as_possible() -> None:
    large = replace(STAR, size="large", x=0.7)
    assert telling(TWO, 0) == (Fact("kind", 0, "star"),)
    assert telling(replace(TWO, things=(STAR, large), relations=()), 1) == (
        Fact("kind", 1, "star"),
        Fact("size", 1, "large"),
    )
    blue = replace(STAR, colour="blue", x=0.5)
    three = replace(TWO, things=(STAR, large, blue), relations=(), groups=((0,), (1,), (2,)))
    assert [f.value for f in telling(three, 0) or ()] == ["star", "red", "small"]
    assert telling(replace(TWO, things=(STAR, replace(STAR, x=0.8)), relations=()), 0) is None


def test_removing_and_adding_number_things_anew() -> None:
    rng = generator("example")
    gone = next(p for p in (changed(TWO, "remove", rng) for _ in range(50)) if p and p.target == 0)
    assert gone.after == Scene("plain_white", "plain", "flat", (MOON,), (), ((0,),))
    assert gone.asked == (Fact("count", None, "1"),) and gone.subject is None
    assert set(gone.kept) == set(visible(gone.after)) - set(gone.asked)
    more = next(p for p in (changed(TWO, "add", rng) for _ in range(50)) if p is not None)
    assert more.after.things[:2] == TWO.things and more.subject == 2
    assert Fact("count", None, "3") in more.asked and Fact("relation", 0, "above", 1) in more.kept


def test_a_moved_thing_keeps_only_relations_that_are_still_true() -> None:
    rng = generator("moved")
    moved = [p for p in (changed(TWO, "move", rng) for _ in range(80)) if p is not None]
    kept = [p for p in moved if p.after.relations]
    assert 0 < len(kept) < len(moved)
    for p in moved:
        a, b = p.after.things
        down = b.y - a.y > 0.2 and abs(a.x - b.x) <= 0.6 * (b.y - a.y)
        assert bool(p.after.relations) == down


def test_what_cannot_be_seen_is_not_asked() -> None:
    rng = generator("sepia")
    old = canonical(replace(TWO, style="sepia"))
    assert all(changed(old, "recolour", rng) is None for _ in range(50))
    alike = replace(TWO, things=(STAR, replace(STAR, x=0.8)), relations=())
    assert all(changed(alike, op, rng) is None for op in TARGETED for _ in range(20))


def test_faulty_instructions_fit_nothing_or_too_much() -> None:
    for level in LEVELS:
        found = [faulty(level, "train", i) for i in range(20)]
        assert Counter(f.why for f in found) == {"missing": 10, "ambiguous": 10}
        assert Counter(f.pair.op for f in found) == dict.fromkeys(TARGETED, 4)
        for f in found:
            assert (len(meant(f.scene, f.pair.named)) == 0) == (f.why == "missing")
            assert (len(meant(f.scene, f.pair.named)) > 1) == (f.why == "ambiguous")
            assert canonical(f.scene) == f.scene and not is_unseen(f.scene)


def test_what_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="no 'paint'"):
        pair("one", "train", 0, "paint")
    with pytest.raises(ValueError, match="no .* of .*holiday"):
        pair("one", "holiday", 0)
