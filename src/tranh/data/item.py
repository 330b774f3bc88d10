"""A captioned picture as it lies somewhere: bytes are read when they are asked for, captions are as they came.

Every source of ``data/sources`` is a ``Collection`` of these. It knows neither decoding nor training.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

SUFFIXES = frozenset(
    ".avif .bmp .gif .jfif .jpeg .jpg .jp2 .png .ppm .pgm .tif .tiff .webp".split()  # noqa: SIM905
)
"""Names of picture files."""

SPLITS = {
    "train": "train", "training": "train", "val": "validation", "valid": "validation", "validation": "validation",
    "dev": "validation", "test": "test", "testing": "test",
}  # fmt: skip
"""Names that folders and columns give to splits, and ours."""

CAPTIONS = re.compile(
    r"(?:text|caption|prompt|description|alt)s?(?:[_-]?\d+)?(?:[_-](?P<language>[a-z]{2}))?", re.IGNORECASE
)
"""Names of the fields that hold captions: ``text``, ``caption_3``, ``text_vi``; the last says the language."""


@dataclass(frozen=True)
class Caption:
    """One caption; ``language`` is a code such as ``en`` or ``vi``, empty where the source does not say."""

    text: str
    language: str = ""


@dataclass(frozen=True)
class Item:
    """One picture.

    Attributes:
        key: names it within its collection, always the same.
        read: gives the encoded picture; fails with OSError where it is not there.
        captions: none, one or several.
        split: ``train``, ``validation``, ``test``, or empty where the source does not say.
        label: of a class, where there are classes.
        broken: what is wrong with what the source says of it; empty if nothing.
        box: the part of the picture that is meant: left, top, width, height in pixels; None for all of it.
    """

    key: str
    read: Callable[[], bytes]
    captions: tuple[Caption, ...] = ()
    split: str = ""
    label: str | None = None
    broken: str = ""
    box: tuple[int, int, int, int] | None = None


class Collection(Protocol):
    """Captioned pictures in a fixed order, each found without reading the others."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Item: ...


def png(pixels: np.ndarray) -> bytes:
    """(H, W) or (H, W, 3) uint8 as a file, for sources that hold numbers."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def is_picture(name: str | Path) -> bool:
    """Does the name look like a picture's? Files of the system (``._a.jpg``, ``.thumb.png``) do not."""
    path = Path(name)
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def split_of(parts: Iterable[str]) -> str:
    """The split that the nearest folder name says, empty for none."""
    return next((SPLITS[part.lower()] for part in reversed(list(parts)) if part.lower() in SPLITS), "")


def label_of(record: Mapping[str, Any]) -> str | None:
    """The class that a record says, None for none."""
    label = record.get("label")
    return None if label is None else str(label)


def captions_in(record: Mapping[str, Any]) -> tuple[Caption, ...]:
    """Captions of a record: its fields called text, caption, prompt, ...

    Each is a string, a list of them, ``{"en": "a cat", "vi": "con mèo"}`` or ``{"text": "a cat", "language": "en"}``.
    """
    found = []
    for name, value in record.items():
        match = CAPTIONS.fullmatch(str(name))
        if match:
            found += _captions(value, (match["language"] or "").lower())
    return tuple(found)


def _captions(value: Any, language: str) -> list[Caption]:
    if isinstance(value, str):
        return [Caption(value, language)]
    if isinstance(value, Mapping):
        if "text" in value or "raw" in value:
            return _captions(value.get("text", value.get("raw")), str(value.get("language") or language))
        codes = [key for key in value if isinstance(key, str) and re.fullmatch("[a-z]{2}", key)]
        return [caption for code in codes for caption in _captions(value[code], code)]
    if isinstance(value, Iterable) and not isinstance(value, bytes | bytearray):
        return [caption for one in value for caption in _captions(one, language)]
    return []
