"""Emblems are told apart, and can be shown anywhere, together and beside things that have names."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from tranh.data.scenes.draw import render
from tranh.data.scenes.emblems import ASKED, DISTRACTORS, Placed, View, described, emblem, render_view, view
from tranh.data.scenes.facts import difference
from tranh.data.scenes.layout import is_unseen
from tranh.data.scenes.world import Scene

PLAIN = Scene("plain_grey", "plain", "flat", ())


@cache
def alone(index: int, x: float = 0.5, y: float = 0.5, radius: float = 0.3) -> np.ndarray:
    return render_view(View(PLAIN, (Placed(emblem(index), x, y, radius),)))


def test_an_emblem_is_its_number() -> None:
    assert emblem(7) == emblem(7) != emblem(8)
    assert len(ASKED) == 10 and len(DISTRACTORS) == 50 and not set(ASKED) & set(DISTRACTORS)


def test_no_two_look_alike() -> None:
    pictures = [alone(i) for i in (*ASKED, *DISTRACTORS)]
    body = difference(render(PLAIN), pictures[0])
    apart = [difference(a, b) for i, a in enumerate(pictures) for b in pictures[:i]]
    assert min(apart) > 200 and min(apart) > 0.25 * body


@pytest.mark.parametrize("index", ASKED)
def test_it_is_found_again_elsewhere_and_smaller(index: int) -> None:
    """The plainest matcher, nearest pixels after cutting out, tells the emblems asked for from all others."""
    small = alone(index, 0.25, 0.75, 0.2)[64 - 16 - 13 : 64 - 16 + 13, 16 - 13 : 16 + 13]
    cut = [alone(i)[32 - 19 : 32 + 19, 32 - 19 : 32 + 19] for i in (*ASKED, *DISTRACTORS)]
    steps = (np.arange(24) + 0.5) / 24
    a = small[(steps * 26).astype(int)][:, (steps * 26).astype(int)]
    apart = [difference(a, c[(steps * 38).astype(int)][:, (steps * 38).astype(int)]) for c in cut]
    assert int(np.argmin(apart)) == index


def test_only_its_place_is_painted() -> None:
    shown = view([3], 5)
    (placed,) = shown.emblems
    bare, full = render(shown.scene), render_view(shown)
    grid = (np.arange(64) + 0.5) / 64
    reach = 1.45 * placed.radius + 0.05  # corners of what is turned
    near = (abs(grid - placed.x)[None] < reach) & (abs(grid - placed.y)[:, None] < reach)
    assert np.array_equal(bare[~near], full[~near]) and difference(bare, full) > 50


def test_views_differ_and_obey_the_split() -> None:
    views = [view([2], i) for i in range(40)]
    assert len({v.scene.setting for v in views}) > 8 and len({(v.emblems[0].x, v.emblems[0].y) for v in views}) > 30
    assert {v.emblems[0].emblem for v in views} == {emblem(2)} and any(v.scene.things for v in views)
    assert not any(is_unseen(v.scene) for v in views) and view([2], 3) == views[3]


def test_several_fit_in_one_picture() -> None:
    shown = view([1, 4, 6], 0)
    assert len(shown.emblems) == 3
    for i, a in enumerate(shown.emblems):
        for b in shown.emblems[:i]:
            assert max(abs(a.x - b.x), abs(a.y - b.y)) >= a.radius + b.radius
    only = replace(shown, emblems=shown.emblems[:1])
    assert difference(render_view(shown), render_view(only)) > 100


def test_a_view_is_described_with_the_names_given() -> None:
    shown = next(v for v in (view([1, 4], i) for i in range(999)) if v.scene.things and v.scene.setting == "beach")
    for language, a, beach in (
        ("en", "a vora", "beach"),
        ("vi", "một vora", "bãi biển"),
        ("vi_unmarked", "mot vora", "bai bien"),
    ):
        text = described(shown, ("vora", "melu"), language, random.Random(1))
        assert a in text and "melu" in text and beach in text
    with pytest.raises(ValueError):
        described(shown, ("vora",), "en", random.Random(1))
