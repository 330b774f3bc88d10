"""The second opinion is right on renders where it has an answer, and notices a detector that is not."""

from __future__ import annotations

import numpy as np
import pytest
from scenes_readings import perfect

from tranh.data.scenes.draw import render
from tranh.data.scenes.layout import scene
from tranh.data.scenes.world import LEVELS
from tranh.recipes.second_opinion import LEAST, Tally, agreement, components, detected, opinion, truth


@pytest.mark.parametrize("level", LEVELS)
def test_it_is_right_on_renders_and_agrees_with_a_perfect_detector(level):
    tally = Tally()
    for i in range(150):
        value = scene(level, "test", i)
        pixels = render(value)
        tally.render(pixels, value)
        tally.picture(agreement(opinion(pixels), detected(perfect(value, i))))
    rows = {row["group"]: row for row in tally.rows()}
    assert rows["style"]["renders"] == 150 and rows["style"]["right"] == 1 and rows["style"]["used"]
    for row in rows.values():
        assert row["right"] >= LEAST or row["renders"] < 60, row
        assert row["agree"] is None or row["agree"] >= 0.95 or row["pictures"] < 20
    assert tally.warnings() == []


def test_it_has_many_answers_at_the_first_level():
    groups = [set(opinion(render(scene("one", "test", i)))) for i in range(60)]
    assert sum("setting" in g for g in groups) == 60 and sum("place" in g for g in groups) > 50
    assert 5 < sum("colour" in g for g in groups) < 40


def test_a_fooled_detector_is_noticed():
    tally = Tally()
    for i in range(60):
        value, other = scene("one", "test", i), scene("one", "test", i + 1)
        tally.render(render(value), value)
        tally.picture(agreement(opinion(render(value)), detected(perfect(other))))
    assert any("disagree on setting" in warning for warning in tally.warnings())
    assert all("style" not in warning for warning in tally.warnings())  # all are flat


def test_truth_leaves_out_what_overlap_hides():
    scenes = (scene("two", "test", i) for i in range(99))
    value = next(s for s in scenes if any(r.name == "inside" for r in s.relations))
    assert "count" not in truth(value) and "count" not in detected(perfect(value))


def test_components():
    mask = np.zeros((64, 64), bool)
    mask[2:6, 2:6] = mask[6:10, 6:10] = True  # they touch at a corner
    mask[40:44, 40:44] = True
    mask[60, 60] = True  # dirt
    assert sorted(len(region) for region in components(mask)) == [16, 32]
