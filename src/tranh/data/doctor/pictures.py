"""What can be wrong with one picture, and what is odd about it: from its bytes alone.

It knows no other picture; how sharp or large a picture must be is decided where all of them are known.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from PIL import Image

from tranh.data.decode import FORMATS, BrokenPicture, decode
from tranh.data.doctor import colours
from tranh.data.doctor.captions import Met
from tranh.data.doubles import Print, print_of

TINY, STRIP, HUGE = 32, 4.0, 2e7
"""Pixels of the shorter side, longer side by shorter, pixels in all."""
BLURRED = 0.04
"""Sharpest edge, see :func:`edge`, under which a picture is blurred: some 2.5 pixels of Gaussian blur in 256."""
BLANK = 10
"""Brightest minus darkest, of 255, in every channel."""
FINE = 16
"""Pixels per side by which two pictures are compared."""

STARTS: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "JPEG"), (b"\x89PNG\r\n\x1a\n", "PNG"), (b"GIF8", "GIF"), (b"BM", "BMP"),
    (b"II*\0", "TIFF"), (b"MM\0*", "TIFF"), (b"PK\x03\x04", "a ZIP archive"), (b"%PDF", "a PDF"),
    (b"\x1f\x8b", "gzipped data"), (b"Rar!", "a RAR archive"), (b"7z\xbc\xaf", "a 7z archive"),
    (b"8BPS", "a Photoshop file"), (b"\0\0\1\0", "an icon (ICO)"), (b"\x1aE\xdf\xa3", "a video (Matroska)"),
    (b"version https://git-lfs", "a Git LFS pointer: the file itself was not fetched"), (b"%!PS", "PostScript"),
    (b"MZ", "a Windows program"), (b"\x7fELF", "a program"), (b"PAR1", "a parquet file"), (b"\xff\x0a", "JPEG XL"),
)  # fmt: skip
PICTURES = frozenset(("JPEG", "PNG", "GIF", "TIFF", "WEBP", "AVIF"))
"""Names by :func:`what_is` that are pictures which can be read."""

SAYS = {
    "jpg": "JPEG", "jpeg": "JPEG", "jfif": "JPEG", "png": "PNG", "webp": "WEBP", "gif": "GIF", "bmp": "BMP",
    "avif": "AVIF", "tif": "TIFF", "tiff": "TIFF", "ppm": "PPM", "pgm": "PPM", "tga": "TGA", "jp2": "JPEG2000",
}  # fmt: skip
ODD = {
    "turned": "turned", "cmyk": "CMYK", "palette": "palette", "alpha": "transparent", "16 bit": "16 bit",
    "floats": "16 bit", "first frame": "animated", "black and white": "palette", "ycbcr": "other mode",
    "lab": "other mode", "hsv": "other mode",
}  # fmt: skip


@dataclass(frozen=True)
class Looked:
    """A picture that could be opened.

    Attributes:
        size, format: as it came, upright.
        print, fine: what it is recognised by, and (FINE, FINE, 3) uint8 to be sure.
        edge: see :func:`edge`.
        small: (32, 32, 3) uint8, whose colours are counted.
    """

    size: tuple[int, int]
    format: str
    print: Print
    fine: bytes
    edge: float
    small: np.ndarray


def what_is(data: bytes) -> str:
    """What bytes look to be, in words; empty if they look like nothing known."""
    head = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n")
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        if brand in (b"avif", b"avis"):
            return "AVIF"
        return "HEIC" if brand in (b"heic", b"heix", b"mif1", b"hevc") else "a video (MP4)"
    for start, name in STARTS:
        if data.startswith(start):
            return name
    low = head.lower()
    if low.startswith((b"<!doctype html", b"<html", b"<head", b"<body")) or b"<html" in low:
        return "a web page (HTML)"
    if b"<svg" in low:
        return "an SVG drawing"
    if low.startswith((b"<?xml", b"<error")):
        return "XML, perhaps a server's refusal"
    if low.startswith((b"{", b"[")):
        return "JSON"
    if data and not data.strip(b"\0"):
        return "nothing but zero bytes"
    if head and all(32 <= c < 127 or c in b"\r\n\t" for c in head):
        return f"text: {head[:40].decode('ascii')!r}"
    return ""


def look(key: str, data: bytes, box: tuple[int, int, int, int] | None) -> tuple[Looked | None, list[Met]]:
    """One picture's figures, None if it cannot be opened, and all that was met."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            came = decode(data, box=box)
    except BrokenPicture as error:
        return None, [_broken(key, data, error)]
    except Exception as error:  # a decoder's own faults: whatever they are, this picture cannot be used
        return None, [Met("damaged", f"its decoder fails: {type(error).__name__}: {error}")]
    image = came.image
    met = [Met(ODD[what]) for what in came.changed if what in ODD]
    met += _of_file(key, data, came.format) if box is None else []
    small = colours.small(image)
    pixels = image.tobytes() if box is not None else data
    grey = image.convert("L")
    fine = image.resize((FINE, FINE), Image.Resampling.BOX).tobytes()
    looked = Looked(
        image.size, came.format, print_of(image, hashlib.sha256(pixels).hexdigest()), fine, edge(grey), small
    )
    met += _of_pixels(image, looked)
    return looked, met


