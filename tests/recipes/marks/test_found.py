from __future__ import annotations

import datetime
import io
import json
import random
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from openai.types import ContentProvenanceCheck
from openai.types.content_provenance_check import ResultC2PA
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tranh.data.scenes.draw import render
from tranh.data.scenes.layout import scene
from tranh.engine.picture import encoded, read_settings
from tranh.recipes.marks import Found, Keys, keys, marked, provenance, settings_of
from tranh.recipes.marks.credentials import COMPOSED, MADE
from tranh.types import TranhError

KINDS = ("PNG", "JPEG", "WEBP")
SAID = {
    "prompt": "một hình tròn đỏ", "understood": "một hình tròn đỏ", "negative_prompt": "chữ", "source": "a secret",
    "regions": [{"prompt": "a secret"}], "seed": 7, "steps": 12, "guidance": 2.5, "model": "tranh-1",
    "hash": "0123abcd", "sampler": None, "copied": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    return Image.fromarray(render(scene("two", "test", 0), 64))


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


@pytest.mark.parametrize("kind", KINDS)
def test_all_marks_are_put_on_and_found(kind: str, picture: Image.Image, own: Keys, tmp_path: Path) -> None:
    noon = datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.UTC)
    path = tmp_path / f"out.{kind.lower()}"
    path.write_bytes(marked(picture, SAID, own, kind=kind, created=noon))
    found = provenance(path, own)
    assert (found.name, found.format, found.width, found.height) == (str(path), kind, 64, 64)
    assert found.program == "Tranh" and found.settings == SAID and read_settings(path) == SAID
    assert found.source_type == MADE and found.made_by_model
    assert found.manifest and (found.state, found.manifest.model) == ("trusted", "tranh-1")
    assert found.manifest.created == "2026-11-21T12:00:00Z"
    assert found.watermark and found.watermark.found and found.watermark.where == "in place"
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False))["watermark"]["threshold"] == 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_a_private_picture_keeps_its_marks_and_not_its_prompt(kind: str, picture: Image.Image, own: Keys) -> None:
    file = marked(picture, SAID, own, kind=kind, private=True)
    for word in ("một", "hình tròn", "secret", "chữ"):
        assert word.encode() not in file and word.encode("utf-16-be") not in file
    found = provenance(file, own)
    assert found.settings == {
        "seed": 7, "steps": 12, "guidance": 2.5, "model": "tranh-1", "hash": "0123abcd", "sampler": None,
        "copied": False,
    }  # fmt: skip
    assert found.state == "trusted" and found.watermark and found.watermark.found


def test_without_the_watermark_the_pixels_are_the_models_own(picture: Image.Image, own: Keys) -> None:
    pure = marked(picture, SAID, own, watermark=False)
    assert opened(pure).tobytes() == picture.tobytes()
    found = provenance(pure, own)
    assert found.watermark and not found.watermark.found and found.state == "trusted"
    assert found.manifest and found.manifest.actions == ("c2pa.created",)


def test_marking_again_gives_the_same_pixels(picture: Image.Image, own: Keys) -> None:
    first, second = (opened(marked(picture, SAID, own)).tobytes() for _ in range(2))
    assert first == second != picture.tobytes()


def test_an_edit_keeps_what_is_masked_and_says_what_it_was(picture: Image.Image, own: Keys) -> None:
    mask = Image.new("L", (64, 64))
    mask.paste(255, (0, 32, 64, 64))
    before = marked(picture, SAID, own)
    after = marked(opened(before), SAID | {"edit": "inpaint"}, own, opened=[before], mask=mask)
    assert (np.asarray(opened(before))[:32] == np.asarray(opened(after))[:32]).all()
    found = provenance(after, own)
    assert (
        found.source_type == COMPOSED and found.manifest and found.manifest.ingredients == (("picture 1", "trusted"),)
    )


def test_a_picture_saved_by_another_program_keeps_the_watermark(picture: Image.Image, own: Keys) -> None:
    out = io.BytesIO()
    opened(marked(picture, SAID, own)).save(out, "JPEG", quality=80)
    found = provenance(out.getvalue(), own)
    assert (found.settings, found.source_type, found.state) == (None, None, "not_present")
    assert found.made_by_model and found.watermark and found.watermark.found


def test_nothing_found_is_told(own: Keys) -> None:
    out = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(out, "PNG")
    found = provenance(out.getvalue(), own)
    assert found.settings is None and not found.made_by_model and found.state == "not_present"


