"""Normalising: each step alone, and all of them a second time."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tranh.text import normalise as n
from tranh.types import TranhError

ANY = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)


@settings(max_examples=1000, deadline=None)
@given(ANY)
@example("İstanbul")
@example("a\u200d\u0301\u0301\u0301\u0301\u0301 \u0301b")
@example("Ω ΟΔΟΣ")
@example("\u1fef\u2000")
@example("q\u200duý hOÀ KHOẺ")
def test_normalising_twice_is_normalising_once(text: str) -> None:
    once = n.normalise(text)
    assert n.normalise(once) == once
    assert n.tidy(n.tidy(text)) == n.tidy(text)
    assert unicodedata.is_normalized("NFC", once)


@settings(max_examples=300, deadline=None)
@given(ANY)
def test_both_forms_of_unicode_are_one(text: str) -> None:
    assert n.normalise(unicodedata.normalize("NFD", text)) == n.normalise(unicodedata.normalize("NFC", text))


@settings(max_examples=300, deadline=None)
@given(ANY)
def test_stripping_marks_twice_is_stripping_once(text: str) -> None:
    once = n.strip_diacritics(text)
    assert n.strip_diacritics(once) == once


@pytest.mark.parametrize("text", ["a\ud800b", "a\udfff", "nul\0"])
def test_broken_text_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(TranhError, match="position"):
        n.normalise(text)


def test_invisible_characters_go() -> None:
    assert n.strip_invisible("a\u202eb\u200bc\u00add\x07e\tf\ng") == "abcde f g"


def test_marks_on_one_letter_are_capped() -> None:
    assert n.cap_marks("z" + "\u0300" * 50) == "z" + "\u0300" * n.MARKS
    assert n.cap_marks("\u0301a") == "a"
    assert n.cap_marks("ệ ộ ử") == "ệ ộ ử"


def test_spaces_collapse() -> None:
    assert n.collapse_spaces("  a\u00a0 b   c ") == "a b c"


def test_lower_case_does_not_look_at_the_neighbours() -> None:
    assert n.lower("HÌNH TRÒN ĐỎ") == "hình tròn đỏ"
    assert n.lower("ΟΔΟΣ") == "οδοσ"


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("hoà", "hòa"), ("thuỷ", "thủy"), ("khoẻ", "khỏe"), ("toá", "tóa"), ("loè", "lòe"), ("tuỵ", "tụy"),
        ("quý", "quý"), ("quỳ", "quỳ"), ("giá", "giá"), ("hoàn", "hoàn"), ("khoảng", "khoảng"), ("thuyền", "thuyền"),
        ("đóa hoa", "đóa hoa"), ("hoà, thuỷ!", "hòa, thủy!"), ("oà", "òa"), ("a red circle", "a red circle"),
    ],
)  # fmt: skip
def test_tone_marks_have_one_place(typed: str, expected: str) -> None:
    assert n.place_tones(typed) == expected


def test_diacritics_can_be_left_out() -> None:
    assert n.strip_diacritics("một hình tròn đỏ, Đậm") == "mot hinh tron do, Dam"


def test_a_prompt_keeps_its_case_where_it_is_shown() -> None:
    assert n.tidy(" Một  HÌNH\u200b tròn ") == "Một HÌNH tròn"
    assert n.normalise(" Một  HÌNH\u200b tròn ") == "một hình tròn"
