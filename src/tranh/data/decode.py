"""Encoded bytes to an RGB picture, whatever Pillow reads; what cannot be shown safely is refused with its reason.

It knows nothing of training sizes: see ``fit`` in ``prepare`` for those.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from tranh.types import TranhError

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TGA", "TIFF", "WEBP")
"""Decoders that may be used. Pillow has others (EPS starts Ghostscript, FITS, PSD, ...) that nobody needs here."""

MOST_BYTES, MOST_PIXELS = 2**26, 2**26
"""64 MiB and 67 million pixels: larger ones are refused before they are unpacked."""


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
    """

    image: Image.Image
    format: str
    changed: tuple[str, ...]


def decode(
    data: bytes,
    *,
    box: tuple[int, int, int, int] | None = None,
    at_least: int | None = None,
    most_pixels: int = MOST_PIXELS,
    background: tuple[int, int, int] = (255, 255, 255),
) -> Decoded:
    """Decode one picture.

    Args:
        box: the part that is meant: left, top, width, height in pixels of the upright picture; None for all of it.
        at_least: a JPEG may be unpacked at an eighth, a quarter or half of its size, but no smaller than this side.
        most_pixels: larger pictures are refused.
        background: what is seen through transparent pixels.

    Raises:
        BrokenPicture: empty, no picture, cut short, too large, or an empty box.
    """
    if not data:
        raise BrokenPicture("empty", "the file is empty")
    if len(data) > MOST_BYTES:
        raise BrokenPicture(
            "too large", f"the file has {len(data) / 2**20:.0f} MiB; at most {MOST_BYTES >> 20} are read"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # our own limit is checked below, and reports name what is odd
            picture = Image.open(io.BytesIO(data), formats=FORMATS)
            return _decode(picture, box, at_least, most_pixels, background)
    except BrokenPicture:
        raise
    except UnidentifiedImageError:
        raise BrokenPicture("no picture", f"no picture Pillow knows: it begins with {data[:8].hex(' ')}") from None
    except Image.DecompressionBombError as error:
        raise BrokenPicture("too large", str(error)) from error
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, OverflowError) as error:
        kind = "cut short" if "truncated" in str(error) or isinstance(error, EOFError) else "damaged"
        raise BrokenPicture(kind, f"it cannot be unpacked: {error}") from error


def _decode(
    picture: ImageFile.ImageFile,
    box: tuple[int, int, int, int] | None,
    at_least: int | None,
    most_pixels: int,
    background: tuple[int, int, int],
) -> Decoded:
    width, height = picture.size
    if width * height > most_pixels:
        raise BrokenPicture("too large", f"{width} x {height} pixels; at most {most_pixels / 1e6:.0f} million are read")
    changed = []
    if picture.format == "JPEG" and at_least and box is None:
        before = picture.size
        picture.draft(None, (at_least, at_least))
        changed += ["smaller"] if picture.size != before else []
    if getattr(picture, "n_frames", 1) > 1:
        changed.append("first frame")
        picture.seek(0)
    picture.load()
    name = str(picture.format)
    image: Image.Image = picture
    orientation = image.getexif().get(0x0112, 1)
    if orientation not in (0, 1):
        image = ImageOps.exif_transpose(image)
        changed.append("turned")
    image, how = to_rgb(image, background)
    changed += how
    if box is not None:
        image = _cut(image, box)
        changed.append("cut out")
    return Decoded(image, name, tuple(changed))


def to_rgb(image: Image.Image, background: tuple[int, int, int]) -> tuple[Image.Image, list[str]]:
    """Any mode as RGB of 8 bits, and what was done."""
    mode = image.mode
    if mode == "RGB" and "transparency" not in image.info:
        return image, []
    if mode.startswith("I;16") or mode in ("I", "F"):
        return _stretched(image), ["16 bit" if mode != "F" else "floats"]
    if mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        above = image.convert("RGBA")
        below = Image.new("RGBA", image.size, (*background, 255))
        return Image.alpha_composite(below, above).convert("RGB"), ["alpha"]
    names = {
        "CMYK": "cmyk",
        "P": "palette",
        "L": "grey",
        "1": "black and white",
        "YCbCr": "ycbcr",
        "LAB": "lab",
        "HSV": "hsv",
    }
    return image.convert("RGB"), [names.get(mode, mode)]


def _stretched(image: Image.Image) -> Image.Image:
    """Numbers of more than 8 bits as grey: 16-bit values by their upper byte, others from their least to their most."""
    values = np.asarray(image, dtype=np.float64)
    if not np.isfinite(values).all():
        raise BrokenPicture("damaged", "it holds numbers that are not finite")
    if image.mode.startswith("I") and values.min() >= 0 and values.max() <= 65535:
        grey = values / 257 if values.max() > 255 else values
    else:
        low, high = values.min(), values.max()
        grey = (values - low) * (255 / max(high - low, 1e-12))
    return Image.fromarray(np.round(grey).astype(np.uint8)).convert("RGB")


def _cut(image: Image.Image, box: tuple[int, int, int, int]) -> Image.Image:
    left, top, width, height = box
    right, bottom = min(left + width, image.width), min(top + height, image.height)
    left, top = max(left, 0), max(top, 0)
    if right <= left or bottom <= top:
        raise BrokenPicture(
            "empty box", f"the box {box} is outside the picture of {image.width} x {image.height} pixels"
        )
    return image.crop((left, top, right, bottom))
