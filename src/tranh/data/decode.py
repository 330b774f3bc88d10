"""Encoded bytes to an RGB picture, whatever Pillow reads safely; what cannot be shown is refused with its reason.

It knows nothing of training sizes: see ``fit`` for those.
"""

from __future__ import annotations

import io
import struct
import warnings
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from tranh.data.place import MOST_BYTES
from tranh.types import TranhError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "JPEG2000", "PPM")
"""Decoders that may be used (JPEG's opens MPO too). Others start programs (EPS) or take any bytes for theirs (TGA)."""
for _plugin in ("Jpeg", "Png", "WebP", "Gif", "Tiff", "Bmp", "Avif", "Jpeg2K", "Ppm"):
    import_module(f"PIL.{_plugin}ImagePlugin")  # Pillow looks up by name those that are loaded, and fails on others

SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"RIFF", b"II*\0", b"MM\0*")
"""First bytes of common formats."""

MOST_PIXELS = 2**26
"""67 million: larger pictures are refused by what their header says, before anything is unpacked."""

ORIENTATION = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
"""What makes a picture upright, by its EXIF orientation."""

MODES = {
    "1": "black and white", "L": "grey", "P": "palette", "CMYK": "cmyk", "YCbCr": "ycbcr", "LAB": "lab", "HSV": "hsv",
}  # fmt: skip
"""Modes and what reports call them."""

CONSEQUENCES = (
    OSError, ValueError, SyntaxError, EOFError, LookupError, TypeError, ArithmeticError, AttributeError, AssertionError,
    RuntimeError, struct.error,
)  # fmt: skip
"""What Pillow's readers raise on bytes that nobody foresaw."""


