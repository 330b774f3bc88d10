"""One captioned picture made ready for training: a function of its item and the options, run by any number of workers.

It knows no other picture: doubles are found where all results come together.
"""

from __future__ import annotations

import hashlib
import io
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from PIL import Image

from tranh.data import clean as text
from tranh.data import fit
from tranh.data.decode import MOST_PIXELS, BrokenPicture, Decoded, decode
from tranh.data.doubles import SIDE, Print, print_of
from tranh.data.item import Caption, Item
from tranh.types import TranhError

KEPT = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}
"""Formats whose bytes are taken over as they are if nothing has to be done to the picture."""
LOSSLESS = frozenset(("PNG", "BMP", "GIF", "TIFF", "PPM"))
"""Formats whose pictures stay without loss."""
SAYS = {
    "jpg": "JPEG", "jpeg": "JPEG", "jfif": "JPEG", "png": "PNG", "webp": "WEBP", "gif": "GIF", "bmp": "BMP",
    "avif": "AVIF", "tif": "TIFF", "tiff": "TIFF", "jp2": "JPEG2000",
}  # fmt: skip
"""The format that a file's extension promises."""
NO_TEXT = frozenset(("nan", "none", "null", "n/a"))
"""What programs write where there was no caption."""


@dataclass(frozen=True)
class Options:
    """How pictures and captions are made ready.

    Attributes:
        size: side of the square pictures, in pixels.
        shape: ``crop`` or ``letterbox``.
        least: pictures with a shorter side, in pixels, are left out.
        blurred_below: pictures whose variance of the Laplacian, once square, is under it are left out; 0 for none.
        most_pixels: larger pictures are refused.
        enhance: of ``denoise``, ``white_balance``, ``contrast``.
        clean: steps of the captions, see ``data/clean.py``.
        quality: of JPEG; pictures that came without loss stay without.
        near: leave out near doubles too, not only exact ones.
        broken: share of broken pictures above which preparing stops.
    """

    size: int = 256
    shape: fit.Shape = "crop"
    least: int = 32
    blurred_below: float = 0.0
    most_pixels: int = MOST_PIXELS
    enhance: tuple[str, ...] = ()
    clean: tuple[str, ...] = text.STEPS
    quality: int = 95
    near: bool = True
    broken: float = 0.2

    def __post_init__(self) -> None:
        text.check(self.clean)
        odd = [name for name in self.enhance if name not in fit.ENHANCE]
        if odd:
            raise TranhError(f"no enhancement is called {', '.join(odd)}; there are: {', '.join(fit.ENHANCE)}")
        allowed = {
            "size": (8 <= self.size <= 4096, "8 to 4096 pixels"),
            "shape": (self.shape in ("crop", "letterbox"), "crop or letterbox"),
            "least": (self.least >= 1, "1 or more pixels"),
            "blurred_below": (self.blurred_below >= 0, "0 or more"),
            "most_pixels": (1 <= self.most_pixels <= 2**28, "up to 268 million"),
            "quality": (1 <= self.quality <= 100, "1 to 100"),
            "broken": (0 < self.broken <= 1, "a share above 0, at most 1"),
        }
        for name, (good, what) in allowed.items():
            if not good:
                raise TranhError(f"{name} is {getattr(self, name)!r}; allowed is {what}")

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


@dataclass(frozen=True)
class Ready:
    """A picture that is ready.

    Attributes:
        data, suffix: the encoded square picture.
        captions: cleaned, none empty, none twice.
        print: what it is recognised by; its sha256 is of the bytes as they came, of the pixels where a part is meant.
        changed: what was done to the picture.
        odd: what should be known though it is used, such as ``wrong extension``.
    """

    key: str
    data: bytes
    suffix: str
    captions: tuple[Caption, ...]
    split: str
    label: str | None
    print: Print
    changed: tuple[str, ...]
    odd: tuple[str, ...] = ()


@dataclass(frozen=True)
class Left:
    """A picture left out: what kind of fault, and what was seen."""

    key: str
    kind: str
    reason: str


