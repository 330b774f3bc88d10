"""Marks on the command line: what `generate` and the edits write, and what `provenance` says of it."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from tranh import cli
from tranh.cli.draw import filmed, put, written
from tranh.engine.animated import settings_of
from tranh.engine.picture import read_settings
from tranh.recipes.marks import Keys, keys, provenance
from tranh.recipes.marks.credentials import read
from tranh.recipes.pictures import Pictures

SAID = {"prompt": "một ngôi sao", "seed": 3, "model": "tranh-1"}
PICTURE = Image.linear_gradient("L").resize((64, 64)).convert("RGB")


def call(*args: str) -> Result:
    return CliRunner().invoke(cli.app, list(args))


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Keys:
    monkeypatch.setenv("TRANH_KEYS", str(tmp_path / "keys"))
    monkeypatch.chdir(tmp_path)
    return keys()


def test_a_marked_picture_is_told_in_plain_words() -> None:
    put(PICTURE, Path("out.png"), SAID)
    result = call("provenance", "out.png")
    assert result.exit_code == 0, result.output
    first, settings, manifest, iptc, mark = result.stdout.splitlines()
    assert first == "out.png: PNG of 64 x 64 pixels; a model made it, or a part of it"
    assert '"một ngôi sao", seed 3, model tranh-1 (as Tranh writes them)' in settings
    assert "trusted: whole" in manifest and "model tranh-1" in manifest and "c2pa.created" in manifest
    assert "trainedAlgorithmicMedia" in iptc
    assert "yes, in place: z = " in mark and "limit 1e-06" in mark


def test_json_has_a_line_for_each_file_whatever_it_is() -> None:
    put(PICTURE, Path("out.webp"), SAID)
    Path("none.png").write_text("none")
    result = call("provenance", "--json", "out.webp", "none.png")
    found, error = (json.loads(line) for line in result.stdout.splitlines())
    assert found["settings"] == SAID and found["manifest"]["state"] == "trusted" and found["watermark"]["found"]
    assert error["name"] == "none.png" and "no picture of a known kind" in error["error"]
    assert result.exit_code == 1 and result.stderr == ""


def test_exit_codes() -> None:
    put(PICTURE, Path("made.png"), SAID)
    PICTURE.save("plain.png")
    broken = bytearray(Path("made.png").read_bytes())
    broken[-30] ^= 1
    Path("broken.png").write_bytes(broken)
    Path("none.png").write_text("none")
    for files, code in (
        (["made.png"], 0), (["made.png", "plain.png"], 3), (["plain.png", "broken.png"], 4),
        (["broken.png", "none.png"], 1), (["absent.png"], 1), ([], 2),
    ):  # fmt: skip
        result = call("provenance", *files)
        assert result.exit_code == code, (files, result.output)
        assert "Traceback" not in result.output
    assert "NOT whole" in call("provenance", "broken.png").stdout
    assert "nothing here tells who made it" in call("provenance", "plain.png").stdout


def test_what_a_file_says_cannot_play_with_the_terminal() -> None:
    put(PICTURE, Path("out.png"), SAID | {"prompt": "red\x1b[2J\r\nfake: line\u202e"})
    shown = call("provenance", "out.png").stdout
    assert "\x1b" not in shown and "\u202e" not in shown and len(shown.splitlines()) == 5


def test_keys_of_another_installation_can_be_named(tmp_path: Path) -> None:
    put(PICTURE, Path("out.png"), SAID)
    keys(tmp_path / "other")
    result = call("provenance", "out.png", "--keys", str(tmp_path / "other"))
    assert "valid: whole, signed by somebody unknown here" in result.stdout
    assert "no mark of this installation" in result.stdout and result.exit_code == 0


def test_the_switches(monkeypatch: pytest.MonkeyPatch) -> None:
    put(PICTURE, Path("out.png"), SAID, private=True, watermark=False)
    found = provenance(Path("out.png"))
    assert found.settings == {"seed": 3, "model": "tranh-1"} and found.state == "trusted"
    with Image.open("out.png") as image:
        assert image.tobytes() == PICTURE.tobytes()
    monkeypatch.setenv("TRANH_PRIVATE", "1")
    monkeypatch.setenv("TRANH_WATERMARK", "0")
    put(PICTURE, Path("again.png"), SAID)
    assert provenance(Path("again.png")).settings == found.settings
    with Image.open("again.png") as image:
        assert image.tobytes() == PICTURE.tobytes()


def test_generate_marks_what_it_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the switches reach the file."""
    from tranh.cli import draw
    from tranh.types import Event, Request

    class System:
        def generate_events(self, request: Request) -> list[Event]:
            return [Event("draw", 1, 1, result=Pictures([PICTURE], [], [SAID | {"seed": request.seed}]))]

    monkeypatch.setattr(draw, "drawing", lambda name: System())
    assert call("a star", "-o", "a.png").exit_code == 0
    assert call("a star", "-o", "b.png", "--private", "--no-watermark").exit_code == 0
    marked, bare = provenance(Path("a.png")), provenance(Path("b.png"))
    assert marked.state == bare.state == "trusted" and marked.settings and "prompt" in marked.settings
    assert marked.watermark and marked.watermark.found
    assert bare.settings and "prompt" not in bare.settings and bare.watermark and not bare.watermark.found


