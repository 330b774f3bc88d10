"""Sequences move as they say, in a straight line and at an even pace, and stay what they are."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from reading import FRENCH

from tranh.data.scenes.draw import AS_SAID, Look, render, svg
from tranh.data.scenes.facts import canonical, difference, visible
from tranh.data.scenes.frame_captions import told
from tranh.data.scenes.frames import DIRECTIONS, FRAMES, MOTIONS, Moving, labels, render_frames, sequence
from tranh.data.scenes.labels import THING_FIELDS
from tranh.data.scenes.layout import combinations, held_out, is_unseen
from tranh.data.scenes.palette import COLOUR, mix
from tranh.data.scenes.world import KINDS, RADIUS, Scene, Thing

COUNT = 48


@cache
def some(split: str = "train") -> tuple[Moving, ...]:
    return tuple(sequence(split, i) for i in range(COUNT))


def of(motion: str) -> list[Moving]:
    return [m for m in some() if m.motion == motion]


def test_random_access_needs_no_order() -> None:
    assert sequence("test", 123456) == sequence("test", 123456) != sequence("test", 123468)
    assert Counter(m.motion for m in some()) == dict.fromkeys(MOTIONS, COUNT // len(MOTIONS))


@pytest.mark.parametrize("motion", DIRECTIONS)
def test_a_thing_goes_its_way_at_an_even_pace(motion: str) -> None:
    for m in of(motion):
        steps = np.diff(np.array(m.centres), axis=0)
        assert np.allclose(steps, steps.mean(0), atol=2e-4)
        assert np.array_equal(np.sign(np.round(steps.sum(0), 3)), DIRECTIONS[motion])
        assert np.abs(steps.sum(0)).max() >= 0.38
        assert m.looks == (AS_SAID,) * FRAMES and len({m.radii}) == 1


def test_growing_and_shrinking_go_from_one_named_size_to_another() -> None:
    for m in (*of("grow"), *of("shrink")):
        steps = np.diff(m.radii)
        assert np.allclose(steps, steps[0]) and (steps[0] > 0) == (m.motion == "grow")
        ends = m.radii if m.motion == "grow" else m.radii[::-1]
        assert ends[0] == pytest.approx(RADIUS["small"]) and ends[-1] == pytest.approx(RADIUS["large"])
        assert all(abs(RADIUS[s.things[m.subject].size] - r) <= 0.036 for s, r in zip(m.scenes, m.radii, strict=True))


def test_appearing_begins_with_nothing_and_ends_with_all() -> None:
    for m in of("appear"):
        shares = [look.opacity for look in m.looks]
        assert shares == sorted(shares) and shares[0] == 0 and shares[-1] == 1 and any(0 < s < 1 for s in shares)
        assert [len(s.things) - m.subject for s in m.scenes] == [int(share > 0) for share in shares]
        assert np.array_equal(render_frames(m)[0], render(replace(m.scenes[0], things=m.scenes[0].things[: m.subject])))


def test_changing_colour_goes_straight_from_one_to_the_other() -> None:
    for m in of("recolour"):
        first, last = (s.things[m.subject] for s in (m.scenes[0], m.scenes[-1]))
        assert first.colour != last.colour
        a, b = np.array(COLOUR[first.colour, first.shade]), np.array(COLOUR[last.colour, last.shade])
        shares = [np.dot(look.body - a, b - a) / np.dot(b - a, b - a) for look in m.looks if look.body is not None]
        assert shares == sorted(shares) and 0 < shares[0] and shares[-1] < 1


def test_frames_differ_only_where_the_thing_is() -> None:
    grid = (np.arange(64) + 0.5) / 64
    for m in some()[4:16]:
        frames = render_frames(m)
        assert frames.shape == (FRAMES, 64, 64, 3) and frames.dtype == np.uint8
        x, y = np.array(m.centres).T
        reach = np.array(m.radii) + 0.05
        near = (abs(grid[None, None] - x[:, None, None]) < reach[:, None, None]) & (
            abs(grid[None, :, None] - y[:, None, None]) < reach[:, None, None]
        )  # (16, row, column)
        far = ~(near[0] | near)
        assert all(np.array_equal(f[mask], frames[0][mask]) for f, mask in zip(frames, far, strict=True))


def test_the_thing_is_where_its_centre_says() -> None:
    disc = Thing("circle", "red", "normal", "small", "normal", "flat", None, 0.5, 0.5)
    m = next(m for m in of("down_right") if len(m.scenes[0].things) == 1)
    scenes = tuple(Scene("plain_white", "plain", "flat", (replace(disc, x=x, y=y),), (), ((0,),)) for x, y in m.centres)
    empty = render(Scene("plain_white", "plain", "flat", ())).astype(int)
    for frame, (x, y) in zip(render_frames(replace(m, scenes=scenes)), m.centres, strict=True):
        rows, columns = np.nonzero(np.abs(frame - empty).sum(-1) > 60)
        assert ((columns.mean() + 0.5) / 64, (rows.mean() + 0.5) / 64) == pytest.approx((x, y), abs=0.01)


def test_every_frame_is_canonical_and_obeys_its_split() -> None:
    for m in some():
        kind = m.scenes[-1].things[m.subject].kind
        assert all(canonical(s) == s for s in m.scenes) and not held_out(kind, m.motion)
        assert not any(held_out(*c) for s in m.scenes for c in combinations(s))
    for m in some("unseen")[:24]:
        assert is_unseen(m.scenes[-1]) or held_out(m.scenes[-1].things[m.subject].kind, m.motion)
    assert 0.05 < np.mean([held_out(k, m) for k in KINDS for m in MOTIONS]) < 0.15


def test_what_is_between_two_words_is_no_fact() -> None:
    for m in some():
        for k in range(FRAMES):
            own = {f.group for f in m.shown(k) if f.subject == m.subject}
            if m.looks[k] == AS_SAID:
                assert m.shown(k) == visible(m.scenes[k])
            elif m.motion == "appear":
                assert not own
            else:
                assert "kind" in own and not own & ({"colour", "shade"} if m.motion == "recolour" else {"size"})


def test_a_look_changes_a_picture_only_where_it_says_so() -> None:
    thing = Thing("cat", "blue", "normal", "small", "normal", "striped", "happy", 0.5, 0.5)
    scene = Scene("beach", "soft_shadow", "flat", (thing,), (), ((0,),))
    assert svg(scene, {0: Look()}) == svg(scene)
    larger = Look(scale=RADIUS["large"] / RADIUS["small"], body=mix(COLOUR["blue", "normal"], (0, 0, 0), 0.0))
    named = render(replace(scene, things=(replace(thing, size="large"),)))
    assert difference(render(scene, looks={0: larger}), named) < 1 < difference(render(scene), named)
    gone = render(replace(scene, things=(), groups=()))
    assert np.array_equal(render(scene, looks={0: Look(opacity=0.0)}), gone)


BALL = Thing("ball", "red", "normal", "small", "normal", "flat", None, 0.2, 0.5)


def moving(motion: str, **last: str) -> Moving:
    scene = Scene("plain_white", "plain", "flat", (BALL,), (), ((0,),))
    end = replace(scene, things=(replace(BALL, **last),))  # type: ignore[arg-type]
    return Moving((scene,) * 15 + (end,), (AS_SAID,) * 16, motion, ((0.2, 0.5),) * 16, (0.1,) * 16)


@pytest.mark.parametrize(
    ("m", "english", "vietnamese", "french"),
    [
        (moving("right"), "a red ball moving from left to right", "một quả bóng đỏ đi từ trái sang phải",
         "un ballon rouge qui va de gauche à droite"),
        (moving("up_left"), "a red ball moving up to the left", "một quả bóng đỏ di chuyển lên phía trái",
         "un ballon rouge qui monte vers la gauche"),
        (moving("grow"), "a red ball growing", "một quả bóng đỏ lớn dần", "un ballon rouge qui grandit"),
        (moving("appear"), "a red ball appearing", "một quả bóng đỏ xuất hiện", "un ballon rouge qui apparaît"),
        (moving("recolour", colour="blue"), "a red ball turning blue", "một quả bóng đỏ chuyển sang màu xanh dương",
         "un ballon rouge qui devient bleu"),
    ],
)  # fmt: skip
def test_a_motion_is_said_in_every_language(m: Moving, english: str, vietnamese: str, french: str) -> None:
    for language, wanted in (("en", english), ("vi", vietnamese), (FRENCH, french)):
        assert wanted in {told(m, language, random.Random(seed), dense=False) for seed in range(200)}


def test_a_caption_says_no_place_of_what_moves() -> None:
    for i, m in enumerate(some()):
        if m.motion in DIRECTIONS and len(m.scenes[0].things) == 1:
            text = told(m, "en", random.Random(i))
            assert not any(word in text.split(" moving")[0] for word in ("corner", " at the ", "centre", "middle"))
            assert told(m, "vi_unmarked", random.Random(i)).isascii()


def test_labels_say_what_moves_and_how() -> None:
    found = labels(some())
    assert {name: tuple(t.shape[1:]) for name, t in found.items()} == {
        "motion": (), "subject": (8,), "first": (8,), "centres": (16, 2), "radii": (16,), "present": (16,),
    }  # fmt: skip
    kinds, colours = (list(THING_FIELDS).index(group) for group in ("kind", "colour"))
    for b, m in enumerate(some()):
        last = m.scenes[-1].things[m.subject]
        assert MOTIONS[found["motion"][b]] == m.motion
        assert THING_FIELDS["kind"][found["subject"][b, kinds]] == last.kind
        changed = found["subject"][b, colours] != found["first"][b, colours]
        assert bool(changed) == (m.motion == "recolour")


def test_what_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="no 'dance'"):
        sequence("train", 0, "dance")