def test_without_keys_nothing_is_made_and_a_signature_is_valid(
    picture: Image.Image, own: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRANH_KEYS", str(tmp_path / "none"))
    found = provenance(marked(picture, SAID, own))
    assert found.state == "valid" and found.watermark is None and not list(tmp_path.iterdir())


@given(st.text(st.characters(), max_size=60), st.sampled_from(KINDS))
@settings(max_examples=25)
def test_any_prompt_survives_signing(own: Keys, words: str, kind: str) -> None:
    file = marked(Image.new("RGB", (8, 8), "teal"), {"prompt": words, "seed": 1}, own, kind=kind)
    program, found = settings_of(file) or ("", {})
    assert program == "Tranh" and found == {"prompt": words.encode("utf-8", "replace").decode(), "seed": 1}
    assert provenance(file, own).state == "trusted"


# OpenAI's words


def strict(found: Found) -> ResultC2PA:
    """The one result, read as the client does that checks types."""
    checked = ContentProvenanceCheck.model_validate(found.openai(5))
    assert checked.created_at == 5 and checked.object == "content_provenance_check"
    [result] = checked.results
    assert isinstance(result, ResultC2PA)
    return result


def test_the_reply_that_clients_know(picture: Image.Image, own: Keys, tmp_path: Path) -> None:
    file = marked(picture, SAID, own)
    result = strict(provenance(file, own))
    assert (result.type, result.outcome, result.validation_state) == ("c2pa", "detected", "trusted")
    assert result.model == "tranh-1" and result.issuer and str(result.generated_at).endswith("Z")
    result = strict(provenance(file, keys(tmp_path / "other")))
    assert (result.outcome, result.validation_state) == ("detected", "valid")
    result = strict(provenance(encoded(picture, "PNG", {}), own))
    assert (result.outcome, result.validation_state, result.issuer) == ("not_detected", "not_present", None)
    result = strict(provenance(file[:-30] + b"x" + file[-29:], own))
    assert (result.outcome, result.validation_state) == ("not_detected", "invalid")


def test_the_watermark_stands_beside_the_results(picture: Image.Image, own: Keys) -> None:
    told = provenance(marked(picture, SAID, own), own).openai()
    assert told["watermark"]["found"] and told["settings"]["seed"] == 7 and abs(told["created_at"] - time.time()) < 60


# What is no picture, or means harm


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


BOMB = b"parameters\0\1\0\0\0" + zlib.compress(b"a" * 2**27, 9)
HOSTILE = {
    "empty": (b"", "empty"),
    "words": (b"no picture at all", "no picture of a known kind"),
    "a bomb of pixels": (png(50_000, 50_000), "2500000000 pixels"),
    "a bomb of text": (png(8, 8, chunk(b"iTXt", BOMB)), "cannot be unpacked|cannot be read"),
    "a chunk that never ends": (
        png(8, 8)[:33] + struct.pack(">I", 2**31 - 1) + b"iTXt" + b"a" * 50,
        "cut short|cannot be",
    ),
    "nothing inside": (png(8, 8), "cut short|cannot be"),
    "a JPEG's beginning": (b"\xff\xd8\xff\xe0\0\x10JFIF", "cannot be"),
    "a WebP's beginning": (b"RIFF\xff\xff\xff\xffWEBPVP8 \xff\xff\xff\xff", "cannot be"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_picture_is_refused_in_words(name: str, own: Keys, tmp_path: Path) -> None:
    data, words = HOSTILE[name]
    path = tmp_path / "file.png"
    path.write_bytes(data)
    begun = time.process_time()
    with pytest.raises(TranhError, match=words):
        provenance(data, own)
    with pytest.raises(TranhError, match="file.png"):
        provenance(path, own)
    assert time.process_time() - begun < 2


def test_files_that_are_none_are_refused_in_words(own: Keys, tmp_path: Path) -> None:
    with pytest.raises(TranhError, match="absent.png cannot be read: No such file"):
        provenance(tmp_path / "absent.png", own)
    with pytest.raises(TranhError, match="Is a directory"):
        provenance(tmp_path, own)
    with (tmp_path / "large.png").open("wb") as file:
        file.truncate(2**33)
    with pytest.raises(TranhError, match="at most 64 are read"):
        provenance(tmp_path / "large.png", own)


@given(st.sampled_from(KINDS), st.integers(0, 2**32), st.sampled_from(["flip", "cut", "double", "swap"]))
@settings(max_examples=60)
def test_a_damaged_file_is_told_or_refused(own: Keys, kind: str, seed: int, how: str) -> None:
    """Whatever happens to a marked file, there is an answer or a sentence, and no manifest is believed."""
    rng = random.Random(seed)
    file = bytearray(
        marked(Image.linear_gradient("L").resize((24, 24)), {"prompt": "x"}, own, kind=kind, watermark=False)
    )
    a, b = sorted(rng.sample(range(len(file)), 2))
    if how == "flip":
        file[a] ^= 1 << rng.randrange(8)
    elif how == "cut":
        del file[a:b]
    elif how == "double":
        file[a:a] = file[a:b]
    else:
        file[a], file[b] = file[b] ^ 0x55, file[a] ^ 0x55
        assume(file[a] ^ file[b] != 0x55)  # else nothing has changed
    try:
        found = provenance(bytes(file), own)
    except TranhError:
        assert how != "flip"
        return
    assert found.state == "invalid" or (found.state == "not_present" and how == "cut")
    json.dumps(found.as_dict(), allow_nan=False)


def test_settings_of_others_are_told(own: Keys) -> None:
    info = PngInfo()
    info.add_text("parameters", "a cat\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 8x8, Model: other")
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "PNG", pnginfo=info)
    found = provenance(out.getvalue(), own)
    assert found.program == "AUTOMATIC1111" and found.settings and found.settings["sampler"] == "Euler a"
    assert settings_of(b"no picture") is None
