"""A second opinion on pictures of Scenes, without learning: statistics and geometry of the pixels.

It guards against a detector that can be fooled. It answers only where pixels decide; each evaluation measures it on
renders first and uses it only for the groups of facts in which at least ``LEAST`` of its answers are right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from tranh.data.scenes.labels import PICTURE_FIELDS, ROLES, THING_FIELDS
from tranh.data.scenes.palette import COLOUR, PAPER, PLAIN
from tranh.data.scenes.world import Scene, place_of
from tranh.families.verifier import Reading

LEAST = 0.98
"""Its answers about a group of facts are used only if this share of them is right on renders of the same scenes."""

ENOUGH = 20
"""Answers on renders without which nothing can be said about a group."""

DISAGREE = 0.05
"""A report warns where detector and second opinion differ on more than this share of answers."""

SIDE = 64
MARKED = ("sepia", "neon", "sketch", "pixel")
"""Styles whose pixels give them away; every other one is called ``other``."""

MIXED = ("grey", "black", "white", "brown")
"""Colours that come about by mixing: patterns, outlines and shadows have them too."""

NIGHT = np.array((14, 10, 30), np.float32)
_PLAIN = np.array(list(PLAIN.values()), np.float32)
_PALETTE = np.array(list(COLOUR.values()), np.float32)
_NAMES = np.array([colour for colour, _ in COLOUR])

Opinion = Mapping[str, str]


def opinion(pixels: np.ndarray) -> dict[str, str]:
    """What the pixels (64, 64, 3) uint8 say, by group: style always, the rest where they are plain enough to tell."""
    x = pixels.astype(np.float32)
    said = {"style": style(x)}
    if said["style"] != "other":
        return said
    found = ground(x)
    if found is None:
        return said
    setting, colour = found
    said["setting"] = f"plain_{setting}"
    regions = components(np.abs(x - colour).max(-1) > 20)
    hides = setting in ("white", "grey", "black")  # things of the ground's own colour are seen by their outlines only
    whole = all(len(r) >= 40 and _side(r) < 0.54 for r in regions)  # else crumbs of one, or two grown together
    if regions and whole and not hides:
        said["count"] = str(len(regions))
    if len(regions) == 1:
        said |= thing(x, regions[0])
    return said


def style(x: np.ndarray) -> str:
    """``sepia``, ``neon``, ``sketch``, ``pixel`` or ``other`` of pixels (64, 64, 3) float."""
    grey = x[..., 1] / (255 * 0.94)  # sepia maps grey g to (g^0.75, 0.94 g, 0.82 g^1.4)
    curve = np.stack([grey**0.75 * 255, x[..., 1], 0.82 * grey**1.4 * 255], axis=-1)
    if np.abs(x - curve).mean() < 3:
        return "sepia"
    night = x[np.abs(x - NIGHT).max(-1) < 12]
    if len(night) > 0.25 * SIDE**2 and np.abs(np.median(night, axis=0) - NIGHT).max() < 5:  # a dim black is 8 away
        return "neon"
    if (np.abs(x - np.array(PAPER, np.float32)).max(-1) < 12).mean() > 0.3:
        return "sketch"
    inside = np.abs(x[0::2] - x[1::2]).mean() + np.abs(x[:, 0::2] - x[:, 1::2]).mean()
    across = np.abs(x[1:-1:2] - x[2::2]).mean() + np.abs(x[:, 1:-1:2] - x[:, 2::2]).mean()
    return "pixel" if inside < 0.25 * across else "other"


def ground(x: np.ndarray) -> tuple[str, np.ndarray] | None:
    """The plain colour behind everything and its pixel value, if the border of the picture has just one."""
    edge = np.ones(x.shape[:2], bool)
    edge[2:-2, 2:-2] = False
    border = x[edge]  # (N, 3)
    colour = np.median(border, axis=0)
    if (np.abs(border - colour).max(-1) < 12).mean() < 0.8:
        return None
    distance = np.abs(_PLAIN - colour).max(-1)
    nearest = int(distance.argmin())
    return (list(PLAIN)[nearest], colour) if distance[nearest] < 5 else None  # a dim white is 7 away from grey


def components(mask: np.ndarray, least: int = 8) -> list[np.ndarray]:
    """Regions of True pixels that touch by side or corner, as (N, 2) rows and columns; smaller ones are dirt."""
    left = mask.copy()
    out = []
    for start in np.argwhere(mask):
        if not left[tuple(start)]:
            continue
        left[tuple(start)] = False
        todo, region = [(int(start[0]), int(start[1]))], []
        while todo:
            row, column = todo.pop()
            region.append((row, column))
            for r in range(max(0, row - 1), min(len(mask), row + 2)):
                for c in range(max(0, column - 1), min(mask.shape[1], column + 2)):
                    if left[r, c]:
                        left[r, c] = False
                        todo.append((r, c))
        if len(region) >= least:
            out.append(np.array(region))
    return out


def thing(x: np.ndarray, region: np.ndarray) -> dict[str, str]:
    """Colour, size and place of the only thing of a picture, those that its region makes clear."""
    said = {}
    pixels = x[region[:, 0], region[:, 1]]
    distance = np.abs(pixels[:, None] - _PALETTE).sum(-1)
    close = distance.min(1) < 24  # glass lets the ground through: its pixels are close to no colour
    words, votes = np.unique(_NAMES[distance.argmin(1)][close], return_counts=True)
    if close.any() and votes.max() > 0.4 * len(pixels):
        said["colour"] = str(words[votes.argmax()])
    if said.get("colour") in MIXED:
        del said["colour"]
    low, high = region.min(0) / SIDE, (region.max(0) + 1) / SIDE
    side, (height, width) = _side(region), high - low
    # A flat kind made tall (fish, cloud, car) is nearly square and smaller than its size: only "large" is sure then.
    square = max(height, width) < 1.3 * min(height, width)
    if (side > 0.42 or not square) and min(abs(side - border) for border in (0.29, 0.42)) > 0.02:
        said["size"] = "small" if side < 0.29 else "medium" if side < 0.42 else "large"
    y, x_ = (low + high) / 2
    if min(abs(v - border) for v in (x_, y) for border in (1 / 3, 2 / 3)) > 0.035:
        said["place"] = place_of(float(x_), float(y))
    return said


def _side(region: np.ndarray) -> float:
    """Larger side of a region's box, in canvas units."""
    return float((region.max(0) + 1 - region.min(0)).max() / SIDE)


