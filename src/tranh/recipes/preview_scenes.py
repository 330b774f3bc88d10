"""Sheets of what Scenes gives beside captioned pictures: pairs, sequences, depth, emblems.

Each function draws rows of a sheet; it knows the scenes and nothing of how a sheet is made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tranh.data.scenes.depth import depth, ranks, turned
from tranh.data.scenes.draw import render
from tranh.data.scenes.emblems import described, render_view, view
from tranh.data.scenes.frame_captions import told
from tranh.data.scenes.frames import FRAMES, render_frames, sequence
from tranh.data.scenes.instructions import instruction
from tranh.data.scenes.layout import generator, scene
from tranh.data.scenes.pairs import pair

Rows = tuple[list[np.ndarray], list[str], int]
"""Pictures (S, S, 3) uint8, the words below each, and how many belong together."""

SHOWN = (0, 3, 6, 9, 12, 15)
"""Frames of a sequence that are shown; the first and the last among them."""

TURNS = (-0.1, 0.1)
"""Views from either side, in canvas units a layer."""


def pairs(level: str, split: str, count: int, size: int, spoken: Sequence[str]) -> Rows:
    """A scene before, and after what is asked for."""
    images, words = [], []
    for index in range(count):
        one = pair(level, split, index)
        images += [render(one.before, size), render(one.after, size)]
        asked = (instruction(one, language, generator("preview", index)) for language in spoken)
        words += [f"before, {one.op}", " / ".join(asked)]
    return images, words, 2


def frames(level: str, split: str, count: int, size: int, spoken: Sequence[str]) -> Rows:
    """Six of the sixteen frames of a sequence; sequences have no level."""
    images, words = [], []
    for index in range(count):
        one = sequence(split, index)
        images += list(render_frames(one, size)[list(SHOWN)])
        said = [told(one, language, generator("preview", index)) for language in spoken]
        words += [*said, *(f"{k + 1} of {FRAMES}" for k in SHOWN[len(said) :])]
    return images, words, len(SHOWN)


def layers(level: str, split: str, count: int, size: int, spoken: Sequence[str]) -> Rows:
    """A scene, its depth, and views from either side."""
    images, words = [], []
    for index in range(count):
        one = scene(level, split, index)
        grey = np.rint(depth(one, size) * 255 / max(2, *ranks(one))).astype(np.uint8)
        images += [render(one, size), np.dstack([grey] * 3), *(turned(one, shift, size) for shift in TURNS)]
        words += [f"layers above the setting: {max(ranks(one))}", "depth", "from the right", "from the left"]
    return images, words, 2 + len(TURNS)


def emblems(level: str, split: str, count: int, size: int, spoken: Sequence[str]) -> Rows:
    """Views of one emblem after the other, by numbers for names; emblems have no level."""
    views = [view([index], index, split) for index in range(count)]
    words = [
        " / ".join(described(one, (f"<{index}>",), language, generator("preview", index)) for language in spoken)
        for index, one in enumerate(views)
    ]
    return [render_view(one, size) for one in views], words, 1


WHAT: Mapping[str, Callable[[str, str, int, int, Sequence[str]], Rows]] = {
    "pairs": pairs,
    "frames": frames,
    "depth": layers,
    "emblems": emblems,
}
"""What can be shown beside captioned pictures."""