def test_an_edit_names_its_picture_and_keeps_what_is_masked() -> None:
    put(PICTURE, Path("first.png"), SAID)
    with Image.open("first.png") as image:
        before = image.convert("RGB")
    mask = Image.new("L", (64, 64))
    mask.paste(255, (0, 0, 64, 40))
    after = before.copy()
    after.paste((200, 10, 10), (10, 5, 40, 30))
    made = Pictures([after], [], [SAID | {"edit": "inpaint"}])
    written(made, [Path("second.png")], [Path("first.png")], mask)
    with Image.open("second.png") as image:
        assert (np.asarray(image)[40:] == np.asarray(before)[40:]).all()
    found = provenance(Path("second.png"))
    assert found.manifest and found.manifest.actions[:2] == ("c2pa.opened", "c2pa.edited")
    assert found.manifest.ingredients == (("picture 1", "trusted"),)
    assert "made from picture 1 (trusted)" in call("provenance", "second.png").stdout


@pytest.mark.parametrize("name", ["out.webp", "out.gif", "out.mp4"])
def test_animations_are_signed(name: str, own: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    PICTURE.save("first.png")
    frames = [PICTURE, PICTURE.rotate(90)]
    filmed(Pictures(frames, [], [SAID]), Path(name), 12, opened=[Path("first.png")])
    assert settings_of(Path(name)) == SAID
    mime = {"webp": "image/webp", "gif": "image/gif", "mp4": "video/mp4"}[name[4:]]
    found = read(Path(name).read_bytes(), mime, own)
    assert found and found.state == "trusted" and found.ingredients == (("picture 1", None),)
    monkeypatch.setenv("TRANH_PRIVATE", "1")
    filmed(Pictures(frames, [], [SAID]), Path(name), 12)
    assert settings_of(Path(name)) == {"seed": 3, "model": "tranh-1"}


def test_where_nothing_can_be_signed_it_is_told_before_anything_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TRANH_KEYS", str(tmp_path / "file" / "keys"))
    result = call("a red circle", "-o", "out.png")
    assert result.exit_code == 1 and "TRANH_KEYS=FOLDER" in result.stderr and not Path("out.png").exists()


def test_settings_are_read_from_marked_files_as_before() -> None:
    for name in ("a.png", "a.jpg", "a.webp"):
        put(PICTURE, Path(name), SAID)
        assert read_settings(Path(name)) == SAID
        assert provenance(io.BytesIO(Path(name).read_bytes()).getvalue()).made_by_model
