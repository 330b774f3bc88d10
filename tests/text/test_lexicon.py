"""Lexicons: complete for the vocabulary they are handed, and one file per language."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path

import pytest

from tranh.data.scenes.captions import VOCABULARY
from tranh.text.lexicon import Lexicon, Word, fill, languages, parse
from tranh.text.normalise import normalise, strip_diacritics
from tranh.types import TranhError

FRENCH = Path(__file__).with_name("fr.toml")


@pytest.mark.parametrize("language", languages())
def test_every_shipped_language_can_say_everything(language: str) -> None:
    assert Lexicon.load(language).missing(VOCABULARY) == ()


def test_a_third_language_is_one_file() -> None:
    assert Lexicon.read(FRENCH).missing(VOCABULARY) == ()


@pytest.mark.parametrize("lost", ["crescent", "glossy", "surreal", "bottom_left", "in_front_of"])
def test_a_missing_word_is_named(lost: str) -> None:
    text = re.sub(rf"^{lost} = .*\n", "", FRENCH.read_text(encoding="utf-8"), flags=re.MULTILINE)
    (missing,) = parse(text, "fr.toml").missing(VOCABULARY)
    assert missing.endswith(f".{lost}")


def test_a_missing_colour_is_missing_from_backgrounds_too() -> None:
    text = re.sub(r"^pink = .*\n", "", FRENCH.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert parse(text, "fr.toml").missing(VOCABULARY) == ("colour.pink", "setting.plain_pink")


def test_a_missing_template_is_named() -> None:
    text = re.sub(r"^join = .*\n", "join = []\n", FRENCH.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert parse(text, "fr.toml").missing(VOCABULARY) == ("template.join",)


@pytest.mark.parametrize("language", languages())
def test_no_phrase_means_two_things(language: str) -> None:
    lexicon = Lexicon.load(language)
    meanings: dict[str, set[tuple[str, str]]] = {}
    for group, value, phrase in lexicon.phrases():
        meanings.setdefault(phrase, set()).add((group, value))
    assert {phrase: said for phrase, said in meanings.items() if len(said) > 1} == {}


def test_vietnamese_without_marks_rarely_means_two_things() -> None:
    phrases: dict[str, set[tuple[str, str]]] = {}
    for group, value, phrase in Lexicon.load("vi").phrases():
        phrases.setdefault(strip_diacritics(phrase), set()).add((group, value))
    assert {phrase for phrase, said in phrases.items() if len(said) > 1} == set()


@pytest.mark.parametrize("language", languages())
def test_every_form_is_already_normalised(language: str) -> None:
    lexicon = Lexicon.load(language)
    for _, _, phrase in lexicon.phrases():
        assert phrase == "{colour}" or normalise(phrase) == phrase


@pytest.mark.parametrize("language", languages())
def test_templates_have_a_place_for_any_choice_of_facts(language: str) -> None:
    lexicon = Lexicon.load(language)
    attributes = ("size", "proportion", "material", "shade", "colour", "expression", "place")
    for name, base in (("one", {"article", "kind"}), ("many", {"number", "kind"})):
        for count in range(len(attributes) + 1):
            for some in combinations(attributes, count):
                assert lexicon.able(name, frozenset({*base, *some}))
    whole = ("setting", "light", "style", "clauses")
    for count in range(len(whole) + 1):
        for some in combinations(whole, count):
            assert len(lexicon.able("picture", frozenset({"things", *some}))) >= 2


def test_the_canonical_form_comes_first() -> None:
    assert str(Lexicon.load("vi").words("colour", "blue")[0]) == "xanh dương"
    assert str(Lexicon.load("en").words("setting", "plain_red")[0]) == "on a plain red background"
    assert str(Lexicon.load("vi").words("setting", "plain_red")[0]) == "trên nền đỏ trơn"


def test_words_agree() -> None:
    green = Word(("vert", "verte", "verts", "vertes"))
    assert [green.form(c, many) for many in (False, True) for c in (0, 1)] == ["vert", "verte", "verts", "vertes"]
    assert Word(("cat", "cats")).form(1, True) == "cats"
    assert Word(("đỏ",)).form(1, True) == "đỏ"


def test_a_template_drops_what_it_cannot_say() -> None:
    template = "{kind}[ in {colour}[ of {shade} tone]][, {place}]"
    assert fill(template, {"kind": "cat"}) == "cat"
    assert fill(template, {"kind": "cat", "colour": "red"}) == "cat in red"
    assert fill(template, {"kind": "cat", "shade": "dark", "place": "left"}) == "cat, left"
    assert fill(template, {"kind": "cat", "colour": "red", "shade": "dark"}) == "cat in red of dark tone"


@pytest.mark.parametrize("template", ["{kind}[ {colour}", "{kind} {colour}]"])
def test_an_unbalanced_template_is_refused(template: str) -> None:
    with pytest.raises(TranhError, match="without its"):
        fill(template, {"kind": "cat", "colour": "red"})


def test_a_template_that_cannot_say_something_is_reported() -> None:
    text = FRENCH.read_text(encoding="utf-8").replace("[ {shade}]", "")
    with pytest.raises(TranhError, match="no template 'one' that says article, kind, shade"):
        parse(text, "fr.toml").able("one", frozenset({"article", "kind", "shade"}))


def test_faults_of_a_file_are_said_plainly() -> None:
    text = FRENCH.read_text(encoding="utf-8")
    with pytest.raises(TranhError, match="is not TOML"):
        parse(text + "\n[", "fr.toml")
    with pytest.raises(TranhError, match="has no 'sandhi'"):
        parse(re.sub(r"sandhi = \[.*?^\]\n", "", text, flags=re.MULTILINE | re.DOTALL), "fr.toml")
    with pytest.raises(TranhError, match="has 3 forms"):
        parse(text.replace("rouge/rouges", "rouge/rouges/x"), "fr.toml")
    with pytest.raises(TranhError, match="there are: en, vi"):
        Lexicon.load("xx")