def detected(reading: Reading) -> dict[str, str]:
    """The same questions answered by a detector, by group; a second opinion is compared where both have an answer."""
    value = dict(zip(PICTURE_FIELDS, reading.picture, strict=True))
    style = PICTURE_FIELDS["style"][value["style"]]
    said = {
        "style": style if style in MARKED else "other",
        "setting": PICTURE_FIELDS["setting"][value["setting"]],
    }
    fields = [dict(zip(THING_FIELDS, seen.fields, strict=True)) for seen in reading.things]
    if all(ROLES[f["role"]] == "none" for f in fields):
        said["count"] = str(len(reading.things))
    if len(fields) == 1:
        said |= {group: THING_FIELDS[group][fields[0][group]] for group in ("colour", "size")}
        x, y = (min(max(v, 0.0), 1.0) for v in (reading.things[0].x, reading.things[0].y))
        said["place"] = place_of(x, y)
    return said


def agreement(said: Opinion, other: Opinion) -> dict[str, bool]:
    """By group, whether two opinions agree, for the groups both speak of."""
    return {group: said[group] == other[group] for group in said if group in other}


def truth(scene: Scene) -> dict[str, str]:
    """What a second opinion on a scene's true picture should be, by group."""
    said = {"style": scene.style if scene.style in MARKED else "other", "setting": scene.setting}
    if not any(r.name in ("inside", "in_front_of") for r in scene.relations):
        said["count"] = str(len(scene.things))
    if len(scene.things) == 1:
        only = scene.things[0]
        said |= {"colour": only.colour, "size": only.size, "place": place_of(only.x, only.y)}
    return said


class Tally:
    """Counts how often the second opinion is right on renders, and how often a detector agrees with it elsewhere."""

    def __init__(self) -> None:
        self.renders: Counter[tuple[str, bool]] = Counter()
        self.pictures: Counter[tuple[str, bool]] = Counter()

    def render(self, pixels: np.ndarray, scene: Scene) -> None:
        """Note how it judges a true picture (64, 64, 3) uint8."""
        self.renders.update(agreement(opinion(pixels), truth(scene)).items())

    def picture(self, agrees: Mapping[str, bool]) -> None:
        """Note :func:`agreement` of a detector with it on a picture."""
        self.pictures.update(agrees.items())

    def rows(self) -> list[dict[str, Any]]:
        """By group: answers and share right on renders, whether it is used, answers and share agreed on pictures."""
        out = []
        for group in sorted({group for group, _ in self.renders}):
            known, said = (sum(c[group, ok] for ok in (True, False)) for c in (self.renders, self.pictures))
            right = self.renders[group, True] / known
            out.append(
                {
                    "group": group,
                    "renders": known,
                    "right": right,
                    "used": known >= ENOUGH and right >= LEAST,
                    "pictures": said,
                    "agree": self.pictures[group, True] / said if said else None,
                }
            )
        return out

    def warnings(self) -> list[str]:
        """One line for every group in which a detector and it differ too often."""
        return [
            f"verifier and second opinion disagree on {row['group']} in {1 - row['agree']:.1%} of {row['pictures']} "
            f"pictures (more than {DISAGREE:.0%}): look at them before believing the score"
            for row in self.rows()
            if row["used"] and row["pictures"] >= ENOUGH and 1 - row["agree"] > DISAGREE
        ]
