"""Prompts and captions brought to one spelling: Unicode form, spaces, case, and where Vietnamese puts its tone marks.

Every step is a pure function from text to text, and :func:`normalise` is idempotent. It knows no language's words.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

from tranh.types import TranhError

MARKS = 3
"""Combining marks kept on one letter: no language written here needs more, and stacks of them are vandalism."""

TONES = "\u0300\u0301\u0309\u0303\u0323"
"""The five Vietnamese tones as combining marks: huyền sắc hỏi ngã nặng."""


VIETNAMESE = frozenset("ăđơưạảấầẩẫậắằẳẵặẹẻẽếềểễệỉĩịọỏốồổỗộớờởỡợụủũứừửữựỳỵỷỹ")
"""Letters of Vietnamese that other languages in Latin letters hardly have; é and ã are not among them."""


def looks_vietnamese(text: str) -> bool:
    """Does a text have letters that only Vietnamese has? Typed without diacritics it has none."""
    return not VIETNAMESE.isdisjoint(compose(text).lower())


def reject_broken(text: str) -> str:
    """Text that has no UTF-8 form (a lone surrogate) or would end a C string (NUL) is refused."""
    for at, letter in enumerate(text):
        if letter == "\0" or "\ud800" <= letter <= "\udfff":
            raise TranhError(
                f"the prompt has an unusable character (U+{ord(letter):04X}) at position {at + 1}; remove it"
            )
    return text


def strip_invisible(text: str) -> str:
    """Controls and format characters (bidi overrides, zero-width joiners, soft hyphens) go; tabs become spaces."""
    if text.isascii() and text.isprintable():
        return text
    kept = (" " if letter.isspace() else letter for letter in text)
    return "".join(letter for letter in kept if unicodedata.category(letter) not in ("Cc", "Cf"))


def compose(text: str) -> str:
    """NFC: one code point per accented letter where Unicode has one."""
    return unicodedata.normalize("NFC", text)


def cap_marks(text: str, most: int = MARKS) -> str:
    """At most ``most`` combining marks on any one letter, in NFC; a mark without a letter goes."""
    kept: list[str] = []
    marks = most
    for letter in unicodedata.normalize("NFD", text):
        if unicodedata.category(letter) in ("Mn", "Mc", "Me"):
            marks += 1
            if marks > most:
                continue
        else:
            marks = most if letter == " " else 0
        kept.append(letter)
    return compose("".join(kept))


def collapse_spaces(text: str) -> str:
    """One space between words, none at the ends."""
    return " ".join(text.split())


def lower(text: str) -> str:
    """Lower case, character by character, so that no rule depends on the neighbours (Greek final sigma does)."""
    return "".join(letter.lower() for letter in text)


@cache
def _tone_table() -> dict[str, str]:
    """hoà -> hòa and the like: open syllables in oa, oe, uy whose tone stands on the second vowel, and on the first."""
    pairs = {}
    for first, second in ("oa", "oe", "uy"):
        for tone in TONES:
            pairs[compose(first + second + tone)] = compose(first + tone + second)
    return pairs


_SYLLABLE = re.compile(r"[^\W\d_]+")


def place_tones(text: str) -> str:
    """Vietnamese tone marks where the older spelling puts them: hòa, khỏe, thủy.

    Only an open syllable moves: "hoàn" has one right spelling. In "quý" the u belongs to the consonant, so y keeps
    the tone. Syllables of other scripts and languages have none of these endings.
    """

    def syllable(match: re.Match[str]) -> str:
        word = match[0]
        moved = _tone_table().get(word[-2:])
        if moved is None or (word[-2] == "u" and word[-3:-2] == "q"):
            return word
        return word[:-2] + moved

    return _SYLLABLE.sub(syllable, text)


def strip_diacritics(text: str) -> str:
    """The same text as typed without a Vietnamese keyboard: "đỏ" -> "do"."""
    plain = "".join(letter for letter in unicodedata.normalize("NFD", text) if unicodedata.category(letter) != "Mn")
    return compose(plain.replace("đ", "d").replace("Đ", "D"))


def tidy(text: str) -> str:
    """The prompt as it is kept and shown: sound, visible, NFC, single spaces; case and tone style untouched."""
    return collapse_spaces(cap_marks(strip_invisible(compose(reject_broken(text)))))


def normalise(text: str) -> str:
    """The prompt as a model reads it: tidy, lower case, one tone style."""
    # Lower case may bring a combining mark of its own (İ), so the text is tidied after it.
    return place_tones(tidy(lower(tidy(text))))
