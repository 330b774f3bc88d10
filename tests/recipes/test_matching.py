"""A caption judge on a toy world: it learns, it stands between floor and ceiling, it refuses what is circular."""

import copy
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tranh.engine import find
from tranh.engine.rundir import RunDir
from tranh.engine.train import train
from tranh.engine.weights import fingerprint, tensors_of
from tranh.families.matcher import Matcher
from tranh.metrics import report
from tranh.recipes import models
from tranh.recipes.caption_judge import CaptionJudge, assemble, judge_of, load
from tranh.recipes.exported import export
from tranh.recipes.matching import ACCURACY, ORDER, PRECISION, Captioned, check_independent, exchanged, match, table
from tranh.recipes.provenance import collection, provenance
from tranh.text.tokenizer import Tokenizer
from tranh.text.words import Words
from tranh.types import Batch, Recipe, Stage, TranhError, capabilities

SIDE = 16
COLOURS = {"red": "đỏ", "green": "xanh lá", "blue": "xanh dương", "white": "trắng", "yellow": "vàng", "purple": "tím"}
VALUES = ((1, -1, -1), (-1, 1, -1), (-1, -1, 1), (1, 1, 1), (1, 1, -1), (0.4, -1, 0.6))
PLACES = {"top left": "trên bên trái", "top right": "trên bên phải", "bottom left": "dưới bên trái",
          "bottom right": "dưới bên phải"}  # fmt: skip


