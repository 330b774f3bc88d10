"""Faults of metadata and of balance, and what is odd and harmless."""

from __future__ import annotations

import os
import struct

import numpy as np
from PIL import Image, ImageOps
from planting import SIDE, Lay, encoded, picture, plant

# Metadata


@plant("missing file")
def gone(lay: Lay) -> str:
    lay.path(17).unlink()
    return lay.key(17)


@plant("missing file", "unlisted picture")
def another_case(lay: Lay) -> str:
    lay.rows[17]["file_name"] = lay.rows[17]["file_name"].upper()
    return lay.key(17)


@plant("outside the folder")
def a_name_that_no_file_can_have(lay: Lay) -> str:
    lay.rows.append({"file_name": "train/\0.png", "text_en": "a zero", "text_vi": "số không", "label": "one"})
    return "train/\\x00.png"


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
def a_link_to_itself(lay: Lay) -> str:
    lay.path(23).unlink()
    lay.path(23).symlink_to(lay.path(23).name)
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


@plant("odd metadata")
def damaged_exif(lay: Lay) -> str:
    data, exif = lay.path(1).read_bytes(), b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\xee" * 30
    return lay.put(1, data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:])


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
