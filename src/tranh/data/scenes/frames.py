"""Sixteen frames in which one thing moves, grows, shrinks, appears or changes colour.

A sequence is a function of (version, split, index). It knows layouts, and how things look between two words, but no
sentence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from .draw import AS_SAID, Look, render
from .facts import canonical, visible
from .labels import encode
from .layout import Choices, belongs, clear_of, extents, generator, held_out, is_unseen
from .palette import COLOUR, mix
from .world import COLOURS, PLAINS, RADIUS, SCENERIES, SHADELESS, SIZES, SPLITS, VERSION, Fact, Scene, Thing

FRAMES = 16

DIRECTIONS: Mapping[str, tuple[int, int]] = {
    "right": (1, 0), "left": (-1, 0), "up": (0, -1), "down": (0, 1),
    "up_right": (1, -1), "up_left": (-1, -1), "down_right": (1, 1), "down_left": (-1, 1),
}  # fmt: skip
"""Which way a thing goes, x to the right and y downwards."""

MOTIONS = (*DIRECTIONS, "grow", "shrink", "appear", "recolour")
"""In the order in which sequences take turns."""

STILL = 0.25
"""Share of sequences with a second thing, which stands still."""


@dataclass(frozen=True)
class Moving:
    """A sequence.

    Attributes:
        scenes: one of each frame, with the words nearest to what is drawn; the moving thing is always the last, and
            missing from frames in which it is not there.
        looks: how it is drawn in each frame where the words are not exact, or None.
        motion: one of :data:`MOTIONS`.
        centres: x, y of the moving thing in every frame, in canvas units, y downwards.
        radii: half its larger side.
    """

    scenes: tuple[Scene, ...]
    looks: tuple[Look, ...]
    motion: str
    centres: tuple[tuple[float, float], ...]
    radii: tuple[float, ...]

    @property
    def subject(self) -> int:
        """The index of the moving thing."""
        return max(len(scene.things) for scene in self.scenes) - 1

    def shown(self, frame: int) -> tuple[Fact, ...]:
        """The facts that a frame's picture shows as its words say; in-between sizes, colours and forms are no facts."""
        facts, look = visible(self.scenes[frame]), self.looks[frame]
        if look == AS_SAID:
            return facts
        if look.opacity < 1:
            return tuple(f for f in facts if self.subject not in (f.subject, f.object) and f.group != "count")
        hidden = {"size"} if look.scale != 1 else {"colour", "shade"}
        return tuple(f for f in facts if f.subject != self.subject or f.group not in hidden)


def sequence(split: str, index: int, motion: str | None = None) -> Moving:
    """Sequence ``index`` of a split; motions take turns, unless one is given.

    ``train``, ``validation`` and ``test`` show no unseen combination in any frame, nor a kind with a motion that is
    held out for it; ``unseen`` shows one of either.

    Raises:
        ValueError: for a split or motion that does not exist.
    """
    motion = MOTIONS[index % len(MOTIONS)] if motion is None else motion
    if split not in SPLITS or motion not in MOTIONS:
        raise ValueError(f"no {motion!r} of split {split!r}: splits are {SPLITS}, motions {MOTIONS}")
    rng = generator(VERSION, "frames", split, index, motion)
    while True:
        found = _drawn(Choices(rng), motion)
        if found is not None and _belongs(found, split):
            return found


def _belongs(moving: Moving, split: str) -> bool:
    last = moving.scenes[-1]
    new = held_out(last.things[moving.subject].kind, moving.motion)
    if split == "unseen":
        return new or is_unseen(last)
    return split == "judge" or (not new and all(belongs(scene, split) for scene in moving.scenes))


def _drawn(d: Choices, motion: str) -> Moving | None:
    """One try at a sequence; None when this draw does not fit."""
    setting = f"plain_{d.of(PLAINS)}" if d.rng.random() < 0.6 else d.of(SCENERIES)
    thing = d.thing()
    if motion in DIRECTIONS:
        things, looks = _path(d, thing, DIRECTIONS[motion]), [AS_SAID] * FRAMES
    else:
        things, looks = _CHANGES[motion](d, d.anywhere(replace(thing, size="large")))
    still: tuple[Thing, ...] = ()
    if d.rng.random() < STILL:
        other = d.anywhere(d.thing(sizes=("small", "medium")))
        clear = clear_of(other, [_as_drawn(t, look) for t, look in zip(things, looks, strict=True)], 0.01)
        if not clear or other.kind == thing.kind:
            return None
        still = (other,)
    count = len(still)
    scenes = []
    for thing_, look in zip(things, looks, strict=True):
        there = (thing_,) if look.opacity > 0 else ()
        groups = tuple((i,) for i in range(count + len(there)))
        scenes.append(Scene(setting, "plain", "flat", (*still, *there), (), groups))
    if any(canonical(scene) != scene for scene in scenes):
        return None
    radii = tuple(t.radius * look.scale for t, look in zip(things, looks, strict=True))
    return Moving(tuple(scenes), tuple(looks), motion, tuple((t.x, t.y) for t in things), radii)


