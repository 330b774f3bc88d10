"""Depth is what a picture shows of it; layers laid over each other are the picture; a turned view is exact."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tranh.data.scenes.depth import composed, depth, layers, ranks, turned
from tranh.data.scenes.draw import render
from tranh.data.scenes.layout import scene
from tranh.data.scenes.world import STYLES, Scene, Thing

BACK = Thing("square", "red", "normal", "large", "normal", "flat", None, 0.3, 0.5)
FRONT = Thing("circle", "blue", "normal", "small", "normal", "flat", None, 0.3, 0.5)
ASIDE = Thing("circle", "green", "normal", "small", "normal", "flat", None, 0.8, 0.5)
SCENE = Scene("plain_white", "plain", "flat", (BACK, FRONT, ASIDE), (), ((0,), (1,), (2,)))


def test_a_thing_is_nearer_than_what_it_overlaps() -> None:
    assert ranks(SCENE) == (1, 2, 1)
    assert ranks(replace(SCENE, things=(ASIDE, BACK, FRONT))) == (1, 1, 2)
    assert ranks(replace(SCENE, things=(BACK, FRONT, FRONT))) == (1, 2, 3)


def test_depth_is_that_of_the_nearest_thing() -> None:
    found = depth(SCENE, 100)
    assert found.shape == (100, 100) and found.dtype == np.float32
    assert [found[50, x] for x in (2, 10, 30, 80)] == [0, 1, 2, 1]
    disc = np.pi * (100 * FRONT.radius * 0.97 + 1.3) ** 2  # with its outline
    assert (found == 2).sum() == pytest.approx(disc, rel=0.05)


@pytest.mark.parametrize("style", STYLES)
def test_layers_laid_over_each_other_are_the_picture(style: str) -> None:
    some = [s for s in (scene("full", "train", i) for i in range(160)) if s.style == style][:4]
    assert some
    for value in some:
        parts = layers(value)
        assert parts.shape == (len(value.things) + 2, 64, 64, 4) and (parts[0, ..., 3] == 255).all()
        apart = np.abs(composed(parts, style).astype(int) - render(value))
        assert apart.max() <= 20 and apart.mean() < 0.6, value


@pytest.mark.parametrize("shift", [-0.0625, 0.03125])
def test_a_turned_view_moves_each_layer_by_its_rank(shift: float) -> None:
    moved = replace(
        SCENE, things=tuple(replace(t, x=t.x + shift * r) for t, r in zip(SCENE.things, ranks(SCENE), strict=True))
    )
    apart = np.abs(turned(SCENE, shift).astype(int) - render(moved))
    assert apart.max() <= 20 and apart.mean() < 0.3
    assert np.array_equal(depth(SCENE, 64, shift) == 2, depth(moved, 64) == 2)
    assert np.array_equal(turned(SCENE, 0.0), composed(layers(SCENE), "flat"))


def test_what_was_hidden_is_seen_from_the_side() -> None:
    hidden = replace(FRONT, kind="star", colour="yellow")
    behind = replace(SCENE, things=(hidden, replace(FRONT, size="medium")), groups=((0,), (1,)))
    yellow = [(p[..., 2] < 90) & (p[..., 0] > 200) for p in (render(behind), turned(behind, 0.3))]
    assert yellow[0].sum() == 0 < 20 < yellow[1].sum()


def test_light_and_frame_stay_where_they_are() -> None:
    lit = replace(SCENE, light="spotlight_left", style="modern")
    assert np.array_equal(layers(lit, 64, 0.1)[[0, -1]], layers(lit)[[0, -1]])
