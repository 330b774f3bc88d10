"""The report of retrieval, by judges of which is known what they see: everything, colours only, nothing."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from tranh.data.scenes.layout import scene
from tranh.metrics.retrieval import chance
from tranh.recipes import retrieval
from tranh.recipes.retrieval import evaluate
from tranh.types import TranhError

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
NAMES = {"red": "màu đỏ", "green": "màu xanh lá", "blue": "màu xanh dương"}


class Judge:
    """It sees the mean colour of a picture and of the colours that a caption names."""

    name, part, hash, image_size = "toy", "clip", "abc", 64
    model = SimpleNamespace(config={"vision": "eye", "text": "ear"})

    def embed_images(self, images):
        return torch.nn.functional.normalize((images.mean((2, 3)) + 1) / 2, dim=-1)

    def embed_captions(self, captions, notice=None):
        rows = [
            sum(
                (torch.tensor(rgb) for name, rgb in COLOURS.items() if name in said or NAMES[name] in said),
                torch.zeros(3),
            )
            for said in captions
        ]
        return torch.nn.functional.normalize(torch.stack(rows), dim=-1)


class Blind(Judge):
    def embed_images(self, images):
        return torch.ones(len(images), 3)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("TRANH_CACHE", str(tmp_path_factory.getbasetemp() / "retrieval-cache"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Plain pictures of three colours in two shades, captioned, of known classes, all for the test but a few."""
    root, lines = tmp_path_factory.mktemp("colours"), []
    for i in range(48):
        name = list(COLOURS)[i % 3]
        rng = np.random.default_rng(i)
        pixels = np.clip(np.array(COLOURS[name]) * 0.8 + rng.normal(0, 25, (64, 64, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(root / f"{i}.png")
        split = "test" if i < 30 else "train"
        said = {"text_en": f"all {name}", "text_vi": f"toàn {NAMES[name]}", "label": name, "split": split}
        lines.append(json.dumps({"file_name": f"{i}.png", **said}, ensure_ascii=False))
    (root / "metadata.jsonl").write_text("\n".join(lines), "utf-8")
    return root


def report(judge, out, **asked):
    *_, last = evaluate(judge, out, **asked)
    assert json.loads((out / "report.json").read_text("utf-8")) == last.result
    return last.result


def test_of_own_pictures_by_language_and_class(folder, tmp_path):
    found = report(Judge(), tmp_path, data={"source": str(folder)})
    assert {row["language"] for row in found["retrieval"]} == {"en", "vi"} and found["protocol"][
        "towers"
    ] == "eye + ear"
    ways = {(row["way"], row["k"]): row for row in found["retrieval"] if row["language"] == "en"}
    assert ways["caption to picture", 5]["value"]["value"] == 1 and ways["picture to caption", 1]["value"]["value"] == 1
    assert ways["caption to picture", 1]["among"] == 30 and ways["picture to caption", 1]["among"] == 3
    true = np.array([[i % 3 == j % 3 for j in range(30)] for i in range(30)])
    assert ways["caption to picture", 5]["chance"] == pytest.approx(chance(true, 5))
    assert ways["picture to caption", 1]["chance"] == pytest.approx(1 / 3)
    assert [(r["of"], r["classes"], r["value"]["value"]) for r in found["zero_shot"]] == [("label", 3, 1.0)] * 2
    said = (tmp_path / "report.md").read_text("utf-8")
    assert "| caption to picture | 30 | 100.0 %" in said and "chance 33.3 %" in said


def test_who_sees_nothing_is_at_chance(folder, tmp_path):
    for row in report(Blind(), tmp_path, data={"source": str(folder)})["retrieval"]:
        assert row["value"]["value"] == pytest.approx(row["chance"])


def test_of_scenes_kinds_and_colours_are_told_apart_by_their_names(tmp_path):
    found = report(Judge(), tmp_path, languages=["en", "vi_unmarked"], count=24)
    assert [(r["language"], r["of"], r["classes"]) for r in found["zero_shot"]] == [
        (language, of, count) for language in ("en", "vi_unmarked") for of, count in (("kind", 25), ("colour", 11))
    ]
    assert {(r["way"], r["k"]) for r in found["retrieval"]} == {
        (way, k) for way in ("caption to picture", "picture to caption") for k in (1, 5, 10)
    }


def test_classes_of_scenes_are_called_what_they_are():
    scenes = [scene("one", "test", i) for i in range(3)]
    of = retrieval._facts(scenes, "en")
    assert of["kind"].called["cat"][0] in ("a cat", "a kitty") and of["kind"].of == [s.things[0].kind for s in scenes]
    assert all("green" in said for said in of["colour"].called["green"]) and len(of["colour"].called["green"]) == 25
    assert retrieval._facts(scenes, "vi_unmarked")["kind"].called["triangle"][0].isascii()


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"levels": ["three"]}, "one, two, full"),
        ({"splits": ["exam"]}, "unseen"),
        ({"languages": ["fr"]}, "vi_unmarked"),
        ({"count": 5}, "fewer than 20"),
    ],
)
def test_what_scenes_do_not_have_is_refused(tmp_path, asked, says):
    with pytest.raises(TranhError, match=says):
        report(Judge(), tmp_path, **asked)
