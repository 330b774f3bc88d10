"""The whole evaluation with systems whose right answers are known."""

from __future__ import annotations

import json

import pytest
import torch
from PIL import Image
from scenes_readings import Knowing

from tranh.data.scenes.layout import scene
from tranh.data.scenes.source import say
from tranh.recipes.evaluate import evaluate
from tranh.recipes.judge import renders
from tranh.types import TranhError

COUNT, LEVELS, SPLITS = 6, ("one", "full"), ("test", "unseen")
OPTIONS = dict(levels=LEVELS, splits=SPLITS, count=COUNT, batch=8, prompts=2, samples=2)


@pytest.fixture(scope="module")
def verifier():
    knowing = Knowing()
    for level in LEVELS:
        for split in SPLITS:
            knowing.learn(level, split, range(COUNT), [scene(level, split, i) for i in range(COUNT)])
    return knowing


class Painter:
    """Draws the scene of a caption it knows, or the scene ``off`` places further."""

    hash = "painter"

    def __init__(self, off: int = 0, mute: tuple[str, ...] = (), stop_at: int = 10**9) -> None:
        self.off, self.made, self.stop_at = off, 0, stop_at
        self.known = {}
        for level in LEVELS:
            for split in SPLITS:
                for i in range(COUNT):
                    for language in ("en", "vi"):
                        words, _ = say(scene(level, split, i), language, "dense", "evaluate", level, split, i)
                        wrong = off or language in mute
                        self.known[words] = (level, split, (i + 1) % COUNT if wrong else i)

    def generate_batch(self, prompts, seeds, size=None, steps=None, guidance=None):
        if self.made >= self.stop_at:
            raise KeyboardInterrupt
        self.made += len(prompts)
        return torch.cat([renders(level, split, [i], size) for level, split, i in map(self.known.get, prompts)])


def run(system, verifier, out, **options):
    return list(evaluate(system, verifier, out, **OPTIONS | options))


def test_a_perfect_system_reaches_the_ceiling(tmp_path, verifier):
    events = run(Painter(), verifier, tmp_path)
    assert {e.stage for e in events} == {"ceiling", "evaluate", "report"}
    value = events[-1].result
    assert value == json.loads((tmp_path / "report.json").read_text())
    assert len(value["scores"]) == 8
    for row in value["scores"]:
        assert row["pictures"] == COUNT and row["exact"]["value"] == row["ceiling"]["exact"]["value"] == 1.0
        assert 0.5 < row["exact"]["low"] < 1
    assert all(r["facts"]["value"] == 1 and 0 < r["chance"] < 0.5 for r in value["by_group"])
    assert all(r["exact"]["value"] == 0 for r in value["languages"] + value["splits"])
    assert value["protocol"]["model"] == "painter" and len(value["protocol"]["verifier"]) == 16
    assert value["warnings"] == []
    for row in value["second_opinion"]:
        assert row["agree"] in (None, 1.0) and row["right"] == 1
    assert value["sets"][0]["generated"]["FD-verifier"] is None and "too few" in value["sets"][0]["refused"]
    assert all(r["features"] == 0 < r["between_prompts"] for r in value["diversity"])  # one prompt, one picture
    page = (tmp_path / "report.html").read_text()
    assert "data:image/png;base64" in page and "class=wrong>" not in page and "<script" not in page
    text = (tmp_path / "report.md").read_text()
    assert "100.0 % [" in text and "FID" in text and " FID |" not in text
    with Image.open(tmp_path / "samples.png") as image:
        assert image.width > 1000


def test_a_wrong_system_is_found_wrong_in_the_language_it_fails(tmp_path, verifier):
    value = run(Painter(mute=("vi",)), verifier, tmp_path)[-1].result
    by = {(r["level"], r["split"], r["language"]): r for r in value["scores"]}
    assert by["full", "test", "en"]["exact"]["value"] == 1 and by["full", "test", "vi"]["exact"]["value"] == 0
    assert 0 < by["full", "test", "vi"]["facts"]["value"] < 0.8
    assert all(r["exact"]["value"] == -1 and r["facts"]["high"] < 0 for r in value["languages"])
    page = (tmp_path / "report.html").read_text()
    assert "class=wrong>" in page and "all right" in page


def test_stopped_and_continued(tmp_path, verifier):
    with pytest.raises(KeyboardInterrupt):
        run(Painter(stop_at=16), verifier, tmp_path / "a")
    again = Painter()
    first = run(again, verifier, tmp_path / "a")[-1].result
    assert again.made == 8 * COUNT + 8 - 16
    assert first == run(Painter(), verifier, tmp_path / "b")[-1].result
    assert (tmp_path / "a" / "report.html").read_bytes() == (tmp_path / "b" / "report.html").read_bytes()
    with pytest.raises(TranhError, match="seed"):
        run(Painter(), verifier, tmp_path / "a", seed=1)


def test_a_bad_verifier_is_warned_of(tmp_path, verifier):
    blind = Knowing()
    value = run(Painter(), blind, tmp_path, levels=("one",), splits=("test",), prompts=0)[-1].result
    assert "bounded" in value["warnings"][-1] and value["scores"][0]["ceiling"]["exact"]["value"] == 0


class Half(Knowing):
    """Reads one split without fault and is blind to the other, as one that never saw its combinations may be."""


def test_a_difference_of_splits_that_is_the_judges_own_is_told(tmp_path):
    half = Half()
    half.learn("one", "test", range(COUNT), [scene("one", "test", i) for i in range(COUNT)])
    value = run(Painter(), half, tmp_path, levels=("one",), languages=("en",), prompts=0)[-1].result
    (row,) = value["splits"]
    assert row["exact"]["value"] == row["ceiling_exact"]["value"] == 1.0  # the system was right everywhere
    assert any("partly the judge's" in warning for warning in value["warnings"])
    assert "verifier's own" in (tmp_path / "report.md").read_text()


def test_words_that_are_not_of_scenes(tmp_path, verifier):
    for wrong in ({"levels": ("easy",)}, {"languages": ("fr",)}, {"density": "long"}, {"count": 1}, {"samples": 1}):
        with pytest.raises(TranhError):
            next(evaluate(Painter(), verifier, tmp_path, **OPTIONS | wrong))
