"""Colours of the Scenes world and the few operations on them.

It knows words and RGB triples, not shapes.
"""

from __future__ import annotations

RGB = tuple[int, int, int]

INK: RGB = (24, 22, 26)
PAPER: RGB = (206, 192, 166)
WHITE: RGB = (255, 255, 255)
BLACK: RGB = (0, 0, 0)

COLOUR: dict[tuple[str, str], RGB] = {
    ("red", "normal"): (226, 32, 38), ("red", "light"): (255, 126, 112), ("red", "dark"): (132, 8, 22),
    ("orange", "normal"): (252, 140, 16), ("orange", "light"): (255, 196, 122), ("orange", "dark"): (196, 88, 0),
    ("yellow", "normal"): (252, 224, 30), ("yellow", "light"): (255, 248, 166), ("yellow", "dark"): (184, 156, 0),
    ("green", "normal"): (36, 166, 60), ("green", "light"): (146, 230, 130), ("green", "dark"): (8, 86, 30),
    ("blue", "normal"): (34, 86, 226), ("blue", "light"): (126, 182, 255), ("blue", "dark"): (12, 30, 122),
    ("purple", "normal"): (142, 48, 184), ("purple", "light"): (200, 148, 240), ("purple", "dark"): (78, 12, 108),
    ("pink", "normal"): (255, 112, 186), ("pink", "light"): (255, 198, 228), ("pink", "dark"): (204, 40, 132),
    ("brown", "normal"): (122, 72, 32), ("brown", "light"): (180, 130, 86), ("brown", "dark"): (74, 40, 16),
    ("grey", "normal"): (140, 140, 144), ("grey", "light"): (200, 200, 204), ("grey", "dark"): (84, 84, 88),
    ("black", "normal"): (22, 20, 24), ("white", "normal"): (252, 252, 252),
}  # fmt: skip

PLAIN: dict[str, RGB] = {
    "white": (246, 246, 246), "grey": (150, 152, 156), "black": (26, 26, 30), "yellow": (244, 222, 110),
    "green": (112, 184, 112), "blue": (110, 160, 226), "pink": (240, 168, 204), "orange": (240, 164, 92),
}  # fmt: skip


def mix(a: RGB, b: RGB, share: float) -> RGB:
    """``a`` with ``share`` of ``b`` in it."""
    return tuple(round(x + (y - x) * share) for x, y in zip(a, b, strict=True))  # type: ignore[return-value]


def luminance(c: RGB) -> float:
    """Perceived brightness, 0 to 255 (Rec. 601)."""
    return 0.299 * c[0] + 0.587 * c[1] + 0.114 * c[2]


def outline(c: RGB) -> RGB:
    """The line around a body of this colour: darker, or lighter where darker could not be seen."""
    return (112, 112, 118) if luminance(c) < 32 else mix(c, BLACK, 0.6)


def contrast(c: RGB) -> RGB:
    """The colour of stripes, dots and faces on a body of this colour."""
    return mix(c, BLACK, 0.62) if luminance(c) > 135 else mix(c, WHITE, 0.72)


def css(c: RGB) -> str:
    return f"#{c[0]:02x}{c[1]:02x}{c[2]:02x}"
