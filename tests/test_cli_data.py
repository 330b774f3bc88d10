"""`tranh data inspect` and `tranh data prepare`, as they are typed."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from tranh import cli


def call(*args: str | Path) -> Result:
    return CliRunner().invoke(cli.app, [str(arg) for arg in args], prog_name="tranh")


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ten pictures, one of them broken, one twice, with captions in two languages that need cleaning."""
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "pictures"
    root.mkdir()
    lines = []
    for i in range(10):
        name = f"{i}.png"
        small = np.random.default_rng(min(i, 8)).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(small).resize((80, 60)).save(root / name)
        lines.append({"file_name": name, "text_en": f"a &amp; {i}", "text_vi": f"một  {i}", "split": "train"})
    (root / "3.png").write_bytes(b"\x89PNG nothing")
    lines[5]["text_en"] = "\x1b[31mred\x1b[0m"
    (root / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return root


def test_inspect_says_what_was_seen_and_what_is_next(pictures: Path) -> None:
    result = call("data", "inspect", pictures)
    assert result.exit_code == 0, result.output
    for said in (
        "kind        folder",
        "because     metadata.jsonl beside the pictures",
        "pictures    10\n",
        "splits      train",
        "captions    2 a picture",
        "languages   en 10, vi 10",
        "80 x 60",
        "formats     PNG",
        "modes       RGB",
        "broken      1 of 10:",
        "3.png: it begins like a picture",
        f"next        tranh data prepare {pictures} prepared --size 32",
    ):
        assert said in result.stdout, result.stdout
    assert "\x1b" not in result.stdout


def test_inspect_looks_at_a_sample(pictures: Path) -> None:
    result = call("data", "inspect", "digits", "--sample", "10")
    assert "pictures    1797 (10 looked at)" in result.stdout and "--size 32 --least 8" in result.stdout
    assert call("data", "inspect", pictures, "--kind", "sidecars").exit_code == 1


def test_prepare_and_what_it_says(pictures: Path, tmp_path: Path) -> None:
    result = call("data", "prepare", pictures, "out", "--size", "32", "--workers", "1", "--report")
    assert result.exit_code == 0, result.output
    assert "kept        8 of 10 pictures (8 train)" in result.stdout
    assert "left out    1 damaged, 1 double; see out/left_out.jsonl" in result.stdout
    assert "captions    20; changed by 10 spaces, 9 entities, 1 controls\n" in result.stdout
    assert "'a &amp; 0'" in result.stdout and "'a & 0'" in result.stdout
    assert "prepare 10/10" in result.stderr and "\x1b" not in result.stdout
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["kept"] == 8 and manifest["options"]["size"] == 32
    looked = call("data", "inspect", "out")
    assert "kind        shards" in looked.stdout and "next        tranh train unclip data=out" in looked.stdout
    again = call("data", "prepare", pictures, "out", "--size", "32")
    assert again.stdout.splitlines()[0] == result.stdout.splitlines()[0]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--size", "3"), "size is 3; allowed is 8 to 4096 pixels"),
        (("--clean", "polish"), "no step is called polish; there are: entities"),
        (("--enhance", "polish"), "no enhancement is called polish"),
        (("--least", "500"), "none of the 10 pictures could be kept"),
        (("--kind", "tape"), "'tape' is no kind of source"),
    ],
)
def test_prepare_refuses_in_words(pictures: Path, args: tuple[str, ...], message: str) -> None:
    result = call("data", "prepare", pictures, "out", "--workers", "1", *args)
    assert result.exit_code == 1 and message in result.stderr, result.output


def test_prepare_on_ray_that_is_not_there(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    result = call("data", "prepare", pictures, "out", "--ray")
    assert result.exit_code == 1 and "pip install 'tranh[cluster]'" in result.stderr


def test_options_reach_the_work(pictures: Path, tmp_path: Path) -> None:
    args = "--size 40 --shape letterbox --enhance denoise,contrast --clean none --no-near --least 8 --blurred 0.1"
    result = call("data", "prepare", pictures, "out", *args.split(), "--broken", "0.5", "--kind", "folder")
    assert result.exit_code == 0, result.output
    options = json.loads((tmp_path / "out" / "manifest.json").read_text())["options"]
    assert (options["shape"], options["enhance"], options["clean"]) == ("letterbox", ["denoise", "contrast"], [])
    assert (options["near"], options["broken"], options["least"], options["blurred_below"]) == (False, 0.5, 8, 0.1)


def test_stopped_it_says_that_the_same_command_goes_on(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tranh.data import prepare as preparing

    def stopped(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(preparing, "_keep", stopped)
    result = call("data", "prepare", pictures, "out")
    assert result.exit_code == 130
    assert f"The same command goes on from there:\n  tranh data prepare {pictures} out" in result.stderr


@pytest.mark.parametrize("verb", ["inspect", "prepare"])
def test_help_has_examples(verb: str) -> None:
    assert call("data", verb, "--help").stdout.count(f"  tranh data {verb}") >= 3


def test_names_that_no_terminal_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make: Callable[[str], Path] = lambda name: Path("x") / name  # noqa: E731
    Path("x").mkdir()
    Image.new("RGB", (40, 40), "red").save(make(os.fsdecode(b"\xe9.png")))
    make(os.fsdecode(b"\xe9.txt")).write_text("red")
    assert call("data", "inspect", "x").exit_code == 0
