"""Words, colours and tokens are counted as other implementations count them."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from tranh.data.doctor import captions, colours, words
from tranh.data.doctor.records import alike, quarters
from tranh.data.item import Caption
from tranh.recipes.models import SHIPPED
from tranh.text.tokenizer import Tokenizer

TOKENIZER = Tokenizer.load((SHIPPED / "tranh-1" / "tokenizer.json").read_bytes())
SAID = ("a", "red", "circle", "on", "the", "snow", "một", "hình", "tròn", "đỏ")
TEXTS = st.lists(st.lists(st.sampled_from(SAID), min_size=1), min_size=1)
PIXELS = st.tuples(*[st.integers(0, 255)] * 3)


@given(TEXTS)
def test_tf_idf_is_scikit_learns_without_its_one(texts: list[list[str]]) -> None:
    bag = words.Bag()
    for text in texts:
        bag.count(text)
    reference = TfidfVectorizer(norm=None, tokenizer=str.split, token_pattern=None)
    reference.fit([" ".join(text) for text in texts])
    idf = dict(zip(reference.get_feature_names_out(), reference.idf_ - 1, strict=True))
    for word, score in bag.tf_idf(100):
        share = sum(text.count(word) / len(text) for text in texts)
        assert score == pytest.approx(share * idf[word] / len(texts))


@given(TEXTS, st.integers(0, 5))
def test_bags_add_up(texts: list[list[str]], at: int) -> None:
    whole, first, second = words.Bag(), words.Bag(), words.Bag()
    for i, text in enumerate(texts):
        whole.count(text)
        (first if i < at else second).count(text)
    first.add(second)
    assert dict(first.shares) == pytest.approx(dict(whole.shares))
    first.shares = whole.shares
    assert first == whole


def test_a_bag_forgets_the_rarest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "MOST", 10)
    bag, more = words.Bag(), words.Bag()
    bag.count([f"w{i}" for i in range(11)] + ["often"] * 5)
    bag.add(more)
    assert bag.lost and len(bag.times) == 5 and bag.times["often"] == 5


@given(PIXELS)
def test_hsv_is_pythons(pixel: tuple[int, int, int]) -> None:
    hue, saturation, value = colours.hsv(np.array([pixel], np.uint8))[0]
    h, s, v = colorsys.rgb_to_hsv(*(c / 255 for c in pixel))
    assert (saturation, value) == (pytest.approx(s), pytest.approx(v))
    assert min(abs(hue - 360 * h), 360 - abs(hue - 360 * h)) < 1e-6


@pytest.mark.parametrize(  # the published values for the corners of sRGB under D65 (Lindbloom)
    ("pixel", "lab"),
    [
        ((255, 255, 255), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((255, 0, 0), (53.2408, 80.0925, 67.2032)),
        ((0, 255, 0), (87.7347, -86.1827, 83.1793)),
        ((0, 0, 255), (32.2970, 79.1875, -107.8602)),
        ((128, 128, 128), (53.5850, 0, 0)),
    ],
)
def test_lab_is_the_published_one(pixel: tuple[int, int, int], lab: tuple[float, float, float]) -> None:
    assert colours.lab(np.array([pixel], np.uint8))[0] == pytest.approx(lab, abs=0.02)


def test_every_picture_counts_the_same() -> None:
    one, two, both = colours.Colours(), colours.Colours(), colours.Colours()
    rng = np.random.default_rng(0)
    for part, shape in ((one, (32, 32, 3)), (two, (8, 8, 3))):
        pixels = rng.integers(0, 256, shape, dtype=np.uint8)
        part.count(pixels)
        both.count(pixels)
    one.add(two)
    assert both.pictures == one.pictures == 2 and both.shares["RGB"].sum() == pytest.approx(6)
    assert all(np.allclose(one.shares[name], both.shares[name]) for name in colours.RANGES)


@given(st.text(st.characters(codec=None), max_size=200), st.sampled_from(("", "en", "vi")))
def test_no_caption_is_fatal(text: str, language: str) -> None:
    one = captions.counted(Caption(text, language), TOKENIZER)
    met = list(captions.of_picture("a/b.png", [one, one], 128, False))
    assert all(m.kind and isinstance(m.note, str) for m in met)
    assert bool([m for m in met if m.kind == "lone surrogate"]) <= any("\ud800" <= c <= "\udfff" for c in text)


GOOD = (
    "A dog's ball (red), 50 % off: 3 × 4 cm – “nice”…", "Photo 1: a child on a beach", "7", "picture 12", "red circle",
    "Một cô gái mặc áo dài đỏ đứng trước chợ Bến Thành", "CAFÉ’S TERRACE IN MANHÃ’", "El niño come una piñata",
    "Ein Mädchen läuft über die Straße", "une fête à l’école où l’on chante", "a 👩🏽‍🚀 in space ❤️ 🇻🇳",
    "图片里有一只猫", "Кошка сидит на окне", "مكتوب بالعربية \u200fهنا", "a cat & a dog <3", "C# logo", "2 < 3 > 1",
    "very very tall tower", "đ", "na", "a sign that says “OPEN”", "the letter α beside β", "5 km/h", "what? who? me?",
)  # fmt: skip


@pytest.mark.parametrize("text", GOOD)
def test_good_captions_are_left_in_peace(text: str) -> None:
    one = captions.counted(Caption(text), TOKENIZER)
    met = list(captions.of_picture("a/0001.png", [one], 128, False))
    assert {m.kind for m in met} <= {"all capitals"}, met


@given(st.integers(0, 2**64 - 1), st.lists(st.integers(0, 63), max_size=3))
def test_three_signs_leave_a_quarter_equal(signs: int, flips: list[int]) -> None:
    other = signs
    for flip in flips:
        other ^= 1 << flip
    assert set(quarters(signs)) & set(quarters(other))


def test_alike_is_told_by_shape_and_colour() -> None:
    rng = np.random.default_rng(0)
    one = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
    assert alike(one.tobytes(), np.clip(one.astype(int) + 2, 0, 255).astype(np.uint8).tobytes())
    assert not alike(one.tobytes(), one[::-1].tobytes())
    assert not alike(one.tobytes(), one[..., ::-1].tobytes())
