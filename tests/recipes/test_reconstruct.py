"""Reconstruction side by side, anomalies and attributes, on digits and Scenes, with coders whose answer is known."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score

from tranh.data.scenes.facts import visible
from tranh.data.scenes.layout import scene
from tranh.recipes import latent_edits
from tranh.recipes.reconstruct import Coder, Pca, coder, measures, reconstruct
from tranh.types import TranhError


def digits():
    """All of them as pictures, (1797, 3, 8, 8)."""
    grey = torch.from_numpy(load_digits().images / 8 - 1).float()
    return grey[:, None].expand(-1, 3, -1, -1).contiguous()


class Model:
    """Something that was loaded: an autoencoder beside another part."""

    def __init__(self, part, size):
        self.parts, self.size = {"text": object(), "coder": part}, size


@pytest.mark.parametrize("rows", [40, 400])
def test_pca_is_scikit_learns(rows):
    images = digits()[:rows]
    ours, theirs = Pca(images, 7), PCA(7).fit(images.flatten(1).numpy())
    there = torch.from_numpy(theirs.inverse_transform(theirs.transform(images.flatten(1).numpy()))).float()
    torch.testing.assert_close(ours.decode(ours.encode(images)).flatten(1), there, atol=1e-4, rtol=0)


def test_a_coder_is_the_model_or_its_last_part_that_can():
    pca = Pca(digits()[:50], 5)
    found = coder(Model(pca, 8), "x")
    assert found.part is pca and found.size == 8 and found.numbers(digits()[:1]) == 5
    with pytest.raises(TranhError, match="no latent space"):
        coder(object(), "x")


def test_the_report_stands_on_baselines(tmp_path, monkeypatch):
    images = digits()
    monkeypatch.setattr(
        "tranh.recipes.reconstruct.pictures", lambda data, size, count: (images[:300], images[300 : 300 + count])
    )
    monkeypatch.setattr("tranh.recipes.own.prepare", lambda data: iter(()))
    models = {"perfect": Model(Pca(images[:400], 192), 8), "small": Model(Pca(images[300:364], 10), 8)}
    *_, last = reconstruct(models, {"source": "digits"}, tmp_path, count=64)
    rows = last.result["rebuilt"]
    assert list(rows) == ["mean picture", "PCA of 10", "PCA of 192", "perfect", "small"]
    value = {name: row["PSNR"]["interval"]["value"] for name, row in rows.items()}
    assert value["mean picture"] < value["PCA of 10"] < value["small"] < value["perfect"]
    kept = json.loads((tmp_path / "report.json").read_text())
    assert kept["rebuilt"]["small"]["numbers"] == 10 and kept["protocol"]["SSIM"] == "of pictures enlarged 2 times"
    assert "| small | 10 |" in (tmp_path / "report.md").read_text()
    assert Image.open(tmp_path / "reconstruct.png").width > 64


def test_equal_pictures_are_as_like_as_can_be():
    images = digits()[:20]
    assert [m.name for m in measures(images, images)] == ["PSNR", "SSIM", "sharpness difference"]
    assert [m.value for m in measures(images, images)] == [100.0, 1.0, 100.0]


def test_planted_anomalies_are_found(tmp_path):
    images = digits()
    model = Coder("pca", Pca(images[:900], 20), 8)
    for k, image in enumerate(images[1000:1060]):
        Image.fromarray(((image[0].numpy() + 1) * 127.5).astype(np.uint8)).save(tmp_path / f"digit-{k:02d}.png")
    rng = np.random.default_rng(0)
    for k in range(6):  # digits whose halves are swapped: the same strokes, no digit
        swapped = np.roll(((images[1100 + k, 0].numpy() + 1) * 127.5).astype(np.uint8), 4, axis=int(rng.integers(2)))
        Image.fromarray(swapped).save(tmp_path / f"odd-{k}.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    *_, last = latent_edits.anomalies(model, tmp_path, tmp_path / "out", worst=4)
    found = last.result
    assert len(found) == 66 and [o.score for o in found] == sorted((o.score for o in found), reverse=True)
    assert roc_auc_score([o.name.startswith("odd") for o in found], [o.score for o in found]) > 0.9
    listed = json.loads((tmp_path / "out" / "anomalies.json").read_text())
    assert [one["file"] for one in listed] == [o.name for o in found]
    assert (tmp_path / "out" / "anomalies.png").is_file()


def test_words_of_scenes_and_captions_name_groups():
    images, red = latent_edits.groups({"source": "scenes"}, "red", 16, count=120)
    assert images.shape == (120, 3, 16, 16) and 2 < int(red.sum()) < 60
    _, said = latent_edits.groups({"source": "scenes"}, "màu đỏ", 16, count=120)
    assert bool((said <= red).all()) and said.any()
    assert not latent_edits.groups({"source": "scenes"}, "zebra", 16, count=120)[1].any()
    some, large = latent_edits.groups({"source": "scenes"}, "large", 16, count=120, against="small")
    assert len(some) == len(large) < 120 and 0 < int(large.sum()) < len(large)
    _, other = latent_edits.groups({"source": "scenes"}, "small", 16, count=120, against="large")
    assert torch.equal(large, ~other)


def test_the_value_of_a_fact_is_not_looked_for_in_sentences():
    _, light = latent_edits.groups({"source": "scenes"}, "light", 16, count=120)
    shades = [{f.value for f in visible(scene("one", "train", i)) if f.group == "shade"} for i in range(120)]
    assert light.tolist() == ["light" in values for values in shades]


def test_a_box_is_a_mask():
    known = latent_edits.missing(8, (0.5, 0, 1, 0.25))
    assert known.sum() == 64 - 8 and not known[0, 0, :2, 4:].any()
    for box in ((0, 0, 1), (0.5, 0, 0.5, 1), (0, 0, 2, 1)):
        with pytest.raises(TranhError, match="left,top,right,bottom"):
            latent_edits.missing(8, box)


def test_what_is_no_picture_is_said(tmp_path):
    (tmp_path / "a.png").write_bytes(b"words")
    with pytest.raises(TranhError, match=r"a\.png"):
        latent_edits.load(tmp_path / "a.png", 8)
