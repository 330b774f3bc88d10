"""Edits are judged by what they changed and what they left, with a verifier that makes no mistake."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from PIL import Image
from scenes_readings import perfect
from torch import nn

from tranh.data.scenes.draw import render
from tranh.data.scenes.facts import canonical, visible
from tranh.data.scenes.labels import MAX_THINGS
from tranh.data.scenes.layout import scene
from tranh.nn.pixels import to_images
from tranh.recipes.edit_cases import Tally, cases, verdict, write_sheet
from tranh.recipes.judge import Judge


def picture(value):
    return to_images(render(value)[None])[0]


class Perfect(nn.Module):
    """Reads any render of a scene it was told of."""

    def __init__(self, *scenes):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.known = {self.key(picture(value)): value for value in scenes}

    @staticmethod
    def key(image):
        return image.mul(127).round().short().numpy().tobytes()

    def read(self, images):
        return [perfect(self.known[self.key(image)]) for image in images]


def recoloured(value, colour):
    thing = replace(value.things[0], colour=colour, shade="normal")
    return canonical(replace(value, things=(thing,), setting="plain_yellow"))


@pytest.fixture
def before():
    plain = canonical(replace(scene("one", "test", 0), setting="plain_yellow"))
    return recoloured(plain, "red")


def test_what_was_asked_and_what_stayed_are_told_apart(before):
    after = recoloured(before, "blue")
    asked = [fact for fact in visible(after) if fact.group == "colour"]
    moved = canonical(replace(after, things=(replace(after.things[0], kind="cup", expression=None),)))
    judge = Judge(Perfect(before, after, moved))
    right = verdict(judge, after, asked, picture(after), before)
    assert right.done and all(right.kept) and not right.wrong
    assert len(right.kept) == len(visible(after)) - 1
    idle = verdict(judge, after, asked, picture(before), before)
    assert not idle.done and all(idle.kept)
    other = verdict(judge, after, asked, picture(moved), before)
    assert other.done and other.kept.count(False) == 1 and "kind" in other.wrong[0]


def test_a_fact_that_could_not_be_seen_before_is_not_counted_as_kept(before):
    sketch = canonical(replace(before, style="sketch"))
    asked = [fact for fact in visible(before) if fact.group == "style"]
    judged = verdict(Judge(Perfect(before)), before, asked, picture(before), sketch)
    seen = {(f.group, f.subject) for f in visible(sketch)}
    assert len(judged.kept) == sum((f.group, f.subject) in seen and f not in asked for f in visible(before))
    assert len(judged.kept) < len(visible(before)) - 1


class Draws:
    """Draws scene 5 of the test split, whatever is asked, and notes how often and from which seeds."""

    drawn = 0

    def __init__(self):
        self.seeds = []

    def generate_batch(self, prompts, seeds, size=None, steps=None, guidance=None):
        self.drawn += len(prompts)
        self.seeds += seeds
        return torch.stack([picture(scene("one", "test", 5)) for _ in prompts])


def test_half_the_pictures_are_drawn_and_every_kind_is_as_frequent():
    judge = Judge(Perfect(scene("one", "test", 5)))
    found = list(cases(judge, 16, draws := Draws()))
    assert len({case.key for case in found}) == 16
    # nothing is edited from the noise that it, or a neighbour, was drawn from
    assert min(case.seed for case in found) > max(draws.seeds) + 1000
    other = {case.key for case in cases(judge, 16, Draws(), seed=500)}
    assert len(other) == 16 and not other & {case.key for case in found}
    for name, words in (("origin", ("render", "generated")), ("split", ("test", "unseen")), ("language", ("en", "vi"))):
        assert [sum(getattr(case, name) == word for case in found) for word in words] == [8, 8]
    drawn = [case for case in found if case.origin == "generated"]
    assert {case.scene.things[0].kind for case in drawn} == {scene("one", "test", 5).things[0].kind}
    red = list(cases(judge, 4, suits=lambda value: value.things[0].colour == "red"))
    assert all(case.scene.things[0].colour == "red" and case.origin == "render" for case in red)


def test_a_picture_with_more_things_than_can_be_said_is_no_case(monkeypatch):
    drawn, crowd = scene("one", "test", 5), scene("one", "test", 5)
    crowd = replace(crowd, things=crowd.things * (MAX_THINGS + 1), groups=(tuple(range(MAX_THINGS + 1)),))
    seen = iter([crowd, replace(drawn, things=(), groups=()), drawn])
    monkeypatch.setattr("tranh.recipes.edit_cases.scene_of", lambda reading: next(seen))
    monkeypatch.setattr("tranh.recipes.edit_cases.ORIGINS", ("generated",))
    draws = Draws()
    (case,) = cases(Judge(Perfect(drawn)), 1, draws)
    assert case.scene == drawn and draws.drawn == 3


def test_what_cannot_be_edited_is_not_drawn():
    draws, drawn = Draws(), scene("one", "test", 5)
    found = cases(Judge(Perfect(drawn)), 2, draws, suits=lambda value: value.things[0].kind == drawn.things[0].kind)
    assert all(case.scene.things[0].kind == drawn.things[0].kind for case in found) and draws.drawn == 1


def test_facts_that_may_change_are_not_counted(before):
    judged = verdict(Judge(Perfect(before)), before, [], picture(before), of=lambda fact: fact.subject is None)
    assert len(judged.kept) == sum(fact.subject is None for fact in visible(before))


def test_shares_have_intervals_by_every_kind_of_case(before, tmp_path):
    after = recoloured(before, "blue")
    asked = [fact for fact in visible(after) if fact.group == "colour"]
    judge, tally, rows = Judge(Perfect(before, after)), Tally(), []
    for k, case in enumerate(cases(judge, 8)):
        made = picture(after if k % 4 else before)
        tally.add(case, verdict(judge, after, asked, made, before))
        rows.append((case, made, "blue"))
    told = tally.json()
    assert told["all"]["asked"]["value"] == 0.75 and told["all"]["kept"]["value"] == 1.0
    assert told["all"]["asked"]["low"] < 0.75 < told["all"]["asked"]["high"]
    assert told["en"]["asked"]["count"] == told["vi"]["asked"]["count"] == 4
    assert "| all | 75.0 % [" in tally.table()
    write_sheet(tmp_path / "sheet.png", rows)
    with Image.open(tmp_path / "sheet.png") as page:
        assert page.width > 8 * 128
