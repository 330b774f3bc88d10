"""Systems compared: equal budgets, one that fails, killed and gone on with, numbers equal to the evaluation's own."""

import dataclasses
import json
import re
import shutil

import compare_toys as toys
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from tranh.data.scenes.draw import render
from tranh.data.scenes.labels import PICTURE_FIELDS
from tranh.data.scenes.layout import scene
from tranh.engine.frozen import load as load_frozen
from tranh.engine.log import read_log
from tranh.engine.rundir import RunDir
from tranh.families.dvae import Dvae
from tranh.families.verifier import Reading
from tranh.metrics import psnr
from tranh.metrics.network import Network
from tranh.nn.asked import Questions
from tranh.recipes import compare, compare_cost, compare_quality, compare_records, evaluate, run
from tranh.recipes.enlarged import Enlarged
from tranh.recipes.measuring import held_out
from tranh.recipes.samples import rebuilt
from tranh.recipes.sources import assets_of, source_of
from tranh.types import Batch, TranhError

ALL = ("toy-paint", "toy-two", "toy-mirror", "toy-bad")
TERMS = compare.Terms(minutes=1.0, count=4, prompts=2, samples=2)


class Blind(nn.Module):
    """A verifier that says the same of every picture."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def read(self, images):
        return [Reading((), (0,) * len(PICTURE_FIELDS)) for _ in images]

    def features(self, images):
        return F.adaptive_avg_pool2d(images, 2).flatten(1)


def network():
    return Network("toy", "0" * 16, "as they are", Blind().features, lambda x: F.softmax(Blind().features(x), -1))


@pytest.fixture(scope="module", autouse=True)
def world(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRANH_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr("tranh.recipes.sources.CAPTIONED", 40)
        toys.install(patch)
        yield


def go(names, out, terms=TERMS, **options):
    *_, last = compare.compare(names, out, terms, network=network(), verifier=Blind(), **options)
    return last.result


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """All toys compared, by a clock of their own: a folder and the value."""
    out = tmp_path_factory.mktemp("compared")
    with pytest.MonkeyPatch.context() as patch:
        toys.fake_clock(patch)
        return out, go(ALL, out)


def cells(value, name):
    system = next(s for s in value["systems"] if s["name"] == name)
    return {cell["name"]: cell for cell in system["cells"]}


def test_each_gets_the_same_time_for_all_its_parts(whole):
    """One minute by a clock that passes in training steps alone, the doctor's look and the measuring too."""
    taken = {}
    for name in ("toy-paint", "toy-two", "toy-mirror"):
        spent = cells(whole[1], name)["minutes of training"]["interval"]["value"]
        assert 0.85 * TERMS.minutes < spent <= 1.03 * TERMS.minutes, (name, spent)
        root = whole[0] / "systems" / name / "run"
        taken[name] = [
            len(read_log(RunDir(root / stage).log)) for stage in toys.RECIPES[name.replace("-", "_")]().stages
        ]
    assert len(taken["toy-two"]) == 2 and min(map(min, taken.values())) > 20, taken


def test_killed_and_gone_on_with_no_time_is_won(tmp_path, monkeypatch):
    """What a stage had of its share before the kill does not come back as time for the stages after it."""
    toys.fake_clock(monkeypatch)
    monkeypatch.setattr(run, "examine_first", lambda *_: None)
    monkeypatch.setattr(run.doctor, "watch", lambda events, *_, **__: events)
    begun, recipe = toys.CLOCK.now, run.override(toys.RECIPES["toy_two"](), ["model.slow=1.0", "save_every=1000"])
    for event in (going := run.train(recipe, tmp_path, minutes=2.0)):
        if event.figures and event.done > event.total / 2:
            break
    going.close()  # it saves, so no step is taken twice
    assert 25 < toys.CLOCK.now - begun < 50
    *_, last = run.train(recipe, tmp_path, minutes=2.0)
    assert last.stage == "paint" and 0.85 < (toys.CLOCK.now - begun) / 120 <= 1.05