def _broken(key: str, data: bytes, error: BrokenPicture) -> Met:
    """The kind in our words of what ``decode`` refused."""
    what = what_is(data)
    if error.kind == "empty":
        return Met("empty file")
    if error.kind in ("too large", "empty box"):
        return Met(error.kind, str(error))
    if what and what not in PICTURES:
        return Met("not a picture", what)
    if error.kind == "cut short" or (what == "JPEG" and not _has_end(data)) or (what == "PNG" and b"IEND" not in data):
        return Met("cut short", str(error))
    if error.kind == "no picture" and not what:
        return Met("not a picture", str(error))
    return Met("damaged", str(error))


def _of_file(key: str, data: bytes, format: str) -> Iterator[Met]:
    suffix = PurePosixPath(key).suffix.lower().lstrip(".")
    says = SAYS.get(suffix)
    if says is not None and says != format and (says, format) != ("JPEG", "MPO"):
        yield Met("wrong extension", f"it is {format}")
    if format in ("JPEG", "MPO") and not _has_end(data):
        yield Met("cut short", "its end mark is missing")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            opened = Image.open(io.BytesIO(data), formats=FORMATS)
            if opened.info.get("icc_profile") and b"sRGB" not in _name_of(opened.info["icc_profile"]):
                yield Met("colour profile", _name_of(opened.info["icc_profile"]).decode("latin-1")[:40])
            if format == "PNG":
                opened.verify()
    except (
        Exception
    ) as error:  # it was decoded a moment ago, so only a checksum or what lies beside the pixels is wrong
        yield Met("damaged", f"it opens, but is not sound: {error}")
        return
    try:
        Image.open(io.BytesIO(data), formats=FORMATS).getexif()
    except Exception as error:  # as many kinds as there are ways to damage EXIF
        yield Met("odd metadata", f"EXIF: {error}")


def _name_of(profile: bytes) -> bytes:
    """The description inside an ICC profile: what is text in it."""
    at = profile.find(b"desc", 128 + 4 * 3)
    names = profile[at + 8 : at + 120] if at > 0 else b""
    return names.replace(b"\0", b"").strip() or b"unnamed"


def _has_end(data: bytes) -> bool:
    """Does a JPEG's picture end? Its first scan is found by walking the segments, so that a thumbnail's end is none."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xDA:
            return data.find(b"\xff\xd9", at) >= 0
        at += 1 if marker == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return data.find(b"\xff\xd9", min(at, len(data))) >= 0


def edge(grey: Image.Image) -> float:
    """The sharpest edge of a picture, seen at 256 pixels: the Laplacian by the contrast.

    A step blurred by a Gaussian of s pixels gives 0.24 / s^2. Fine noise is averaged away first, so it makes no edge.
    """
    if max(grey.size) > 256:
        grey = grey.copy()
        grey.thumbnail((256, 256), Image.Resampling.BOX, reducing_gap=None)
    x: np.ndarray = np.asarray(grey, dtype=np.float32)
    if min(x.shape) < 8:
        return 1.0
    low, high = np.quantile(x, (0.005, 0.995))
    if high - low < BLANK:
        return 1.0
    x = (x[:-1, :-1] + x[1:, :-1] + x[:-1, 1:] + x[1:, 1:]) / 4
    around = x[:-2, 1:-1] + x[2:, 1:-1] + x[1:-1, :-2] + x[1:-1, 2:]
    laplacian = np.abs(4 * x[1:-1, 1:-1] - around)
    return float(np.quantile(laplacian, 0.995) / max(high - low, 48))


def _of_pixels(image: Image.Image, looked: Looked) -> Iterator[Met]:
    width, height = image.size
    if min(width, height) < TINY:
        yield Met("tiny", f"{width} x {height}", min(width, height))
    if max(width, height) > STRIP * min(width, height):
        yield Met("extreme shape", f"{width} x {height}", -max(width, height) / min(width, height))
    if width * height > HUGE:
        yield Met("huge", f"{width} x {height}", -width * height)
    extrema = image.getextrema()
    if all(high - low <= BLANK for low, high in extrema if isinstance(high, int)):  # type: ignore[misc]
        yield Met("blank", "#" + "".join(f"{round(v):02x}" for v in looked.small.reshape(-1, 3).mean(0)))
        return
    if looked.edge < BLURRED:
        yield Met("blurred", f"sharpest edge {looked.edge:.3f}", looked.edge)
    gap = _gap(image) if looked.format in ("JPEG", "MPO") else 0.0
    if gap:
        yield Met("gap in the picture", f"the lower {gap:.0%}", -gap)
    if colours.is_grey(looked.small):
        yield Met("grey")
    light = float(colours.lab(looked.small)[..., 0].mean())
    if light < 4:
        yield Met("very dark", f"lightness {light:.1f} of 100", light)


def _gap(image: Image.Image) -> float:
    """Share of a JPEG's rows, from below, that are the even grey a decoder gives where bytes are missing."""
    x = np.asarray(image)
    even = (np.abs(x.astype(np.int16) - 128).max((1, 2)) <= 1).astype(np.int64)
    if even[0]:
        return 0.0
    share = int(np.argmin(even[::-1])) / len(even) if not even.all() else 0.0
    return share if share >= 0.04 else 0.0
