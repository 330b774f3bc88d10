"""The guard against copying: what it catches, what it leaves alone, and that it travels with a model."""

from functools import cache

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from tranh.data.scenes.draw import render
from tranh.data.scenes.layout import scene
from tranh.diffusion import ideal
from tranh.diffusion.sample import euler, run, seeded
from tranh.diffusion.schedule import linear
from tranh.metrics.interval import wilson
from tranh.metrics.memory import TooFew
from tranh.metrics.network import Network
from tranh.nn.pixels import to_images, to_pixels
from tranh.recipes import memory as guard
from tranh.recipes.copying import report, table
from tranh.recipes.memory import ALTERED, MEMORY, Memory, build, building
from tranh.recipes.networks import own
from tranh.recipes.unclip import assemble
from tranh.types import Request, TranhError

LEVELS = ("one", "two", "full")
TRAINED, STRANGERS = 240, 200


@cache
def scenes(split, count, start=0):
    """Pictures of all levels, (count, 3, 64, 64)."""
    which = range(start, start + count)
    return to_images(np.stack([render(scene(LEVELS[i % 3], split, i // 3), 64) for i in which]))


def batches(images, name, size=64):
    keys = [f"{name}/{i}" for i in range(len(images))]
    return [(keys[i : i + size], images[i : i + size]) for i in range(0, len(images), size)]


def colours() -> Network:
    """A network of nothing but colours, so that no weights are needed."""

    def features(x):
        small = torch.nn.functional.adaptive_avg_pool2d(x, 4).flatten(1)
        return torch.cat([small, torch.ones(len(x), 1)], dim=1)

    return Network("colours", "0123", "averaged to 4 px", features)


@pytest.fixture(scope="module")
def memory() -> Memory:
    return build(batches(scenes("train", TRAINED), "train"), network=colours())


def flagged(memory, images):
    return float((memory.look_up(images).ratio < memory.limit.value).float().mean())


SURE = {"as it is": 1.0, "mirror": 1.0, "brighter": 0.5, "crop": 0.75, "shift": 0.75}
"""Shares of copies caught at least; 0.85 of the rest. Whites cut off and places between two views are harder."""


@pytest.mark.parametrize("change", ALTERED)
def test_copies_are_caught_whatever_was_done_to_them(memory, change):
    copies = ALTERED[change](scenes("train", 60)).clamp(-1, 1)
    assert flagged(memory, copies) >= SURE.get(change, 0.85)
    rows = memory.look_up(copies).row[:, 0]
    assert (rows == torch.arange(60)).float().mean() >= 0.95  # and the right one is named
    assert memory.caught[change] >= SURE.get(change, 0.85)  # what it says of itself


def test_strangers_are_left_alone(memory):
    """The promise, on pictures that did not set the limit: 95 % of intervals hold it."""
    shown = scenes("validation", STRANGERS)
    false = wilson(round(flagged(memory, shown) * STRANGERS), STRANGERS)
    assert memory.limit.alarm < 0.01 and memory.limit.count == TRAINED // 2 and false.low <= memory.limit.alarm
    noise = torch.rand(50, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    flat = torch.linspace(-1, 1, 50).view(-1, 1, 1, 1).expand(-1, 3, 64, 64)
    assert flagged(memory, noise) == flagged(memory, flat) == 0


def test_large_pictures_and_pil_pictures_are_checked(memory):
    large = Image.fromarray(render(scene("full", "train", 7), 256))
    found = memory.check(large)
    assert found.is_copy and found.nearest == f"train/{7 * 3 + 2}" and found.ratio < found.limit
    assert not memory.check(Image.fromarray(render(scene("full", "validation", 7), 256))).is_copy


def test_a_model_that_learned_by_heart_is_told_from_one_that_did_not(memory):
    """The ideal denoiser of the training pictures draws nothing else; of strangers, it draws none of them."""
    held_out = batches(scenes("validation", 60), "held")
    drawn = {}
    for name, learned in (("heart", scenes("train", 50)), ("other", scenes("validation", 60, 300))):
        x = seeded(range(40), (3 * 64 * 64,))()
        drawn[name] = run(euler(ideal.points(learned.flatten(1)), x, linear(8, last=0.05))).view(40, 3, 64, 64)
    show = dict(zip(memory.keys, scenes("train", TRAINED))).__getitem__
    heart, other = (report(memory, batches(x, "drawn"), held_out, show, colours()) for x in drawn.values())
    assert heart.figures["copies"] and heart.figures["share"]["low"] > 0.85
    assert not other.figures["copies"] and other.figures["share"]["value"] <= 0.1
    for way in ("look", "features", "hash"):
        assert heart.figures["nearer"][way]["low"] > 0.6, way
        assert heart.figures["distance"][way]["samples"] < heart.figures["distance"][way]["held_out"]
    assert other.figures["nearer"]["look"]["low"] < 0.5
    worst = heart.figures["worst"]
    assert [pair["ratio"] for pair in worst] == sorted(pair["ratio"] for pair in worst)
    for pair in worst:
        sample, training = drawn["heart"][int(pair["sample"].split("/")[1])], show(pair["training"])
        assert (sample - training).abs().mean() < 0.1
    rows = table(heart.figures)
    assert "More are near copies" in rows.note and [row[0] for row in rows.rows] == ["look", "features", "hash"]
    assert "No copying is seen" in table(other.figures).note


def test_the_worst_pairs_are_drawn_side_by_side(memory):
    copies = scenes("train", 24)
    shown = dict(zip(memory.keys, scenes("train", TRAINED))).__getitem__
    found = report(memory, batches(copies, "drawn"), batches(scenes("validation", 20), "held"), shown)
    page = np.asarray(found.sheet).astype(int)
    left, right = page[8:136, 8:136], page[8:136, 144:272]  # a sample and what it copies
    assert np.array_equal(left, right) and left.std() > 0
    assert set(found.figures["distance"]) == {"look", "hash"}  # no network, no features
    plain = report(memory, batches(copies, "drawn"), batches(scenes("validation", 20), "held"))
    assert plain.sheet.size == found.sheet.size  # their looks, where pictures are not at hand


def test_what_cannot_be_said_is_refused(memory):
    few = batches(scenes("train", 12), "x")
    with pytest.raises(TooFew, match="12 training pictures.*40"):
        build(few)
    with pytest.raises(TranhError, match="same key"):
        build(batches(scenes("train", 30), "x") * 2)
    with pytest.raises(TooFew, match="19 samples"):
        report(memory, batches(scenes("train", 19), "s"), batches(scenes("train", 30), "h"))
    other = Network("colours", "4567", "", colours().features)
    with pytest.raises(TranhError, match="features of colours 0123"):
        report(memory, few, few, None, other)


def test_doubles_in_the_training_set_do_not_blind_the_guard(monkeypatch):
    monkeypatch.setattr(guard, "TRIED", 5)
    once = scenes("train", 120)
    twice = build([([f"a/{i}" for i in range(120)], once), ([f"b/{i}" for i in range(60)], once[:60])])
    assert 30 < twice.limit.count < 90 and flagged(twice, once[:60]) == 1.0 and flagged(twice, once) >= 0.98


def test_an_index_is_bounded_and_says_so(monkeypatch):
    monkeypatch.setattr(guard, "TRIED", 5)
    *told, last = building(batches(scenes("train", 100), "x", 32), most=70, total=70)
    small = last.result
    assert len(small.keys) == len(small.looks) == 70 and small.more and [e.done for e in told] == [32, 64, 70]
    assert not build(batches(scenes("train", 100), "x", 32), most=100).more


def test_saved_and_loaded_it_is_the_same(memory):
    content = memory.save()
    again = Memory.load(content)
    assert again.save() == content and again.keys == memory.keys and again.limit == memory.limit
    assert again.network == ("colours", "0123") and again.caught == memory.caught
    picture = Image.fromarray(to_pixels(scenes("train", 4))[3])
    assert again.check(picture) == memory.check(picture)


@pytest.mark.parametrize("fault", ["cut", "pickle", "shape", "about", "keys"])
def test_a_damaged_index_is_refused(memory, fault):
    content = memory.save()
    tensors = safetensors.torch.load(content)
    if fault == "shape":
        tensors["looks"] = tensors["looks"][:, :100].contiguous()
    elif fault == "about":
        tensors["about"] = tensors["about"][:-9]
    elif fault == "keys":
        tensors["signs"] = tensors["signs"][:-1]
    bad = {"cut": content[:1000], "pickle": b"\x80\x04\x95" + content}.get(fault) or safetensors.torch.save(tensors)
    with pytest.raises(TranhError, match="export again"):
        Memory.load(bad)


# In a system


@pytest.fixture(scope="module")
def guarded(parts, assets, system):
    """The tiny hierarchy, trained (it says) on what it draws of seeds 3 and 5, and on scenes."""
    drawn = torch.cat(
        [to_images(np.asarray(image)[None]) for image in system.generate("a red circle", count=6, size=64)]
    )
    pictures = [(["mine/3", "mine/5"], drawn[[3, 5]]), *batches(scenes("train", 60), "scenes")]
    return assemble(parts, assets | {MEMORY: build(pictures).save()}, {"name": "tiny", "steps": 3, "prior_steps": 2})


def test_a_near_copy_is_refused_and_the_others_are_drawn(guarded, system):
    request = Request("a red circle", count=4, seed=2, size=64, refuse_copies=True)
    *_, last = guarded.generate_events(request)
    result = last.result
    assert [told["seed"] for told in result.settings] == [2, 4] and len(result.images) == 2
    assert len(result.refused) == 2 and "seed 3" in result.refused[0] and "mine/5" in result.refused[1]
    for image, told in zip(result.images, result.settings):
        assert told["refuse_copies"]["ratio"] >= told["refuse_copies"]["limit"]
        same = system.generate("a red circle", seed=told["seed"], size=64)[0]  # no seed takes another's place
        assert np.array_equal(np.asarray(image), np.asarray(same))
    with pytest.raises(TranhError, match="seed 3 is refused: a near copy of the training picture mine/3"):
        guarded.generate("a red circle", seed=3, size=64, refuse_copies=True)
    assert guarded.generate("a red circle", seed=4, size=64, refuse_copies=True)


def test_without_the_switch_nothing_is_refused(guarded):
    *_, last = guarded.generate_events(Request("a red circle", seed=3, size=64))
    assert len(last.result.images) == 1 and not last.result.refused
    assert "refuse_copies" not in last.result.settings[0]


def test_a_model_without_an_index_says_how_to_get_one(system):
    with pytest.raises(TranhError, match="no index of its training pictures.*tranh export"):
        system.generate("a red circle", refuse_copies=True)


def test_the_index_of_a_run_knows_the_verifier():
    made = Memory.load(build(batches(scenes("train", 40), "x"), network=own()).save())
    assert made.network is not None and made.network[0] == "verifier-1" and made.features.shape == (40, 448)
