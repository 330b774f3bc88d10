import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tranh.engine.picture import (
    EXIF_IFD,
    SETTINGS_LIMIT,
    USER_COMMENT,
    check_target,
    describe,
    encoded,
    read_settings,
    save_picture,
)
from tranh.types import TranhError

SAID = {
    "prompt": "một hình tròn đỏ lớn ở trên một hình vuông xanh dương nhỏ",
    "negative_prompt": 'chữ & <khung> "đen"',
    "steps": 12,
    "guidance": 2.5,
    "seed": 7,
    "size": 64,
    "model": "tranh-1",
    "hash": "0123456789abcdef",
}
TEXT = (
    "một hình tròn đỏ lớn ở trên một hình vuông xanh dương nhỏ\n"
    'Negative prompt: chữ & <khung> "đen"\n'
    "Steps: 12, CFG scale: 2.5, Seed: 7, Size: 64x48, Model hash: 0123456789, Model: tranh-1"
)


@pytest.fixture
def picture() -> Image.Image:
    return Image.linear_gradient("L").resize((64, 48)).convert("RGB")


@pytest.mark.parametrize("suffix", ["png", "webp", "jpg", "jpeg", "PNG"])
def test_settings_come_back(picture: Image.Image, tmp_path: Path, suffix: str) -> None:
    path = save_picture(picture, tmp_path / f"tranh đẹp.{suffix}", SAID)
    assert read_settings(path) == SAID
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_pixels_are_kept(picture: Image.Image, tmp_path: Path, suffix: str) -> None:
    with Image.open(save_picture(picture, tmp_path / f"out.{suffix}", SAID)) as read:
        assert read.convert("RGB").tobytes() == picture.tobytes()


def test_png_carries_utf8_international_text(picture: Image.Image, tmp_path: Path) -> None:
    path = save_picture(picture, tmp_path / "out.png", SAID)
    data = path.read_bytes()
    assert data.count(b"iTXt") == 2 and b"tEXt" not in data
    assert SAID["prompt"].encode() in data  # readable as it stands, not escaped
    with Image.open(path) as read:
        assert read.info["parameters"] == TEXT
        assert json.loads(read.info["tranh"]) == SAID


@pytest.mark.parametrize("suffix", ["webp", "jpg"])
def test_others_carry_a_user_comment(picture: Image.Image, tmp_path: Path, suffix: str) -> None:
    with Image.open(save_picture(picture, tmp_path / f"out.{suffix}", SAID)) as read:
        comment = read.getexif().get_ifd(EXIF_IFD)[USER_COMMENT]
    assert comment[:8] == b"UNICODE\0" and comment[8:].decode("utf-16-be") == TEXT


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
def test_how_a_picture_came_to_be_is_told_in_xmp(picture: Image.Image, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "out"
    path.write_bytes(encoded(picture, kind, SAID, source_type="http://example.org/made?by=a&model"))
    assert read_settings(path) == SAID
    with Image.open(path) as read:
        packet = read.info["xmp"]
    [told] = ElementTree.fromstring(packet).iter("{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description")
    named = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
    assert told.attrib[named] == "http://example.org/made?by=a&model"


@pytest.mark.parametrize("kind", ["WEBP", "JPEG"])
def test_quality_is_paid_in_bytes(kind: str) -> None:
    noise = Image.effect_noise((64, 64), 50)
    low, high, own = (len(encoded(noise, kind, SAID, quality=quality)) for quality in (10, 100, None))
    assert low < high / 2 and low < own


def test_what_is_not_known_is_not_said() -> None:
    assert describe({"prompt": "two\nlines"}, (8, 8)) == "two lines\nSize: 8x8"


@given(
    words=st.text(st.characters(), max_size=80),
    suffix=st.sampled_from(["png", "webp", "jpg"]),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_prompt_survives(tmp_path: Path, words: str, suffix: str) -> None:
    path = tmp_path / f"out.{suffix}"
    save_picture(Image.new("RGB", (2, 2)), path, {"prompt": words})
    assert read_settings(path) == {"prompt": words.encode("utf-8", "replace").decode()}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("out.gif", "allowed: .png, .webp, .jpg, .jpeg"),
        ("out", "allowed: .png"),
        ("missing/out.png", "does not exist: make it first"),
        ("", "is a folder: name a file in it"),
    ],
)
def test_a_place_that_will_not_do_is_refused(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(TranhError, match=words):
        check_target(tmp_path / name)
    with pytest.raises(TranhError, match=words):
        save_picture(Image.new("RGB", (2, 2)), tmp_path / name, SAID)
    assert not list(tmp_path.iterdir())


def test_a_picture_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_picture(Image.new("RGB", (2, 2)), tmp_path / "out.png", SAID)
    before = path.read_bytes()

    def fail(to: Path, data: bytes) -> None:
        with to.open("wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError("no space left on device")

    with monkeypatch.context() as full, pytest.raises(OSError, match="no space"):
        full.setattr(Path, "write_bytes", fail)
        save_picture(Image.new("RGB", (2, 2)), path, SAID)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["out.png"]


def test_settings_too_long_for_a_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TranhError, match="fit into a picture"):
        save_picture(Image.new("RGB", (2, 2)), tmp_path / "out.png", {"prompt": "à" * 8_000})


def test_pictures_of_others_hold_no_settings(tmp_path: Path) -> None:
    path = tmp_path / "out.png"
    Image.new("RGB", (2, 2)).save(path)
    with pytest.raises(TranhError, match="holds no settings"):
        read_settings(path)
    path.write_text("no picture")
    with pytest.raises(TranhError, match="cannot be read"):
        read_settings(path)
    with pytest.raises(TranhError, match="cannot be read"):
        read_settings(tmp_path / "absent.png")


@pytest.mark.parametrize("suffix", ["png", "webp", "jpg"])
@pytest.mark.parametrize("letter", ['"', "'", "à", "&", "\x00"])
def test_the_longest_settings_fit(tmp_path: Path, suffix: str, letter: str) -> None:
    cost = len(json.dumps(letter, ensure_ascii=False).encode()) - 2
    said = {"prompt": letter * ((SETTINGS_LIMIT - 20) // cost)}
    assert read_settings(save_picture(Image.new("RGB", (2, 2)), tmp_path / f"out.{suffix}", said)) == said
