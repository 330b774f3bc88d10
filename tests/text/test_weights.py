"""Weights in prompts: what is a weight, what is a bracket, and which words are meant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tranh.text.weights import Span, parse, without
from tranh.text.words import WORD
from tranh.types import TranhError


@pytest.mark.parametrize(
    ("prompt", "text", "spans"),
    [
        ("a red circle", "a red circle", ()),
        ("a (red:1.4) circle", "a red circle", (Span(1, 2, 1.4),)),
        ("(a large: 0,5) circle", "a large circle", (Span(0, 2, 0.5),)),
        ("một hình tròn (đỏ:1.2)", "một hình tròn đỏ", (Span(3, 4, 1.2),)),
        ("a (red:1.4)circle", "a red circle", (Span(1, 2, 1.4),)),
        ("(red:2)(blue:0)", "red blue", (Span(0, 1, 2.0), Span(1, 2, 0.0))),
        ("a circle (large)", "a circle (large)", ()),
        (r"a \(red:1.4\) circle", "a (red:1.4) circle", ()),
        (r"a (\(red\):1.4) circle", "a (red) circle", (Span(1, 2, 1.4),)),
        (r"a \\ circle", "a \\ circle", ()),
        ("(a (red:1.4) circle)", "(a red circle)", (Span(1, 2, 1.4),)),
    ],
)
def test_what_is_a_weight(prompt, text, spans):
    found = parse(prompt)
    assert (found.text, found.spans) == (text, spans)


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        ("a (red:loud) circle", "'loud' is no weight"),
        ("a (red:4) circle", "0 .as if unsaid. to 3"),
        ("a (red:-1) circle", "'-1' is no weight"),
        ("a (red:) circle", "is no weight"),
        ("a (:1.4) circle", "weighs no words"),
        ("a ((red:1.4) circle:1.2)", "not nested"),
        ("a \ue000 circle", "private range"),
    ],
)
def test_what_cannot_be_meant_is_said(prompt, says):
    with pytest.raises(TranhError, match=says):
        parse(prompt)


@pytest.mark.parametrize(
    ("text", "spans", "left"),
    [
        ("a red circle", [Span(1, 2, 1.4)], "a circle"),
        ("a circle, red, on snow", [Span(2, 3, 0)], "a circle, on snow"),
        ("red", [Span(0, 1, 2)], ""),
        ("a large red circle", [Span(1, 2, 2), Span(2, 3, 2)], "a circle"),
    ],
)
def test_without_the_words(text, spans, left):
    assert without(text, spans) == left


@given(
    st.lists(st.tuples(st.sampled_from(["red", "đỏ", "a", "large circle"]), st.floats(0, 3) | st.none()), min_size=1)
)
def test_spans_are_the_words_that_were_marked(pieces):
    typed = " ".join(words if w is None else f"({words}:{w:.3f})" for words, w in pieces)
    found = parse(typed)
    assert found.text == " ".join(words for words, _ in pieces)
    marked = [words for words, w in pieces if w is not None]
    said = WORD.findall(found.text)
    assert [" ".join(said[span.first : span.last]) for span in found.spans] == marked