def toy(language, count, seed):
    """Squares of six colours in four corners on a ground of another colour; 120 different captions."""
    rng = np.random.default_rng(seed)
    colours, places = (list(words) if language == "en" else list(words.values()) for words in (COLOURS, PLACES))
    images, captions = torch.empty(count, 3, SIDE, SIDE), []
    for n in range(count):
        ground, thing = rng.choice(len(colours), 2, replace=False)
        place = int(rng.integers(len(places)))
        images[n] = torch.tensor(VALUES[ground])[:, None, None]
        y, x = (8 * (place // 2) + int(rng.integers(3)), 8 * (place % 2) + int(rng.integers(3)))
        images[n, :, y : y + 6, x : x + 6] = torch.tensor(VALUES[thing])[:, None, None]
        said = (f"a {colours[thing]} square at the {places[place]} on {colours[ground]}" if language == "en"
                else f"hình vuông {colours[thing]} ở {places[place]} trên nền {colours[ground]}")  # fmt: skip
        captions.append(said)
    return (images + 0.1 * torch.randn(images.shape, generator=torch.Generator().manual_seed(seed))).clamp(
        -1, 1
    ), captions


class Toys:
    def __init__(self, tokenizer):
        self.tokenizer = tokenizer
        made = [toy(language, 1500, seed) for seed, language in enumerate(("en", "vi"))]
        self.images, self.captions = torch.cat([m[0] for m in made]), made[0][1] + made[1][1]

    def pick(self, rows):
        tokens, mask = self.tokenizer.encode([self.captions[i] for i in rows])
        return Batch(self.images[rows], [self.captions[i] for i in rows], tokens, mask, torch.tensor(rows))

    def batch(self, step, size, seed):
        return self.pick(np.random.default_rng((seed, step)).integers(0, 2800, size).tolist())

    def validation(self, step, size):
        return self.pick([2800 + (step * size + k) % 200 for k in range(size)])


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train([c for language in ("en", "vi") for c in toy(language, 300, 9)[1]], size=400, max_length=32)


MODEL = dict(max_len=32, image_size=SIDE, dim=32, widths=[16, 24, 32], depths=[1, 1, 0], text_width=48, text_depth=1)
STAGE = Stage("matcher", data={"source": "toys", "split": "judge"}, steps=120, batch=64, lr=3e-3, muon_lr=6e-3,
              warmup=10, decay=0.5, ema=(0.05,), seed=7)  # fmt: skip


@pytest.fixture(scope="module")
def root(tokenizer, tmp_path_factory):
    """A finished training of the matcher, as `tranh train matcher` leaves it."""
    folder = tmp_path_factory.mktemp("judge")
    stage = replace(STAGE, model=MODEL | {"vocab": len(tokenizer)})
    assets = {"tokenizer.json": tokenizer.save(), "words.json": Words.count([]).save()}
    list(train(stage, find.build(stage), Toys(tokenizer), RunDir(folder / "matcher"), assets=assets))
    recipe = Recipe("matcher", {"matcher": stage}, "tranh.recipes.caption_judge:assemble", ("matcher",))
    (folder / "recipe.json").write_text(
        json.dumps({"name": recipe.name, "parts": recipe.parts, "system": recipe.system})
    )
    return folder


@pytest.fixture(scope="module")
def judge(root, tmp_path_factory):
    return load(export(root, tmp_path_factory.mktemp("out") / "judge", "fp32"))


@pytest.fixture(scope="module")
def held_out():
    return {language: Captioned(*toy(language, 300, 20 + n)) for n, language in enumerate(("en", "vi"))}


def rows(result):
    return {(row["language"], row["measure"]): row for row in result["rows"]}


def test_it_learns_a_toy_world_in_seconds_in_both_languages(judge, held_out):
    result = match(judge, held_out, held_out, system=None)
    assert result["warnings"] == []
    for language in ("en", "vi"):
        found = {measure: rows(result)[language, measure] for measure in (ACCURACY, PRECISION)}
        for measure, least in ((ACCURACY, 0.95), (PRECISION, 0.5)):
            row = found[measure]
            assert row["value"] == row["ceiling"] and row["value"]["low"] > least and not row["refused"]
            assert row["position"]["value"] == 1.0 and row["pictures"] == 300
        assert found[ACCURACY]["floor"]["low"] < 0.5 < found[ACCURACY]["floor"]["high"]
        k = found[PRECISION]["candidates"]
        assert 50 < k <= 100 and found[PRECISION]["floor"]["value"] == pytest.approx(1 / k, rel=0.5)


def test_pictures_stand_between_floor_and_ceiling(judge, held_out):
    images, captions = held_out["en"].images, held_out["en"].captions
    half = images.clone()
    half[::2] = half[torch.arange(0, 300, 2).roll(1)]  # every second picture is another's
    row = rows(match(judge, {"en": Captioned(half, captions)}, held_out, system=None))["en", ACCURACY]
    assert 0.35 < row["position"]["low"] < 0.5 < row["position"]["high"] < 0.65
    noise = torch.rand(images.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    row = rows(match(judge, {"en": Captioned(noise, captions)}, held_out, system=None))["en", PRECISION]
    assert row["position"]["value"] < 0.05


def test_languages_are_told_apart(judge, held_out):
    mixed = {"en": held_out["en"], "vi": Captioned(held_out["vi"].images.flip(0), held_out["vi"].captions)}
    found = rows(match(judge, mixed, held_out, system=None))
    assert found["en", ACCURACY]["position"]["value"] > 0.9 > 0.3 > found["vi", ACCURACY]["position"]["value"]


def test_two_words_in_each_others_place_are_seen_by_who_looks(judge, held_out):
    found = rows(match(judge, held_out, held_out, system=None))
    for language in ("en", "vi"):
        row = found[language, ORDER]
        assert row["floor"]["high"] < 0.5 < 0.6 < row["value"]["low"] and row["value"] == row["ceiling"]
    unmoved = {"en": Captioned(held_out["en"].images[:30], ["red"] * 15 + ["blue"] * 15)}
    assert ("en", ORDER) not in rows(match(judge, unmoved, unmoved, system=None))


def test_the_same_call_gives_the_same(judge, held_out):
    again = match(judge, held_out, held_out, system=None)
    assert again == match(judge, held_out, held_out, system=None) and json.loads(json.dumps(again)) == again
    tiles = {"en": Captioned((tile for tile in held_out["en"].images.split(64)), held_out["en"].captions)}
    only = [row for row in again["rows"] if row["language"] == "en"]
    assert match(judge, tiles, held_out, system=None)["rows"] == only


def test_a_judge_to_whom_all_is_equal_gets_what_guessing_gets(judge, held_out):
    blind = copy.deepcopy(judge.model)
    torch.nn.init.zeros_(blind.picture_projection.weight)
    result = match(CaptionJudge("matcher", blind, judge.tokenizer, {}), held_out, held_out, system=None)
    row = rows(result)["vi", PRECISION]
    assert [row[x]["value"] for x in ("ceiling", "floor")] == pytest.approx([1 / row["candidates"]] * 2) and row[
        "refused"
    ]


def test_an_untrained_judge_is_refused(judge, held_out):
    torch.manual_seed(3)
    blank = CaptionJudge("matcher", Matcher(**judge.model.config), judge.tokenizer, {})
    result = match(blank, held_out, held_out, system=None)
    row = rows(result)["en", PRECISION]
    assert row["value"] is None and row["position"] is None and "cannot tell held-out captions apart" in row["refused"]
    page = report.markdown(report.Report("x", result["protocol"] | {"judge_trained": None}, [table(result)]))
    assert "cannot tell held-out captions apart" in page


def test_several_captions_of_one_picture_are_no_wrong_answers(judge):
    images, english = toy("en", 60, 5)
    _, vietnamese = toy("vi", 60, 5)
    both = Captioned(images.repeat(2, 1, 1, 1), english + vietnamese, ids=[*range(60), *range(60)])
    row = rows(match(judge, {"en": both}, {"en": both}, system=None))["en", ACCURACY]
    assert row["pictures"] == row["value"]["count"] == 60
    apart = replace(both, ids=None)
    assert (
        rows(match(judge, {"en": apart}, {"en": apart}, system=None))["en", ACCURACY]["value"]["value"]
        < row["value"]["value"]
    )


def test_what_cannot_be_compared_is_said(judge, held_out):
    other = {"en": Captioned(*toy("en", 40, 77))}
    assert "other captions" in match(judge, other, held_out, system=None)["warnings"][0]
    with pytest.raises(TranhError, match="'fr'.*some in: en, vi"):
        match(judge, {"fr": other["en"]}, held_out, system=None)
    with pytest.raises(TranhError, match="fewer than 20"):
        match(judge, {"en": Captioned(*toy("en", 5, 1))}, held_out, system=None)
    with pytest.raises(TranhError, match="each row needs both"):
        match(judge, {"en": Captioned(other["en"].images[:30], other["en"].captions)}, held_out, system=None)
    with pytest.raises(TranhError, match="2 and more"):
        match(judge, held_out, held_out, system=None, k=1)
    long = Captioned(other["en"].images, [c + " and so on" * 30 for c in other["en"].captions])
    assert "longer than the judge reads" in match(judge, {"en": long}, held_out, system=None)["warnings"][-1]


# What the judge is.


def test_a_judge_scores_pairs_and_embeds(judge, held_out):
    images, captions = held_out["en"].images[:8], list(held_out["en"].captions[:8])
    scores = judge.score(images, captions)
    table_ = judge.embed_images(images) @ judge.embed_captions(captions).T
    torch.testing.assert_close(scores, table_.diagonal())
    assert capabilities(judge) == ("embeds",) and scores.shape == (8,) and len(judge.hash) == 16
    torch.testing.assert_close(scores, judge.score(images, [c.upper() for c in captions]))  # spelling is not judged
    large = torch.nn.functional.interpolate(images, scale_factor=3)
    assert (judge.score(large, captions) - scores).abs().max() < 0.1
    with pytest.raises(TranhError, match="8 pictures and 7 captions"):
        judge.score(images, captions[:7])
    with pytest.raises(TranhError, match="\\(N, 3, H, W\\)"):
        judge.embed_images(images[:, :1])
    with pytest.raises(TranhError, match="no caption"):
        judge.embed_captions([])
    with pytest.raises(TranhError, match="32"):
        judge.embed_captions(["a red square " * 40])


def test_export_keeps_every_bit_and_says_what_it_was_trained_on(root, judge, tokenizer):
    run = RunDir(root / "matcher")
    family = find.build(run.stage())
    from tranh.engine.weights import load_tensors
    from tranh.files import read_tensors

    load_tensors(family, read_tensors(run.weights), "run")
    for name, tensor in tensors_of(family).items():
        assert torch.equal(tensor, tensors_of(judge.model)[name])
    told = judge.card["trained"]["matcher"]
    assert told == {"run": run.hash(), "data": collection(STAGE.data), "split": "judge", "seed": 7} == provenance(run)
    assert isinstance(models.load(judge_folder(root)), CaptionJudge)


def judge_folder(root):
    out = root / "again"
    return out if out.exists() else export(root, out)


def test_pictures_are_named_by_what_is_in_them():
    data = {"source": "/own", "hash": "0123456789abcdef" * 4}
    assert (
        collection(data) == "0123456789abcdef" == collection(data | {"source": "/moved", "split": "judge", "size": 32})
    )
    assert collection(data | {"hash": "f" * 64}) != collection(data)
    assert collection({"source": "scenes"}) == collection({"split": "judge", "levels": {"one": 1}}) != collection(data)


def test_a_folder_without_a_judge_is_refused(parts, assets, system, tokenizer):
    for wrong in (lambda: assemble({"prior": parts["prior"]}, assets, {}), lambda: judge_of(models.verifier())):
        with pytest.raises(TranhError, match="matcher, clip"):
            wrong()
    with pytest.raises(TranhError, match="does not embed"):
        CaptionJudge("matcher", parts["prior"], tokenizer, {})


# Independence.


def of_clip(clip, assets, **card):
    return assemble({"clip": clip}, assets, {"name": "by clip"} | card)


def test_the_systems_own_clip_is_refused_as_its_judge(system, parts, assets):
    assert judge_of(system).hash == fingerprint(tensors_of(parts["clip"]))
    with pytest.raises(
        TranhError, match=r"tiny cannot judge tiny: it has the weights of its clip.*tranh train matcher"
    ):
        check_independent(judge_of(system), system)
    rounded = copy.deepcopy(parts["clip"]).bfloat16().float()
    with pytest.raises(TranhError, match="cosine of 1.00 to its clip's: the same beginning"):
        check_independent(of_clip(rounded, assets), system)
    tuned = copy.deepcopy(parts["clip"])
    generator = torch.Generator().manual_seed(0)
    for p in tuned.parameters():
        p.data += 0.5 * p.std(correction=0).nan_to_num() * torch.randn(p.shape, generator=generator)
    with pytest.raises(TranhError, match="the same beginning"):
        check_independent(of_clip(tuned, assets), system)


def test_a_clip_of_other_weights_may_judge(system, parts, assets):
    torch.manual_seed(99)
    other = type(parts["clip"])(**parts["clip"].config)
    (said,) = check_independent(of_clip(other, assets), system)
    assert "not known: by clip and tiny" in said
    wider = type(parts["clip"])(**parts["clip"].config | {"dim": 24})
    assert len(check_independent(of_clip(wider, assets), system)) == 1


def told(system, **trained):
    """The system with a card that says what its parts were trained on."""
    return SimpleNamespace(name="told", parts={}, card={"trained": trained})


OWN = {"run": "r1", "data": "d1", "split": "judge", "seed": 7}


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"run": "r1", "data": "d2", "split": "train"}, "it is the run its clip was exported from"),
        (
            {"run": "r2", "data": "d1", "split": "judge"},
            "trained on the split 'judge' of the same pictures as its clip",
        ),
    ],
)
def test_the_same_run_and_the_same_split_are_refused(system, parts, assets, other, says):
    judge = of_clip(parts["clip"], assets, trained={"clip": OWN})
    with pytest.raises(TranhError, match=says):
        check_independent(judge, told(system, clip=other))
    (warning,) = check_independent(judge, told(system, clip=other), circular=True)
    assert warning.startswith("CIRCULAR") and says in warning