@dataclass
class Words:
    """What cleaning did to captions, the Unicode forms they came in, and how many were empty or said twice."""

    report: text.Report = field(default_factory=text.Report)
    forms: Counter[str] = field(default_factory=Counter)
    dropped: int = 0

    def add(self, other: Words) -> None:
        self.report.add(other.report)
        self.forms.update(other.forms)
        self.dropped += other.dropped


def ready(
    item: Item, options: Options, words: Words | None = None, repairs: Mapping[str, str] | None = None
) -> Ready | Left:
    """Make one item ready, or say why it is left out; it fails for nothing that an item can hold.

    Args:
        words: what is done to the captions is added to it.
        repairs: for the step ``spelling``, see ``data/spelling.py``.
    """
    words = Words() if words is None else words
    if item.broken:
        return Left(item.key, "broken entry", item.broken)
    captions = _captions(item, options, words, repairs)
    if not captions:
        kind, reason = ("empty caption", "its caption is empty") if item.captions else ("no caption", "it has none")
        return Left(item.key, kind, reason)
    try:
        data = item.read()
    except Exception as error:  # whatever its library raises where it is not
        return Left(item.key, "missing file", f"it cannot be read: {error}")
    try:
        glance = None if options.enhance or options.blurred_below or options.size < options.least else SIDE
        came = decode(data, box=item.box, at_least=options.size, glance=glance, most_pixels=options.most_pixels)
        image, changed = (came.image, ()) if came.glanced else _shaped(came, options)
    except BrokenPicture as error:
        return Left(item.key, error.kind, str(error))
    known_by = print_of(image, hashlib.sha256(data if item.box is None else image.tobytes()).hexdigest())
    odd = _odd(item.key, came.format)
    if changed or came.format not in KEPT:
        data, suffix = _encoded(image, came.format, options.quality)
    else:
        suffix = KEPT[came.format]
    return Ready(item.key, data, suffix, captions, item.split, item.label, known_by, changed, odd)


def _captions(item: Item, options: Options, words: Words, repairs: Mapping[str, str] | None) -> tuple[Caption, ...]:
    out = []
    for caption in item.captions:
        if not caption.text.isascii():
            for form in ("NFC", "NFD"):
                words.forms[form] += unicodedata.is_normalized(form, caption.text)
        cleaned = text.clean(caption.text, options.clean, words.report, repairs)
        if cleaned.strip() and cleaned.strip().lower() not in NO_TEXT:
            out.append(Caption(cleaned, caption.language))
    kept = tuple(dict.fromkeys(out))
    words.dropped += len(item.captions) - len(kept)
    return kept


def _shaped(came: Decoded, options: Options) -> tuple[Image.Image, tuple[str, ...]]:
    """The square picture, and all that was done.

    Raises:
        BrokenPicture: too small, or blurred.
    """
    image, changed = came.image, [*came.changed]
    if min(image.size) < options.least:
        size = f"{image.width} x {image.height} pixels"
        raise BrokenPicture("too small", f"{size}; the shorter side needs {options.least}")
    if image.size != (options.size, options.size):
        image = fit.square(image, options.size, options.shape)
        changed.append(options.shape)
    if options.blurred_below and (sharp := fit.sharpness(image)) < options.blurred_below:
        raise BrokenPicture("blurred", f"its sharpness is {sharp:.1f}, under {options.blurred_below:g}")
    for name, enhance in fit.ENHANCE.items():
        if name in options.enhance:
            image = enhance(image)
            changed.append(name)
    return image, tuple(changed)


def _encoded(image: Image.Image, came: str, quality: int) -> tuple[bytes, str]:
    """Without loss if it came so, else as JPEG with colours at half the size (4:2:0), as nearly all of them came."""
    out = io.BytesIO()
    image.info.clear()  # a thumbnail, a profile or a comment of the file it came from
    if came in LOSSLESS:
        image.save(out, "PNG")
        return out.getvalue(), "png"
    image.save(out, "JPEG", quality=quality, subsampling="4:2:0")
    return out.getvalue(), "jpg"


def _odd(key: str, format: str) -> tuple[str, ...]:
    said = SAYS.get(key.rpartition(".")[2].lower())
    return ("wrong extension",) if said not in (None, format) and (said, format) != ("JPEG", "MPO") else ()
