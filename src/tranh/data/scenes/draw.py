"""A scene becomes a picture: SVG first, then pixels at any size.

Drawing depends on the scene value alone; it knows nothing of captions, facts or data sets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .faces import EXPRESSIONS
from .palette import BLACK, COLOUR, INK, PAPER, RGB, WHITE, contrast, css, luminance, mix, outline
from .raster import pixels
from .settings import draw_setting
from .shapes import SHAPES, Detail, ellipse, place, polygon, rect
from .world import STRETCH, Scene, Thing

_STROKE = {"sketch": 1.9, "neon": 2.1, "modern": 2.6, "watercolour": 0.0}
_SPECKS = (
    (-0.7, -0.5), (-0.3, -0.75), (0.15, -0.6), (0.6, -0.65), (-0.5, -0.1), (0.0, -0.2), (0.45, -0.15), (0.85, 0.1),
    (-0.85, 0.2), (-0.2, 0.25), (0.3, 0.35), (-0.55, 0.6), (0.05, 0.7), (0.6, 0.6), (-0.1, -0.95), (0.25, 0.95),
)  # fmt: skip


def _path(path: str, fill: str = "none", stroke: str = "none", width: float = 0.0, extra: str = "") -> str:
    line = f' stroke="{stroke}" stroke-width="{width:.2f}" stroke-linejoin="round"' if stroke != "none" else ""
    return f'<path d="{path}" fill="{fill}"{line}{extra}/>'


def _tone(tone: str, body: RGB) -> RGB:
    if tone == "dark":
        return mix(body, BLACK, 0.42) if luminance(body) > 40 else (74, 74, 80)
    if tone == "light":
        return mix(body, WHITE, 0.8) if luminance(body) < 200 else (150, 170, 190)
    if tone == "wood":
        return (112, 70, 36)
    if tone == "beak":
        return (250, 190, 40) if abs(luminance(body) - 190) > 25 else (120, 60, 20)
    return INK if luminance(body) > 50 else (235, 235, 235)


@dataclass(frozen=True)
class Look:
    """How a thing is drawn that is between two words: on its way from one size or colour to another, or into view.

    Attributes:
        scale: of its size, 1 for the size its word names.
        opacity: 0 for not there, 1 for all there.
        body: its colour, if not that of its words.
    """

    scale: float = 1.0
    opacity: float = 1.0
    body: RGB | None = None


AS_SAID = Look()
"""The look of a thing that its words describe."""


class _Pen:
    """Draws the parts of one thing: moves paths into place and chooses colours by style."""

    def __init__(self, thing: Thing, style: str, index: int, look: Look = AS_SAID) -> None:
        self.thing, self.style, self.index, self.look = thing, style, index, look
        sx, sy = STRETCH[thing.proportion]
        self.cx, self.cy = 100 * thing.x, 100 * thing.y
        self.rx, self.ry = 100 * thing.radius * sx * look.scale, 100 * thing.radius * sy * look.scale
        self.body = look.body or COLOUR[thing.colour, thing.shade]
        if style == "neon":
            self.body = (96, 96, 120) if thing.colour == "black" else mix(self.body, WHITE, 0.1)
        self.shape = SHAPES[thing.kind]
        self.rule = ' fill-rule="evenodd"' if thing.kind == "ring" else ""

    def at(self, path: str) -> str:
        return place(path, self.cx, self.cy, self.rx, self.ry)

    def detail(self, d: Detail, path: str, unit: float) -> str:
        colour = css(_tone(d.tone, self.body))
        if self.style in ("sketch", "neon"):
            colour = css(self.body) if self.style == "neon" else css((70, 70, 74))
            return _path(path, stroke=colour, width=max(1.3, d.line * unit * 0.7))
        return _path(path, stroke=colour, width=d.line * unit) if d.line else _path(path, colour)

    def details(self, parts: tuple[Detail, ...]) -> str:
        unit = min(self.rx, self.ry)
        return "".join(self.detail(d, self.at(d.path), unit) for d in parts)

    def material(self, body: str) -> str:
        """The pattern over the body, clipped to it."""
        kind, c = self.thing.material, contrast(self.body)
        x0, y0, x1, y1 = self.cx - self.rx, self.cy - self.ry, self.cx + self.rx, self.cy + self.ry
        if kind == "glossy":
            i = self.index
            shade = (
                f'<linearGradient id="g{i}" x1="0" y1="0" x2="1" y2="1"><stop offset=".35" stop-color="#fff" '
                f'stop-opacity="0"/><stop offset="1" stop-color="#000" stop-opacity=".55"/></linearGradient>'
            )
            pattern = shade + _path(rect(x0, y0, x1, y1), f"url(#g{i})")
            shine = "#fff" if luminance(self.body) < 235 else "#9ad0ff"
            pattern += _path(place(ellipse(-0.36, -0.4, 0.34, 0.24), self.cx, self.cy, self.rx, self.ry), shine)
        elif kind == "striped":
            step, n = 7.2, int((x1 - x0 + y1 - y0) / 7.2) + 2
            pattern = "".join(
                _path(polygon([(x, y0), (x + 3.2, y0), (x + 3.2 - (y1 - y0), y1), (x - (y1 - y0), y1)]), css(c))
                for x in (x0 + step * k for k in range(n))
            )
        elif kind == "dotted":
            step = 7.6
            cols, rows = int((x1 - x0) / step / 2) + 1, int((y1 - y0) / step / 2) + 1
            pattern = "".join(
                _path(ellipse(self.cx + i * step, self.cy + j * step, 2.3), css(c))
                for i in range(-cols, cols + 1)
                for j in range(-rows, rows + 1)
            )
        elif kind == "rough":
            dark, light = css(mix(self.body, BLACK, 0.5)), css(mix(self.body, WHITE, 0.45))
            pattern = "".join(
                _path(polygon([(x - 2.2, y + 1), (x + 0.6, y - 2), (x + 2.2, y + 1.6)]), (dark, light)[k % 2])
                for k, (x, y) in enumerate((self.cx + self.rx * a, self.cy + self.ry * b) for a, b in _SPECKS)
            )
        else:
            return ""
        clip = (
            f'<clipPath id="c{self.index}"><path d="{body}"{self.rule.replace("fill-rule", "clip-rule")}/></clipPath>'
        )
        return clip + f'<g clip-path="url(#c{self.index})">{pattern}</g>'

    def face(self) -> str:
        """The expression, drawn round even on a stretched body."""
        if self.thing.expression is None or self.shape.face is None:
            return ""
        fx, fy, r = self.shape.face
        unit = r * min(self.rx, self.ry)
        cx, cy = self.cx + fx * self.rx, self.cy + fy * self.ry
        return "".join(
            self.detail(d, place(d.path, cx, cy, unit, unit), unit) for d in EXPRESSIONS[self.thing.expression]
        )

    def draw(self) -> str:
        body, colour, material = self.at(self.shape.body), css(self.body), self.thing.material
        width = _STROKE.get(self.style, 1.3)
        out = self.details(self.shape.under)
        if self.style == "sketch":
            out += _path(body, stroke=colour, width=2 * width) + _path(body, css(PAPER), extra=self.rule)
        elif self.style == "neon":
            out += _path(body, stroke=colour, width=3.2 * width, extra=' stroke-opacity=".35"')
            out += _path(body, stroke=colour, width=2 * width) + _path(body, css((14, 10, 30)), extra=self.rule)
        elif material == "transparent":
            out += _path(body, colour, extra=' fill-opacity=".3"' + self.rule) + _path(body, stroke=colour, width=2.4)
        elif self.style == "watercolour":
            out += _path(body, colour, colour, 5.0, ' opacity=".32"' + self.rule)
            out += _path(body, colour, extra=' fill-opacity=".86"' + self.rule) + self.material(body)
        else:
            edge = css(INK if self.style == "modern" and luminance(self.body) > 32 else outline(self.body))
            dash = ' stroke-dasharray="2.6 2.2"' if material == "rough" else ""
            out += _path(body, stroke=edge, width=2 * width * (1.6 if dash else 1), extra=dash)
            out += _path(body, colour, extra=self.rule) + self.material(body)
        out += self.details(self.shape.over) + self.face()
        if self.style == "surreal":
            angle = 24 if self.index % 2 == 0 else -24
            out = f'<g transform="rotate({angle} {self.cx:.2f} {self.cy:.2f})">{out}</g>'
        return self.faded(out)

    def faded(self, out: str) -> str:
        return out if self.look.opacity == 1 else f'<g opacity="{self.look.opacity:.3f}">{out}</g>'

    def shadow(self) -> str:
        unit = max(self.rx, self.ry)
        spots = ((1.0, 0.16), (0.86, 0.18), (0.7, 0.2))
        return self.faded("".join(
            _path(ellipse(self.cx + 0.42 * unit, self.cy + 0.78 * self.ry + 2, s * unit, 0.42 * s * unit), "#000",
                  extra=f' opacity="{o}"')
            for s, o in spots
        ))  # fmt: skip


def _light(light: str) -> str:
    """The layer of light over the whole picture."""
    if light == "bright_sun":
        rays = "".join(
            polygon([(96, 4), (96 - 62 * c1, 4 + 62 * s1), (96 - 62 * c2, 4 + 62 * s2)])
            for c1, s1, c2, s2 in (
                (1, 0.04, 1, 0.2),
                (0.92, 0.42, 0.84, 0.56),
                (0.62, 0.76, 0.48, 0.86),
                (0.2, 1, 0.04, 1),
            )
        )
        return (
            '<radialGradient id="sun" gradientUnits="userSpaceOnUse" cx="96" cy="4" r="46"><stop offset="0" '
            'stop-color="#fffbe0"/><stop offset=".36" stop-color="#fff6b0" stop-opacity=".9"/><stop offset="1" '
            'stop-color="#fff6c0" stop-opacity="0"/></radialGradient>'
            + _path(rays, "#fff8c0", extra=' opacity=".3"') + _path(rect(0, 0, 100, 100), "url(#sun)")
        )  # fmt: skip
    if light == "dim":
        return _path(rect(0, 0, 100, 100), "#06061a", extra=' opacity=".42"')
    if light.startswith("spotlight"):
        cone = [(0, -4), (16, -4), (112, 62), (72, 112), (-4, 14)]
        points = cone if light == "spotlight_left" else [(100 - x, y) for x, y in cone]
        return (
            _path(rect(0, 0, 100, 100) + polygon(points), "#04041a", extra=' opacity=".42" fill-rule="evenodd"')
            + _path(polygon(points), "#fff3a0", extra=' opacity=".2"')
        )  # fmt: skip
    if light == "sunset":
        return (
            '<linearGradient id="set" x1="0" y1="0" x2="0" y2="1"><stop offset="0" stop-color="#7a1e6a"/>'
            '<stop offset=".55" stop-color="#ff6a1e"/><stop offset="1" stop-color="#ffb030"/></linearGradient>'
            + _path(rect(0, 0, 100, 100), "url(#set)", extra=' opacity=".42"')
        )
    return ""


def _frame(style: str) -> str:
    """What a style puts around or over the whole picture."""
    if style == "modern":
        bars = ((rect(0, 0, 5, 62), "#d8232a"), (rect(0, 62, 5, 100), "#1f4fd8"), (rect(5, 95, 70, 100), "#f6d31f"),
                (rect(70, 95, 100, 100), "#161616"))  # fmt: skip
        return "".join(_path(path, fill, "#161616", 1.6) for path, fill in bars)
    if style == "sepia":
        return _path(rect(1.5, 1.5, 98.5, 98.5), stroke="#3a3a3a", width=3) + _path(
            rect(5, 5, 95, 95), stroke="#3a3a3a", width=1
        )
    if style == "sketch":
        return _path("M2 3L98 2L97 98L3 97Z", stroke="#8a8a8e", width=1.2)
    if style == "surreal":
        return "".join(_path(polygon([(x, 100), (x + 6, 92), (x + 12, 100)]), "#1a1a1a") for x in range(0, 100, 12))
    return ""


@dataclass(frozen=True)
class Layers:
    """A picture's parts from back to front, as SVG: they lie over each other in this order.

    Attributes:
        setting: what fills the picture, with the shadows that fall on it.
        things: one part each, in paint order.
        over: the light over the whole, and the frame of a style.
    """

    setting: str
    things: tuple[str, ...]
    over: str


def document(body: str) -> str:
    """Parts as an SVG document on a canvas of 100 x 100 units."""
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100">{body}</svg>'


def layers(scene: Scene, looks: Mapping[int, Look] | None = None) -> Layers:
    """The parts of a scene; ``looks`` has the things that are not drawn as their words say, by their index."""
    style = scene.style

    def paint(c: RGB) -> RGB:
        if style == "watercolour":
            return mix(c, WHITE, 0.45)
        return (c[1], c[2], c[0]) if style == "surreal" else c

    if style == "sketch":
        setting = _path(rect(0, 0, 100, 100), css(PAPER))
    elif style == "neon":
        setting = _path(rect(0, 0, 100, 100), css((14, 10, 30)))
    else:
        setting = draw_setting(scene.setting, paint)
    pens = [_Pen(thing, style, i, (looks or {}).get(i, AS_SAID)) for i, thing in enumerate(scene.things)]
    if scene.light == "soft_shadow":
        setting += "".join(pen.shadow() for pen in pens)
    return Layers(setting, tuple(pen.draw() for pen in pens), _light(scene.light) + _frame(style))


def svg(scene: Scene, looks: Mapping[int, Look] | None = None) -> str:
    """The scene as an SVG document; ``looks`` as in :func:`layers`."""
    parts = layers(scene, looks)
    return document(parts.setting + "".join(parts.things) + parts.over)


def render(scene: Scene, size: int = 64, looks: Mapping[int, Look] | None = None) -> np.ndarray:
    """The scene as pixels.

    Args:
        size: side of the square picture, at least 8.
        looks: as in :func:`layers`.

    Returns:
        (size, size, 3) uint8.
    """
    return pixels(svg(scene, looks), scene.style, size)