def test_the_clock_is_looked_at_before_the_first_step(tmp_path, monkeypatch):
    """So a kill does not forget what the doctor's look and the measuring have taken."""
    toys.fake_clock(monkeypatch)
    begun, seen = toys.CLOCK.now, []
    going = run.train(toys.RECIPES["toy_paint"](), tmp_path, minutes=1.0)
    for event in going:
        if event.figures and event.stage == "paint":
            break
        seen.append(toys.CLOCK.now - begun)
    going.close()
    looked, measured = seen[-2:]
    assert 0 < looked < measured


def test_minutes_far_from_those_asked_for_are_marked():
    for spent, marked in ((36, False), (34.5, False), (42.3, True), (33.2, True)):
        first = compare_cost.told([], {}, 60 * spent, asked=36.0)[0]
        assert bool(first.card.notes) == marked and first.card.settings == {"minutes asked for": 36.0}
    assert not compare_cost.told([], {}, 60.0)[0].card.notes  # a budget of operations


def test_one_that_fails_is_told_and_the_others_go_on(whole):
    out, value = whole
    failed = {s["name"]: s["failed"] for s in value["systems"]}
    assert failed == {"toy-paint": "", "toy-two": "", "toy-mirror": "", "toy-bad": failed["toy-bad"]}
    assert "the roof fell in" in failed["toy-bad"]
    assert "the roof fell in" in (out / "systems" / "toy-bad" / "error.txt").read_text()
    for page in ("compare.md", "compare.html"):
        assert "toy-bad failed" in (out / page).read_text()


def test_the_table_says_what_the_evaluation_says(whole):
    out, value = whole
    report = json.loads((out / "systems" / "toy-paint" / "evaluation" / "report.json").read_text())
    found = cells(value, "toy-paint")
    for row in report["scores"]:
        where = f"{row['split']}, {row['language']}"
        assert found[f"facts right, {where}"]["interval"] == row["facts"]
        assert found[f"exact pictures, {where}"]["interval"] == row["exact"]
        groups = [g for g in report["by_group"] if g["split"] == row["split"]]
        chance = sum(g["asked"] * g["chance"] for g in groups) / sum(g["asked"] for g in groups)
        expected = (row["facts"]["value"] - chance) / (1 - chance)
        assert found[f"facts, normalised, {where}"]["interval"]["value"] == pytest.approx(expected)
    assert len(report["scores"]) == 4
    # and evaluated again, from the exported model, by the evaluation itself
    again = Enlarged(compare.models.load(out / "systems" / "toy-paint" / "model"), 64)
    *_, last = evaluate.evaluate(again, Blind(), out / "again", levels=("one",), count=4, prompts=2, samples=2)
    assert last.result["scores"] == report["scores"] and last.result["protocol"] == report["protocol"]


def test_what_does_not_apply_says_why(whole):
    out, value = whole
    painted, mirrored = cells(value, "toy-paint"), cells(value, "toy-mirror")
    assert "PSNR" in mirrored and "PSNR" not in painted and not any("facts" in name for name in mirrored)
    assert {"KD-toy", "FD-toy", "IS-toy", "precision-toy", "recall-toy", "diversity-toy"} <= set(painted)
    for cell in painted.values():
        assert ("reason" in cell) or (cell["interval"]["low"] <= cell["interval"]["value"] <= cell["interval"]["high"])
        assert ("reason" in cell) or cell["card"]["implementation"]
    text = (out / "compare.md").read_text()
    assert "it makes no pictures by itself" in text and "no part of it takes a picture apart" in text
    rows = [line for line in text.splitlines() if line.startswith("| PSNR")]
    assert len(rows) == 2 and rows[0].count("- (") == 3  # in the table, and its card
    assert "PSNR" not in cells(value, "toy-two")  # its mirror helps in training, and is no part of it


def test_latents_as_large_as_pictures_are_no_achievement(whole, monkeypatch):
    monkeypatch.setattr(toys.Mirror, "encode", lambda self, images: images)
    recipe, root = toys.RECIPES["toy_mirror"](), whole[0] / "systems" / "toy-mirror" / "run"
    found = compare_quality.rebuilding(recipe, root)
    assert [cell.name for cell in found] == ["PSNR", "SSIM", "sharpness difference"]
    assert all("nothing can be lost" in cell.reason for cell in found)


