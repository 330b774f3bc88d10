"""Own pictures judged: what copies is caught, what follows captions is believed only where the judge can tell."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from tranh.families.matcher import Matcher
from tranh.metrics.network import Network
from tranh.recipes import own
from tranh.recipes.caption_judge import CaptionJudge
from tranh.recipes.evaluate_pictures import evaluate
from tranh.recipes.memory import MEMORY, Memory
from tranh.text.tokenizer import Tokenizer
from tranh.types import TranhError

SPLITS = {"train": 60, "validation": 10, "test": 24}
AFAR = Network("afar", "0" * 16, "means of 4 x 4", lambda images: F.adaptive_avg_pool2d(images.float(), 4).flatten(1))
"""Takes no time: where sets are not what is asked about, the shipped network's 15 ms a picture are most of a test's."""
COLOURS = {"red": (220, 30, 30), "green": (30, 160, 40), "blue": (30, 60, 210), "grey": (120, 120, 120)}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("judged")
    rng, number = np.random.default_rng(0), 0
    for split, count in SPLITS.items():
        lines = []
        (root / split).mkdir()
        for _ in range(count):
            colour = list(COLOURS)[number % 4]
            small = np.clip(np.array(COLOURS[colour]) + rng.normal(0, 60, (5, 5, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(small).resize((64, 64), Image.Resampling.BICUBIC).save(root / split / f"{number}.png")
            said = {"text_en": f"{colour} thing number {number}", "text_vi": f"vật thứ {number} màu {colour}"}
            lines.append({"file_name": f"{number}.png", **said})
            number += 1
        text = "".join(json.dumps(x, ensure_ascii=False) + "\n" for x in lines)
        (root / split / "metadata.jsonl").write_text(text)
    return {"source": str(root)}


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRANH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


class Fake:
    """A system that draws by a function of the number in the caption."""

    name, hash, size = "fake", "0" * 16, 64

    def __init__(self, data, draw):
        *_, last = own.index(data)
        self.memory, self.draw = Memory.load(last.result[MEMORY]), draw

    def generate_batch(self, prompts, seeds, size=None, steps=None, guidance=None):
        numbers = [int(next(word for word in prompt.split() if word.isdigit())) for prompt in prompts]
        return torch.stack([self.draw(n, seed) for n, seed in zip(numbers, seeds)])


@pytest.fixture(scope="module")
def true(data):
    """Number -> its true picture (3, 64, 64)."""
    pictures = own.untold(data, 64)
    prepared = pictures.prepared
    keys = [prepared.record(i)["key"] for i in range(len(prepared))]
    return {int(key.split("/")[-1].removesuffix(".png")): pictures.images([i])[0] for i, key in enumerate(keys)}


def result(events):
    *_, last = events
    return last.result


def test_a_system_that_draws_its_training_pictures_is_caught(data, true, tmp_path):
    parrot = Fake(data, lambda number, seed: true[number % SPLITS["train"]])
    found = result(evaluate(parrot, data, tmp_path, languages=["en"], count=24, prompts=4, samples=2))
    for split in ("test", "train"):
        assert found["copies"][split]["copies"] and found["copies"][split]["share"]["low"] > 0.6
    assert found["diversity"]["interval"]["value"] == 0  # the same picture for every seed
    page = (tmp_path / "report.html").read_text()
    assert "More are near copies than chance explains" in page and "no judge was given" in page
    assert (tmp_path / "copies-test.png").exists() and (tmp_path / "samples.png").exists()


def test_a_system_that_draws_noise_copies_nothing_and_is_far(data, tmp_path):
    def noise(number, seed):
        return torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(1000 * number + seed)) * 2 - 1

    found = result(evaluate(Fake(data, noise), data, tmp_path, network=AFAR, prompts=0))
    assert not found["copies"]["test"]["copies"] and not found["copies"]["train"]["copies"]
    rough = [
        json.loads(line)["pixels"]["roughness"] for line in (tmp_path / "results.jsonl").read_text().split("\n")[1:-1]
    ]
    assert min(rough) > 0.2
    with pytest.raises(TranhError, match="another protocol"):
        result(evaluate(Fake(data, noise), data, tmp_path, network=AFAR, prompts=0, seed=1))


class Colours(Matcher):
    """A judge that sees the mean colour and reads the colours' names."""

    def embed_images(self, images):
        mean = (images.mean((2, 3)) + 1) * 127.5
        return F.normalize(
            torch.softmax(-torch.cdist(mean, torch.tensor(list(COLOURS.values())).float()) / 20, -1), dim=-1
        )

    def embed_texts(self, tokens, mask):
        said = [self.tokenizer.decode(row[m].tolist()) for row, m in zip(tokens, mask)]
        return F.normalize(torch.tensor([[float(c in s) + 1e-3 for c in COLOURS] for s in said]), dim=-1)


@pytest.fixture(scope="module")
def judge(data):
    tokenizer = Tokenizer.load(own.assets(data)[own.TOKENIZER])
    small = {"widths": [8, 8, 8], "depths": [0, 0, 0], "text_width": 8, "text_depth": 1, "dim": 8}
    model = Colours(vocab=len(tokenizer), **small)
    model.tokenizer = tokenizer
    return CaptionJudge("matcher", model, tokenizer, {"name": "colours"})


def test_captions_are_matched_between_floor_and_ceiling(data, true, judge, tmp_path):
    right = Fake(data, lambda number, seed: true[number])
    wrong = Fake(data, lambda number, seed: true[(number + 1) % 94])
    told = {}
    for name, system in (("right", right), ("wrong", wrong)):
        found = result(evaluate(system, data, tmp_path / name, judge=judge, network=AFAR, count=24, prompts=0))
        rows = found["match"]["test"]["rows"]
        assert {row["language"] for row in rows} == {"en", "vi"}
        told[name] = next(r for r in rows if r["language"] == "en" and r["measure"] == "matching accuracy")
    assert told["right"]["value"]["value"] == pytest.approx(told["right"]["ceiling"]["value"])
    assert told["wrong"]["value"]["value"] < told["wrong"]["floor"]["high"]
    assert "Captions matched, held out" in (tmp_path / "right" / "report.md").read_text()


def test_a_judge_that_is_the_systems_own_is_refused_before_anything_is_drawn(data, judge, tmp_path):
    system = Fake(data, lambda number, seed: pytest.fail("drawn"))
    system.parts = {"clip": judge.model}
    with pytest.raises(TranhError, match="colours cannot judge fake"):
        result(evaluate(system, data, tmp_path, judge=judge))


def test_languages_are_chosen(data, true, tmp_path):
    found = result(evaluate(Fake(data, lambda n, s: true[n]), data, tmp_path, languages=["vi"], count=5, prompts=0))
    assert found["asked"]["test"] == {"pictures": 5, "captions": 5}
    with pytest.raises(TranhError, match="no caption of .* is in fr"):
        result(evaluate(Fake(data, lambda n, s: true[n]), data, tmp_path / "fr", languages=["fr"]))