class BrokenPicture(TranhError):
    """A picture that cannot be used; the message is the reason, ``kind`` its name in reports."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


@dataclass(frozen=True)
class Decoded:
    """A picture as RGB, and how it came.

    Attributes:
        image: RGB, 8 bits, upright.
        format: as Pillow names it.
        changed: what had to be done to it, in order: ``turned``, ``cmyk``, ``palette``, ``alpha``, ``16 bit``, ...;
            empty if its bytes already are this picture.
        glanced: ``image`` is a small one of a JPEG that needs nothing, see ``decode``.
    """

    image: Image.Image
    format: str
    changed: tuple[str, ...]
    glanced: bool = False


def decode(
    data: bytes,
    *,
    box: tuple[int, int, int, int] | None = None,
    at_least: int | None = None,
    glance: int | None = None,
    most_pixels: int = MOST_PIXELS,
    background: tuple[int, int, int] = (255, 255, 255),
) -> Decoded:
    """Decode one picture.

    Args:
        data: the file.
        box: the part that is meant: left, top, width, height in pixels of the upright picture; None for all of it.
        at_least: a JPEG may be unpacked at an eighth, a quarter or half of its size, but no smaller than this side.
        glance: a JPEG that already is an upright RGB square of ``at_least`` pixels is unpacked no larger than this side
            asks: all of its data are read, so a damaged one is found, in half the time.
        most_pixels: larger pictures are refused.
        background: what is seen through transparent pixels.

    Raises:
        BrokenPicture: empty, no picture, cut short, too large, or an empty box. Nothing else, whatever the bytes are.
    """
    if not data:
        raise BrokenPicture("empty", "the file is empty")
    if len(data) > MOST_BYTES:
        size = f"{len(data) / 2**20:.0f} MiB"
        raise BrokenPicture("too large", f"the file has {size}; at most {MOST_BYTES >> 20} are read")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # our own limit is checked below, and reports name what is odd
            picture = Image.open(io.BytesIO(data), formats=FORMATS)
            return _decode(picture, box, at_least, glance, most_pixels, background)
    except BrokenPicture:
        raise
    except UnidentifiedImageError:
        if data.startswith(SIGNATURES):
            raise BrokenPicture("damaged", "it begins like a picture, but what follows cannot be read") from None
        reason = f"no picture of a known kind: it begins with {data[:8].hex(' ')}"
        raise BrokenPicture("no picture", reason) from None
    except (Image.DecompressionBombError, MemoryError) as error:
        raise BrokenPicture("too large", str(error) or "it does not fit into memory") from error
    except CONSEQUENCES as error:
        short = isinstance(error, EOFError) or "truncated" in str(error).lower()
        raise BrokenPicture("cut short" if short else "damaged", f"it cannot be unpacked: {error}") from error


def read_picture(path: Path) -> Image.Image:
    """The picture in a file somebody named, upright, as RGB.

    Raises:
        TranhError: there is none that can be read; the file is named.
    """
    try:
        return decode(path.read_bytes()).image
    except OSError as error:
        raise TranhError(f"{path} cannot be read: {error.strerror}") from error
    except BrokenPicture as error:
        raise TranhError(f"{path}: {error}") from error


def _decode(
    picture: ImageFile.ImageFile,
    box: tuple[int, int, int, int] | None,
    at_least: int | None,
    glance: int | None,
    most_pixels: int,
    background: tuple[int, int, int],
) -> Decoded:
    width, height = picture.size
    if width * height > most_pixels:
        most = f"{most_pixels / 1e6:.3g} million"
        raise BrokenPicture("too large", f"{width} x {height} pixels; at most {most} are read")
    changed = []
    if picture.format == "JPEG" and at_least and box is None:
        if glance and picture.size == (at_least, at_least) and picture.mode == "RGB" and _orientation(picture) == 1:
            picture.draft(None, (glance, glance))
            picture.load()
            return Decoded(picture, picture.format, (), glanced=True)
        picture.draft(None, (at_least, at_least))
        changed += ["smaller"] if picture.size != (width, height) else []
    if getattr(picture, "is_animated", False):
        changed.append("first frame")
        picture.seek(0)
    picture.load()
    orientation = _orientation(picture)
    image, how = to_rgb(picture, background)
    changed += how
    if orientation in TURNS:
        image = image.transpose(TURNS[orientation])
        changed.append("turned")
    if box is not None:
        image = _cut(image, box)
        changed.append("cut out")
    return Decoded(image, str(picture.format), tuple(changed))


def _orientation(picture: Image.Image) -> int:
    """The EXIF orientation; 1, upright, where the EXIF cannot be read: the picture still can."""
    try:
        value = picture.getexif().get(ORIENTATION, 1)
    except CONSEQUENCES:
        return 1
    return value if isinstance(value, int) else 1


def to_rgb(image: Image.Image, background: tuple[int, int, int] = (255, 255, 255)) -> tuple[Image.Image, list[str]]:
    """Any mode as RGB of 8 bits, and what was done.

    Raises:
        BrokenPicture: it holds numbers that are not finite.
    """
    mode = image.mode
    if mode == "RGB" and "transparency" not in image.info:
        return image, []
    if mode.startswith("I;16") or mode in ("I", "F"):
        return _in_bytes(image), ["floats" if mode == "F" else "16 bit"]
    if mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        above = image.convert("RGBA")
        below = Image.new("RGBA", image.size, (*background, 255))
        return Image.alpha_composite(below, above).convert("RGB"), ["alpha"]
    return image.convert("RGB"), [MODES.get(mode, mode)]


def _in_bytes(image: Image.Image) -> Image.Image:
    """Numbers of more than 8 bits as grey.

    By the smallest usual range that holds them: [0, 1] (of floats), [0, 255], [0, 65535] (always, where the file says
    16 bits); numbers outside all of these are stretched from their least to their most.
    """
    values = np.asarray(image, dtype=np.float32)
    if not np.isfinite(values).all():
        raise BrokenPicture("damaged", "it holds numbers that are not finite")
    low, high = float(values.min()), float(values.max())
    if image.mode.startswith("I;16"):
        low, high = 0.0, 65535.0
    elif low >= 0 and high <= 65535:
        high = 1.0 if image.mode == "F" and high <= 1 else 255.0 if high <= 255 else 65535.0
        low = 0.0
    grey = (values - low) * (255 / max(high - low, 1e-12))
    return Image.fromarray(np.round(grey).astype(np.uint8)).convert("RGB")


def _cut(image: Image.Image, box: tuple[int, int, int, int]) -> Image.Image:
    left, top, width, height = box
    right, bottom = min(left + width, image.width), min(top + height, image.height)
    left, top = max(left, 0), max(top, 0)
    if right <= left or bottom <= top:
        size = f"{image.width} x {image.height} pixels"
        raise BrokenPicture("empty box", f"the box {box} is outside the picture of {size}")
    return image.crop((left, top, right, bottom))
