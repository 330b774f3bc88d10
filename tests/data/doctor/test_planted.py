"""Faults planted one by one, and all at once, into a clean folder: each is found and named, none is fatal, and nothing
else is said; of the clean folder nothing is said at all."""

from __future__ import annotations

import io
import json
import os
import shutil
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter, ImageOps

from tranh.data.doctor import KINDS, Diagnosis, Reading, scan
from tranh.data.scenes.draw import render
from tranh.data.scenes.layout import scene
from tranh.data.scenes.source import say
from tranh.recipes.models import SHIPPED

COUNT, SIDE = 60, 80
LEVELS = ("one", "two", "full")
READING = Reading((SHIPPED / "tranh-1" / "tokenizer.json").read_bytes(), "tranh-1")


def picture(i: int, side: int = SIDE) -> Image.Image:
    return Image.fromarray(render(scene(LEVELS[i % 3], "train", i), side))


def encoded(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def split(i: int) -> str:
    return "train" if i < 48 else "validation" if i < 54 else "test"


def build(root: Path) -> None:
    """Sixty scenes, PNG and JPEG, in three splits and three classes, with captions in two languages."""
    lines = []
    for i in range(COUNT):
        name = f"{split(i)}/{i:03d}.{'png' if i % 2 == 0 else 'jpg'}"
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(picture(i)) if i % 2 == 0 else encoded(picture(i), "JPEG", quality=92))
        said = {f"text_{code}": say(scene(LEVELS[i % 3], "train", i), code, "dense", i)[0] for code in ("en", "vi")}
        lines.append({"file_name": name, **said, "label": LEVELS[i % 3]})
    (root / "metadata.jsonl").write_text("".join(json.dumps(x, ensure_ascii=False) + "\n" for x in lines), "utf-8")


