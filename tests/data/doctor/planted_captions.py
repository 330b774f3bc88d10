"""Faults of captions."""

from __future__ import annotations

import unicodedata

from planting import COUNT, Lay, plant

# Captions


@plant("no caption")
def captions_left_out(lay: Lay) -> str:
    del lay.rows[26]["text_en"], lay.rows[26]["text_vi"]
    return lay.key(26)


@plant("no caption")
def captions_of_json_null(lay: Lay) -> str:
    lay.rows[26] |= {"text_en": None, "text_vi": None}
    return lay.key(26)


@plant("empty caption")
def caption_of_spaces(lay: Lay) -> str:
    return lay.say(27, en="  \t ")


@plant("empty caption")
def caption_of_zero_width(lay: Lay) -> str:
    return lay.say(27, en="\u200b\u200b")


@plant("caption is NaN")
def nan_as_text(lay: Lay) -> str:
    return lay.say(28, en="nan")


@plant("caption is NaN")
def none_as_text(lay: Lay) -> str:
    return lay.say(28, vi="None")


@plant("overlong caption")
def ten_thousand_words(lay: Lay) -> str:
    return lay.say(29, en=" ".join(f"word{i % 977}" for i in range(10_000)))


@plant("overlong caption")
def overlong_vietnamese(lay: Lay) -> str:
    return lay.say(29, vi="một hình tròn màu đỏ ở trên một hình vuông màu xanh dương nhỏ và " * 12)


@plant("mixed NFC and NFD")
def apart(lay: Lay) -> str:
    return lay.say(30, vi=unicodedata.normalize("NFD", lay.rows[30]["text_vi"]))


@plant("caption is a file name")
def its_own_name(lay: Lay) -> str:
    return lay.say(31, en="031.jpg")


@plant("caption is a file name")
def a_cameras_name(lay: Lay) -> str:
    return lay.say(31, en="IMG_20240512_101112")


@plant("placeholder caption")
def untitled(lay: Lay) -> str:
    return lay.say(32, en="Untitled")


@plant("markup")
def tags(lay: Lay) -> str:
    return lay.say(33, en="<p>a <b>red</b> circle</p>")


@plant("markup")
def entities(lay: Lay) -> str:
    return lay.say(33, en="a circle &amp; a square")


@plant("web address")
def link(lay: Lay) -> str:
    return lay.say(34, en="a red circle, see https://example.com/a.html")


@plant("control characters")
def bell(lay: Lay) -> str:
    return lay.say(35, en="a red\x07 circle\x00")


@plant("invisible characters")
def right_to_left_mark(lay: Lay) -> str:
    return lay.say(36, en="a red \u202ecircle")


@plant("invisible characters")
def zero_width_space(lay: Lay) -> str:
    return lay.say(36, vi="một hình\u200b tròn đỏ")


@plant("garbled letters")
def utf8_read_as_windows(lay: Lay) -> str:
    garbled = "".join(bytes([b]).decode("cp1252", "replace") if b not in (0x81, 0x8D, 0x8F, 0x90, 0x9D) else chr(b)
                      for b in "một hình tròn đỏ".encode())  # fmt: skip
    return lay.say(37, vi=garbled)


@plant("garbled letters")
def letters_lost(lay: Lay) -> str:
    return lay.say(37, vi="m?t h?nh tr?n")


@plant("lone surrogate")
def half_a_character(lay: Lay) -> str:
    return lay.say(38, en="a red circle \ud83d")


@plant("lookalike letters")
def cyrillic_a(lay: Lay) -> str:
    return lay.say(39, en="\u0430 r\u0435d circle")


@plant("no words")
def emoji_only(lay: Lay) -> str:
    return lay.say(40, en="🔴🔵 ❤️")


@plant("no words")
def signs_only(lay: Lay) -> str:
    return lay.say(40, en="?!...")


@plant("repeated words")
def one_word(lay: Lay) -> str:
    return lay.say(41, en="circle circle circle circle circle")


@plant("chat model's answer")
def assistant(lay: Lay) -> str:
    return lay.say(42, en="I'm sorry, but I can't see the image you mention.")


@plant("wrong language")
def english_as_vietnamese(lay: Lay) -> str:
    return lay.say(43, vi="a small red circle above a large blue square")


@plant("wrong language")
def vietnamese_as_english(lay: Lay) -> str:
    return lay.say(43, en="một ngôi sao vàng ở trên một hình vuông")


@plant("wrong language")
def chinese_as_english(lay: Lay) -> str:
    return lay.say(43, en="一个红色的圆圈在蓝色方块上面")


@plant("missing translation")
def no_vietnamese(lay: Lay) -> str:
    del lay.rows[44]["text_vi"]
    return lay.key(44)


@plant("untranslated", "wrong language")
def the_same_in_both(lay: Lay) -> str:
    return lay.say(45, vi=lay.rows[45]["text_en"])


@plant("one caption for most")
def everything_is_said_alike(lay: Lay) -> str:
    for i in range(COUNT):
        lay.say(i, en="a nice colourful picture of something")
    return "a nice colourful picture of something"
