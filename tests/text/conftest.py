"""A small parallel corpus: the same random scenes said in each language, and what a model trained on it would know."""

from __future__ import annotations

import random

import pytest

from tranh.data.scenes import world
from tranh.data.scenes.captions import Density, caption, unmarked
from tranh.data.scenes.world import Fact, Relation, Scene, Thing
from tranh.text.lexicon import Lexicon
from tranh.text.tokenizer import Tokenizer
from tranh.text.words import Words

SCENES = 1200


def _scene(draw: random.Random) -> tuple[Scene, list[Fact]]:
    def thing() -> Thing:
        kind = draw.choice(world.KINDS)
        return Thing(
            kind, draw.choice(world.COLOURS), draw.choice(world.SHADES), draw.choice(world.SIZES),
            draw.choice(world.PROPORTIONS), draw.choice(world.MATERIALS),
            draw.choice(world.EXPRESSIONS) if kind in world.FACED else None, draw.random(), draw.random(),
        )  # fmt: skip

    counted, others = draw.choice([(1, 0), (1, 1), (2, 1), (3, 0), (3, 1), (4, 0)])
    things = (thing(),) * counted + tuple(thing() for _ in range(others))
    relation = Relation(draw.choice(world.FACT_GROUPS["relation"]), 0, 1)
    relations = (relation,) if (counted, others) == (1, 1) else ()
    groups = (tuple(range(counted)), *((counted + i,) for i in range(others)))
    scene = Scene(
        draw.choice(world.SETTINGS), draw.choice(world.LIGHTS), draw.choice(world.STYLES), things, relations, groups
    )
    own = ("kind", "colour", "shade", "size", "proportion", "material", "expression")
    facts = [Fact(g, i, getattr(t, g)) for i, t in enumerate(things) for g in own if getattr(t, g)]
    facts += [Fact("place", i, world.place_of(t.x, t.y)) for i, t in enumerate(things)]
    facts += [Fact("relation", r.subject, r.name, r.object) for r in relations]
    return scene, facts + [Fact(g, None, getattr(scene, g)) for g in ("setting", "light", "style")]


@pytest.fixture(scope="session")
def corpus() -> dict[str, list[str]]:
    """Captions by language: ``en``, ``vi`` and ``unmarked`` (Vietnamese without diacritics), line by line parallel."""
    draw = random.Random(0)
    captions: dict[str, list[str]] = {"en": [], "vi": [], "unmarked": []}
    for index in range(SCENES):
        scene, facts = _scene(draw)
        density: Density = "short" if index % 3 == 0 else "dense"
        for language in ("en", "vi"):
            captions[language].append(caption(scene, facts, language, draw, density)[0])
        captions["unmarked"].append(unmarked(captions["vi"][-1]))
    return captions


@pytest.fixture(scope="session")
def every(corpus: dict[str, list[str]]) -> list[str]:
    """All captions in one list."""
    return [text for captions in corpus.values() for text in captions]


@pytest.fixture(scope="session")
def tokenizer(every: list[str]) -> Tokenizer:
    return Tokenizer.train(every)


@pytest.fixture(scope="session")
def words(every: list[str]) -> Words:
    return Words.count(every)


@pytest.fixture(scope="session")
def lexicons() -> tuple[Lexicon, ...]:
    return (Lexicon.load("en"), Lexicon.load("vi"))
