"""Putting Vietnamese marks back."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tranh.text.normalise import strip_diacritics
from tranh.text.restore import Unsure, restore_diacritics
from tranh.text.words import Words


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("hinh tron do", "hình tròn đỏ"),
        ("ba qua bong bong", "ba quả bóng bóng"),
        ("mot trai tim tim tren nen trang tron", "một trái tim tím trên nền trắng trơn"),
        ("mot bong hoa vang", "một bông hoa vàng"),
        ("hình tron đỏ", "hình tròn đỏ"),
        ("", ""),
        ("!!", "!!"),
    ],
)
def test_it_is_read_in_context(words: Words, typed: str, meant: str) -> None:
    assert restore_diacritics(typed, words).text == meant


def test_most_captions_are_restored_whole(words: Words, corpus: dict[str, list[str]]) -> None:
    captions = corpus["vi"][:400]
    right = sum(restore_diacritics(strip_diacritics(caption), words).text == caption for caption in captions)
    assert right / len(captions) >= 0.97


def test_marked_text_is_left_alone(words: Words, corpus: dict[str, list[str]]) -> None:
    for caption in corpus["vi"][:200]:
        if not caption.isascii():
            assert restore_diacritics(caption, words).text == caption


def test_what_the_context_does_not_settle_is_reported() -> None:
    words = Words.count(["hình tròn đỏ", "hình trơn đỏ", "hình tròn đỏ"])
    restored = restore_diacritics("hinh tron do", words)
    assert restored.text == "hình tròn đỏ"
    assert restored.unsure == (Unsure("tron", "tròn", ("trơn",)),)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=40))
def test_only_marks_change(words: Words, text: str) -> None:
    assert strip_diacritics(restore_diacritics(text, words).text) == strip_diacritics(text)
