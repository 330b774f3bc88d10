"""Windows of Scenes: parts of the pictures, where the smaller picture has whole pixels, the same for the same key."""

import pytest
import torch

from tranh.data.scenes import windows
from tranh.data.scenes.draw import render
from tranh.data.scenes.layout import scene
from tranh.data.scenes.windows import EACH, Windows, window


def tokenize(captions):
    return torch.ones(len(captions), 2, dtype=torch.int64), torch.ones(len(captions), 2, dtype=torch.bool)


@pytest.mark.parametrize("index", [0, 7, 8, 21])
def test_a_window_is_a_part_of_its_picture(index):
    got = window("one", "test", index, 32, (64, 96))
    side = (64, 96)[index // EACH % 2]
    whole = render(scene("one", "test", index // EACH), side)
    places = [
        (y, x)
        for y in range(0, side - 31, windows.STEP)
        for x in range(0, side - 31, windows.STEP)
        if (whole[y : y + 32, x : x + 32] == got).all()
    ]
    assert places and got.shape == (32, 32, 3)


@pytest.mark.parametrize("index", [0, 3])
def test_a_window_as_large_as_the_picture_is_the_picture(index):
    assert (window("one", "test", index, 64, (64,)) == render(scene("one", "test", index), 64)).all()


def test_batches_are_of_their_step_and_seed(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANH_CACHE", str(tmp_path))
    source = Windows(tokenize, {"one": 1.0}, windows=[32, 64], size=32, count=16)
    first = source.batch(3, 5, 0)
    assert first.images.shape == (5, 3, 32, 32) and first.captions == [""] * 5 and len(source) == 16
    again = Windows(tokenize, {"one": 1.0}, windows=[32, 64], size=32, count=16).batch(3, 5, 0)
    assert torch.equal(first.images, again.images) and torch.equal(first.ids, again.ids)
    assert not torch.equal(first.ids, source.batch(4, 5, 0).ids)
    held = source.validation(0, 4)
    assert not set(held.ids.tolist()) & set(first.ids.tolist())
    assert held.images.abs().max() <= 1


@pytest.mark.parametrize("wrong", [{"windows": [16]}, {"windows": []}, {"split": "none"}, {"levels": {"none": 1.0}}])
def test_what_cannot_be_cut_is_refused(wrong, tmp_path, monkeypatch):
    monkeypatch.setenv("TRANH_CACHE", str(tmp_path))
    with pytest.raises(ValueError):
        Windows(tokenize, **({"levels": {"one": 1.0}, "windows": [64], "size": 32, "count": 8} | wrong))
