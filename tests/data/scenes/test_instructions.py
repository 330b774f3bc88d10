"""Instructions say what is asked and of what, in every language, and are understood as prompts are."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import cache

import pytest
from reading import FRENCH, LANGUAGES, read

from tranh.data.scenes.captions import SILENT
from tranh.data.scenes.instructions import instruction, instructions
from tranh.data.scenes.layout import generator
from tranh.data.scenes.pairs import Pair, pair
from tranh.data.scenes.world import LEVELS, Fact, Scene, Thing
from tranh.text.lexicon import Lexicon
from tranh.text.normalise import normalise, strip_diacritics
from tranh.text.prompt import understand
from tranh.text.words import Words

CIRCLE = Thing("circle", "red", "normal", "medium", "normal", "flat", None, 0.2, 0.8)
HOUSE = replace(CIRCLE, kind="house", x=0.8)
SCENE = Scene("plain_white", "plain", "flat", (CIRCLE, HOUSE), (), ((0,), (1,)))


@cache
def pairs() -> tuple[Pair, ...]:
    return tuple(pair(LEVELS[i % 3], "test", i) for i in range(105))


def by_value(p: Pair) -> bool:
    """Has it patterns that say its value in their own words, or by comparing?"""
    return p.op in ("resize", "restyle", "move")


@pytest.mark.parametrize("lexicon", LANGUAGES, ids=lambda lexicon: lexicon.language)
def test_an_instruction_says_what_is_asked_of_what_and_nothing_else(lexicon: Lexicon) -> None:
    exact = 0
    for i, p in enumerate(pairs()):
        text = instruction(p, lexicon, random.Random(i))
        wanted = {(f.group, f.value) for f in p.named}
        for f in p.asked:
            if f.value.startswith("plain_"):
                wanted.add(("colour", f.value.removeprefix("plain_")))
            elif f.group != "count" and SILENT.get(f.group) != f.value:
                wanted.add((f.group, f.value))
        said = read(text, lexicon)
        if p.op == "move":  # "to the right" is where it goes, and reads like a relation
            said = {(group, value) for group, value in said if group != "relation"}
        said = {(g, v) for g, v in said if not (g == "setting" and ("colour", v.removeprefix("plain_")) in wanted)}
        assert said <= wanted, (text, p.asked)
        assert said == wanted or by_value(p), (text, p.asked)
        exact += said == wanted
        assert "{" not in text and "  " not in text and normalise(text) == text
    assert exact > 0.8 * len(pairs())


def ways(p: Pair, language: str) -> set[str]:
    return {instruction(p, language, random.Random(seed)) for seed in range(150)}


def asked(op: str, target: int | None, *facts: Fact, after: Scene = SCENE, before: Scene = SCENE) -> Pair:
    named = () if target is None else (Fact("kind", target, before.things[target].kind),)
    return Pair(before, after, op, facts, target, named)


STAR = Thing("star", "red", "normal", "small", "normal", "flat", None, 0.15, 0.15)
NEW = tuple(Fact(g, 2, getattr(STAR, g)) for g in ("kind", "colour", "size")) + (Fact("place", 2, "top_left"),)

EXAMPLES = [
    (asked("recolour", 0, Fact("colour", 0, "blue")), "make the circle blue", "đổi hình tròn thành màu xanh dương"),
    (asked("add", None, *NEW, Fact("count", None, "3"), after=replace(SCENE, things=(CIRCLE, HOUSE, STAR))),
     "add a small red star at the top left", "thêm một ngôi sao đỏ nhỏ ở góc trên bên trái"),
    (asked("remove", 1, Fact("count", None, "1")), "remove the house", "xóa ngôi nhà"),
    (asked("resize", 1, Fact("size", 1, "large")), "make the house bigger", "phóng to ngôi nhà"),
    (asked("resize", 1, Fact("size", 1, "large")), "make the house large", "đổi kích thước ngôi nhà thành lớn"),
    (asked("move", 0, Fact("place", 0, "bottom_right")),
     "move the circle to the bottom right", "chuyển hình tròn xuống góc dưới bên phải"),
    (asked("replace", 1, Fact("kind", 1, "book"), after=replace(SCENE, things=(CIRCLE, replace(HOUSE, kind="book")))),
     "replace the house with a book", "thay ngôi nhà bằng một quyển sách"),
    (asked("restyle", None, Fact("style", None, "watercolour")),
     "turn it into a watercolour", "chuyển thành tranh màu nước"),
    (asked("restyle", None, Fact("setting", None, "plain_blue")),
     "make the background blue", "đổi nền thành màu xanh dương"),
    (asked("restyle", None, Fact("setting", None, "beach")), "put everything on a beach", "đặt mọi thứ trên bãi biển"),
    (asked("restyle", None, Fact("light", None, "sunset")), "show it at sunset", "vẽ lại lúc hoàng hôn"),
]  # fmt: skip


@pytest.mark.parametrize(("p", "english", "vietnamese"), EXAMPLES, ids=[e for _, e, _ in EXAMPLES])
def test_it_is_said_as_people_say_it(p: Pair, english: str, vietnamese: str) -> None:
    assert english in ways(p, "en")
    assert vietnamese in ways(p, "vi")
    assert strip_diacritics(vietnamese) in ways(p, "vi_unmarked")
    assert len(ways(p, "en")) > 3 and len(ways(p, "vi")) > 3


def test_bigger_is_said_only_where_there_is_one_size_more() -> None:
    small = replace(SCENE, things=(CIRCLE, replace(HOUSE, size="small")))
    said = ways(asked("resize", 1, Fact("size", 1, "large"), before=small), "en")
    assert said and not any(word in text for text in said for word in ("bigger", "larger", "enlarge"))


def test_adjectives_of_an_instruction_agree() -> None:
    star = replace(SCENE, things=(STAR,), groups=((0,),))
    green = asked("recolour", 0, Fact("colour", 0, "green"), before=star)
    assert "rends l'étoile verte" in {instruction(green, FRENCH, random.Random(s)) for s in range(40)}


def test_instructions_are_understood_as_prompts() -> None:
    said = [instruction(p, language, random.Random(s)) for p in pairs() for s in range(30) for language in ("en", "vi")]
    words, lexicons = Words.count(said), (Lexicon.load("en"), Lexicon.load("vi"))
    restored = 0
    for i, p in enumerate(pairs()[:49]):
        for language in ("en", "vi"):
            text = instruction(p, language, generator(i))
            heard = understand(text, lexicons, words)
            assert (heard.text, heard.language, heard.notices) == (text, language, ())
        restored += understand(strip_diacritics(text), lexicons, words).text == text
    assert restored >= 45


def test_instructions_come_in_every_form() -> None:
    some = list(instructions("train", 18))
    assert len(some) == 18 and some == list(instructions("train", 19))[:18]
    marked = [not text.isascii() for text in some]
    assert marked == [i // 3 % 3 == 1 for i in range(18)]
