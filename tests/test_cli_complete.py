"""``tranh edit complete`` and the options that say how codes are drawn, with a system that is only pretended."""

import types

import pytest
from PIL import Image
from typer.testing import CliRunner

from tranh import cli
from tranh.engine.picture import read_settings
from tranh.types import Event


class Fake:
    """A system that completes with one colour; what it was asked is written down."""

    def __init__(self):
        self.asked = []

    def generate_events(self, request):
        self.asked.append(request)
        seeds = range(request.seed, request.seed + request.count)
        yield Event("draw", 1, 1, result=types.SimpleNamespace(
            images=[Image.new("RGB", (8, 8), (k, 0, 0)) for k in seeds], notices=["a notice"], refused=[],
            settings=[{"seed": k, "model": "fake", "prompt": request.prompt} for k in seeds],
        ))  # fmt: skip

    complete = generate_events


@pytest.fixture
def fake(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    Image.new("RGBA", (20, 10), (1, 2, 3, 255)).save(tmp_path / "car.png")
    system = Fake()
    monkeypatch.setattr("tranh.recipes.models.load", lambda name: system)
    return system


def call(*args):
    return CliRunner().invoke(cli.app, list(args), prog_name="tranh")


def test_the_request_is_what_was_typed(fake, tmp_path):
    how = ["--temperature", "0.5", "--top-k", "7", "--top-p", "0.9", "--guidance", "3"]
    done = call("edit", "complete", "m", "car.png", "--rows", "0.25", "a car", "--count", "2", "--seed", "4", *how)
    assert done.exit_code == 0, done.output
    asked = fake.asked[0]
    assert (asked.prompt, asked.count, asked.seed, asked.strength) == ("a car", 2, 4, 0.75)
    assert (asked.temperature, asked.top_k, asked.top_p, asked.guidance) == (0.5, 7, 0.9, 3.0)
    assert asked.image.size == (20, 10) and asked.image.mode == "RGB"
    assert done.stdout.split() == ["out-4.png", "out-5.png"] and "note: a notice" in done.stderr
    assert read_settings(tmp_path / "out-5.png")["seed"] == 5


def test_generate_takes_them_too(fake):
    done = call("generate", "a car", "--model", "m", "--temperature", "0", "--top-k", "3", "--top-p", "1")
    assert done.exit_code == 0, done.output
    assert (fake.asked[0].temperature, fake.asked[0].top_k, fake.asked[0].top_p) == (0.0, 3, 1.0)
    call("generate", "a car", "--model", "m")
    assert fake.asked[1].temperature is None and fake.asked[1].top_k is None and fake.asked[1].top_p is None


def test_what_cannot_be_is_said(fake, monkeypatch, tmp_path):
    (tmp_path / "no.png").write_text("no picture")
    assert "no picture of a known kind" in call("edit", "complete", "m", "no.png", "a car").stderr
    assert "nowhere.png" in call("edit", "complete", "m", "nowhere.png", "a car").stderr
    assert "rows is 1" in call("edit", "complete", "m", "car.png", "a car", "--rows", "1").stderr
    monkeypatch.setattr("tranh.recipes.models.load", lambda name: object())
    refused = call("edit", "complete", "m", "car.png", "a car")
    assert refused.exit_code == 1 and "m cannot complete" in refused.stderr and "dalle" in refused.stderr