@pytest.mark.parametrize(
    "other", [{"run": "r2", "data": "d1", "split": "train"}, {"run": "r2", "data": "d2", "split": "judge"}]
)
def test_other_splits_and_other_data_are_fine(system, parts, assets, other):
    judge = of_clip(parts["clip"], assets, trained={"clip": OWN})
    assert check_independent(judge, told(system, clip=other)) == []
    assert check_independent(judge, None) == []


@pytest.mark.parametrize("trained", [None, [], "split train", {"clip": "unknown"}, {"clip": {"run": None}}])
def test_a_card_that_says_nothing_useful_does_no_harm(system, parts, assets, trained):
    judge = of_clip(parts["clip"], assets, trained={"clip": OWN})
    found = check_independent(judge, SimpleNamespace(name="odd", parts={}, card={"trained": trained}))
    assert found == [] or "not known" in found[0]


def test_every_circular_result_says_so(judge, held_out):
    system = SimpleNamespace(name="own", parts={"matcher": judge.model}, card={})
    with pytest.raises(TranhError, match="circular=True"):
        match(judge, held_out, held_out, system=system)
    result = match(judge, held_out, held_out, system=system, circular=True)
    assert result["protocol"]["circular"] and result["warnings"][0].startswith("CIRCULAR")


# Order.


@given(st.lists(st.sampled_from(["đỏ", "red", "a", "mèo"]), max_size=6), st.integers(0, 9))
def test_two_different_words_change_places(words, seed):
    found = exchanged(" ".join(words), np.random.default_rng(seed))
    if len(set(words)) < 2:
        assert found is None
    else:
        after = found.split()
        assert sorted(after) == sorted(words) and sum(a != b for a, b in zip(after, words, strict=True)) == 2
