"""Captions say every fact they are given and no other, in every language."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reading import FRENCH, LANGUAGES, read

from tranh.data.scenes import world
from tranh.data.scenes.captions import QUIET, SILENT, caption, unmarked
from tranh.data.scenes.world import Fact, Relation, Scene, Thing
from tranh.text.lexicon import Lexicon
from tranh.text.normalise import normalise
from tranh.types import TranhError

OWN = ("kind", "colour", "shade", "size", "proportion", "material", "expression")


@st.composite
def things(draw: st.DrawFn) -> Thing:
    kind, colour = draw(st.sampled_from(world.KINDS)), draw(st.sampled_from(world.COLOURS))
    return Thing(
        kind=kind,
        colour=colour,
        shade="normal" if colour in world.SHADELESS else draw(st.sampled_from(world.SHADES)),
        size=draw(st.sampled_from(world.SIZES)),
        proportion=draw(st.sampled_from(world.PROPORTIONS)),
        material=draw(st.sampled_from(world.MATERIALS)),
        expression=draw(st.sampled_from(world.EXPRESSIONS)) if kind in world.FACED else None,
        x=draw(st.floats(0, 1)),
        y=draw(st.floats(0, 1)),
    )


@st.composite
def scenes(draw: st.DrawFn, smallest: int = 0) -> Scene:
    units: list[Thing] = draw(st.lists(things(), min_size=smallest, max_size=4))
    counted: bool = draw(st.booleans())
    count: int = draw(st.integers(2, 4)) if units and counted else 1
    every = (units[:1] * count + units[1:])[:4]
    alike = tuple(range(min(count, len(every)))) if units else ()
    rest = range(len(alike), len(every))
    relations: list[Relation] = []
    if len(every) > len(alike) and every:
        pairs = [(i, j) for i in range(len(every)) for j in rest if i != j and i >= len(alike)]
        pairs += [(0, j) for j in rest] if len(alike) == 1 else []
        for subject, other in draw(st.lists(st.sampled_from(pairs), max_size=3, unique=True)) if pairs else []:
            if (other, subject) not in {(r.subject, r.object) for r in relations}:
                relations.append(Relation(draw(st.sampled_from(world.FACT_GROUPS["relation"])), subject, other))
    return Scene(
        setting=draw(st.sampled_from(world.SETTINGS)),
        light=draw(st.sampled_from(world.LIGHTS)),
        style=draw(st.sampled_from(world.STYLES)),
        things=tuple(every),
        relations=tuple(relations),
        groups=((alike,) if alike else ()) + tuple((index,) for index in rest),
    )


def facts_of(scene: Scene) -> list[Fact]:
    """Every fact of a scene; of things counted together, none has a place."""
    grouped = {index for group in scene.groups if len(group) > 1 for index in group}
    facts = []
    for index, thing in enumerate(scene.things):
        facts += [Fact(group, index, getattr(thing, group)) for group in OWN if getattr(thing, group) is not None]
        if index not in grouped:
            facts.append(Fact("place", index, world.place_of(min(thing.x, 0.99), min(thing.y, 0.99))))
    facts += [Fact("relation", r.subject, r.name, r.object) for r in scene.relations]
    facts.append(Fact("count", None, str(len(scene.things))))
    return facts + [Fact(group, None, getattr(scene, group)) for group in ("setting", "light", "style")]


def spoken(facts: Sequence[Fact]) -> set[tuple[str, str]]:
    """What a reader must find for these facts."""
    return {(f.group, f.value) for f in facts if f.group != "count" and SILENT.get(f.group) != f.value}


def loud(said: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Without the quiet values, which may be said or not."""
    return {(g, v) for g, v in said if QUIET.get(g) != v}


