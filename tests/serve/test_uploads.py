"""Pictures that strangers send: odd ones are read, broken ones refused, and none costs more than it may."""

from __future__ import annotations

import io
import struct
import time
import tracemalloc
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from tranh.serve import uploads
from tranh.serve.orders import Refused


def saved(image: Image.Image, kind: str = "PNG", **more: Any) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **more)
    return data.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def huge(width: int, height: int, more: bytes = b"") -> bytes:
    """A PNG that says it has so many pixels; its data unpack to very many zeros."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    packed = zlib.compress(bytes(2**24), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + more + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


RED = Image.new("RGB", (9, 5), "red")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_usual_pictures(kind: str) -> None:
    found = uploads.read(saved(RED, kind))
    assert (found.image.mode, found.image.size, found.format, found.hole) == ("RGB", (9, 5), kind, None)
    again = Image.open(io.BytesIO(found.png()))
    assert again.format == "PNG" and again.size == (9, 5) and not again.info


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "YCbCr"])
def test_odd_modes(mode: str) -> None:
    white = Image.new("RGB", (9, 5), "white")
    image = Image.new("I", (9, 5), 65535).convert(mode) if mode == "I;16" else white.convert(mode)
    found = uploads.read(saved(image, "JPEG" if mode in ("CMYK", "YCbCr") else "PNG"))
    assert found.image.mode == "RGB" and min(found.image.getpixel((4, 2))) > 250


def test_it_is_turned_upright() -> None:
    image, exif = Image.new("RGB", (8, 4), "blue"), Image.Exif()
    exif[0x0112] = 6
    assert uploads.read(saved(image, "JPEG", exif=exif)).image.size == (4, 8)
    hole = Image.new("RGBA", (8, 4), "blue")
    hole.putpixel((0, 0), (0, 0, 0, 0))
    turned = uploads.read(saved(hole, "PNG", exif=exif)).hole
    assert turned is not None and turned.size == (4, 8) and turned.getpixel((3, 0)) == 255


def test_what_is_wholly_transparent_is_a_hole() -> None:
    image = Image.new("RGBA", (4, 4), (10, 20, 30, 255))
    image.putpixel((1, 2), (0, 0, 0, 0))
    image.putpixel((2, 2), (0, 0, 0, 1))
    found = uploads.read(saved(image))
    assert found.hole is not None and found.hole.getpixel((1, 2)) == 255 and found.hole.getpixel((2, 2)) == 0
    assert found.image.getpixel((1, 2)) == (255, 255, 255)


def refused(data: bytes, code: str = "invalid_image", status: int = 400) -> str:
    with pytest.raises(Refused) as caught:
        uploads.read(data, "image")
    assert (caught.value.code, caught.value.status, caught.value.param) == (code, status, "image")
    return str(caught.value)


def test_what_is_no_picture() -> None:
    for data in (
        b"",
        b"GIF89a" + bytes(50),
        b"%PDF-1.7",
        b"RIFF\0\0\0\0WAVE",
        b"<svg/>",
        saved(RED, "BMP"),
        saved(RED)[:40],
    ):
        refused(data)
    assert "PNG, JPEG or WebP" in refused(b"hello")


def test_one_frame_only() -> None:
    frames = [Image.new("RGB", (9, 5), colour) for colour in ("red", "blue")]
    for kind in ("PNG", "WEBP"):
        assert "frames" in refused(saved(frames[0], kind, save_all=True, append_images=frames[1:]))


def test_a_polyglot_loses_what_is_behind_the_picture() -> None:
    found = uploads.read(saved(RED) + b"PK\x03\x04<script>alert(1)</script>")
    assert b"script" not in found.png()
    texts = PngImagePlugin.PngInfo()
    texts.add_itxt("parameters", "<script>")
    assert b"script" not in uploads.read(saved(RED, pnginfo=texts)).png()


@pytest.mark.parametrize(
    "data",
    [
        huge(50_000, 50_000),
        huge(2**31 - 1, 1),
        huge(20_000, 100),
        b"RIFF\x1a\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff",
    ],
    ids=["50k x 50k", "2 billion x 1", "too long", "webp"],
)
def test_bombs_of_pixels_are_not_unpacked(data: bytes) -> None:
    tracemalloc.start()
    begun = time.process_time()
    with pytest.raises(Refused) as caught:
        uploads.read(data)
    spent, (_, most) = time.process_time() - begun, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert caught.value.code in ("image_too_large", "invalid_image") and spent < 0.5 and most < 2**22


def test_bombs_of_text() -> None:
    text = b"parameters\0\1\0\0\0" + zlib.compress(bytes(2**26), 9)
    short = struct.pack(">IIBBBBB", 4, 4, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", short) + chunk(b"iTXt", text) * 3
    begun = time.process_time()
    refused(bomb + chunk(b"IDAT", zlib.compress(bytes(13 * 4))) + chunk(b"IEND", b""))
    assert time.process_time() - begun < 2


def test_a_jpeg_of_a_thousand_passes() -> None:
    scan = b"\xff\xda\0\x08\1\1\0\0\x3f\0"
    assert "scans" in refused(saved(RED, "JPEG") + scan * 1000)


def test_sizes() -> None:
    refused(saved(RED) + bytes(uploads.MOST_BYTES), "image_too_large", 413)
    refused(saved(Image.new("1", (5000, 4000))), "image_too_large", 413)
    refused(saved(Image.new("1", (1000, 2))))


WHOLE = [saved(Image.effect_noise((16, 16), 80).convert("RGB"), kind) for kind in ("PNG", "JPEG", "WEBP")]
WHOLE.append(saved(Image.effect_noise((16, 16), 80).convert("P"), "PNG"))


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(WHOLE),
    st.lists(st.tuples(st.integers(0, 2000), st.binary(max_size=6), st.integers(0, 6)), max_size=4),
    st.integers(0, 2000),
)
def test_no_mutation_of_a_sound_file_fails(data: bytes, changes: list[tuple[int, bytes, int]], cut: int) -> None:
    for place, new, gone in changes:
        place %= len(data)
        data = data[:place] + new + data[place + gone :]
    data = data if cut % 3 else data[: len(data) - cut % max(1, len(data))]
    try:
        found = uploads.read(data)
    except Refused as error:
        assert error.status in (400, 413)
    else:
        assert found.image.mode == "RGB"
