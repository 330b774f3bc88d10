"""Every cleaning step does what its name says, once; the report counts it; a data set's own words repair its slips."""

import unicodedata
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tranh.data import clean, spelling
from tranh.types import TranhError


@pytest.mark.parametrize(
    ("step", "before", "after"),
    [
        ("entities", "salt &amp;amp; pepper", "salt & pepper"),
        ("markup", "a <b>red</b> <br/>cat < 3", "a  red   cat < 3"),
        ("markup", "<a<b>c>x", " x"),
        ("controls", "a\tb\u200b\u202ec\nd\x07", "a bc d"),
        ("nfc", unicodedata.normalize("NFD", "một hình tròn"), "một hình tròn"),
        ("addresses", "cat #sunset http://x.y/z see@me.org IMG_1.jpg", "cat sunset      "),
        ("repeats", "wow!!!!! red red red cat cat", "wow! red cat cat"),
        ("tone_marks", "hoà thuỷ quý", "hòa thủy quý"),
        ("small", "A Red CAT", "a red cat"),
        ("tokens", "a cat's eye, well-lit.", "a cat's eye , well-lit ."),
        ("stop_words", "the cat is on a mat, và con mèo ở trên", "cat mat, con mèo trên"),
        ("spaces", "  a \n b ", "a b"),
    ],
)
def test_steps(step, before, after):
    assert getattr(clean, step)(before) == after


MESSY = st.lists(
    st.one_of(
        st.text(max_size=8),
        st.sampled_from(
            [
                "&amp;", "&lt;", "amp;", "&", "#", "##", "<", ">", "<b>", "/", "http://", "www.", "a@b.c", ".jpg",
                "!!!", " red", " red", "hoà", "e\u0301", "\u200b", "\ud800", "the ", "İ", "ǅ", "...", "--", "\x00",
                "_", "\u0345",
            ]
        ),
    ),
    max_size=12,
).map("".join)  # fmt: skip


@given(MESSY, st.sampled_from([name for name in clean.NAMES if name != "spelling"]))
def test_every_step_done_twice_is_done_once(text, name):
    step = getattr(clean, name)
    once = step(clean.sound(text))
    assert step(once) == once


@given(MESSY, st.lists(st.sampled_from(clean.NAMES), unique=True).map(tuple))
def test_what_comes_out_can_be_written(text, steps):
    clean.clean(text, steps).encode("utf-8")


def test_the_report_counts_and_shows():
    report = clean.Report()
    for caption in ("a cat", "a &amp; b", "x  y", *["c &lt; d"] * 9):
        clean.clean(caption, clean.STEPS, report)
    assert report.seen == 12 and report.changed == {"entities": 10, "spaces": 1}
    assert report.examples["entities"][0] == ("a &amp; b", "a & b") and len(report.examples["entities"]) == report.most
    other = clean.Report(3, Counter(nfc=2), {"nfc": [("a", "b")]})
    report.add(other)
    assert report.seen == 15 and report.changed["nfc"] == 2 and report.examples["nfc"] == [("a", "b")]


def test_unknown_steps_are_refused():
    with pytest.raises(TranhError, match="no step is called polish; there are: entities"):
        clean.clean("x", ("polish",))


def test_a_book_is_cut():
    assert len(clean.clean("a " * 10**6)) <= clean.LONGEST


# Spelling


COUNTS = {"yellow": 500, "purple": 300, "planet": 2, "plane": 900, "triangle": 400, "house": 800, "trong": 900}


@pytest.mark.parametrize(
    ("slip", "word"),
    [
        ("yelow", "yellow"),  # one letter less
        ("yelllow", "yellow"),  # one more
        ("yelolw", "yellow"),  # two swapped
        ("purplr", None),  # the last letter makes other words
        ("planet", None),
        ("yollow", "yellow"),  # a vowel for a vowel
        ("trianhle", "triangle"),  # the key beside
        ("trianxle", None),  # another key
        ("horse", None),
        ("tròng", None),  # other diacritics: another word
        ("cat", None),
    ],
)
def test_slips(slip, word):
    assert spelling.repairs({**COUNTS, slip: 1}).get(slip) == word


def test_a_word_seen_often_is_no_slip_and_neither_is_one_of_two_readings():
    assert not spelling.repairs({**COUNTS, "yelow": 50})
    assert not spelling.repairs({"marble": 500, "mabble": 500, "mable": 1})


def test_repairs_keep_capitals():
    assert clean.spelling("A Yelow star, YELOW yelow", {"yelow": "yellow"}) == "A Yellow star, YELLOW yellow"


def test_counting_is_bounded(monkeypatch):
    monkeypatch.setattr(spelling, "MOST_WORDS", 10)
    counts = Counter()
    spelling.count_words(["cat " * 3 + "d" * (i + 1) for i in range(20)], counts)
    assert counts == {"cat": 60}