@pytest.mark.parametrize("lexicon", LANGUAGES, ids=lambda lexicon: lexicon.language)
@settings(max_examples=100, deadline=None)
@given(
    scene=scenes(),
    seed=st.integers(0, 2**32),
    hidden=st.sets(st.sampled_from([*OWN, "place", "setting", "light", "style"])),
)
def test_a_dense_caption_says_every_fact_and_nothing_else(
    lexicon: Lexicon, scene: Scene, seed: int, hidden: set[str]
) -> None:
    facts = [fact for fact in facts_of(scene) if fact.group not in hidden]
    text, said = caption(scene, facts, lexicon, random.Random(seed))
    assert loud(read(text, lexicon)) == loud(spoken(said)), text
    unsaid = set(facts) - set(said)
    # Only a relation may stay unsaid: one of things that words cannot tell apart.
    assert {fact.group for fact in unsaid} <= {"relation"}, text
    assert normalise(text) == text


@pytest.mark.parametrize("lexicon", LANGUAGES, ids=lambda lexicon: lexicon.language)
@settings(max_examples=100, deadline=None)
@given(scene=scenes(smallest=1), seed=st.integers(0, 2**32))
def test_a_short_caption_says_a_kind_and_what_it_returns(lexicon: Lexicon, scene: Scene, seed: int) -> None:
    facts = facts_of(scene)
    text, said = caption(scene, facts, lexicon, random.Random(seed), "short")
    assert read(text, lexicon) == spoken(said), text
    assert any(fact.group == "kind" for fact in said)
    assert set(said) <= set(facts)
    units = {
        tuple(group for group in scene.groups if fact.subject in group) for fact in said if fact.subject is not None
    }
    assert 1 <= len(units) <= 2


THINGS = (
    Thing("circle", "red", "normal", "large", "normal", "glossy", None, 0.2, 0.2),
    Thing("square", "blue", "normal", "small", "normal", "flat", None, 0.8, 0.8),
)


def say(scene: Scene, keep: Sequence[str], language: str, density: str = "dense") -> set[str]:
    facts = [fact for fact in facts_of(scene) if fact.group in keep]
    return {caption(scene, facts, language, random.Random(seed), density)[0] for seed in range(300)}  # type: ignore[arg-type]


def test_the_examples_of_the_design_can_be_said() -> None:
    scene = Scene("beach", "sunset", "flat", THINGS, (Relation("above", 0, 1),), ((0,), (1,)))
    facts = [f for f in facts_of(scene) if f.group in ("kind", "relation", "setting", "light") or f.group == "colour"]
    facts += [Fact("size", 0, "large"), Fact("material", 0, "glossy"), Fact("size", 1, "small")]
    english = {caption(scene, facts, "en", random.Random(seed))[0] for seed in range(6000)}
    assert "a large glossy red circle above a small blue square, on a beach, at sunset" in english
    vietnamese = {caption(scene, facts, "vi", random.Random(seed))[0] for seed in range(6000)}
    assert "một hình tròn đỏ bóng lớn ở trên một hình vuông xanh dương nhỏ, trên bãi biển, lúc hoàng hôn" in vietnamese
    assert "mot hinh tron do bong lon o tren mot hinh vuong xanh duong nho, tren bai bien, luc hoang hon" in {
        unmarked(text) for text in vietnamese
    }


def test_a_relation_is_said_from_either_end() -> None:
    scene = Scene("plain_white", "plain", "flat", THINGS, (Relation("above", 0, 1),), ((0,), (1,)))
    said = say(scene, ("kind", "relation"), "en")
    assert {"a circle above a square", "a square below a circle"} <= said
    scene = Scene("plain_white", "plain", "flat", THINGS, (Relation("inside", 1, 0),), ((0,), (1,)))
    said = say(scene, ("kind", "relation"), "vi")
    assert {"một hình vuông ở trong một hình tròn", "một hình tròn bao quanh một hình vuông"} <= said


def test_things_alike_are_counted_and_have_no_places() -> None:
    scene = Scene("plain_white", "plain", "flat", THINGS[:1] * 3, (), ((0, 1, 2),))
    facts = facts_of(scene) + [Fact("place", 0, "top_left")]
    text, said = caption(scene, facts, "en", random.Random(2))
    assert "circles" in text or "discs" in text
    assert re.search(r"\b(three|3)\b", text)
    assert Fact("place", 0, "top_left") not in said
    assert Fact("count", None, "3") in said