def test_costs_are_counted(whole):
    found = cells(whole[1], "toy-two")
    run_root = whole[0] / "systems" / "toy-two" / "run"
    steps = {stage: RunDir(run_root / stage).stage().steps for stage in ("help", "paint")}
    assert found["pictures seen"]["interval"]["value"] == 4 * sum(steps.values())
    mirror = sum(p.numel() for p in toys.Mirror().parameters())
    vocab = RunDir(run_root / "paint").stage().model["vocab"]
    used = vocab * 16 + 17 * 3 * 64
    assert found["parameters, all parts"]["interval"]["value"] == mirror + used + 7 * 11 + 11
    assert found["parameters read in drawing"]["interval"]["value"] == used
    # one caption: a product of 16 x 192, twice
    assert found["FLOPs of one picture"]["interval"]["value"] == 2 * 16 * 192
    per_step = found["FLOPs of training"]["card"]["settings"]["one step"]
    assert found["FLOPs of training"]["interval"]["value"] == sum(per_step[s] * n for s, n in steps.items())


def test_the_doctor_is_asked_about_every_stage(whole, monkeypatch):
    """The toys draw what they are told, whatever they have learned: the doctor says what he saw."""
    found = cells(whole[1], "toy-two")
    examined = json.loads((whole[0] / "systems" / "toy-two" / "doctor.json").read_text())
    assert {one["stage"] for one in examined["findings"]} == set(toys.RECIPES["toy_two"]().stages)
    for name, sure in (("faults", True), ("warnings", False)):
        listed = [one for one in examined["findings"] if not one["ok"] and one["sure"] == sure]
        assert found[name]["interval"]["value"] == len(listed) == len(found[name]["card"]["settings"]["found"])
        assert found[name]["card"]["settings"]["checks"] == len(examined["findings"]) > 8
    monkeypatch.setattr("tranh.recipes.doctor.examine", None)  # he is asked once
    system = compare.System("toy-two", whole[0] / "systems" / "toy-two", recipe=toys.RECIPES["toy_two"]())
    assert list(compare._examined(system)) == [] and len(system.cells) == 2


def test_the_pages_need_nothing_beside_them(whole):
    out, value = whole
    page = (out / "compare.html").read_text()
    assert "data:image/png;base64" in page and "<script" not in page and not re.search(r"(src|href)=.http", page)
    assert json.loads((out / "compare.json").read_text()) == value
    for name in ("samples.png", "curves.png"):
        with Image.open(out / name) as image:
            assert image.width > 300
    with Image.open(out / "samples.png") as image:
        assert image.width == 3 * 136 + 8  # the true picture and the two that draw
    assert "tất cả" not in page and re.search(r"alt='[^']*(hình|một|ở)", page)  # Vietnamese rows are there