class Lay:
    """A copy of the clean folder that a fault is planted into."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.rows: list[Any] = [json.loads(line) for line in (root / "metadata.jsonl").read_text("utf-8").splitlines()]

    def key(self, i: int) -> str:
        return str(self.rows[i]["file_name"])

    def path(self, i: int) -> Path:
        return self.root / self.key(i)

    def put(self, i: int, data: bytes) -> str:
        """Other bytes for a picture."""
        self.path(i).unlink()
        self.path(i).write_bytes(data)
        return self.key(i)

    def move(self, i: int, name: str, data: bytes | None = None) -> str:
        """Another name for a picture, and other bytes."""
        old = self.path(i)
        data = old.read_bytes() if data is None else data
        old.unlink()
        (self.root / name).write_bytes(data)
        self.rows[i]["file_name"] = name
        return name

    def say(self, i: int, en: Any = None, vi: Any = None) -> str:
        """Other captions for a picture."""
        for name, text in (("text_en", en), ("text_vi", vi)):
            if text is not None:
                self.rows[i][name] = text
        return self.key(i)

    def add(self, name: str, data: bytes, en: str = "a thing of its own", vi: str = "một vật riêng") -> str:
        """One more picture."""
        (self.root / name).write_bytes(data)
        self.rows.append({"file_name": name, "text_en": en, "text_vi": vi, "label": "one"})
        return name

    def line(self, data: bytes) -> str:
        """One more line of metadata as it is."""
        self.rows.append(data)
        return f"metadata.jsonl:{len(self.rows)}"

    def copy(self, i: int, name: str) -> str:
        """A picture and all that is said of it once more."""
        (self.root / name).write_bytes(self.path(i).read_bytes())
        self.rows.append(self.rows[i] | {"file_name": name})
        return name

    def save(self) -> None:
        lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in self.rows]
        text = b"".join(line + b"\n" for line in lines)
        (self.root / "metadata.jsonl").unlink()
        (self.root / "metadata.jsonl").write_bytes(text)


@dataclass(frozen=True)
class Plant:
    """A fault: the finding that must name it, what must come with it, and how it is put there."""

    finding: str
    also: tuple[str, ...]
    put: Callable[[Lay], str]

    @property
    def name(self) -> str:
        return self.put.__name__


PLANTS: list[Plant] = []


def plant(finding: str, *also: str) -> Callable[[Callable[[Lay], str]], Callable[[Lay], str]]:
    def keep(put: Callable[[Lay], str]) -> Callable[[Lay], str]:
        PLANTS.append(Plant(finding, also, put))
        return put

    return keep


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
def shrunk_and_packed_again(lay: Lay) -> str:
    return lay.add("validation/again.jpg", encoded(picture(49, 160).resize((70, 70)), "JPEG", quality=60))


@plant("near duplicate across splits")
def brighter_in_the_test(lay: Lay) -> str:
    image = picture(50, 160).point(lambda v: min(255, round(v * 1.06)))
    return lay.add("test/again.jpg", encoded(image, "JPEG", quality=80))


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


# Captions


@plant("no caption")
def captions_left_out(lay: Lay) -> str:
    del lay.rows[26]["text_en"], lay.rows[26]["text_vi"]
    return lay.key(26)


@plant("no caption")
def captions_of_json_null(lay: Lay) -> str:
    lay.rows[26] |= {"text_en": None, "text_vi": None}
    return lay.key(26)


@plant("empty caption")
def caption_of_spaces(lay: Lay) -> str:
    return lay.say(27, en="  \t ")


@plant("empty caption")
def caption_of_zero_width(lay: Lay) -> str:
    return lay.say(27, en="\u200b\u200b")


@plant("caption is NaN")
def nan_as_text(lay: Lay) -> str:
    return lay.say(28, en="nan")


@plant("caption is NaN")
def none_as_text(lay: Lay) -> str:
    return lay.say(28, vi="None")


@plant("overlong caption")
def ten_thousand_words(lay: Lay) -> str:
    return lay.say(29, en=" ".join(f"word{i % 977}" for i in range(10_000)))


@plant("overlong caption")
def overlong_vietnamese(lay: Lay) -> str:
    return lay.say(29, vi="một hình tròn màu đỏ ở trên một hình vuông màu xanh dương nhỏ và " * 12)


@plant("mixed NFC and NFD")
def apart(lay: Lay) -> str:
    return lay.say(30, vi=unicodedata.normalize("NFD", lay.rows[30]["text_vi"]))


@plant("caption is a file name")
def its_own_name(lay: Lay) -> str:
    return lay.say(31, en="031.jpg")


@plant("caption is a file name")
def a_cameras_name(lay: Lay) -> str:
    return lay.say(31, en="IMG_20240512_101112")


@plant("placeholder caption")
def untitled(lay: Lay) -> str:
    return lay.say(32, en="Untitled")


@plant("markup")
def tags(lay: Lay) -> str:
    return lay.say(33, en="<p>a <b>red</b> circle</p>")


@plant("markup")
def entities(lay: Lay) -> str:
    return lay.say(33, en="a circle &amp; a square")


@plant("web address")
def link(lay: Lay) -> str:
    return lay.say(34, en="a red circle, see https://example.com/a.html")


@plant("control characters")
def bell(lay: Lay) -> str:
    return lay.say(35, en="a red\x07 circle\x00")


@plant("invisible characters")
def right_to_left_mark(lay: Lay) -> str:
    return lay.say(36, en="a red \u202ecircle")


@plant("invisible characters")
def zero_width_space(lay: Lay) -> str:
    return lay.say(36, vi="một hình\u200b tròn đỏ")


@plant("garbled letters")
def utf8_read_as_windows(lay: Lay) -> str:
    garbled = "".join(bytes([b]).decode("cp1252", "replace") if b not in (0x81, 0x8D, 0x8F, 0x90, 0x9D) else chr(b)
                      for b in "một hình tròn đỏ".encode())  # fmt: skip
    return lay.say(37, vi=garbled)


@plant("garbled letters")
def letters_lost(lay: Lay) -> str:
    return lay.say(37, vi="m?t h?nh tr?n")


@plant("lone surrogate")
def half_a_character(lay: Lay) -> str:
    return lay.say(38, en="a red circle \ud83d")


@plant("lookalike letters")
def cyrillic_a(lay: Lay) -> str:
    return lay.say(39, en="\u0430 r\u0435d circle")


@plant("no words")
def emoji_only(lay: Lay) -> str:
    return lay.say(40, en="🔴🔵 ❤️")


@plant("no words")
def signs_only(lay: Lay) -> str:
    return lay.say(40, en="?!...")


@plant("repeated words")
def one_word(lay: Lay) -> str:
    return lay.say(41, en="circle circle circle circle circle")


@plant("chat model's answer")
def assistant(lay: Lay) -> str:
    return lay.say(42, en="I'm sorry, but I can't see the image you mention.")


@plant("wrong language")
def english_as_vietnamese(lay: Lay) -> str:
    return lay.say(43, vi="a small red circle above a large blue square")


@plant("wrong language")
def vietnamese_as_english(lay: Lay) -> str:
    return lay.say(43, en="một ngôi sao vàng ở trên một hình vuông")


@plant("wrong language")
def chinese_as_english(lay: Lay) -> str:
    return lay.say(43, en="一个红色的圆圈在蓝色方块上面")


@plant("missing translation")
def no_vietnamese(lay: Lay) -> str:
    del lay.rows[44]["text_vi"]
    return lay.key(44)


@plant("untranslated", "wrong language")
def the_same_in_both(lay: Lay) -> str:
    return lay.say(45, vi=lay.rows[45]["text_en"])


@plant("one caption for most")
def everything_is_said_alike(lay: Lay) -> str:
    for i in range(COUNT):
        lay.say(i, en="a nice colourful picture of something")
    return "a nice colourful picture of something"


# Metadata


@plant("missing file")
def gone(lay: Lay) -> str:
    lay.path(17).unlink()
    return lay.key(17)


@plant("missing file", "unlisted picture")
def another_case(lay: Lay) -> str:
    lay.rows[17]["file_name"] = lay.rows[17]["file_name"].upper()
    return lay.key(17)


@plant("unlisted picture")
def forgotten(lay: Lay) -> str:
    (lay.root / "train" / "forgotten.png").write_bytes(encoded(picture(200)))
    return "train/forgotten.png"


@plant("outside the folder")
def escapes(lay: Lay) -> str:
    (lay.root.parent / "secret.png").write_bytes(encoded(picture(201)))
    lay.rows.append({"file_name": "../secret.png", "text_en": "a secret", "text_vi": "bí mật", "label": "one"})
    return "../secret.png"


@plant("bad line")
def broken_json(lay: Lay) -> str:
    return lay.line(b'{"file_name": "train/x.png", "text_en": "never clos')


@plant("bad line")
def a_list_for_an_object(lay: Lay) -> str:
    return lay.line(b"[1, 2, 3]")


@plant("bad line")
def braces_without_end(lay: Lay) -> str:
    return lay.line(b"[" * 200_000)


@plant("no file name")
def line_without_a_name(lay: Lay) -> str:
    return lay.line(b'{"text_en": "a circle", "label": "one"}')


@plant("not UTF-8")
def latin_1(lay: Lay) -> str:
    return lay.line('{"file_name": "train/x.png", "text_en": "café"}'.encode("latin-1"))


@plant("listed twice")
def two_lines(lay: Lay) -> str:
    lay.rows.append(dict(lay.rows[19]))
    return lay.key(19)


@plant("unreadable file")
def a_folder_of_a_pictures_name(lay: Lay) -> str:
    lay.path(21).unlink()
    lay.path(21).mkdir()
    return lay.key(21)


@plant("unreadable file")
def a_link_to_nothing(lay: Lay) -> str:
    lay.path(23).unlink()
    lay.path(23).symlink_to("nowhere.png")
    return lay.key(23)


@plant("unreadable file")
def a_pipe(lay: Lay) -> str:
    lay.path(23).unlink()
    os.mkfifo(lay.path(23))
    return lay.key(23)


@plant("unusual file name")
def a_name_of_two_lines(lay: Lay) -> str:
    lay.move(25, "train/two\nlines.jpg")
    return "train/two\\nlines.jpg"


@plant("format not read")
def an_svg_beside(lay: Lay) -> str:
    (lay.root / "train" / "drawing.svg").write_text("<svg/>")
    return "train/drawing.svg"


# Balance


@plant("class imbalance")
def a_class_of_one(lay: Lay) -> str:
    lay.rows[0]["label"] = "rare"
    return "rare"


@plant("class missing in training", "class imbalance")
def a_class_only_tested(lay: Lay) -> str:
    lay.rows[55]["label"] = "unheard"
    return "unheard"


@plant("one class, several names", "class imbalance")
def a_class_in_capitals(lay: Lay) -> str:
    lay.rows[45]["label"] = "One "
    return "One "


@plant("no label")
def unlabelled(lay: Lay) -> str:
    lay.rows[3]["label"] = None
    return lay.key(3)


# What is odd and harmless: told as a note


@plant("CMYK")
def cmyk(lay: Lay) -> str:
    return lay.put(1, encoded(picture(1).convert("CMYK"), "JPEG", quality=92))


@plant("16 bit")
def sixteen_bits(lay: Lay) -> str:
    grey = np.asarray(picture(0).convert("L")).astype(np.uint16) * 257
    return lay.put(0, encoded(Image.fromarray(grey)))


@plant("palette")
def palette(lay: Lay) -> str:
    return lay.put(0, encoded(picture(0).quantize(64)))


@plant("transparent")
def webp_with_alpha(lay: Lay) -> str:
    image = picture(0).convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize((SIDE, SIDE)).point(lambda v: 128 + v // 2))
    return lay.move(0, "train/000.webp", encoded(image, "WEBP", lossless=True))


@plant("turned")
def exif_turn(lay: Lay) -> str:
    exif = Image.Exif()
    exif[0x0112] = 6
    return lay.put(1, encoded(picture(1), "JPEG", exif=exif))


@plant("animated")
def animated_gif(lay: Lay) -> str:
    frames = [picture(0), picture(100)]
    return lay.move(0, "train/000.gif", encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))


@plant("animated")
def tiff_of_two_pages(lay: Lay) -> str:
    return lay.move(0, "train/000.tif", encoded(picture(0), "TIFF", save_all=True, append_images=[picture(100)]))


@plant("colour profile", "grey")
def grey_with_a_profile(lay: Lay) -> str:
    profile = bytes(128) + b"\0\0\0\1" + bytes(8) + b"desc" + b"\0\0\0\0" + b"Dot Gain 20%" + bytes(40)
    return lay.put(1, encoded(ImageOps.grayscale(picture(1)), "JPEG", quality=92, icc_profile=profile))


@plant("grey")
def grey(lay: Lay) -> str:
    return lay.put(31, encoded(ImageOps.grayscale(picture(31)), "JPEG", quality=92))


@plant("all capitals")
def shouted(lay: Lay) -> str:
    return lay.say(0, en=lay.rows[0]["text_en"].upper())


@plant("said twice")
def said_twice(lay: Lay) -> str:
    lay.rows[0]["text_en"] = [lay.rows[0]["text_en"]] * 2
    return lay.key(0)


@plant("system files")
def ds_store(lay: Lay) -> str:
    (lay.root / "train" / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    return "train/.DS_Store"


@plant("huge")
def many_pixels(lay: Lay) -> str:
    return lay.put(0, encoded(picture(0).resize((4500, 4500), Image.Resampling.NEAREST), "PNG", compress_level=1))


# What is no fault at all


HARMLESS: list[Callable[[Lay], Any]] = [
    lambda lay: lay.put(1, lay.path(1).read_bytes() + b"trailing garbage" * 20),
    lambda lay: lay.put(1, encoded(picture(1), "JPEG", progressive=True)),
    lambda lay: lay.move(0, "train/000.avif", encoded(picture(0), "AVIF")),
    lambda lay: lay.put(4, interlaced(crc=0)),
    lambda lay: lay.say(0, vi="một ly cà phê sữa đá và một bát phở bò"),
    lambda lay: lay.say(0, en="a café in Đà Nẵng, with “quotes” – and a dash… 50 % off"),
    lambda lay: lay.say(0, en="a family 👨‍👩‍👧 in front of a house ❤️"),
    lambda lay: lay.say(0, vi="hinh tron do o tren hinh vuong xanh"),
]


@pytest.fixture(scope="session")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("clean") / "pictures"
    build(root)
    return root


@pytest.fixture
def lay(clean: Path, tmp_path: Path) -> Lay:
    root = tmp_path / "pictures"
    shutil.copytree(clean, root, copy_function=os.link)
    return Lay(root)


def examined(root: Path) -> Diagnosis:
    *_, last = scan(root, READING)
    diagnosis: Diagnosis = last.result
    return diagnosis


def alarms(diagnosis: Diagnosis) -> set[str]:
    return {finding.name for finding in diagnosis.findings if finding.severity != "note"}


def test_nothing_is_said_of_a_clean_folder(clean: Path) -> None:
    diagnosis = examined(clean)
    assert diagnosis.total == diagnosis.looked == COUNT
    assert alarms(diagnosis) == set(), diagnosis.findings
    assert {finding.name for finding in diagnosis.findings} <= {"grey"}


@pytest.mark.parametrize("what", PLANTS, ids=lambda what: what.name)
def test_each_is_found_and_named_and_nothing_else(what: Plant, lay: Lay) -> None:
    key = what.put(lay)
    lay.save()
    diagnosis = examined(lay.root)
    assert what.finding in {finding.name for finding in diagnosis.findings}, diagnosis.findings
    keys = [example.key for example in diagnosis.all_examples(what.finding)]
    assert key in keys
    assert keys == [key] or what.finding == "grey"
    wanted = {name for name in (what.finding, *what.also) if KINDS[name].severity != "note"}
    assert alarms(diagnosis) == wanted, diagnosis.findings


@pytest.mark.parametrize("change", HARMLESS)
def test_what_is_no_fault_is_not_called_one(change: Callable[[Lay], Any], lay: Lay) -> None:
    change(lay)
    lay.save()
    assert alarms(examined(lay.root)) == set()


def test_there_are_thirty_kinds_at_least() -> None:
    assert len({what.finding for what in PLANTS if KINDS[what.finding].severity != "note"}) >= 30


def test_all_at_once(clean: Path, tmp_path: Path) -> None:
    """One fault of every kind in one folder, each at a picture of its own: all of them are named, none is fatal."""
    keys = {}
    for number, what in enumerate(PLANTS):
        root = tmp_path / str(number)
        shutil.copytree(clean, root / "pictures", copy_function=os.link)
        keys[what.name] = what.put(Lay(root / "pictures"))
    shutil.copytree(clean, tmp_path / "pictures")
    lay = Lay(tmp_path / "pictures")
    wanted: dict[str, str] = {}
    for what in PLANTS:
        key = keys[what.name]
        free = key not in wanted.values() and what.finding not in wanted
        if free and KINDS[what.finding].severity != "note" and what.name != "everything_is_said_alike":
            wanted[what.finding] = what.put(lay)
    lay.save()
    diagnosis = examined(lay.root)
    assert len(wanted) >= 40
    for finding, key in wanted.items():
        assert key in {example.key for example in diagnosis.all_examples(finding)}, finding
