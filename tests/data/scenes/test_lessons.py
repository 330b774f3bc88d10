"""Lessons: batches say exactly what was asked, of which picture, and they repeat."""

import numpy as np
import pytest
import torch

from tranh.data.scenes import lessons
from tranh.data.scenes.depth import depth
from tranh.data.scenes.draw import render
from tranh.data.scenes.frames import render_frames, sequence
from tranh.data.scenes.layout import scene
from tranh.data.scenes.lessons import OF_FAULTY, Deep, Instructed, MovingScenes
from tranh.data.scenes.pairs import faulty, pair
from tranh.nn.pixels import to_pixels


def tokenize(captions):
    """Letters as tokens: enough to see which words a row has."""
    rows = [[1, *(4 + ord(letter) % 90 for letter in caption[:20])] for caption in captions]
    tokens = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.int64)
    for k, row in enumerate(rows):
        tokens[k, : len(row)] = torch.tensor(row)
    return tokens, tokens > 0


@pytest.fixture(scope="module")
def cached(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRANH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def instructed(cached):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lessons, "OF_FAULTY", 0.4)
        yield Instructed(tokenize, levels={"one": 0.5, "two": 0.5}, size=16, count=12, changes=12, patches=2, asked=0.6)


def of(ids, kind):
    return [(k, "one" if (i >> 40) & 15 == 0 else "two", i & 0xFFFF) for k, i in enumerate(ids) if i >> 44 == kind]


def test_instructions_stand_beside_captions_with_the_picture_before_and_after(instructed):
    batch = instructed.batch(0, 48, 0)
    before, after = to_pixels(batch.labels["before"]), to_pixels(batch.images)
    good = of(batch.ids.tolist(), lessons.PAIRS)
    assert 10 < len(good) < 35
    for k, level, i in good:
        found = pair(level, "train", i)
        assert np.array_equal(before[k], render(found.before, 16)) and np.array_equal(after[k], render(found.after, 16))
        assert batch.labels["fault"][k] == 0
    plain = of(batch.ids.tolist(), 0)
    assert plain and all(batch.labels["fault"][k] == -1 for k, _, _ in plain)


def test_what_cannot_be_done_leaves_the_picture_and_says_why(instructed):
    batch = instructed.batch(1, 48, 0)
    wrong = of(batch.ids.tolist(), lessons.FAULTY)
    assert wrong and OF_FAULTY < 0.5
    for k, level, i in wrong:
        found = faulty(level, "train", i)
        assert batch.labels["fault"][k] == {"missing": 1, "ambiguous": 2}[found.why]
        assert torch.equal(batch.images[k], batch.labels["before"][k])
        assert np.array_equal(to_pixels(batch.images[k : k + 1])[0], render(found.scene, 16))


@pytest.mark.parametrize("kind", ["instructed", "moving"])
def test_a_batch_repeats_and_another_is_another(kind, request):
    source = request.getfixturevalue(kind)
    one, again, other = source.batch(3, 8, 0), source.batch(3, 8, 0), source.batch(4, 8, 0)
    assert one.captions == again.captions and torch.equal(one.labels["before"], again.labels["before"])
    assert torch.equal(one.ids, again.ids) and one.captions != other.captions
    assert source.validation(0, 4).labels["fault"].shape == (4,)


@pytest.fixture(scope="module")
def moving(cached):
    return MovingScenes(tokenize, size=16, sequences=12, patches=2)


def test_moving_pictures_are_told_when_and_begin_with_their_first_frame(moving):
    batch = moving.batch(0, 40, 0)
    frames = {i: render_frames(sequence("train", i), 16) for i in range(12)}
    starts = 0
    for k, number in enumerate(batch.ids.tolist()):
        i, frame = divmod(number & 0xFFFF, 16)
        assert np.array_equal(to_pixels(batch.images[k : k + 1])[0], frames[i][frame])
        assert np.array_equal(to_pixels(batch.labels["before"][k : k + 1])[0], frames[i][0])
        assert batch.labels["moment"][k] == pytest.approx(frame / 15)
        if batch.labels["fault"][k] == -1:
            starts += 1
            assert frame == 0
    assert 0 < starts < 20 and len(moving) == 12 * 16


def test_every_pixel_has_its_depth(cached):
    source = Deep(tokenize, levels={"one": 0.3, "full": 0.7}, size=16, count=6)
    batch = source.batch(0, 12, 0)
    for k, number in enumerate(batch.ids.tolist()):
        level, i = ("one", "two", "full")[(number >> 40) & 15], number & 0xFFFF
        assert np.array_equal(batch.labels["depth"][k].numpy(), depth(scene(level, "train", i), 16))
