"""Published Inception weights are converted once, safely, and only they give numbers called FID."""

import os
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from tranh.cli import app
from tranh.files import read_metadata, read_tensors, sha256, write_tensors
from tranh.metrics import frechet
from tranh.nn.pixels import to_images
from tranh.recipes import inception
from tranh.recipes.networks import network
from tranh.types import TranhError

sys.path.insert(0, str(Path(__file__).parent.parent / "nn"))
from inception_toys import FEATURES, pixels, weights


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inception")
    counters = {"Conv2d_1a_3x3.bn.num_batches_tracked": torch.tensor(7)}  # as newer batch norms save them
    torch.save(weights() | counters, folder / "published.pth")
    return folder / "published.pth", folder / "inception.safetensors"


@pytest.fixture(scope="module")
def converted(files):
    source, out = files
    result = CliRunner().invoke(app, ["import-inception", str(source), str(out)])
    assert result.exit_code == 0, result.output
    assert "no FID comes of them" in result.output and result.stdout.strip() == str(out)
    return out


def test_weights_come_through_unchanged(files, converted):
    kept = read_tensors(converted)
    assert kept.keys() == weights().keys() and all(torch.equal(v, weights()[k]) for k, v in list(kept.items())[:20])
    assert read_metadata(converted)["source_sha256"] == sha256(files[0])


def test_other_weights_give_numbers_of_another_name(converted):
    found = network(converted)
    assert found.name == f"inception-{found.hash[:8]}" and frechet.name(found.name).startswith("FD-inception-")
    assert "not the published one" in found.origin and "TensorFlow 1" in found.resize
    images = to_images(pixels().permute(0, 2, 3, 1).numpy())
    assert found.features(images)[:, ::290].tolist() == [pytest.approx(row, abs=2e-5) for row in FEATURES]
    assert found.probabilities is not None
    p = found.probabilities(images[:1])
    assert p.shape == (1, 1008) and float(p.sum()) == pytest.approx(1, abs=1e-5)


def test_the_published_file_is_known_by_its_hash(files, monkeypatch, tmp_path):
    monkeypatch.setattr(inception, "PUBLISHED", sha256(files[0])[:8])
    header = inception.convert(files[0], tmp_path / "i.safetensors")
    found = network(tmp_path / "i.safetensors")
    assert header["published"] == "yes" and found.name == "inception" and frechet.name(found.name) == "FID"
    assert "the published one" in found.origin and "not" not in found.origin
    tensors = read_tensors(tmp_path / "i.safetensors")
    write_tensors(tmp_path / "i.safetensors", tensors | {"fc.bias": tensors["fc.bias"] + 1}, header)
    with pytest.raises(TranhError, match="was changed after"):
        network(tmp_path / "i.safetensors")


def test_weights_that_do_not_fit_are_refused(tmp_path, converted):
    source, out = tmp_path / "w.pth", tmp_path / "w.safetensors"
    torch.save({"fc.weight": torch.zeros(1000, 2048), "AuxLogits.fc.weight": torch.zeros(3)}, source)
    with pytest.raises(TranhError, match=r"does not fit Inception.*missing.*unknown.*of another shape"):
        inception.convert(source, out)
    write_tensors(out, {"fc.bias": torch.zeros(1008)})
    with pytest.raises(TranhError, match="does not fit Inception"):
        network(out)
    with pytest.raises(TranhError, match="no feature network is called 'nowhere'"):
        network("nowhere")
    assert network("verifier-1").name == "verifier-1"


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("content", ["trap", "text", "objects", "missing"])
def test_a_file_that_is_no_weights_is_refused_and_never_run(tmp_path, content):
    source, sprung = tmp_path / "w.pth", tmp_path / "sprung"
    if content == "trap":
        torch.save({"fc.weight": Trap(sprung)}, source)
    elif content == "text":
        source.write_text("not weights")
    elif content == "objects":
        torch.save({"epoch": 3}, source)
    with pytest.raises(TranhError, match=r"not a file of tensors|more than tensors|cannot be read"):
        inception.convert(source, tmp_path / "out.safetensors")
    assert not sprung.exists() and not (tmp_path / "out.safetensors").exists()
