"""Boxes in words: the right ninth, in the prompt's own language, and only where it says something new."""

import pytest

from tranh.text.lexicon import Lexicon
from tranh.text.places import name, placed
from tranh.text.prompt import Prompt
from tranh.text.words import Words

LEXICONS = [Lexicon.load("en"), Lexicon.load("vi")]
KNOWN = Words.count(
    ["a star on the left at the top in the centre right bottom", "ở mép trái góc trên bên dưới giữa phải"]
)


@pytest.mark.parametrize(
    ("box", "place"),
    [
        ((0, 0, 0.5, 1), "left"),
        ((0.5, 0, 1, 1), "right"),
        ((0, 0, 1, 0.5), "top"),
        ((0, 0.5, 1, 1), "bottom"),
        ((0, 0, 0.4, 0.4), "top_left"),
        ((0.6, 0.6, 1, 1), "bottom_right"),
        ((0, 0, 1, 1), "centre"),
    ],
)
def test_the_ninth_of_its_middle(box, place):
    assert name(*box) == place


@pytest.mark.parametrize(
    ("language", "text", "told"),
    [
        ("en", "a star", "a star on the left"),
        ("en", "a star.", "a star on the left"),
        ("vi", "một ngôi sao", "một ngôi sao ở mép trái"),
        ("en", "a star at the top", "a star at the top"),
        ("vi", "một ngôi sao ở giữa", "một ngôi sao ở giữa"),
        ("und", "xyz", "xyz"),
    ],
)
def test_it_is_said_in_the_prompts_language_and_not_twice(language, text, told):
    assert placed(Prompt(text, text, language), (0, 0, 0.5, 1), LEXICONS, KNOWN) == told


def test_words_the_model_was_never_taught_are_not_said():
    assert placed(Prompt("a star", "a star", "en"), (0, 0, 0.5, 1), LEXICONS, Words.count(["a star"])) == "a star"
