"""The verbs of models that encode and decode, from the command line to the picture, with a small one that is loaded."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from tranh import cli
from tranh.families.autoencoder import Autoencoder
from tranh.recipes import autoencoder, models


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with two pictures, and a model that any name but ``blind`` loads."""
    torch.manual_seed(0)
    part = Autoencoder(image_size=16, width=32, latent=8)
    system = autoencoder.assemble({"autoencoder": part}, {}, {"name": "small"})
    monkeypatch.setattr(models, "load", lambda name: object() if name == "blind" else system)
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    (tmp_path / "pictures").mkdir()
    for name in ("a", "b", "c"):
        Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(tmp_path / "pictures" / f"{name}.png")
    return tmp_path


def call(*args):
    return CliRunner().invoke(cli.app, list(args), prog_name="tranh")


@pytest.mark.parametrize(
    ("args", "shown"),
    [
        (["latent", "m", "pictures/a.png", "--to", "pictures/b.png", "--steps", "5", "-o", "out.png"], 5),
        (["denoise", "m", "pictures/a.png", "--noise", "0.5", "-o", "out.png"], 3),
        (["denoise", "m", "pictures/a.png", "-o", "out.png"], 2),
        (["fill", "m", "pictures/a.png", "--box", "0,0,0.5,1", "--rounds", "2", "-o", "out.png"], 3),
        (["fill", "m", "pictures/a.png", "--mask", "mask.png", "--rounds", "2", "-o", "out.png"], 3),
    ],
)
def test_one_command_one_picture(here, args, shown):
    Image.fromarray(np.pad(np.full((8, 8), 255, np.uint8), 4)).save(here / "mask.png")
    ran = call("edit", *args)
    assert ran.exit_code == 0 and ran.stdout.strip() == "out.png", ran.output
    assert Image.open(here / "out.png").width == shown * 136 + 8


def test_an_attribute_is_learned_from_scenes(here, monkeypatch):
    monkeypatch.setattr("tranh.recipes.latent_edits.LOOKED_AT", 150)
    monkeypatch.setattr("tranh.recipes.latent_edits.groups.__defaults__", (150, ""))
    ran = call("edit", "latent", "m", "pictures/a.png", "--attribute", "red", "-o", "out.png")
    assert ran.exit_code == 0 and Image.open(here / "out.png").width == 7 * 136 + 8, ran.output


def test_odd_pictures_are_listed_worst_first(here):
    ran = call("anomalies", "m", "pictures", "--worst", "2", "--out", "odd")
    lines = ran.stdout.split("\n")
    assert ran.exit_code == 0 and len([line for line in lines if ".png" in line]) == 3, ran.output
    listed = json.loads((here / "odd" / "anomalies.json").read_text())
    assert len(listed) == 3 and listed[0]["error"] >= listed[1]["error"] and listed[0]["file"] in lines[0]


def test_models_are_compared_on_scenes(here):
    ran = call("reconstruct", "one/m", "two/m", "--count", "16", "--out", "side")
    assert ran.exit_code == 0 and "| one/m | 8 |" in ran.stdout and "| PCA of 8 | 8 |" in ran.stdout, ran.output
    assert {p.name for p in (here / "side").iterdir()} == {
        "report.json", "report.md", "report.html", "reconstruct.png",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["edit", "latent", "m", "pictures/a.png"], "--to PICTURE or --attribute WORD"),
        (["edit", "fill", "m", "pictures/a.png", "--box", "left"], "left,top,right,bottom"),
        (["edit", "denoise", "blind", "pictures/a.png"], "no latent space"),
        (["anomalies", "m", "empty"], "no picture"),
        (["augment", "m", "out", "--data", "digits"], "makes no pictures"),
    ],
)
def test_what_cannot_be_is_said(here, args, said):
    (here / "empty").mkdir()
    ran = call(*args)
    assert ran.exit_code == 1 and said in ran.output, ran.output
