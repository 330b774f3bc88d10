"""Scenes: the same everywhere, every fact visible, splits that do not leak."""

import hashlib
import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from tranh.data.scenes.draw import render, svg
from tranh.data.scenes.facts import THRESHOLD, canonical, difference, visible
from tranh.data.scenes.labels import MAX_THINGS, PATCH_FIELDS, PATCH_SIZES, THING_FIELDS, encode, patches
from tranh.data.scenes.layout import HELD_OUT, combinations, held_out, is_unseen, scene
from tranh.data.scenes.world import (
    COLOURS,
    EXPRESSIONS,
    FACED,
    FACT_GROUPS,
    KINDS,
    LEVELS,
    MATERIALS,
    PLACES,
    RELATIONS,
    SETTINGS,
    SHADELESS,
    STYLES,
    Scene,
    Thing,
    place_of,
)  # fmt: skip


def test_the_world_is_the_same_on_every_machine():
    text = "".join(repr(scene(level, split, i)) for level in LEVELS for split in ("train", "unseen") for i in range(20))
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == GOLDEN


GOLDEN = "e0379ff870ddf11f"


def test_random_access_needs_no_order():
    assert scene("full", "test", 123456) == scene("full", "test", 123456) != scene("full", "test", 123457)


@pytest.mark.parametrize("level", LEVELS)
def test_levels_hold_what_they_promise(level):
    scenes = [scene(level, "train", i) for i in range(1500)]
    things = [t for s in scenes for t in s.things]
    counts = {len(s.things) for s in scenes}
    assert counts == {"one": {1}, "two": {2}, "full": {1, 2, 3, 4}}[level]
    assert {t.kind for t in things} == set(KINDS) and {t.colour for t in things} == set(COLOURS)
    assert {t.material for t in things} == set(MATERIALS)
    assert {t.expression for t in things if t.expression} == set(EXPRESSIONS)
    if level == "one":
        assert all(s.setting.startswith("plain_") and s.light == "plain" and s.style == "flat" for s in scenes)
        assert {place_of(t.x, t.y) for t in things} == set(PLACES)
    else:
        assert {s.setting for s in scenes} == set(SETTINGS)
        assert {r.name for s in scenes for r in s.relations} == set(FACT_GROUPS["relation"]) < set(RELATIONS)
    if level == "full":
        assert {s.style for s in scenes} == set(STYLES)


@pytest.mark.parametrize("count", [200, pytest.param(40_000, marks=pytest.mark.soak)])
def test_train_never_shows_what_is_held_out(count):
    for level in LEVELS:
        for i in range(count):
            assert not any(held_out(*c) for c in combinations(scene(level, "train", i)))
            assert is_unseen(scene(level, "unseen", i))


def test_a_tenth_is_held_out():
    pairs = [(colour, kind) for colour in COLOURS for kind in KINDS]
    assert 0.5 * HELD_OUT < sum(held_out(*p) for p in pairs) / len(pairs) < 1.6 * HELD_OUT


def other(fact, value: Scene, rng: random.Random) -> Scene | None:
    """The scene with one fact changed to another allowed word."""
    words = [w for w in FACT_GROUPS[fact.group] if w != fact.value]
    word = words[int(rng.random() * len(words))]
    if fact.group in ("setting", "light", "style"):
        changed = replace(value, **{fact.group: word})
        return None if canonical(changed) != changed else changed
    if fact.group in ("count", "place", "relation"):
        return None
    thing = value.things[fact.subject]
    if fact.group == "colour" and word in SHADELESS and thing.shade != "normal":
        return None
    thing = replace(thing, **{fact.group: word})
    if fact.group == "kind":
        thing = replace(thing, expression="happy" if word in FACED else None)
    changed = replace(value, things=tuple(thing if i == fact.subject else t for i, t in enumerate(value.things)))
    return None if canonical(changed) != changed else changed


@pytest.mark.parametrize("level", LEVELS)
def test_every_fact_that_is_told_can_be_seen(level):
    rng = random.Random(0)
    for i in range(60):
        value = scene(level, "test", i)
        picture = render(value)
        for fact in visible(value):
            changed = other(fact, value, rng)
            if changed is not None:
                assert difference(picture, render(changed)) > THRESHOLD, (fact, value)


def test_sepia_hides_colour_and_neon_hides_the_setting():
    thing = Thing("circle", "red", "dark", "large", "normal", "striped", None, 0.5, 0.5)
    for style, hidden in (("sepia", {"colour", "shade", "light"}), ("neon", {"setting", "light", "material", "shade"})):
        value = canonical(Scene("beach", "sunset", style, (thing,), (), ((0,),)))
        assert not hidden & {f.group for f in visible(value)}


def test_the_same_picture_at_any_size():
    value = scene("two", "train", 5)
    large = render(value, 256).astype(np.float32).reshape(64, 4, 64, 4, 3).mean((1, 3))
    assert np.abs(large - render(value, 64)).mean() < 4
    assert svg(value).startswith("<svg ")


def test_order_of_painting_decides_who_is_in_front():
    value = next(s for s in (scene("two", "train", i) for i in range(500)) if s.relations[0].name == "in_front_of")
    assert difference(render(value), render(replace(value, things=value.things[::-1]))) > THRESHOLD


def test_labels_say_what_facts_say():
    scenes = [scene("full", "train", i) for i in range(50)]
    labels = encode(scenes)
    for b, value in enumerate(scenes):
        assert int((labels["things"][b, :, -1] >= 0).sum()) == len(value.things) <= MAX_THINGS
        for fact in visible(value):
            if fact.group in THING_FIELDS:
                column = list(THING_FIELDS).index(fact.group)
                assert THING_FIELDS[fact.group][labels["things"][b, fact.subject, column]] == fact.value


def test_labels_of_patches_name_the_topmost_thing():
    back = Thing("square", "red", "normal", "large", "normal", "flat", None, 0.5, 0.5)
    front = Thing("circle", "blue", "normal", "small", "normal", "flat", None, 0.5, 0.5)
    found = patches(encode([Scene("plain_white", "plain", "flat", (back, front), (), ((0,), (1,)))]), 8)
    kinds = found[0, :, PATCH_FIELDS.index("kind")].view(8, 8)
    assert kinds[0, 0] == 0 and kinds[3, 3] == 1 + KINDS.index("circle") and kinds[2, 2] == 1 + KINDS.index("square")
    assert found.dtype == torch.int64
    assert all(int(found[..., i].max()) <= most for i, most in enumerate(PATCH_SIZES))


def test_labels_of_patches_say_where_in_its_thing_a_patch_lies():
    thing = Thing("square", "red", "normal", "large", "normal", "flat", None, 0.5, 0.5)
    found = patches(encode([Scene("plain_white", "plain", "flat", (thing,), (), ((0,),))]), 16)[0].view(16, 16, -1)
    column, row = found[..., -2], found[..., -1]
    assert (column[8, :] * (column[8, :] > 0)).unique_consecutive().tolist() == [0, 2, 3, 4, 5, 6, 7, 0]
    assert torch.equal(column, row.T) and torch.equal(column > 0, found[..., 0] > 0)
