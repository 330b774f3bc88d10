"""Animations: frames come back, times and repetition are kept, settings are inside, nothing half is left."""

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageSequence

from tranh.engine.animated import check_animation, settings_of, write
from tranh.types import TranhError

SETTINGS = {"prompt": "một con mèo <\"buồn\"> & 'chó'", "seeds": [1, 2], "loop": True}


def frames(count=5, side=32):
    """A bar that moves, in a few plain colours."""
    out = []
    for k in range(count):
        pixels = np.full((side, side, 3), (200, 60, 30), np.uint8)
        pixels[:, 4 * k : 4 * k + 8] = (20, 40, 180)
        out.append(Image.fromarray(pixels))
    return out


def written(path, **options):
    *_, last = write(frames(), path, SETTINGS, **options)
    assert last.result == path and last.done == last.total
    return path


def read(path):
    if path.suffix == ".mp4":
        with av.open(str(path)) as file:
            return [frame.to_image() for frame in file.decode(video=0)]
    with Image.open(path) as image:
        return [frame.convert("RGB") for frame in ImageSequence.Iterator(image)]


@pytest.mark.parametrize("suffix, off", [(".webp", 0), (".gif", 0), (".mp4", 12)])
def test_frames_and_settings_come_back(tmp_path, suffix, off):
    path = written(tmp_path / f"walk{suffix}", fps=10)
    again = read(path)
    assert len(again) == 5
    for one, true in zip(again, frames(), strict=True):
        assert np.abs(np.asarray(one).astype(int) - np.asarray(true)).mean() <= off
    assert settings_of(path) == SETTINGS
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("loop", [True, False])
@pytest.mark.parametrize("suffix", [".webp", ".gif"])
def test_repetition_and_times_are_kept(tmp_path, suffix, loop):
    path = written(tmp_path / f"walk{suffix}", fps=8, loop=loop)
    with Image.open(path) as image:
        assert image.info.get("loop") == (0 if loop else 1 if suffix == ".webp" else None)
        total = 0
        for k in range(image.n_frames):
            image.seek(k)
            image.load()
            total += image.info["duration"]
    assert total == pytest.approx(5 * 1000 / 8, abs=25)


def test_odd_sides_of_a_film_are_made_even(tmp_path):
    *_, _ = write(frames(3, 31), tmp_path / "odd.mp4", {}, fps=24)
    again = read(tmp_path / "odd.mp4")
    assert {one.size for one in again} == {(32, 32)} and len(again) == 3
    with av.open(str(tmp_path / "odd.mp4")) as file:
        assert float(file.streams.video[0].average_rate) == 24


def test_a_palette_serves_all_frames(tmp_path):
    """A gradient that is the same in every frame is the same in every frame of the GIF."""
    shade = np.linspace(0, 255, 64).astype(np.uint8)
    still = np.stack([np.tile(shade, (64, 1))] * 3, -1)
    two = []
    for colour in ((255, 0, 0), (0, 255, 0)):
        pixels = still.copy()
        pixels[:8] = colour
        two.append(Image.fromarray(pixels))
    *_, _ = write(two, tmp_path / "two.gif", {})
    a, b = read(tmp_path / "two.gif")
    assert (np.asarray(a)[8:] == np.asarray(b)[8:]).all()


@pytest.mark.parametrize("suffix", [".webp", ".gif", ".mp4"])
def test_stopped_half_way_nothing_is_left(tmp_path, suffix):
    writing = write(frames(), tmp_path / f"walk{suffix}", SETTINGS)
    next(writing)
    writing.close()
    assert list(tmp_path.iterdir()) == []


def test_refusals_come_before_any_frame_is_drawn(tmp_path):
    def drawn():
        raise AssertionError("a frame was drawn")
        yield

    for path, why in (("walk.png", "suffix"), ("none/walk.gif", "does not exist"), (".", "is a folder")):
        with pytest.raises(TranhError, match=why):
            next(write(drawn(), tmp_path / path, {}))
        with pytest.raises(TranhError, match=why):
            check_animation(tmp_path / path)
    for fps in (0, -1, 1000):
        with pytest.raises(TranhError, match="frames per second"):
            next(write(drawn(), tmp_path / "a.gif", {}, fps=fps))
    with pytest.raises(TranhError, match="one size"):
        next(write([Image.new("RGB", (8, 8)), Image.new("RGB", (9, 8))], tmp_path / "a.gif", {}))
    with pytest.raises(TranhError, match="needs frames"):
        next(write([], tmp_path / "a.gif", {}))
    assert list(Path(tmp_path).iterdir()) == []