def test_articles_agree_with_what_follows_them() -> None:
    arrow = Thing("arrow", "orange", "normal", "small", "normal", "flat", None, 0.5, 0.5)
    scene = Scene("plain_white", "plain", "flat", (arrow,), (), ((0,),))
    said = say(scene, ("kind",), "en") | say(scene, ("kind", "colour"), "en")
    assert {"an arrow", "an orange arrow"} <= said
    assert not any(text.startswith("a a") or text.startswith("a o") for text in said)


def test_french_adjectives_agree() -> None:
    star = Thing("star", "green", "normal", "small", "normal", "glossy", None, 0.5, 0.5)
    scene = Scene("plain_white", "plain", "flat", (star, star), (), ((0, 1),))
    facts = [fact for fact in facts_of(scene) if fact.group in ("kind", "colour", "size")]
    said = {caption(scene, facts, FRENCH, random.Random(seed))[0] for seed in range(20)}
    assert "deux petites étoiles vertes" in said


def test_a_second_relation_of_a_thing_is_a_clause_of_its_own() -> None:
    third = Thing("star", "green", "normal", "small", "normal", "flat", None, 0.5, 0.5)
    scene = Scene(
        "plain_white", "plain", "flat", (*THINGS, third), (Relation("above", 0, 1), Relation("inside", 2, 0)), ()
    )
    facts = [fact for fact in facts_of(scene) if fact.group in ("kind", "relation")]
    for seed in range(20):
        text, said = caption(scene, facts, "en", random.Random(seed))
        assert set(said) == set(facts)
        assert re.search(r"; the \w+ is ", text), text


def test_a_picture_of_nothing_can_be_described() -> None:
    scene = Scene("meadow", "dim", "sepia", ())
    text, said = caption(scene, facts_of(scene), "en", random.Random(0))
    assert set(said) == set(facts_of(scene))
    assert "nothing" in text or "empty" in text


def test_quiet_values_are_said_now_and_then() -> None:
    scene = Scene("plain_white", "plain", "flat", THINGS[:1], (), ((0,),))
    said = say(scene, ("kind", "style"), "en")
    assert "a circle" in said and any("simple" in text for text in said)


def test_captions_are_short_enough() -> None:
    words: dict[int, list[int]] = {1: [], 2: []}
    draw = random.Random(0)
    for _ in range(300):
        for count, lengths in words.items():
            things = tuple(
                Thing(
                    kind := draw.choice(world.KINDS), draw.choice(world.COLOURS), draw.choice(world.SHADES),
                    draw.choice(world.SIZES), draw.choice(world.PROPORTIONS), draw.choice(world.MATERIALS),
                    draw.choice(world.EXPRESSIONS) if kind in world.FACED else None, draw.random(), draw.random(),
                )
                for _ in range(count)
            )  # fmt: skip
            relations = (Relation("above", 0, 1),) if count == 2 else ()
            settings_ = world.SETTINGS if count == 2 else [s for s in world.SETTINGS if s.startswith("plain")]
            scene = Scene(draw.choice(settings_), "plain", "flat", things, relations)
            lengths.append(len(caption(scene, facts_of(scene), "en", draw)[0].split()))
    assert sorted(words[1])[150] <= 18
    assert sorted(words[2])[270] <= 40


def test_the_same_draw_gives_the_same_caption() -> None:
    scene = Scene("sea", "dim", "neon", THINGS, (Relation("above", 0, 1),), ((0,), (1,)))
    for language in ("en", "vi"):
        one, two = (caption(scene, facts_of(scene), language, random.Random(7)) for _ in range(2))
        assert one == two


def test_what_is_not_allowed_is_named() -> None:
    scene = Scene("sea", "dim", "neon", THINGS)
    with pytest.raises(TranhError, match="there are: en, vi"):
        caption(scene, facts_of(scene), "tlh", random.Random(0))
    with pytest.raises(TranhError, match="allowed: dense, short"):
        caption(scene, facts_of(scene), "en", random.Random(0), "long")  # type: ignore[arg-type]
