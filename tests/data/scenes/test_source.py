"""What is drawn once is kept, and is what drawing on the spot gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tranh.data.scenes.draw import render
from tranh.data.scenes.frames import render_frames, sequence
from tranh.data.scenes.layout import scene
from tranh.data.scenes.pairs import faulty, pair
from tranh.data.scenes.source import cached, drawn, drawn_faulty, drawn_frames, drawn_pairs


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRANH_CACHE", str(tmp_path))
    return tmp_path


def test_kept_pictures_are_those_drawn_on_the_spot(cache: Path) -> None:
    seen: list[tuple[int, int]] = []
    assert np.array_equal(
        drawn("one", "test", 16, 3, lambda *n: seen.append(n))[2], render(scene("one", "test", 2), 16)
    )
    one = pair("two", "test", 1)
    assert np.array_equal(drawn_pairs("two", "test", 16, 2)[1], [render(one.before, 16), render(one.after, 16)])
    assert np.array_equal(drawn_faulty("two", "test", 16, 2)[1], render(faulty("two", "test", 1).scene, 16))
    assert np.array_equal(drawn_frames("test", 16, 2)[1], render_frames(sequence("test", 1), 16))
    assert seen == [(3, 3)] and len(list(cache.iterdir())) == 4


def _fails(index: int) -> np.ndarray:
    raise AssertionError("drawn again")


def test_what_is_kept_is_not_drawn_again(cache: Path) -> None:
    np.save(cache / "a-2.npy", np.ones((2, 4, 4, 3), np.uint8))
    assert cached("a", 2, _fails).sum() == 2 * 4 * 4 * 3
    with pytest.raises(AssertionError, match="drawn again"):
        cached("b", 2, _fails)
    assert [path.name for path in cache.iterdir()] == ["a-2.npy"]
