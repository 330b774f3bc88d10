"""How deep every pixel of a scene lies, its layers, and the scene seen from the side: ground truth of a 3-D turn.

Depth is only what a picture shows: a thing is nearer than what it overlaps. It knows scenes and how they are drawn.
"""

from __future__ import annotations

import numpy as np

from .draw import document
from .draw import layers as parts_of
from .facts import overlapping
from .raster import developed, layer
from .world import Scene

COVERED = 0.25
"""A pixel belongs to the nearest layer that covers at least this share of it; transparent things cover more."""


def ranks(scene: Scene) -> tuple[int, ...]:
    """How many layers above the setting each thing lies: one more than the highest thing painted before it that it
    overlaps, else 1. Of two things side by side the paint order shows nothing, so it says nothing."""
    found: list[int] = []
    for i, thing in enumerate(scene.things):
        under = [found[j] for j in range(i) if overlapping(scene.things[j], thing, 0.0)]
        found.append(1 + max(under, default=0))
    return tuple(found)


def layers(scene: Scene, size: int = 64, shift: float = 0.0) -> np.ndarray:
    """The layers of a scene from back to front: its setting, its things in paint order, the light and frame over all.

    Args:
        shift: how far each rank is moved to the right of the one below, in canvas units; as seen by someone who has
            gone to the left. The setting and what lies over all stay.

    Returns:
        (things + 2, size, size, 4) uint8: colour, not multiplied by opacity, and opacity.
    """
    parts = parts_of(scene)
    back, over = (layer(document(part), scene.style, size) for part in (parts.setting, parts.over))
    back = np.dstack([back[..., :3], np.full_like(back[..., 3], 255)])  # its seams let through, but nothing is behind
    return np.stack([back, *_things(scene, size, shift), over])


def _things(scene: Scene, size: int, shift: float) -> list[np.ndarray]:
    moved = (
        f'<g transform="translate({100 * shift * rank:.4f} 0)">{thing}</g>' if shift else thing
        for rank, thing in zip(ranks(scene), parts_of(scene).things, strict=True)
    )
    return [layer(document(thing), scene.style, size) for thing in moved]


def composed(parts: np.ndarray, style: str) -> np.ndarray:
    """Layers (N, H, W, 4) laid over each other, and developed as the style is: (H, W, 3) uint8."""
    picture = np.zeros(parts.shape[1:3] + (3,))
    for part in parts:
        opacity = part[..., 3:] / 255
        picture = picture * (1 - opacity) + part[..., :3] * opacity
    return developed(np.rint(picture).astype(np.uint8), style)


def turned(scene: Scene, shift: float, size: int = 64) -> np.ndarray:
    """The scene seen from the side, (size, size, 3) uint8: what was hidden behind a thing is drawn, not guessed."""
    return composed(layers(scene, size, shift), scene.style)


def depth(scene: Scene, size: int = 64, shift: float = 0.0) -> np.ndarray:
    """(size, size) float32: the rank of the nearest thing at each pixel, 0 where the setting is seen; near is high.

    Args:
        shift: of :func:`turned`, for the depth of that view.
    """
    out = np.zeros((size, size), np.float32)
    for rank, part in zip(ranks(scene), _things(scene, size, shift), strict=True):
        out[part[..., 3] >= 255 * COVERED] = rank
    return out
