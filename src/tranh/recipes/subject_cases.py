"""Subjects judged: emblems no lexicon knows, pictures they are learned from, prompts, and what the drawn ones show.

Which emblem a picture shows is told by its pixels (``metrics.figures``), all else by the verifier. What learns and
draws sees pictures and words alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from tranh.data.scenes.captions import Density
from tranh.data.scenes.emblems import ASKED, DISTRACTORS, Placed, View, emblem, render_view, view
from tranh.data.scenes.layout import generator
from tranh.data.scenes.world import Fact, Scene, place_of
from tranh.metrics.figures import Match, Matcher, figure
from tranh.nn.pixels import to_images
from tranh.recipes.judge import SIDE, Judge, renders
from tranh.recipes.subject_scenes import Place, places
from tranh.text.lexicon import Lexicon
from tranh.text.normalise import strip_diacritics

NAMES = ("vora", "bixu", "zorgle", "mirpa", "tulop", "kepsi", "dralo", "fimbo", "gwenda", "yupto")
"""What the emblems asked for are called."""
KNOWN = ("star", "heart", "cross")
"""What stands in a prompt for the base model, which knows no emblem."""
DRAWN_AT = 160
LANGUAGES = ("en", "vi", "en", "vi_unmarked")
SPLITS = ("test", "unseen")


@dataclass(frozen=True)
class Asked:
    """A prompt with a subject in it.

    Attributes:
        text: with its name; known: the same with a word of the model in its place.
        scene: what it describes; facts: of those it says the ones that are not the subject's.
        place: where the subject should stand, None where that is not said.
    """

    text: str
    known: str
    scene: Scene
    facts: tuple[Fact, ...]
    place: str | None


@dataclass(frozen=True)
class Seen:
    """What a picture shows: whether the subject is nearest of all, how well it fits, whether it is in its place (None
    where none was said), and how many of the other facts are right and were asked."""

    recognised: bool
    score: float
    placed: bool | None
    right: int
    asked: int

    def json(self) -> dict[str, Any]:
        return asdict(self)


class Recogniser:
    """Tells the emblems asked for from the distractors, in pictures (3, S, S) in [-1, 1].

    Args:
        without: renders without an emblem, by which figures are calibrated.
    """

    def __init__(self, without: int = 64) -> None:
        self.matcher = Matcher([shape(i) for i in (*ASKED, *DISTRACTORS)])
        self.matcher.calibrate(renders("two", "validation", range(without)))

    def __call__(self, image: Tensor, index: int) -> tuple[bool, Match]:
        """Whether emblem ``index`` fits better than every distractor, and how well each emblem fits."""
        match = self.matcher(image)
        return bool(match.scores[index] > match.scores[len(ASKED) :].max()), match

    def on_renders(self, count: int, indices: Sequence[int]) -> list[bool]:
        """Whether it is right on ``count`` true pictures of each emblem, of the test split."""
        views = [(index, view((index,), k, "test")) for index in indices for k in range(count)]
        return [self(to_images(render_view(v, SIDE)[None])[0], index)[0] for index, v in views]


def shape(index: int) -> tuple[Tensor, Tensor]:
    """Colours and cover of an emblem."""
    over = (Placed(emblem(index), 0.5, 0.5, 0.4),)
    views = [View(Scene(f"plain_{ground}", "plain", "flat", ()), put) for ground in ("black", "white")
             for put in (over, ())]  # fmt: skip
    return figure(*to_images(np.stack([render_view(v, DRAWN_AT) for v in views])))


def write_views(folder: Path, index: int, count: int, size: int = 128) -> Path:
    """Pictures of an emblem as somebody might take them: any ground, now and then with a thing beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(count):
        Image.fromarray(render_view(view((index,), k, "train"), size)).save(folder / f"{k}.png")
    return folder


def prompts(name: str, count: int, seed: int = 0) -> list[Asked]:
    """Prompts for a subject, half of them with other things, by turns in English and Vietnamese, dense and short.

    What stands beside it is of the test and of the unseen split, each for a round of languages.
    """
    most = -(-count // 2)
    beside = {split: [p for p in places((seed + 1) * most, split) if not p.free][seed * most :] for split in SPLITS}
    alone = [p for p in places(0) if p.free]
    out = []
    for k in range(count):
        others = beside[SPLITS[k // (2 * len(LANGUAGES)) % len(SPLITS)]]
        place = others[k // 2] if k % 2 else alone[(7 * k // 2 + seed) % len(alone)]
        out.append(asked(place.moved(generator("moved", name, seed, k)), name, k, (name, seed, k)))
    return out


def asked(place: Place, name: str, turn: int, key: Sequence[object]) -> Asked:
    """A place as a prompt."""
    language = LANGUAGES[turn // 2 % len(LANGUAGES)]
    density: Density = "short" if turn // 2 % 4 == 3 else "dense"
    text, facts = place.said(name, *key, language=language, density=density)
    kind = next(kind for kind in KNOWN if all(thing.kind != kind for thing in place.whole.things))
    word = str(Lexicon.load(language.removesuffix("_unmarked")).words("kind", kind)[0])
    word = strip_diacritics(word) if language.endswith("_unmarked") else word
    where = next((f.value for f in facts if f.group == "place" and f.subject == place.subject), None)
    others = tuple(f for f in facts if place.subject not in (f.subject, f.object) and f.group != "count")
    return Asked(text, text.replace(f"<{name}>", word), place.whole, others, where)


def pairs(first: str, second: str) -> list[str]:
    """Prompts with two subjects."""
    return [
        f"a large <{first}> on the left and a large <{second}> on the right, on a beach",
        f"một <{first}> lớn ở bên trái, một <{second}> lớn ở bên phải, trên nền trắng trơn",
        f"a medium <{first}> above a medium <{second}>, in the snow",
        f"một <{first}> vừa ở trên một <{second}> vừa, trên nền xanh lá cây trơn",
    ]


def seen(judge: Judge, recognise: Recogniser, index: int, one: Asked, image: Tensor) -> Seen:
    """What a picture (3, S, S) shows of a prompt for emblem ``index``."""
    recognised, match = recognise(image, index)
    x, y, _ = (min(max(float(v), 0.0), 1.0) for v in match.places[index])
    placed = None if one.place is None else place_of(x, y) == one.place
    return Seen(recognised, float(match.concordance[index]), placed, facts_right(judge, one, image), len(one.facts))


def facts_right(judge: Judge, one: Asked, image: Tensor) -> int:
    """How many of the facts that are not the subject's a picture shows."""
    with torch.no_grad():
        return int(np.sum(judge.check(judge.read(image[None])[0], one.scene, one.facts))) if one.facts else 0
