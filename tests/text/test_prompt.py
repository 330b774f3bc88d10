"""Prompts: nothing is changed in silence, nothing unknown is passed on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tranh.text.lexicon import Lexicon
from tranh.text.normalise import normalise
from tranh.text.prompt import Prompt, UnknownWord, guess_language, understand
from tranh.text.words import Words
from tranh.types import TranhError

Lexicons = Sequence[Lexicon]


def test_a_plain_prompt_passes_through(lexicons: Lexicons, words: Words) -> None:
    assert understand("A  Red CIRCLE", lexicons, words) == Prompt("a red circle", "A Red CIRCLE", "en")
    assert understand("Một hình tròn ĐỎ", lexicons, words).notices == ()


def test_captions_are_understood_without_a_word(lexicons: Lexicons, words: Words, corpus: dict[str, list[str]]) -> None:
    for language in ("en", "vi"):
        for caption in corpus[language][:150]:
            understood = understand(caption, lexicons, words)
            assert understood.text == caption
            assert understood.language == language
            assert not any("unknown" in notice or "mixes" in notice for notice in understood.notices)


def test_an_unknown_word_is_refused_with_what_is_known(lexicons: Lexicons, words: Words) -> None:
    with pytest.raises(UnknownWord, match="'giraffe' is unknown to this model; it knows, for example: circle") as fault:
        understand("a red giraffe", lexicons, words)
    assert fault.value.words == ("giraffe",)
    understood = understand("a red giraffe", lexicons, words, allow_unknown=True)
    assert understood.unknown == ("giraffe",) and understood.text == "a red giraffe"
    assert "giraffe" in understood.notices[0]


def test_a_typo_is_suggested_and_not_corrected(lexicons: Lexicons, words: Words) -> None:
    with pytest.raises(UnknownWord, match=r"did you mean 'circle'") as fault:
        understand("a red circel", lexicons, words)
    assert fault.value.suggestions["circel"][0] == "circle"


def test_examples_are_in_the_language_of_the_prompt(lexicons: Lexicons, words: Words) -> None:
    with pytest.raises(UnknownWord, match="hình tròn, hình vuông"):
        understand("một con hươu đỏ", lexicons, words)


def test_a_model_of_other_data_knows_its_own_words(lexicons: Lexicons) -> None:
    birds = Words.count(["a small finch with a grey beak"])
    assert understand("a finch", lexicons, birds).text == "a finch"
    with pytest.raises(UnknownWord, match="for example: a, beak, finch"):
        understand("a circle", lexicons, birds)


def test_vietnamese_without_marks_is_read_back_and_said(lexicons: Lexicons, words: Words) -> None:
    understood = understand("hinh tron do", lexicons, words)
    assert understood.text == "hình tròn đỏ" and understood.language == "vi"
    assert any("'hình tròn đỏ'" in notice for notice in understood.notices)
    assert understand("hinh tron do", lexicons, words, restore=False).text == "hinh tron do"


def test_an_unsure_reading_is_said(lexicons: Lexicons) -> None:
    words = Words.count(["hình tròn đỏ", "hình trơn đỏ", "hình tròn đỏ"])
    understood = understand("hinh tron do", lexicons, words)
    assert "'tron' was read as 'tròn' and could be 'trơn'" in understood.notices


@pytest.mark.parametrize("typed", ["một hình tròn xanh", "hinh tron xanh", "một hình tròn xanh nhạt"])
def test_bare_xanh_is_two_colours(lexicons: Lexicons, words: Words, typed: str) -> None:
    notices = understand(typed, lexicons, words).notices
    assert "'xanh' could be 'xanh lá' or 'xanh dương'; write one of them" in notices


@pytest.mark.parametrize("typed", ["một hình tròn xanh lá cây", "hình tròn xanh da trời", "hinh tron xanh duong"])
def test_a_whole_green_or_blue_is_not_ambiguous(lexicons: Lexicons, words: Words, typed: str) -> None:
    assert not any("could be" in notice for notice in understand(typed, lexicons, words).notices)


@pytest.mark.parametrize(("typed", "word"), [("a circle without a square", "without"), ("không có hình tròn", "không")])
def test_negation_is_not_understood_and_said(lexicons: Lexicons, words: Words, typed: str, word: str) -> None:
    assert any(notice.startswith(f"'{word}'") for notice in understand(typed, lexicons, words).notices)


def test_mixed_languages_are_noticed(lexicons: Lexicons, words: Words) -> None:
    understood = understand("a red circle and một hình vuông đỏ", lexicons, words)
    assert any("mixes languages" in notice for notice in understood.notices)
    assert understood.text == "a red circle and một hình vuông đỏ"


@pytest.mark.parametrize("typed", ["", "   ", "\u200b", "!?", "🎈"])
def test_a_prompt_without_words_is_refused(lexicons: Lexicons, words: Words, typed: str) -> None:
    with pytest.raises(TranhError, match="has no words"):
        understand(typed, lexicons, words)


def test_languages_are_guessed_by_their_words(lexicons: Lexicons) -> None:
    three = (*lexicons, Lexicon.read(Path(__file__).with_name("fr.toml")))
    for text, language in [
        ("a big red star", "en"), ("hinh tron do", "vi"), ("một cá to", "vi"), ("con cá to", "vi"),
        ("une grande étoile rouge", "fr"), ("blorp", "und"),
    ]:  # fmt: skip
        assert guess_language(normalise(text), three)[0] == language


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=40))
def test_any_text_is_understood_or_refused_politely(lexicons: Lexicons, words: Words, text: str) -> None:
    try:
        understood = understand(text, lexicons, words, allow_unknown=True)
    except TranhError:
        return
    assert normalise(understood.text) == understood.text


def test_the_example_on_the_page_runs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "text.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    exec(compile(example, "docs/text.md", "exec"), {})