def _as_drawn(thing: Thing, look: Look) -> Thing:
    """A thing at least as large as it is drawn, to keep clear of."""
    return replace(thing, size="large") if look.scale != 1 else thing


def _path(d: Choices, thing: Thing, direction: tuple[int, int]) -> list[Thing]:
    """A thing on its way at an even pace, from near one side or corner to near the other."""
    ends = []
    for way, extent in zip(direction, extents(thing), strict=True):
        low, high = extent + 0.01, 0.99 - extent
        near, far = d.between(low, max(low, 0.3)), d.between(min(high, 0.7), high)
        across = d.between(low, high)
        ends.append({1: (near, far), -1: (far, near), 0: (across, across)}[way])
    (x0, x1), (y0, y1) = ends
    steps = (k / (FRAMES - 1) for k in range(FRAMES))
    return [replace(thing, x=round(x0 + (x1 - x0) * s, 4), y=round(y0 + (y1 - y0) * s, 4)) for s in steps]


def _grow(d: Choices, thing: Thing) -> tuple[list[Thing], list[Look]]:
    """From small to large; each frame has the nearest word for its size."""
    things, looks = [], []
    for k in range(FRAMES):
        radius = RADIUS["small"] + (RADIUS["large"] - RADIUS["small"]) * k / (FRAMES - 1)
        word = min(SIZES, key=lambda size: abs(RADIUS[size] - radius))
        things.append(replace(thing, size=word))
        looks.append(Look(scale=radius / RADIUS[word]) if abs(radius - RADIUS[word]) > 1e-9 else AS_SAID)
    return things, looks


def _shrink(d: Choices, thing: Thing) -> tuple[list[Thing], list[Look]]:
    things, looks = _grow(d, thing)
    return things[::-1], looks[::-1]


def _ramp(d: Choices) -> list[float]:
    """0 for some frames, then evenly up to 1, and 1 for some frames."""
    start, length = 3 + int(d.rng.random() * 3), 4 + int(d.rng.random() * 3)
    return [min(1.0, max(0.0, (k - start) / length)) for k in range(FRAMES)]


def _appear(d: Choices, thing: Thing) -> tuple[list[Thing], list[Look]]:
    thing = d.anywhere(replace(thing, size=d.of(SIZES)))
    return [thing] * FRAMES, [Look(opacity=share) for share in _ramp(d)]


def _recolour(d: Choices, thing: Thing) -> tuple[list[Thing], list[Look]]:
    thing = d.anywhere(replace(thing, size=d.of(SIZES)))
    colour = d.of([c for c in COLOURS if c != thing.colour])
    shade = "normal" if colour in SHADELESS else d.weighted({"normal": 0.7, "light": 0.15, "dark": 0.15})
    new = replace(thing, colour=colour, shade=shade)
    a, b = (COLOUR[t.colour, t.shade] for t in (thing, new))
    ramp = _ramp(d)
    looks = [Look(body=mix(a, b, share)) if 0 < share < 1 else AS_SAID for share in ramp]
    return [thing if share < 0.5 else new for share in ramp], looks


_CHANGES = {"grow": _grow, "shrink": _shrink, "appear": _appear, "recolour": _recolour}


def render_frames(moving: Moving, size: int = 64) -> np.ndarray:
    """The pictures of a sequence, (16, size, size, 3) uint8."""
    frames = zip(moving.scenes, moving.looks, strict=True)
    return np.stack([render(scene, size, {moving.subject: look}) for scene, look in frames])


def labels(sequences: Sequence[Moving]) -> dict[str, Tensor]:
    """What B sequences show, as numbers.

    Returns:
        ``motion`` (B,): index into MOTIONS; ``subject`` (B, 8): labels of the moving thing in the last frame in the
        order of THING_FIELDS, and ``first`` (B, 8) in the first frame in which it is there; ``centres`` (B, 16, 2) and
        ``radii`` (B, 16) in canvas units; ``present`` (B, 16): its opacity.
    """

    def subject(moving: Moving, frame: int) -> Tensor:
        return encode([moving.scenes[frame]])["things"][0, moving.subject]

    first = [next(k for k, look in enumerate(m.looks) if look.opacity > 0) for m in sequences]
    return {
        "motion": torch.tensor([MOTIONS.index(m.motion) for m in sequences]),
        "subject": torch.stack([subject(m, -1) for m in sequences]),
        "first": torch.stack([subject(m, k) for m, k in zip(sequences, first, strict=True)]),
        "centres": torch.tensor([m.centres for m in sequences]),
        "radii": torch.tensor([m.radii for m in sequences]),
        "present": torch.tensor([[look.opacity for look in m.looks] for m in sequences]),
    }
