"""Edits by embedding and noise, and what ``generate`` takes beyond a prompt: what was typed is what is asked."""

import types

import pytest
from PIL import Image
from typer.testing import CliRunner

from tranh import cli
from tranh.engine.picture import read_settings
from tranh.recipes import toolbox
from tranh.types import Event, Region


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """Requests as they arrive, by the name of the edit, and what else it was given."""
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (8, 8), (1, 2, 3)).save(tmp_path / "a.png")
    Image.new("RGB", (8, 8), (3, 2, 1)).save(tmp_path / "b.png")
    found = {}

    def pretend(name):
        def edit(system, request, *rest):
            found[name] = (request, *rest)
            seeds = list(request.seeds) or [request.seed + k for k in range(request.count)]
            many = (request.frames or 8) if name in ("interpolate", "swept") else len(seeds)
            told = {"psnr": 31.24, "noise_mean": 0.01, "noise_variance": 0.98, "share": 0.5, "amount": -1.0}
            yield Event("draw", 1, 1, result=types.SimpleNamespace(
                images=[Image.new("RGB", (8, 8))] * many, notices=["a notice"], refused=[],
                settings=[{"seed": (seeds * many)[k], "model": "fake"} | told for k in range(many)],
            ))  # fmt: skip

        return edit

    for name in ("reconstruct", "vary", "diff", "interpolate", "swept"):
        monkeypatch.setattr(toolbox, name, pretend(name))
    system = types.SimpleNamespace(generate_events=lambda request: pretend("generate")(None, request))
    monkeypatch.setattr("tranh.recipes.models.load", lambda name: system)
    return found


def call(*args):
    return CliRunner().invoke(cli.app, list(args), prog_name="tranh")


def test_a_variation_keeps_as_much_as_was_typed(asked, tmp_path):
    done = call("edit", "variation", "a.png", "--keep", "0.2", "--count", "2", "--seed", "4", "--candidates", "3",
                "--source", "a cat", "-o", "v.png")  # fmt: skip
    assert done.exit_code == 0, done.output
    request = asked["vary"][0]
    assert request.strength == pytest.approx(0.8) and request.source == "a cat" and request.prompt == ""
    assert (request.count, request.seed, request.candidates) == (2, 4, 3) and request.image.size == (8, 8)
    assert done.stdout.split() == ["v-4.png", "v-5.png"] and "note: a notice" in done.stderr
    assert read_settings(tmp_path / "v-5.png")["seed"] == 5


def test_a_text_diff_goes_from_source_to_prompt(asked):
    done = call("edit", "textdiff", "a.png", "a blue circle", "--source", "a red circle", "--strength", "0.5")
    assert done.exit_code == 0, done.output
    request = asked["diff"][0]
    assert (request.prompt, request.source, request.strength) == ("a blue circle", "a red circle", 0.5)
    assert call("edit", "textdiff", "a.png", "a blue circle").exit_code == 0
    assert asked["diff"][0].source == "" and asked["diff"][0].guidance is None


def test_walks_are_written_as_strips(asked, tmp_path):
    done = call(
        "edit", "interpolate", "a.png", "b.png", "--frames", "5", "--source", "a", "--prompt", "b", "--size", "8"
    )
    assert done.exit_code == 0, done.output
    request = asked["interpolate"][0]
    assert (request.frames, request.source, request.prompt, request.size) == (5, "a", "b", 8)
    assert request.other.getpixel((0, 0)) == (3, 2, 1)
    with Image.open(tmp_path / "walk.png") as strip:
        assert strip.width > 5 * 128 and strip.width > 3 * strip.height
    done = call("edit", "sweep", "a.png", "--component", "2", "--folder", "there", "--frames", "3", "-o", "s.png")
    assert done.exit_code == 0, done.output
    assert (
        asked["swept"][1] == 2
        and str(asked["swept"][2]) == "there"
        and read_settings(tmp_path / "s.png")["frames"] == 3
    )


def test_a_reconstruction_tells_how_near_it_is(asked):
    done = call("edit", "reconstruct", "a.png", "--steps", "30")
    assert done.exit_code == 0, done.output
    assert (
        "PSNR 31.2 dB; noise of mean +0.010 and variance 0.980" in done.stderr and asked["reconstruct"][0].steps == 30
    )


def test_a_place_that_cannot_be_written_is_told_first(asked):
    for verb in (
        ["reconstruct", "a.png"],
        ["interpolate", "a.png", "b.png"],
        ["sweep", "a.png"],
        ["variation", "a.png"],
    ):
        done = call("edit", *verb, "-o", "nowhere/x.png")
        assert done.exit_code == 1 and "nowhere" in done.stderr and not asked


def test_generate_takes_seeds_regions_and_an_interval(asked):
    done = call("generate", "a (red:1.4) circle", "--seeds", "7,3", "--region", "0,0,0.5,1: a blue star", "--region",
                "0.5, 0, 1, 1 : một ngôi sao", "--guidance-interval", "0.2,0.9")  # fmt: skip
    assert done.exit_code == 0, done.output
    request = asked["generate"][0]
    assert request.prompt == "a (red:1.4) circle" and request.seeds == (7, 3)
    assert list(request.regions) == [Region("a blue star", 0, 0, 0.5, 1), Region("một ngôi sao", 0.5, 0, 1, 1)]
    assert request.guidance_interval == (0.2, 0.9)
    assert done.stdout.split() == ["out-7.png", "out-3.png"]
    call("generate", "a red circle")
    request = asked["generate"][0]
    assert request.seeds == request.regions == () and request.guidance_interval is None


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--seeds", "1,x"], "numbers with commas"),
        (["--seeds", "1,2", "--count", "2"], "leave --seed and --count out"),
        (["--seeds", "1,1"], "twice"),
        (["--region", "0,0,1: a star"], "left,top,right,bottom"),
        (["--region", "0,0,1,1"], "a colon and a prompt"),
        (["--guidance-interval", "0.2"], "two times are needed"),
    ],
)
def test_what_was_mistyped_is_said(asked, options, says):
    done = call("generate", "a red circle", *options)
    assert done.exit_code in (1, 2) and says in " ".join(done.stderr.split()) and not asked
