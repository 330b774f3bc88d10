"""What a scene's picture shows: the facts that can be seen, and the form of a scene without those that cannot.

A fact is captioned and asked only if it is visible: changing it alone changes the 64 px picture by more than
``THRESHOLD``. The rules below say so without drawing; a test draws both pictures and holds the rules to it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .world import Fact, Scene, Thing, place_of

THRESHOLD = 1.75
"""Least change of the 64 px picture that counts as visible, in whole pixels turned from black to white: the sum over
all pixels of the largest channel difference, as a share of full scale (see ``difference``)."""

TINTED = ("dim", "spotlight_left", "spotlight_right", "sunset")
"""Lights that change every colour, so that shades cannot be told."""

NARROW = ("arrow", "boat", "book", "car", "crescent", "bird", "fish")
"""Kinds whose body is too narrow to carry a pattern when small."""

NEAR_BORDER = 0.03
"""A centre this close to a border of the nine places has no place worth naming."""


def difference(a: np.ndarray, b: np.ndarray) -> float:
    """How much two pictures (H, W, 3) uint8 differ, in whole pixels; the measure of :data:`THRESHOLD`."""
    return float(np.abs(a.astype(np.int16) - b.astype(np.int16)).max(axis=-1).sum() / 255)


def overlapping(a: Thing, b: Thing, gap: float) -> bool:
    """Do the boxes of two things, grown by ``gap``, overlap? Boxes are the full squares of their sizes."""
    reach = a.radius + b.radius + gap
    return abs(a.x - b.x) < reach and abs(a.y - b.y) < reach


def shows_material(thing: Thing, style: str) -> bool:
    return style not in ("sketch", "neon", "pixel") and not (thing.size == "small" and thing.kind in NARROW)


def shows_shade(scene_light: str, style: str) -> bool:
    return style not in ("sepia", "neon") and scene_light not in TINTED


def shows_expression(thing: Thing, style: str) -> bool:
    if thing.expression is None or style in ("pixel", "watercolour"):
        return False
    quiet = thing.material in ("flat", "glossy", "transparent")
    if thing.kind in ("face", "cat"):
        return thing.size == "large" or (thing.size == "medium" and quiet and thing.proportion == "normal")
    return thing.size == "large" and quiet and thing.proportion == "normal"


def canonical(scene: Scene) -> Scene:
    """The scene with every word that its picture cannot show set to the plain one: equal pictures, equal values."""
    setting, light, style = scene.setting, scene.light, scene.style
    if style in ("sketch", "neon"):
        setting, light = "plain_white", "plain"
    if style == "sepia":
        light = "plain"
        setting = "plain_white" if setting.startswith("plain_") else setting
    if style == "surreal" and setting.startswith("plain_"):
        setting = "plain_white"
    if light == "soft_shadow" and setting in ("plain_black", "night"):
        light = "plain"

    def plain(t: Thing) -> Thing:
        if style == "sepia":
            t = replace(t, colour="grey")
        if not shows_shade(light, style):
            t = replace(t, shade="normal")
        unseen_glass = t.material == "transparent" and setting == f"plain_{t.colour}"
        if unseen_glass or not shows_material(t, style):
            t = replace(t, material="flat")
        if style == "surreal":
            t = replace(t, proportion="normal")
        if t.expression is not None and not shows_expression(t, style):
            t = replace(t, expression="happy")
        return t

    return replace(scene, setting=setting, light=light, things=tuple(plain(t) for t in scene.things))


def has_clear_place(thing: Thing) -> bool:
    return all(abs(v - border) >= NEAR_BORDER for v in (thing.x, thing.y) for border in (1 / 3, 2 / 3))


def visible(scene: Scene) -> tuple[Fact, ...]:
    """Every fact the picture of a scene shows, things first (in paint order), then relations, then the whole.

    ``scene`` must be canonical.
    """
    style, facts = scene.style, []
    covered = {r.object for r in scene.relations if r.name == "in_front_of"}
    counted = {i for group in scene.groups if len(group) > 1 for i in group}
    for i, t in enumerate(scene.things):
        facts.append(Fact("kind", i, t.kind))
        if style != "sepia":
            facts.append(Fact("colour", i, t.colour))
            if shows_shade(scene.light, style) and t.colour not in ("black", "white"):
                facts.append(Fact("shade", i, t.shade))
        facts.append(Fact("size", i, t.size))
        if style != "surreal":
            facts.append(Fact("proportion", i, t.proportion))
        if shows_material(t, style):
            facts.append(Fact("material", i, t.material))
        if t.expression is not None and i not in covered and shows_expression(t, style):
            facts.append(Fact("expression", i, t.expression))
        if i not in counted and has_clear_place(t):
            facts.append(Fact("place", i, place_of(t.x, t.y)))
    facts += [Fact("relation", r.subject, r.name, r.object) for r in scene.relations]
    facts.append(Fact("count", None, str(len(scene.things))))
    hidden_setting = style in ("sketch", "neon") or (
        style in ("sepia", "surreal") and scene.setting.startswith("plain_")
    )
    if not hidden_setting:
        facts.append(Fact("setting", None, scene.setting))
    if style not in ("sketch", "neon", "sepia"):
        facts.append(Fact("light", None, scene.light))
    facts.append(Fact("style", None, style))
    return tuple(facts)
