"""One captioned picture made ready for training: a pure function of its item and the options, run by any number of workers.

It knows no other picture: doubles are found where all results come together.
"""

from __future__ import annotations

import hashlib
import io
import unicodedata
from collections import Counter
from dataclasses import dataclass, field, fields
from typing import Any

from PIL import Image

from tranh.data import clean as text
from tranh.data import fit
from tranh.data.decode import MOST_PIXELS, BrokenPicture, Decoded, decode
from tranh.data.doubles import Print, print_of
from tranh.data.item import Caption, Item
from tranh.types import TranhError

KEPT = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}
"""Formats whose bytes are taken over as they are if nothing has to be done to the picture."""


@dataclass(frozen=True)
class Options:
    """How pictures and captions are made ready.

    Attributes:
        size: side of the square pictures, in pixels.
        shape: ``crop`` or ``letterbox``.
        least: pictures with a shorter side are left out; sharpest_below: those whose variance of the Laplacian is
            under it are left out as blurred, 0 for none.
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
        odd = [name for name in self.enhance if name not in fit.ENHANCE]
        odd += [name for name in self.clean if name not in text.ALL]
        if odd:
            raise TranhError(f"{', '.join(odd)}: allowed are {', '.join(fit.ENHANCE)} and {', '.join(text.ALL)}")
        if not 8 <= self.size <= 4096 or self.shape not in ("crop", "letterbox") or not 0 < self.broken <= 1:
            raise TranhError(f"{self}: size is 8 to 4096, shape crop or letterbox, broken a share in (0, 1]")


@dataclass(frozen=True)
class Ready:
    """A picture that is ready.

    Attributes:
        data, suffix: the encoded square picture.
        captions: cleaned, none empty.
        print: what it is recognised by.
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
    """What cleaning did to captions, and the forms they came in."""

    report: text.Report = field(default_factory=text.Report)
    forms: Counter[str] = field(default_factory=Counter)

    def add(self, other: Words) -> None:
        self.report.add(other.report)
        self.forms.update(other.forms)


def ready(item: Item, options: Options, words: Words | None = None) -> Ready | Left:
    """Make one item ready, or say why it is left out. Never fails for what is in the item."""
    words = words or Words()
    if item.broken:
        return Left(item.key, "broken entry", item.broken)
    captions = _captions(item, options, words)
    if not captions:
        kind = "empty caption" if item.captions else "no caption"
        return Left(item.key, kind, "its caption is empty" if item.captions else "nothing says what it shows")
    try:
        data = item.read()
    except OSError as error:
        return Left(item.key, "missing file", f"it cannot be read: {error}")
    try:
        came = decode(data, box=item.box, at_least=options.size, most_pixels=options.most_pixels)
        image, changed = _shaped(came, options)
    except BrokenPicture as error:
        return Left(item.key, error.kind, str(error))
    print_ = print_of(
        image, hashlib.sha256(data).hexdigest() if item.box is None else hashlib.sha256(image.tobytes()).hexdigest()
    )
    if changed or came.format not in KEPT:
        data, suffix = _encoded(image, came.format, options.quality)
    else:
        suffix = KEPT[came.format]
    return Ready(item.key, data, suffix, captions, item.split, item.label, print_, changed, _odd(item.key, came.format))


def _captions(item: Item, options: Options, words: Words) -> tuple[Caption, ...]:
    out = []
    for caption in item.captions:
        for form in ("NFC", "NFD"):
            if unicodedata.normalize("NFC", caption.text) != unicodedata.normalize("NFD", caption.text):
                words.forms[form] += unicodedata.is_normalized(form, caption.text)
        cleaned = text.clean(caption.text, options.clean, words.report)
        if cleaned and cleaned.lower() not in ("nan", "none", "null", "n/a"):
            out.append(Caption(cleaned, caption.language))
    return tuple(dict.fromkeys(out))


def _shaped(came: Decoded, options: Options) -> tuple[Image.Image, tuple[str, ...]]:
    """The square picture, and all that was done.

    Raises:
        BrokenPicture: too small, or blurred.
    """
    image, changed = came.image, [*came.changed]
    if min(image.size) < options.least:
        raise BrokenPicture(
            "too small", f"{image.width} x {image.height} pixels; the shorter side needs {options.least}"
        )
    if options.blurred_below and (sharp := fit.sharpness(image)) < options.blurred_below:
        raise BrokenPicture("blurred", f"its sharpness is {sharp:.1f}, under {options.blurred_below}")
    if image.size != (options.size, options.size):
        image = fit.square(image, options.size, options.shape)
        changed.append(options.shape)
    for name, enhance in fit.ENHANCE.items():
        if name in options.enhance:
            image = enhance(image)
            changed.append(name)
    return image, tuple(changed)


def _encoded(image: Image.Image, came: str, quality: int) -> tuple[bytes, str]:
    """Without loss if it came so, else as JPEG with whole colours."""
    out = io.BytesIO()
    if came in ("PNG", "BMP", "GIF", "TIFF", "TGA", "PPM"):
        image.save(out, "PNG")
        return out.getvalue(), "png"
    image.save(out, "JPEG", quality=quality, subsampling=0)
    return out.getvalue(), "jpg"


SAYS = {
    "jpg": "JPEG",
    "jpeg": "JPEG",
    "jfif": "JPEG",
    "png": "PNG",
    "webp": "WEBP",
    "gif": "GIF",
    "bmp": "BMP",
    "avif": "AVIF",
}


def _odd(key: str, format: str) -> tuple[str, ...]:
    said = SAYS.get(key.rpartition(".")[2].lower())
    return ("wrong extension",) if said not in (None, format) and (said, format) != ("JPEG", "MPO") else ()


def as_dict(options: Options) -> dict[str, Any]:
    """Options as JSON values."""
    return {f.name: list(v) if isinstance(v := getattr(options, f.name), tuple) else v for f in fields(options)}
