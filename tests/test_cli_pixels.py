"""``tranh edit upscale``, ``enhance`` and ``animate``, with systems that are only pretended."""

import types

import pytest
from PIL import Image
from typer.testing import CliRunner

from tranh import cli
from tranh.engine.animated import settings_of
from tranh.engine.picture import read_settings
from tranh.types import Event


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """What the edits were asked; all give red pictures."""
    monkeypatch.chdir(tmp_path)
    Image.new("RGBA", (20, 10), (1, 2, 3, 255)).save(tmp_path / "car.png")
    found = []

    def editing(edit):
        def run(system, request, *rest, **more):
            found.append((edit, request, rest, more))
            many = range(request.frames or 1)
            yield Event("edit", 1, 1, result=types.SimpleNamespace(
                images=[Image.new("RGB", (8, 8), (40 * k, 0, 0)) for k in many], notices=["a notice"],
                settings=[{"prompt": "", "edit": edit} for _ in many],
            ))  # fmt: skip

        return run

    monkeypatch.setattr("tranh.recipes.models.load", lambda name="tranh-1": name)
    monkeypatch.setattr("tranh.recipes.upscale.upscale", editing("upscale"))
    monkeypatch.setattr("tranh.recipes.upscale.enhance", editing("enhance"))
    monkeypatch.setattr("tranh.recipes.walks.animate", editing("animate"))
    return found


def call(*args):
    return CliRunner().invoke(cli.app, ["edit", *args], prog_name="tranh")


def test_upscale(asked, tmp_path):
    done = call("upscale", "car.png", "--to", "256", "--sampled", "--steps", "8", "--seed", "3", "-o", "big.png")
    assert done.exit_code == 0, done.output
    (_, request, (factor, sampled, world), _) = asked[0]
    assert (request.size, request.steps, request.seed, factor, sampled, world) == (256, 8, 3, None, True, "tranh-1")
    assert request.image.size == (20, 10) and "note: a notice" in done.stderr
    assert read_settings(tmp_path / "big.png")["edit"] == "upscale"


def test_enhance(asked, tmp_path):
    done = call("enhance", "car.png", "--no-straighten", "--model", "mine")
    assert done.exit_code == 0, done.output
    assert asked[0][2] == (False, None) and read_settings(tmp_path / "enhanced.png")["edit"] == "enhance"


def test_animate(asked, tmp_path):
    done = call("animate", "a red circle", "car.png", "--frames", "3", "--seeds", "4,5", "--no-loop", "-o", "w.gif")
    assert done.exit_code == 0, done.output
    (_, request, (keys, seeds), more) = asked[0]
    assert keys[0] == "a red circle" and keys[1].size == (20, 10) and seeds == [4, 5] and request.frames == 3
    assert more == {"loop": False, "rounds": 2}
    with Image.open(tmp_path / "w.gif") as image:
        assert image.n_frames == 3
    assert settings_of(tmp_path / "w.gif")["edit"] == "animate"


@pytest.mark.parametrize(
    "args, says",
    [
        (("upscale", "car.png", "--to", "256", "--factor", "4"), "either --to or --factor"),
        (("upscale", "car.png", "--steps", "4"), "add --sampled"),
        (("upscale", "car.png", "-o", "none/big.png"), "does not exist"),
        (("enhance", "car.png", "-o", "better.xyz"), "suffix"),
        (("animate", "a", "b", "-o", "walk.png"), "animation's suffix"),
        (("animate", "a", "b", "--fps", "0"), "frames per second"),
        (("animate", "a", "b", "--seeds", "one"), "whole numbers"),
        (("animate", "a", "missing.png"), "missing.png"),
    ],
)
def test_refusals_come_before_any_work(asked, args, says):
    done = call(*args)
    assert done.exit_code == 1 and says in done.output and not asked
