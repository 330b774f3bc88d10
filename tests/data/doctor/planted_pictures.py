"""Faults of files and pictures, and pictures that are there twice."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

import numpy as np
from PIL import Image, ImageFilter
from planting import SIDE, Lay, encoded, picture, plant

# The bytes of a picture


@plant("cut short")
def truncated_jpeg(lay: Lay) -> str:
    return lay.put(1, lay.path(1).read_bytes()[:-400])


@plant("cut short")
def truncated_progressive_jpeg(lay: Lay) -> str:
    data = encoded(picture(3), "JPEG", progressive=True)
    return lay.put(3, data[: len(data) // 2])


@plant("cut short")
def truncated_png(lay: Lay) -> str:
    return lay.put(2, lay.path(2).read_bytes()[:-600])


@plant("cut short")
def jpeg_without_its_end(lay: Lay) -> str:
    return lay.put(5, lay.path(5).read_bytes()[:-2])


@plant("damaged")
def png_of_wrong_checksum(lay: Lay) -> str:
    data = encoded(picture(4), "PNG")
    at = data.index(b"IDAT")
    return lay.put(4, data[: at + 30] + bytes([data[at + 30] ^ 0xFF]) + data[at + 31 :])


@plant("damaged")
def interlaced_png_of_wrong_checksum(lay: Lay) -> str:
    return lay.put(4, interlaced(crc=7))


@plant("damaged")
def webp_of_noise(lay: Lay) -> str:
    data = encoded(picture(6), "WEBP", lossless=True)
    noise = np.random.default_rng(0).bytes(len(data) - 40)
    return lay.move(6, "train/006.webp", data[:40] + noise)


@plant("empty file")
def zero_bytes(lay: Lay) -> str:
    return lay.put(7, b"")


@plant("not a picture")
def web_page(lay: Lay) -> str:
    return lay.put(9, b"<!DOCTYPE html><html><body>404 Not Found</body></html>")


@plant("not a picture")
def zip_renamed(lay: Lay) -> str:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.txt", "nothing")
    return lay.put(8, out.getvalue())


@plant("not a picture")
def svg_renamed(lay: Lay) -> str:
    return lay.put(10, b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><circle r="9"/></svg>')


@plant("not a picture")
def random_bytes(lay: Lay) -> str:
    return lay.put(11, np.random.default_rng(1).bytes(3000))


@plant("not a picture")
def zeros(lay: Lay) -> str:
    return lay.put(11, bytes(3000))


@plant("not a picture")
def git_lfs_pointer(lay: Lay) -> str:
    return lay.put(12, b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n")


@plant("too large")
def png_bomb(lay: Lay) -> str:
    return lay.put(14, bomb(30000, 30000))


@plant("too large")
def too_many_bytes(lay: Lay) -> str:
    lay.path(16).unlink()
    with lay.path(16).open("wb") as file:
        file.write(encoded(picture(16)))
        file.truncate(2**26 + 10)  # sparse
    return lay.key(16)


@plant("gap in the picture")
def missing_middle(lay: Lay) -> str:
    data = encoded(picture(13, 160), "JPEG", quality=90)
    return lay.put(13, data[: int(len(data) * 0.6)] + bytes(int(len(data) * 0.4)) + b"\xff\xd9")


@plant("wrong extension")
def png_named_jpg(lay: Lay) -> str:
    return lay.put(15, encoded(picture(15)))


# What a picture looks like


@plant("tiny")
def one_pixel(lay: Lay) -> str:
    lay.put(18, encoded(picture(18, 16)))
    return lay.key(18)


@plant("tiny", "extreme shape")
def very_long_strip(lay: Lay) -> str:
    return lay.put(20, encoded(noise(20000, 1)))


@plant("extreme shape")
def banner(lay: Lay) -> str:
    return lay.put(20, encoded(picture(20, 240).resize((480, 60))))


@plant("blank")
def one_colour(lay: Lay) -> str:
    return lay.put(22, encoded(Image.new("RGB", (SIDE, SIDE), (200, 30, 40))))


@plant("blank")
def see_through(lay: Lay) -> str:
    image = picture(22).convert("RGBA")
    image.putalpha(0)
    return lay.put(22, encoded(image))


@plant("blurred")
def out_of_focus(lay: Lay) -> str:
    return lay.put(24, encoded(picture(24, 160).filter(ImageFilter.GaussianBlur(6))))


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(5).integers(0, 256, (height, width, 3), dtype=np.uint8))


def chunk(kind: bytes, data: bytes, crc: int = 0) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data) ^ crc)


def bomb(width: int, height: int) -> bytes:
    """A PNG of many pixels in few bytes."""
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(1 + width // 8)) for _ in range(64)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def interlaced(crc: int) -> bytes:
    """An Adam7 PNG of 8 x 8 grey blocks, enlarged by nobody; its pixels' checksum is off by ``crc``."""
    side = 64
    grey = np.asarray(picture(4, side).convert("L"))
    rows = b""
    for y0, x0, dy, dx in (
        (0, 0, 8, 8),
        (0, 4, 8, 8),
        (4, 0, 8, 4),
        (0, 2, 4, 4),
        (2, 0, 4, 2),
        (0, 1, 2, 2),
        (1, 0, 2, 1),
    ):
        for row in grey[y0::dy, x0::dx]:
            rows += b"\0" + row.tobytes()
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 1)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows), crc) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


# Doubles


@plant("duplicate")
def the_same_bytes(lay: Lay) -> str:
    return lay.copy(46, "train/copy.png")


@plant("duplicate across splits")
def the_same_bytes_in_the_test(lay: Lay) -> str:
    return lay.copy(47, "test/copy.jpg")


@plant("near duplicate")
def enlarged_and_packed_again(lay: Lay) -> str:
    image = Image.open(lay.path(49)).resize((2 * SIDE, 2 * SIDE))
    return lay.add("validation/again.jpg", encoded(image, "JPEG", quality=75))


@plant("near duplicate across splits")
def brighter_in_the_test(lay: Lay) -> str:
    image = Image.open(lay.path(46)).point(lambda v: min(255, round(v * 1.06)))
    return lay.add("test/again.jpg", encoded(image, "JPEG", quality=90))


@plant("same picture, other captions", "duplicate")
def the_same_bytes_said_otherwise(lay: Lay) -> str:
    key = lay.copy(48, "validation/said.png")
    lay.rows[-1] |= {"text_en": "another sentence", "text_vi": "một câu khác"}
    return key


@plant("same picture, other label", "duplicate")
def the_same_bytes_in_another_class(lay: Lay) -> str:
    key = lay.copy(51, "validation/labelled.jpg")
    lay.rows[-1]["label"] = "two"
    return key
