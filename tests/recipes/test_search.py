"""Searching a place, naming pictures: what is looked at once, what comes first, and what is refused."""

import os
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

import tranh
from tranh.data.decode import read_picture
from tranh.engine.picture import read_settings
from tranh.recipes import search
from tranh.recipes.caption_judge import CaptionJudge, judge_of
from tranh.recipes.exported import export
from tranh.recipes.run import find, override, train
from tranh.types import TranhError, capabilities


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def judge(system):
    return judge_of(system)


@pytest.fixture
def folder(tmp_path):
    """Pictures of several sizes and modes, one of them deeper, one broken, and a file that is none."""
    root = tmp_path / "pictures"
    (root / "deep").mkdir(parents=True)
    sizes = {"a.png": (64, 64), "b.jpg": (90, 40), "deep/c.webp": (30, 70), "d.gif": (64, 64)}
    for i, ((name, size), mode) in enumerate(zip(sizes.items(), ("RGB", "L", "RGBA", "P"), strict=True)):
        pixels = np.random.default_rng(i).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
        Image.fromarray(pixels).convert(mode).save(root / name)
    (root / "broken.png").write_bytes(b"\x89PNG nothing")
    (root / "notes.txt").write_text("no picture")
    return root


def indexed(judge, folder):
    *_, last = search.index(judge, search.place(folder))
    return last.result


def test_every_picture_is_looked_at_once(judge, folder):
    first = indexed(judge, folder)
    assert list(first.names) == ["a.png", "b.jpg", "d.gif", "deep/c.webp"] and list(first.broken) == ["broken.png"]
    again = indexed(judge, folder)
    assert (first.fresh, again.fresh) == (5, 0) and torch.equal(first.embeddings, again.embeddings)
    assert again.broken == first.broken


def test_what_changed_is_looked_at_again_and_what_is_gone_is_forgotten(judge, folder):
    before = indexed(judge, folder)
    Image.new("RGB", (64, 64), "red").save(folder / "a.png")
    (folder / "b.jpg").unlink()
    os.utime(folder / "d.gif", ns=(1, 1))
    after = indexed(judge, folder)
    assert after.fresh == 2 and list(after.names) == ["a.png", "d.gif", "deep/c.webp"]
    old = dict(zip(before.names, before.embeddings, strict=True))
    for name, one in zip(after.names, after.embeddings, strict=True):
        assert torch.equal(one, old[name]) is (name != "a.png")


def test_another_model_has_an_index_of_its_own(judge, folder):
    indexed(judge, folder)
    other = CaptionJudge("clip", type(judge.model)(**judge.model.config), judge.tokenizer, {})
    assert indexed(other, folder).fresh == 5 and indexed(judge, folder).fresh == 0


def test_a_kept_index_that_is_damaged_is_made_again(judge, folder, tmp_path):
    indexed(judge, folder)
    [kept] = (tmp_path / "cache" / "search").iterdir()
    kept.write_bytes(b"nothing")
    assert indexed(judge, folder).fresh == 5


def test_an_archive_is_a_place_too(judge, folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for file in sorted(folder.rglob("*.*")):
            archive.write(file, file.relative_to(folder))
    unpacked, packed = indexed(judge, folder), indexed(judge, tmp_path / "all.zip")
    assert packed.names == unpacked.names and torch.equal(packed.embeddings, unpacked.embeddings)


def test_the_nearest_come_first(judge, folder):
    of, asked = indexed(judge, folder), judge.embed_captions(["a red circle"])[0]
    found = search.nearest(of, asked, 3)
    cosines = {name: float(one @ asked) for name, one in zip(of.names, of.embeddings, strict=True)}
    assert [one.name for one in found] == sorted(cosines, key=lambda name: -cosines[name])[:3]
    assert len(search.nearest(of, asked, 100)) == 4


def test_a_picture_finds_itself(judge, folder):
    with Image.open(folder / "b.jpg") as image:
        found = search.nearest(indexed(judge, folder), judge.embed_pictures([image])[0], 1)
    assert found[0].name == "b.jpg" and found[0].similarity == pytest.approx(1, abs=1e-3)


def test_a_sheet_keeps_what_was_asked(judge, folder, tmp_path):
    found = search.nearest(indexed(judge, folder), judge.embed_captions(["a red circle"])[0], 4)
    out = search.sheet_of(search.place(folder), found, "a red circle", tmp_path / "sheet.png")
    assert read_settings(out)["prompt"] == "a red circle" and len(read_settings(out)["found"]) == 4


def test_places_without_pictures_are_refused(judge, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(TranhError, match="holds no pictures"):
        indexed(judge, tmp_path / "empty")
    with pytest.raises(TranhError, match="no folder"):
        search.place(tmp_path / "nowhere")
    (tmp_path / "empty" / "a.png").write_bytes(b"")
    with pytest.raises(TranhError, match="none of the 1 pictures"):
        indexed(judge, tmp_path / "empty")


def test_shares_are_the_softmax_of_logits_per_image(judge, folder):
    """As CLIPModel has them: cosines times e to the learned scale (its embeddings are compared in test_clip.py)."""
    labels, image = ["a red circle", "một con mèo", "a blue house"], read_picture(folder / "b.jpg")
    cosines = [judge.similarity(image, label) for label in labels]
    shares = torch.softmax(judge.model.logit_scale.exp() * torch.tensor(cosines), -1).tolist()
    [named] = search.classify(judge, [("b", image)], labels)
    expected = sorted(zip(labels, shares, strict=True), key=lambda one: -one[1])
    assert [label for label, _ in named.shares] == [label for label, _ in expected] and named.label == expected[0][0]
    assert [share for _, share in named.shares] == pytest.approx([share for _, share in expected], abs=1e-5)


@pytest.mark.parametrize("labels", [["a circle"], ["a circle", "a circle"]])
def test_one_label_is_no_choice(judge, labels):
    with pytest.raises(TranhError, match="at least two"):
        search.classify(judge, [], labels)


def test_the_recipe_trains_exports_and_embeds(tmp_path, monkeypatch):
    monkeypatch.setattr("tranh.recipes.sources.CAPTIONED", 40)
    small = ["dim=16", "vision=resnet", "vision_width=16", "vision_depth=2", "vision_heads=2", "text=cbow"]
    settings = [f"clip.model.{one}" for one in (*small, "text_width=16")] + ["steps=2", "batch=4", "data.count=16"]
    for _ in train(override(find("clip"), settings), tmp_path / "run", force=True):
        pass
    system = tranh.load(str(export(tmp_path / "run", tmp_path / "out")))
    assert capabilities(system) == ("embeds",) and system.model.config["vision"] == "resnet"
    assert system.understand("mot hinh tron").text == "một hình tròn"
    with pytest.raises(TranhError, match="giraffe"):
        system.understand("a giraffe")
    image, text = system.embed_pictures([Image.new("RGB", (50, 80))]), system.embed_captions(["a star"])
    assert image.shape == text.shape == (1, 16)
