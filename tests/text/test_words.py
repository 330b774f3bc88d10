"""Counts of training captions: what is known and what is near."""

from __future__ import annotations

import pytest

from tranh.text.words import Words
from tranh.types import TranhError


def test_counts_survive_being_saved(words: Words) -> None:
    assert Words.load(words.save()) == words
    assert Words.load(words.save()).save() == words.save()


def test_words_of_captions_are_known(words: Words) -> None:
    for word in ("circle", "circles", "đỏ", "do", "hình", "hinh", "three", "3"):
        assert word in words
    assert "giraffe" not in words


@pytest.mark.parametrize(
    ("typed", "meant"), [("circel", "circle"), ("sqare", "square"), ("trianlge", "triangle"), ("vuôgn", "vuông")]
)
def test_a_misspelling_finds_its_word(words: Words, typed: str, meant: str) -> None:
    assert words.nearest(typed)[0] == meant


@pytest.mark.parametrize("typed", ["doo", "bal", "xyz", "zzzzzzzz", "giraffe"])
def test_short_or_strange_words_find_none(words: Words, typed: str) -> None:
    assert words.nearest(typed) == ()


def test_only_marked_captions_vouch_for_marked_words() -> None:
    words = Words.count(["hình tròn đỏ", "hinh tron do"])
    assert words.marked["do"] == ("đỏ",)
    assert words.counts["do"] == words.counts["đỏ"] == 1


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"format": 99}'])
def test_a_file_that_is_no_count_is_refused(data: bytes) -> None:
    with pytest.raises(TranhError, match=r"words\.json"):
        Words.load(data)
