"""The tokenizer: nothing is lost, nothing is cut in silence, and the same captions make the same tokenizer."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tranh.text.normalise import normalise
from tranh.text.tokenizer import BOS, EOS, NULL, PAD, SPECIAL, Tokenizer, TooLong
from tranh.types import TranhError

ANY = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60)


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=ANY)
def test_any_text_survives(tokenizer: Tokenizer, text: str) -> None:
    text = normalise(text)
    ids = tokenizer.ids(text)
    assert tokenizer.decode(ids) == text
    assert all(i >= len(SPECIAL) for i in ids)


def test_captions_survive_and_are_short(tokenizer: Tokenizer, every: list[str]) -> None:
    tokens, mask = tokenizer.encode(every)
    assert tokens.dtype == torch.int64 and mask.dtype == torch.bool
    for row, real, caption in zip(tokens[::50], mask[::50], every[::50], strict=True):
        assert tokenizer.decode(row[real].tolist()) == caption
    assert len(tokenizer) <= 4096


def test_vietnamese_costs_little_more_than_english(tokenizer: Tokenizer, corpus: dict[str, list[str]]) -> None:
    def tokens(language: str) -> int:
        return sum(len(tokenizer.ids(caption)) for caption in corpus[language])

    def per_word(language: str) -> float:
        return tokens(language) / sum(len(caption.split()) for caption in corpus[language])

    for language in ("vi", "unmarked"):
        assert per_word(language) <= 1.5 * per_word("en")
        # The same scenes cost at most half as much again, even though Vietnamese writes every syllable apart.
        assert tokens(language) <= 1.5 * tokens("en")


def test_training_twice_gives_the_same_bytes(every: list[str], tokenizer: Tokenizer) -> None:
    again = Tokenizer.train(every)
    assert again.save() == tokenizer.save()
    assert Tokenizer.load(again.save()).save() == again.save()
    assert Tokenizer.load(again.save()).ids(every[7]) == tokenizer.ids(every[7])


def test_rows_are_framed_and_padded(tokenizer: Tokenizer) -> None:
    tokens, mask = tokenizer.encode(["a red circle", "một hình tròn đỏ bóng lớn", ""], multiple=8)
    assert tokens.shape == mask.shape == (3, 8)
    assert tokens[0, 0] == BOS and tokens[0, mask[0]][-1] == EOS
    assert (tokens[~mask] == PAD).all() and (tokens[mask] != PAD).all()
    assert tokens[2, :3].tolist() == [BOS, NULL, EOS]
    assert torch.equal(tokens[2:, :3], tokenizer.null()[0])
    assert tokenizer.encode([])[0].shape == (0, 0)


def test_a_caption_does_not_depend_on_its_company(tokenizer: Tokenizer, every: list[str]) -> None:
    alone, _ = tokenizer.encode(every[3:4])
    together, mask = tokenizer.encode(every[:20])
    assert together[3][mask[3]].tolist() == alone[0].tolist()


def test_typed_special_tokens_are_plain_text(tokenizer: Tokenizer) -> None:
    ids = tokenizer.ids("<pad><eos> <null>")
    assert min(ids) >= len(SPECIAL)
    assert tokenizer.decode(ids) == "<pad><eos> <null>"


def test_too_long_is_refused_and_says_where(every: list[str]) -> None:
    tokenizer = Tokenizer.train(every, max_length=8)
    with pytest.raises(TooLong, match=r"has \d+ tokens and this model reads 8; shorten it.*'cat"):
        tokenizer.encode(["a circle a circle a circle cat " * 3])
    notices: list[str] = []
    tokens, _ = tokenizer.encode(["a circle a circle a circle cat", "a circle"], notice=notices.append)
    assert tokens.shape == (2, 8) and tokens[0, -1] == EOS
    assert len(notices) == 1 and "shorten" in notices[0]
    assert tokenizer.encode(["a circle"])[0].shape[1] <= 8


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"format": 99, "tokens": []}', b"\xff"])
def test_a_file_that_is_no_tokenizer_is_refused(data: bytes) -> None:
    with pytest.raises(TranhError, match=r"tokenizer\.json"):
        Tokenizer.load(data)
