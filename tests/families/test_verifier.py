"""The verifier as a family: it learns a batch by heart, and reads it back as sets of things."""

from __future__ import annotations

import pytest
import torch

from tranh.data.scenes.facts import visible
from tranh.data.scenes.labels import PATCH_SIZES, PICTURE_FIELDS, THING_FIELDS, encode, patches
from tranh.data.scenes.layout import scene
from tranh.engine.contract import overfit_one_batch
from tranh.families.verifier import GRID, Reading, Verifier
from tranh.recipes.judge import Judge, renders
from tranh.recipes.verifier import assemble, recipe
from tranh.types import Answers, Batch, TranhError

SIZES = dict(
    thing_sizes=[len(words) for words in THING_FIELDS.values()],
    picture_sizes=[len(words) for words in PICTURE_FIELDS.values()],
)
SMALL = dict(**SIZES, widths=(24, 32, 48), depths=(1, 1, 1))
B = 6
CHOSEN = [("two", i) for i in range(3)] + [("full", i) for i in range(3)]


def build(**options):
    torch.manual_seed(0)
    return Verifier(**SMALL | options)


def rendered():
    scenes = [scene(level, "train", i) for level, i in CHOSEN]
    images = torch.cat([renders(level, "train", [i]) for level, i in CHOSEN])
    empty = torch.zeros(B, 1, dtype=torch.long)
    return Batch(images, [""] * B, empty, empty.bool(), torch.arange(B), labels=encode(scenes))


LEARNS = dict(steps=160, lr=3e-3)


def toy():
    """For the contract."""
    return build(), rendered()


@pytest.fixture(scope="module")
def batch():
    return rendered()


@pytest.fixture(scope="module")
def trained(batch):
    family = build()
    figures = overfit_one_batch(family, batch, steps=160, lr=3e-3)
    return family.eval(), figures


def test_one_batch_is_learned_by_heart_and_read_back(trained, batch):
    family, figures = trained
    assert figures[-1] < Verifier.overfit_below * figures[0]
    judge = Judge(family)
    for (level, i), reading in zip(CHOSEN, judge.read(batch.images), strict=True):
        value = scene(level, "train", i)
        assert judge.verdict(reading, value, visible(value)).exact
        for thing in value.things:
            assert min(abs(s.x - thing.x) + abs(s.y - thing.y) for s in reading.things) < 0.5 / GRID


def test_a_picture_does_not_depend_on_its_company(trained, batch):
    family, _ = trained
    together = family.read(batch.images)
    for k in range(B):
        (alone,) = family.read(batch.images[k : k + 1])
        assert alone.picture == together[k].picture
        assert [s.fields for s in alone.things] == [s.fields for s in together[k].things]
        torch.testing.assert_close(family.features(batch.images[k : k + 1]), family.features(batch.images)[k : k + 1])


def test_labels_of_the_cells_are_learned_too(batch):
    family = build(patch_sizes=PATCH_SIZES)
    told = batch.replace(labels={**batch.labels, "patches": patches(batch.labels, GRID)})
    optimizer = torch.optim.AdamW(family.parameters(), 3e-3)
    figures = []
    for _ in range(40):
        optimizer.zero_grad()
        losses = family(told, None)
        losses["loss"].backward()
        optimizer.step()
        figures.append(float(losses["patches"]))
    assert figures[-1] < 0.5 * figures[0]
    assert "patches" not in family(batch, None)


def test_hidden_fields_teach_nothing(batch):
    family = build()
    things = batch.labels["things"].clone()
    things[..., :-1] = -1
    hidden = batch.replace(labels={**batch.labels, "things": things, "picture": batch.labels["picture"] * 0 - 1})
    figures = family(hidden, None)
    assert figures["fields"] > 0 == figures["picture"]  # the roles are known still


def test_it_answers_and_has_no_order():
    family = build().eval()
    assert isinstance(family, Answers)
    assert family.read(torch.zeros(1, 3, 64, 64)) == [Reading((), family.read(torch.zeros(1, 3, 64, 64))[0].picture)]


def test_its_recipe_builds_it():
    (stage,) = recipe().stages.values()
    family = Verifier(**stage.model)
    assert family.config["inner"] == 3 and sum(p.numel() for p in family.parameters()) < 6e6
    assert assemble({"verifier": family}, {}, {}) is family
    with pytest.raises(TranhError, match="verifier"):
        assemble({}, {}, {})
