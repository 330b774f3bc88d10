"""Doubles are found through what happens to copies, and pictures that are only of one kind are none."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from tranh.data.detect import detect
from tranh.data.doubles import Seen, print_of
from tranh.data.scenes.draw import render
from tranh.data.scenes.layout import scene


def drawn(index, size=128):
    return Image.fromarray(np.asarray(render(scene("two", "train", index), size)))


def again(image, **options):
    out = io.BytesIO()
    image.save(out, **options)
    return Image.open(io.BytesIO(out.getvalue())).convert("RGB")


COPIES = {
    "jpeg": lambda image: again(image, format="JPEG", quality=40),
    "webp": lambda image: again(image, format="WEBP", quality=50),
    "half the size": lambda image: image.resize((64, 64), Image.Resampling.BICUBIC),
    "odd size": lambda image: image.resize((201, 201), Image.Resampling.BILINEAR),
    "a little brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.02),
}


@pytest.mark.parametrize("what", COPIES)
def test_copies_are_near_doubles(what):
    found = 0
    for i in range(20):
        seen = Seen()
        image = drawn(i)
        seen.add("a", "train", print_of(image, "00" * 32))
        double = seen.find(print_of(COPIES[what](image), "01" * 32))
        found += double is not None and not double.exact and (double.key, double.split) == ("a", "train")
    assert found >= 19


def test_pictures_of_one_kind_are_no_doubles():
    digits = detect("digits").read()
    pictures = [Image.open(io.BytesIO(digits[i].read())).convert("RGB").resize((32, 32)) for i in range(600)]
    pictures += [drawn(i, 64) for i in range(100)]
    skins = [Image.new("RGB", (64, 64), "white") for _ in range(4)]  # one shape in four colours
    for k, skin in enumerate(skins):
        skin.paste((240 - 50 * k, 200 - 45 * k, 160 - 40 * k), (12, 8, 52, 60))
    plain = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue", "black", "white", "grey")]
    seen = Seen()
    for number, picture in enumerate([*pictures, *skins, *plain]):
        print_ = print_of(picture, f"{number:064x}")
        assert seen.find(print_) is None, number
        seen.add(str(number), "", print_)


def test_the_same_bytes_are_found_first_and_forgotten_ones_not_at_all():
    seen = Seen()
    first = print_of(drawn(0), "aa" * 32)
    near = seen.add("near", "", print_of(drawn(0), "bb" * 32))
    exact = seen.add("exact", "test", first)
    assert seen.find(first).key == "exact" and seen.find(first).exact
    seen.forget(exact)
    assert seen.find(first).key == "near" and not seen.find(first).exact
    assert seen.find(first, near=False) is None
    seen.forget(near)
    assert seen.find(first) is None


@settings(max_examples=50)
@given(st.integers(0, 2**64 - 1), st.lists(st.integers(0, 63), max_size=3, unique=True))
def test_up_to_three_signs_may_differ(signs, flips):
    from dataclasses import replace

    seen = Seen()
    here = replace(print_of(drawn(0, 32), "aa" * 32), signs=signs)
    seen.add("x", "", here)
    other = signs
    for bit in flips:
        other ^= 1 << bit
    assert seen.find(replace(here, sha256="bb" * 32, signs=other)) is not None
