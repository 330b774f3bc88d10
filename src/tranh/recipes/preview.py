"""A sheet of examples of a source, as people want to see them before they train: pictures with their captions."""

from __future__ import annotations

import numpy as np
from PIL.Image import Image

from tranh.data.decode import BrokenPicture, decode
from tranh.data.detect import detect
from tranh.data.fit import square
from tranh.data.scenes.draw import render
from tranh.data.scenes.layout import scene
from tranh.data.scenes.source import say
from tranh.data.scenes.world import LEVELS, SPLITS
from tranh.engine.sheet import sheet
from tranh.nn.pixels import to_images
from tranh.recipes.preview_scenes import WHAT
from tranh.types import TranhError

SPOKEN = {"en": ("en",), "vi": ("vi",), "both": ("en", "vi")}


CAPTIONED = "pictures"
"""What is shown if nothing else is asked for: pictures with their captions."""


def preview(
    source: str,
    level: str = "two",
    split: str = "train",
    count: int = 24,
    size: int = 128,
    language: str = "both",
    what: str = CAPTIONED,
) -> Image:
    """Examples of Scenes, drawn on the spot, or of own pictures, taken evenly from all of them.

    Args:
        source: ``scenes``, or a path that ``tranh data inspect`` tells; level and split are of Scenes.
        language: ``en``, ``vi``, or ``both`` captions under each picture.
        what: of Scenes, pictures with captions, or ``pairs``, ``frames``, ``depth``, ``emblems``.

    Raises:
        TranhError: nothing to read at the source, or an unknown level, split, language or kind of thing to show.
    """
    if source != "scenes":
        if what != CAPTIONED:
            raise TranhError(f"only scenes has {what}; {source} has {CAPTIONED}")
        return _own(source, count, size, language)
    for name, given, allowed in (
        ("level", level, LEVELS),
        ("split", split, SPLITS),
        ("language", language, tuple(SPOKEN)),
        ("sheet of", what, (CAPTIONED, *WHAT)),
    ):
        if given not in allowed:
            raise TranhError(f"there is no {name} {given!r}; allowed: {', '.join(allowed)}")
    if what != CAPTIONED:
        pictures, words, together = WHAT[what](level, split, count, size, SPOKEN[language])
        columns = together * max(1, min(6 // together, count))
        return sheet(to_images(np.stack(pictures)), words, columns=columns, side=size)
    scenes = [scene(level, split, i) for i in range(count)]
    images = to_images(np.stack([render(value, size) for value in scenes]))
    captions = [
        " / ".join(say(value, spoken, "dense", level, split, i)[0] for spoken in SPOKEN[language])
        for i, value in enumerate(scenes)
    ]
    return sheet(images, captions, columns=min(count, 6), side=size)


def _own(source: str, count: int, size: int, language: str) -> Image:
    pictures = detect(source).read()
    images, captions = [], []
    for index in np.linspace(0, len(pictures) - 1, min(count, len(pictures))).astype(int):
        item = pictures[int(index)]
        try:
            images.append(np.asarray(square(decode(item.read(), box=item.box).image, size)))
        except (BrokenPicture, OSError):
            continue  # `tranh data doctor` names it
        known = {said.language: said.text for said in reversed(item.captions)}  # the first of each language
        chosen = [text for code, text in known.items() if language == "both" or code in ("", language)]
        captions.append(" / ".join(chosen) or "(no caption)")
    if not images:
        raise TranhError(f"{source}: none of {count} pictures can be opened; `tranh data doctor {source}` says why")
    return sheet(to_images(np.stack(images)), captions, columns=min(len(images), 6), side=size)
