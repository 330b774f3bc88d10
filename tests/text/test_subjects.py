"""Names that were taught: how they are read, and that all else is read as before."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tranh.text.subjects import NamingTokenizer, bracketed, checked_name, spoken_of, with_names
from tranh.text.tokenizer import BOS, EOS, Tokenizer
from tranh.text.words import Words
from tranh.types import TranhError

CAPTIONS = ["a large red circle on a beach", "một hình tròn đỏ lớn", "a star, left of a cat"] * 3
BASE = Tokenizer.train(CAPTIONS)
NAMING = NamingTokenizer(BASE, {"zorgle": [900, 901], "bibo": [902]})


@pytest.mark.parametrize("text", ["a large <zorgle> on a beach", "a large zorgle on a beach"])
def test_a_name_is_read_as_its_tokens_where_it_stands(text):
    before, after = (BASE.ids(part) for part in ("a large", "on a beach"))
    assert NAMING.ids(text) == [*before, 900, 901, *after]


def test_several_names_each_time_they_come_and_marks_beside_them():
    assert NAMING.ids("<zorgle>, <bibo>, <zorgle>").count(900) == 2
    assert [n for n in NAMING.ids("<zorgle>, một <bibo>") if n >= 900] == [900, 901, 902]
    assert BASE.ids(",")[-1] in NAMING.ids("<zorgle>, <bibo>")
    assert not {900, 901} & set(NAMING.ids("zorgles and azorgle"))


def test_a_batch_is_read_as_each_alone():
    tokens, mask = NAMING.encode(["a <zorgle>", "", "a star"], multiple=8)
    assert tokens[0][mask[0]].tolist() == [BOS, *NAMING.ids("a <zorgle>"), EOS]
    plain, real = BASE.encode(["", "a star"], multiple=8)
    assert torch.equal(tokens[1:], plain) and torch.equal(mask[1:], real)


@given(st.text(alphabet="abc red<>, é", max_size=20))
def test_without_a_name_everything_is_read_as_before(text):
    assert NAMING.ids(text) == BASE.ids(text)


def test_which_names_a_prompt_has():
    assert spoken_of("a <bibo> above a zorgle", ["zorgle", "bibo", "other"]) == ["bibo", "zorgle"]
    assert bracketed("a <bibo> and a <new> zorgle") == ["bibo", "new"]


@pytest.mark.parametrize("name", ["", "two words", "x", "1st", "a-b", "../up", "q" * 33, "Circle"])
def test_what_cannot_be_a_name(name):
    with pytest.raises(TranhError):
        checked_name(name, Words.count(CAPTIONS))


def test_a_name_is_kept_as_prompts_are_read():
    assert checked_name("<Zorgle>") == "zorgle" and checked_name("Bạch") == "bạch"
    words = with_names(Words.count(CAPTIONS), ["zorgle"])
    assert "zorgle" in words and "circle" in words
