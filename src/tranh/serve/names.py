"""Names of picture files, made of prompts and seeds, that every file system takes.

It knows neither routes nor pictures' bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from tranh.serve.orders import Picture
from tranh.text.normalise import strip_diacritics

LONGEST = 60
"""Letters of a prompt in a name: some file systems take 143 bytes in all."""

SUFFIXES = {"image/png": ".png", "image/webp": ".webp", "image/jpeg": ".jpg", "image/gif": ".gif"}


def file_name(picture: Picture) -> str:
    """``a-red-circle-7.png``: ASCII letters, digits and single hyphens only."""
    prompt = strip_diacritics(str(picture.settings.get("prompt", "")).lower())
    words = re.sub(r"[^a-z0-9]+", "-", prompt)[:LONGEST].strip("-") or "tranh"
    return f"{words}-{picture.seed}{SUFFIXES.get(picture.mime, '')}"


def file_names(pictures: Iterable[Picture]) -> Iterator[str]:
    """The same for several, each once: ``a-red-circle-7.png``, ``a-red-circle-7-2.png``, ..."""
    taken: set[str] = set()
    for picture in pictures:
        name, count = file_name(picture), 1
        stem, dot, suffix = name.rpartition(".")
        while name in taken:
            count += 1
            name = f"{stem}-{count}{dot}{suffix}"
        taken.add(name)
        yield name