def test_killed_at_any_point_the_same_call_goes_on(tmp_path):
    terms = compare.Terms(flops=2e6, minutes=None, count=2, prompts=0)
    names = ("toy-two", "toy-paint")
    events = list(compare.compare(names, tmp_path / "unbroken", terms, network=network(), verifier=Blind()))
    reference, total = events[-1].result, len(events)
    assert total > 20
    for stop_after in (total // 5, total // 2, total - 5):
        going = compare.compare(names, tmp_path / "broken", terms, network=network(), verifier=Blind())
        for _ in range(stop_after):
            next(going, None)
        going.close()
    value = go(names, tmp_path / "broken", terms)
    for a, b in zip(value["systems"], reference["systems"], strict=True):
        assert a["hash"] == b["hash"] and not a["failed"]
        same = [[c for c in s["cells"] if c["group"] in ("captions", "sets", "drawing", "rebuilding")] for s in (a, b)]
        assert same[0] == same[1] and len(same[0]) > 10
    with pytest.raises(TranhError, match="other terms"):
        go(names, tmp_path / "broken", compare.Terms(flops=3e6, minutes=None, count=2, prompts=0))
    more = go((*names, "toy-mirror"), tmp_path / "broken", terms)
    assert [s["name"] for s in more["systems"]] == [*names, "toy-mirror"]
    assert [s["hash"] for s in more["systems"]][:2] == [s["hash"] for s in reference["systems"]]


def test_a_table_goes_on_elsewhere_without_weights(whole, tmp_path):
    """What is left of a system stands beside one that is trained here, and says where it comes from."""
    out, value = whole
    shutil.copytree(out / "records", tmp_path / "records")
    assert sum(file.stat().st_size for file in (tmp_path / "records").iterdir()) < 500_000
    names = ["toy-paint", "toy-mirror"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compare.run, "train", None)  # nothing is trained
        patch.setattr(compare.compare_page, "machine", lambda: {"device": "another"})
        again = go(names, tmp_path)
    assert again["systems"] == [s for s in value["systems"] if s["name"] in names]
    assert "toy-paint was trained and measured elsewhere" in (tmp_path / "compare.md").read_text()
    assert (tmp_path / "curves.png").exists()
    with Image.open(tmp_path / "samples.png") as image:
        assert image.width == 2 * 136 + 8
    both = go([*names, "toy-two"], tmp_path)  # and one more is trained
    assert [s["name"] for s in both["systems"]] == [*names, "toy-two"] and not both["systems"][2]["failed"]
    with Image.open(tmp_path / "samples.png") as image, Image.open(out / "samples.png") as reference:
        assert image.tobytes()[: image.width] == reference.tobytes()[: reference.width]


def test_a_record_of_other_terms_or_damaged_is_refused_before_any_work(whole, tmp_path):
    shutil.copytree(whole[0] / "records", tmp_path / "records")
    with pytest.raises(TranhError, match="count: 4 there, 5 here"):
        go(["toy-paint"], tmp_path, dataclasses.replace(TERMS, count=5))
    (tmp_path / "records" / "toy-paint.png").write_bytes(b"no picture")
    with pytest.raises(TranhError, match="no record of a comparison"):
        go(["toy-two", "toy-paint"], tmp_path)
    assert not (tmp_path / "systems").exists()


@given(st.integers(0, 700), st.integers(1, 50))
def test_thin_curves_keep_time_and_mean(lines, points):
    log = [{"step": i, "seconds": 0.5, "loss": float(i % 3), "lr": 1.0} for i in range(lines)]
    few = compare_records.thin(log, points)
    assert len(few) <= points and sum(line["seconds"] for line in few) == pytest.approx(lines / 2)
    assert [line["step"] for line in few] == sorted({line["step"] for line in few})
    assert not few or (few[-1]["step"] == lines - 1 and all(0 <= line["loss"] <= 2 for line in few))


def test_own_pictures_are_judged_by_distances(tmp_path):
    """Without a judge nothing is said of captions, and the table says why."""
    folder = tmp_path / "mine"
    folder.mkdir()
    lines = []
    for i in range(60):
        Image.fromarray(render(scene("one", "train", i), 64)).save(folder / f"{i}.png")
        lines.append(json.dumps({"file_name": f"{i}.png", "text_en": f"thing number {i}", "text_vi": f"vật thứ {i}"}))
    (folder / "metadata.jsonl").write_text("\n".join(lines))
    terms = compare.Terms(flops=1e6, minutes=None, data={"source": str(folder)}, count=6, prompts=2, samples=2)
    value = go(["toy_dot", "toy-mirror"], tmp_path / "out", terms)
    painted = cells(value, "toy-dot")
    assert not any(s["failed"] for s in value["systems"])
    assert "no judge of captions" in value["systems"][0]["why"]["captions"]
    assert "diversity-toy" in painted and any(name.startswith("KD-toy, captions of") for name in painted)
    for name in ("FD-toy", "IS-toy"):  # of too few pictures: given, and marked
        assert painted[f"{name}, captions of test"]["card"]["notes"], painted
    assert "PSNR" in cells(value, "toy-mirror")
    with Image.open(tmp_path / "out" / "samples.png") as image:
        assert image.width == 2 * 136 + 8
    assert value["systems"][0]["why"]["size"] == "draws at 16 px, enlarged to 64"
    assert "toy-dot draws at 16 px, enlarged to 64" in (tmp_path / "out" / "compare.md").read_text()


def test_pictures_rebuilt_small_are_compared_as_large_as_all(tmp_path):
    recipe = run.override(toys.RECIPES["toy_mirror"](), ["data.size=16", "steps=2"])
    list(run.train(recipe, tmp_path))
    first, *_ = compare_quality.rebuilding(recipe, tmp_path)
    batches, true = (
        list(held_out(source_of(data, assets_of(data)), compare_quality.REBUILT))
        for stage in recipe.stages.values()
        for data in (stage.data, {**stage.data, "size": 64})
    )
    family = load_frozen(RunDir(tmp_path / "mirror")).family
    with torch.no_grad():
        made = torch.cat(
            [F.interpolate(rebuilt(family, b), (64, 64), mode="bilinear", antialias=True) for b in batches]
        )
    assert first.value == pytest.approx(psnr.measure(made, torch.cat([b.images for b in true])).value)
    assert first.card.settings["rebuilt at"] == "16 px, compared at 64"


def test_a_codebook_s_health_stands_beside_what_it_rebuilds():
    codes = Dvae(image_size=16, grid=4, codes=8, dim=4, width=8, wide=8)
    nothing = torch.zeros(20, 1, dtype=torch.long)
    batches = [Batch(torch.rand(20, 3, 16, 16) * 2 - 1, [""] * 20, nothing, nothing > 0, torch.arange(20))]
    usage, perplexity = compare_quality._codes(codes, batches)
    assert (usage.name, perplexity.name) == ("codebook usage", "codebook perplexity")
    assert 0 < usage.value <= 1 <= perplexity.value <= 8 and compare_quality._codes(toys.Mirror(), batches) == []


def test_a_budget_of_operations_is_spent_by_every_system(tmp_path):
    for name in ("toy_paint", "toy_two"):
        recipe = run.find(name)
        per_step = compare_cost.of_steps(recipe, tmp_path)
        given = compare_cost.within(recipe, per_step, 1e8)
        spent = sum(per_step[stage] * given.stages[stage].steps for stage in given.stages)
        assert 0.95e8 < spent <= 1e8


def test_operations_are_those_of_the_shapes():
    q = [torch.randn(2, 4, 16, 32, requires_grad=True) for _ in range(3)]
    forward = compare_cost.operations(lambda: F.scaled_dot_product_attention(*q))
    assert forward == 2 * (2 * 2 * 4 * 16 * 16 * 32)  # q k^T and its product with v
    linear = nn.Linear(5, 7)
    assert compare_cost.operations(lambda: linear(torch.randn(3, 5))) == 2 * 3 * 5 * 7
    x = torch.randn(3, 5, requires_grad=True)
    assert compare_cost.operations(lambda: linear(x).sum().backward()) == 3 * 2 * 3 * 5 * 7


def test_a_part_that_is_used_with_and_without_gradient_is_counted_twice():
    questions, words = Questions(3, 8, 2), torch.randn(2, 4, 8)
    real = torch.ones(2, 4, dtype=torch.bool)

    def without():
        with torch.no_grad():
            questions(words, real)

    once = compare_cost.operations(without)
    assert once > 0 and compare_cost.operations(lambda: (without(), questions(words, real))) == 2 * once


def test_names_and_terms_that_cannot_be_meant(tmp_path):
    for wrong in (("nobody",), ("toy-paint", "toy_paint")):
        with pytest.raises(TranhError, match="toy-paint, toy-two"):
            next(compare.compare(wrong, tmp_path, TERMS, network=network()))
    for wrong in ({"minutes": None}, {"flops": 1e9}, {"minutes": -1.0}, {"level": "easy"}, {"count": 1}):
        with pytest.raises(TranhError):
            compare.Terms(**wrong)


def test_systems_stand_in_the_order_of_what_is_asked_of_them():
    def system(name, value, better="higher", failed=""):
        cell = {"name": "facts, normalised, test, en", "interval": {"value": value}, "better": better}
        return {"name": name, "failed": failed, "cells": [cell] if value is not None else []}

    from tranh.recipes.compare_page import number, ranked

    value = {"systems": [system("a", 0.1), system("b", None), system("c", 0.9), system("d", 1.0, failed="x")]}
    assert [s["name"] for s in ranked(value)] == ["c", "a", "b", "d"]
    card = {"notes": []}
    assert number({"interval": {"value": 0.5, "low": 0.25, "high": 0.75}, "card": card}) == "0.5 [0.25, 0.75]"
    assert number({"interval": {"value": 9834112, "low": 9834112, "high": 9834112}, "card": card}) == "9,834,112"
