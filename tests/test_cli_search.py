"""`tranh search`, `tranh classify`, `tranh retrieve` and `generate --candidates`, as they are typed."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from tranh import cli
from tranh.engine.picture import read_settings


def call(*args: str | Path) -> Result:
    return CliRunner().invoke(cli.app, [str(arg) for arg in args], prog_name="tranh")


@pytest.fixture
def colours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Plain pictures: what the shipped model knows best of a picture is its ground."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRANH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "colours").mkdir()
    for name in ("red", "green", "blue"):
        Image.new("RGB", (90, 60), name).save(tmp_path / "colours" / f"{name}.png")
    (tmp_path / "colours" / "torn.jpg").write_bytes(b"\xff\xd8\xff")
    return tmp_path / "colours"


@pytest.mark.parametrize(
    "prompt",
    ["a circle on a plain green background", "một hình tròn trên nền xanh lá trơn", "hinh tron tren nen xanh la"],
)
def test_search_finds_by_words_in_either_language(colours: Path, prompt: str) -> None:
    result = call("search", "colours", prompt, "--count", "2", "-o", "sheet.png")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert len(lines) == 2 and lines[0].endswith("colours/green.png") and lines[0][:2] in ("+0", "+1")
    assert "torn.jpg" in result.stderr and read_settings(Path("sheet.png"))["prompt"] == prompt
    assert ("read as" in result.stderr) is prompt.startswith("hinh")


def test_search_by_a_picture_without_quotes_and_by_nothing(colours: Path) -> None:
    assert call("search", "colours", "--image", "colours/blue.png").stdout.splitlines()[0] == "+1.000  colours/blue.png"
    assert call("search", "colours", "a", "red", "circle").exit_code == 0
    for wrong in (["search", "colours"], ["search", "colours", "a red circle", "--image", "colours/red.png"]):
        result = call(*wrong)
        assert result.exit_code == 2 and "either a prompt" in result.stderr


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["search", "colours", "a giraffe"], "giraffe"),
        (["search", "nowhere", "a red circle"], "no folder"),
        (["search", "colours", "--image", "colours/torn.jpg"], "torn.jpg"),
        (["search", "colours", "a red circle", "-o", "sheet.txt"], "suffix"),
        (["search", "colours", "a red circle", "--model", "verifier-1"], "cannot judge captions"),
        (["classify", "colours/red.png", "--labels", "a circle"], "at least two"),
        (["classify", "colours/none.png", "--labels", "a circle,a square"], "none.png"),
        (["retrieve", "tranh-1", "--levels", "three"], "one, two, full"),
    ],
)
def test_what_cannot_be_done_is_said(colours: Path, args: list[str], says: str) -> None:
    result = call(*args)
    assert result.exit_code == 1 and says in result.stderr, result.output


def test_classify_names_each_picture(colours: Path) -> None:
    labels = "a circle on a plain red background, a circle on a plain green background"
    result = call("classify", "colours/red.png", "colours/green.png", "--labels", labels)
    assert result.exit_code == 0, result.output
    for line, name in zip(result.stdout.splitlines(), ("red", "green"), strict=True):
        assert line.startswith(f"colours/{name}.png: a circle on a plain {name} background ")


def test_retrieve_prints_its_report(colours: Path) -> None:
    result = call("retrieve", "tranh-1", "--count", "20", "--splits", "test", "--languages", "vi", "--out", "found")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("# Retrieval: tranh-1") and result.stdout.splitlines()[-1] == "found/report.md"
    assert "| one/test | vi | caption to picture | 20 |" in result.stdout and Path("found/report.json").is_file()


def test_generate_keeps_the_best_of_its_candidates(colours: Path) -> None:
    asked = ["generate", "a red circle", "--size", "64", "--steps", "2", "--seed", "4"]
    assert call(*asked, "--candidates", "3").exit_code == 0
    told = read_settings(Path("out.png"))
    assert (told["seed"], told["candidates"], told["ranker"]) == (4, 3, "tranh-1")
    chosen = Image.open("out.png").tobytes()
    assert call(*asked[:-1], str(told["chosen_seed"]), "-o", "again.png").exit_code == 0
    assert Image.open("again.png").tobytes() == chosen
    assert call(*asked, "--candidates", "2", "--ranker", "verifier-1").exit_code == 1
