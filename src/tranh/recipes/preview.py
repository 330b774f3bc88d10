"""A sheet of examples of a source, as people want to see them before they train: pictures with their captions."""

from __future__ import annotations

import numpy as np
from PIL.Image import Image

from tranh.data.scenes.draw import render
from tranh.data.scenes.layout import scene
from tranh.data.scenes.source import say
from tranh.data.scenes.world import LEVELS, SPLITS
from tranh.engine.sheet import sheet
from tranh.nn.pixels import to_images
from tranh.types import TranhError

SOURCES = ("scenes",)
SPOKEN = {"en": ("en",), "vi": ("vi",), "both": ("en", "vi")}


def preview(
    source: str, level: str = "two", split: str = "train", count: int = 24, size: int = 128, language: str = "both"
) -> Image:
    """The first ``count`` examples of a split, drawn on the spot.

    Args:
        language: ``en``, ``vi``, or ``both`` captions under each picture.

    Raises:
        TranhError: an unknown source, level, split or language.
    """
    for what, given, allowed in (
        ("source", source, SOURCES),
        ("level", level, LEVELS),
        ("split", split, SPLITS),
        ("language", language, tuple(SPOKEN)),
    ):
        if given not in allowed:
            raise TranhError(f"there is no {what} {given!r}; allowed: {', '.join(allowed)}")
    scenes = [scene(level, split, i) for i in range(count)]
    images = to_images(np.stack([render(value, size) for value in scenes]))
    captions = [
        " / ".join(say(value, spoken, "dense", level, split, i)[0] for spoken in SPOKEN[language])
        for i, value in enumerate(scenes)
    ]
    return sheet(images, captions, columns=min(count, 6), side=size)
