"""Pictures that strangers send: checked before they are unpacked, and kept only as pixels.

It knows no route. What a file tells of itself by its name or its type is never asked; its first bytes are.
"""

from __future__ import annotations

import asyncio
import io
import struct
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from PIL import Image, ImageOps

from tranh.data.decode import CONSEQUENCES, BrokenPicture, decode
from tranh.serve.orders import Refused

FORMATS = {b"\x89PNG\r\n\x1a\n": "PNG", b"\xff\xd8\xff": "JPEG", b"RIFF": "WEBP"}
"""What a file begins with, and what it is then."""

MOST_BYTES = 20 * 2**20
MOST_PIXELS = 2**24
"""16.8 million: a picture of 4096 x 4096, 50 MB of memory while it is looked at."""

LONGEST, MOST_RATIO = 16384, 64
"""Pixels of a side, and how often the shorter one goes into the longer."""

MOST_SCANS = 100
"""Of a JPEG: each is a pass over all pixels, and a usual picture has ten."""

_two = ThreadPoolExecutor(2, "pictures")  # unpacked at one moment: memory has an end


@dataclass(frozen=True)
class Upload:
    """A picture that is sound.

    Attributes:
        image: RGB of 8 bits, upright; what shines through is white.
        hole: where it is wholly transparent, white on black; None if it nowhere is.
        format: it came in.
    """

    image: Image.Image
    hole: Image.Image | None
    format: str

    def png(self) -> bytes:
        """Its pixels and nothing else of it."""
        return as_png(self.image)


def as_png(image: Image.Image) -> bytes:
    data = io.BytesIO()
    image.save(data, "PNG", compress_level=1)
    return data.getvalue()


def bad(message: str, param: str | None, code: str = "invalid_image", status: int = 400) -> Refused:
    return Refused(message if param is None else f"{param}: {message}", status=status, code=code, param=param)


def read(data: bytes, param: str | None = None, most_pixels: int = MOST_PIXELS) -> Upload:
    """Unpack a picture; takes a second at the most.

    Args:
        param: what the field is called that it was sent in.

    Raises:
        Refused: ``invalid_image``: it is none, a broken one, or more than one. ``image_too_large``.
    """
    if len(data) > MOST_BYTES:
        raise bad(f"the file has {len(data)} bytes; allowed: {MOST_BYTES}", param, "image_too_large", 413)
    kind = next((kind for magic, kind in FORMATS.items() if data.startswith(magic)), None)
    if kind is None or (kind == "WEBP" and data[8:12] != b"WEBP"):
        raise bad("it is no PNG, JPEG or WebP picture", param)
    if kind == "JPEG" and data.count(b"\xff\xda") > MOST_SCANS:
        raise bad(f"it has more than {MOST_SCANS} scans", param)
    try:
        with Image.open(io.BytesIO(data), formats=(kind,)) as opened:  # only the header is read
            width, height = opened.size
            frames = getattr(opened, "n_frames", 1)
            clear = opened.mode in ("RGBA", "LA", "PA") or "transparency" in opened.info
        if width * height > most_pixels or max(width, height) > LONGEST:
            allowed = f"{most_pixels} pixels, {LONGEST} on a side"
            raise bad(f"it has {width} x {height} pixels; allowed: {allowed}", param, "image_too_large", 413)
        if max(width, height) > MOST_RATIO * min(width, height):
            raise bad(f"it has {width} x {height} pixels: one side is more than {MOST_RATIO} times the other", param)
        if frames != 1 and kind != "JPEG":  # a camera's JPEG may have a second view behind it, which nobody looks at
            raise bad(f"it has {frames} frames; allowed: one", param)
        image = decode(data, most_pixels=most_pixels).image
        return Upload(image, _hole(data, kind) if clear else None, kind)
    except BrokenPicture as error:
        raise bad(str(error), param) from error
    except MemoryError as error:
        raise bad("it does not fit into memory", param, "image_too_large", 413) from error
    except Refused:
        raise
    except (*CONSEQUENCES, struct.error, Image.DecompressionBombError) as error:
        raise bad(f"it cannot be unpacked ({type(error).__name__})", param) from error


def _hole(data: bytes, kind: str) -> Image.Image | None:
    """Where a picture is wholly transparent, upright: 255 there, 0 elsewhere."""
    with Image.open(io.BytesIO(data), formats=(kind,)) as opened:
        alpha = ImageOps.exif_transpose(opened.convert("RGBA")).getchannel("A")
    hole = alpha.point([255] + [0] * 255)
    return hole if hole.getbbox() is not None else None


async def received(data: bytes, param: str | None = None) -> Upload:
    """As :func:`read`, beside the event loop; only two are unpacked at one moment."""
    return await asyncio.get_running_loop().run_in_executor(_two, read, data, param)
