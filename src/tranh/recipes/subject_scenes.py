"""Places for a subject in Scenes: what a model is asked to draw around it, and how the whole is said.

It draws nothing and knows no model: pictures are the model's own, and the subject is put into them by pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from random import Random

from tranh.data.scenes.captions import Density, caption
from tranh.data.scenes.facts import visible
from tranh.data.scenes.layout import generator, scene
from tranh.data.scenes.source import LANGUAGES, say
from tranh.data.scenes.world import KINDS, RADIUS, SETTINGS, SIZES, Fact, Scene, Thing
from tranh.text.lexicon import Lexicon, Word
from tranh.text.normalise import strip_diacritics

LIGHTS, STYLES = ("plain", "bright_sun", "soft_shadow"), ("flat",)
"""What leaves the colours of a thing as they are: a subject put into such a picture looks as if it belonged there."""
SPARE = 0.03
"""Least distance from a thing to the border of the picture, in canvas units."""
TOLD = frozenset({"kind", "size", "place"})
"""Facts of a subject that are said; the rest is its own."""
DENSE, TRIES = 0.7, 6
"""Share of dense captions, and how often a short one is tried."""
CORNERS = ((0.17, 0.17), (0.83, 0.17), (0.5, 0.5), (0.17, 0.83), (0.83, 0.83))
BYSTANDERS = (("circle", "red"), ("square", "blue"), ("star", "yellow"), ("heart", "purple"), ("ring", "black"))


@dataclass(frozen=True)
class Place:
    """A scene with room for a subject.

    Attributes:
        whole: the scene with a stand-in for the subject, the thing number ``subject``.
        free: nothing else stands there, so the subject may stand anywhere.
    """

    whole: Scene
    subject: int
    free: bool

    @property
    def thing(self) -> Thing:
        return self.whole.things[self.subject]

    def asked(self) -> list[str]:
        """English captions of the pictures that together show the place without the subject.

        A model of Scenes was never told of a picture that shows nothing, and puts something there. So where nothing
        else stands it is asked for small things in five corners: what most of its pictures have in common is the
        setting.
        """
        if not self.free:
            return [self.around(0)]
        asked = []
        for i, (x, y) in enumerate(CORNERS):
            thing = Thing(*BYSTANDERS[i], "normal", "small", "normal", "flat", None, x, y)
            asked.append(say(replace(self.whole, things=(thing,)), "en", "dense", i)[0])
        return asked

    def around(self, *key: object) -> str:
        """An English caption of all but the subject, where there is something else."""
        left = [i for i in range(len(self.whole.things)) if i != self.subject]
        number = {old: new for new, old in enumerate(left)}
        relations = [r for r in self.whole.relations if self.subject not in (r.subject, r.object)]
        rest = replace(
            self.whole,
            things=tuple(self.whole.things[i] for i in left),
            relations=tuple(replace(r, subject=number[r.subject], object=number[r.object]) for r in relations),
            groups=tuple(tuple(number[i] for i in group) for group in self.whole.groups if self.subject not in group),
        )
        return say(rest, "en", "dense", *key)[0]

    def moved(self, draw: Random) -> Place:
        """The subject elsewhere, and of another size, where nothing else stands."""
        if not self.free:
            return self
        size = SIZES[int(draw.random() * len(SIZES))]
        least = RADIUS[size] + SPARE
        x, y = (least + draw.random() * (1 - 2 * least) for _ in range(2))
        return replace(self, whole=replace(self.whole, things=(replace(self.thing, size=size, x=x, y=y),)))

    def said(
        self, name: str, *key: object, language: str | None = None, density: Density | None = None
    ) -> tuple[str, tuple[Fact, ...]]:
        """A caption with the subject called ``<name>``, and the facts it says; the key chooses what is left open."""
        draw = generator("said", *key)
        forms, share = list(LANGUAGES.items()), draw.random()
        chosen = next((form for form, most in _running(forms) if share < most), forms[-1][0])
        language = language or chosen
        density = density or ("dense" if draw.random() < DENSE else "short")
        lexicon = _calling(self.thing.kind, name, language.removesuffix("_unmarked"))
        text, facts = "", tuple[Fact, ...]()
        for tried in (*[density] * TRIES, "dense"):  # a short caption may leave the subject out
            text, facts = caption(self.whole, self.facts(), lexicon, draw, tried)
            if f"<{name}>" in text:
                break
        if language.endswith("_unmarked"):
            text = strip_diacritics(text).replace(f"<{strip_diacritics(name)}>", f"<{name}>")
        return text, facts

    def facts(self) -> tuple[Fact, ...]:
        """What is seen and may be said."""
        seen = visible(self.whole)
        return tuple(f for f in seen if f.subject != self.subject or f.group in TOLD or f.group == "relation")


def places(beside: int, split: str = "train") -> list[Place]:
    """Every setting with nothing else in it, and ``beside`` places beside other things; the same at any time."""
    others = _others(split)
    return [_empty(setting) for setting in SETTINGS] + [next(others) for _ in range(beside)]


def _empty(setting: str) -> Place:
    thing = Thing("hexagon", "grey", "normal", "medium", "normal", "flat", None, 0.5, 0.5)
    return Place(Scene(setting, "plain", "flat", (thing,), (), ((0,),)), 0, True)


def _others(split: str) -> Iterator[Place]:
    """Places beside other things: of Scenes' own layouts, one thing is taken for the subject."""
    i = 0
    while True:
        found = scene("full" if i % 4 == 3 else "two", split, i)
        i += 1
        counted = {k for group in found.groups if len(group) > 1 for k in group}
        under = {r.object for r in found.relations if r.name in ("in_front_of", "inside")}
        fit = [k for k in range(len(found.things)) if k not in counted | under]
        if len(found.things) < 2 or not fit or found.light not in LIGHTS or found.style not in STYLES:
            continue
        subject = fit[i % len(fit)]
        used = {thing.kind for thing in found.things}
        stand_in = next(kind for kind in ("hexagon", *KINDS) if kind not in used)
        plain = replace(found.things[subject], kind=stand_in, expression=None, proportion="normal")
        things = tuple(plain if k == subject else thing for k, thing in enumerate(found.things))
        yield Place(replace(found, things=things), subject, False)


@cache
def _calling(kind: str, name: str, language: str) -> Lexicon:
    """A language in which a kind is called ``<name>``."""
    lexicon = Lexicon.load(language)
    kinds = {**lexicon.groups["kind"], kind: (Word((f"<{name}>",)),)}
    return replace(lexicon, groups={**lexicon.groups, "kind": kinds})


def _running(shares: list[tuple[str, float]]) -> Iterator[tuple[str, float]]:
    total = 0.0
    for form, share in shares:
        total += share
        yield form, total
