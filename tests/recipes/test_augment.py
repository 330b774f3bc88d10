"""Augmentation writes a labelled folder that the data package reads back."""

import numpy as np
import pytest
import torch
from PIL import Image

from tranh.data.detect import detect
from tranh.data.overview import look_at
from tranh.nn.pixels import to_images
from tranh.recipes.augment import augment, classes
from tranh.types import TranhError

COLOURS = {"red ball": (220, 30, 30), "blue ball": (30, 30, 220)}


class Painter:
    """Draws what a caption says, with noise of the seed."""

    name = "painter"
    parts = {}

    def __init__(self):
        self.asked = []

    def generate_batch(self, prompts, seeds):
        self.asked += zip(prompts, seeds, strict=True)
        noise = [torch.randn(16, 16, 3, generator=torch.Generator().manual_seed(s)).numpy() for s in seeds]
        base = [np.full((16, 16, 3), COLOURS[p], float) for p in prompts]
        pixels = np.stack([np.clip(b + 8 * n, 0, 255) for b, n in zip(base, noise, strict=True)])
        return to_images(pixels.astype(np.uint8))


@pytest.fixture
def labelled(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANH_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        folder = tmp_path / "balls" / name.replace(" ", "_")
        folder.mkdir(parents=True)
        for k in range(8):
            pixels = np.clip(np.full((64, 64, 3), colour) + rng.normal(0, 20, (64, 64, 3)), 0, 255)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{k}.png")
    return {"source": str(tmp_path / "balls")}


def test_a_labelled_folder_is_written_and_read_back(labelled, tmp_path):
    painter, out = Painter(), tmp_path / "more"
    *_, last = augment(painter, labelled, out, per_class=5, seed=100)
    assert last.result == 10 and last.done == last.total
    found = detect(out)
    assert found.kind == "folder"
    items = found.read()
    assert len(items) == 10
    for k in range(10):
        item = items[k]
        assert item.split == "train" and item.label.replace("_", " ") == item.captions[0].text
        pixels = np.asarray(Image.open(out / item.key))
        assert np.abs(pixels.mean((0, 1)) - COLOURS[item.captions[0].text]).max() < 12
    assert [seed for _, seed in painter.asked] == list(range(100, 110))
    assert any("10" in line for line in look_at(found, 20).lines())


def test_its_classes_are_the_labels(labelled):
    assert [(c.label, dict(c.captions)) for c in classes(labelled)] == [
        ("blue_ball", {"": "blue ball"}), ("red_ball", {"": "red ball"}),
    ]  # fmt: skip


def test_what_cannot_be_is_refused(labelled, tmp_path):
    with pytest.raises(TranhError, match="no caption in 'vi'"):
        list(augment(Painter(), labelled, tmp_path / "a", per_class=1, language="vi"))
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "mine.txt").write_text("mine")
    with pytest.raises(TranhError, match="not empty"):
        list(augment(Painter(), labelled, tmp_path / "b", per_class=1))
    blind = Painter()
    blind.parts = {"vae": torch.nn.Linear(1, 1)}
    with pytest.raises(TranhError, match="reads no captions"):
        list(augment(blind, labelled, tmp_path / "c", per_class=1))
