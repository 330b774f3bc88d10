"""Edits judged: pictures to begin from, what they show, whether what was asked has changed and the rest has stayed.

It knows Scenes and the verifier; an edit knows neither, and gets pixels and words alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tranh.data.scenes.facts import visible
from tranh.data.scenes.labels import MAX_THINGS
from tranh.data.scenes.layout import scene
from tranh.data.scenes.source import say
from tranh.data.scenes.world import Fact, Scene
from tranh.engine.sheet import sheet
from tranh.files import replacing
from tranh.metrics.interval import Interval, bootstrap, wilson
from tranh.recipes.evaluate import System
from tranh.recipes.judge import SIDE, Judge, phrase, renders
from tranh.recipes.seen_scene import scene_of
from tranh.types import Event

ORIGINS = ("render", "generated")
SPLITS = ("test", "unseen")
LANGUAGES = ("en", "vi")
EDITS = 1 << 32
"""Added to the seed that a picture was drawn from, for editing it: from the same noise it would come back by itself."""


def result(events: Iterable[Event]) -> Any:
    """What the last event of long work carries."""
    found = None
    for event in events:
        found = event.result
    return found


@dataclass(frozen=True)
class Case:
    """One picture to edit.

    Attributes:
        key: names it for good.
        origin: ``render``, a true picture of a held-out scene, or ``generated``, drawn by the system of its caption.
        scene: what it shows: the true scene of a render, of a generated picture what the verifier sees in it.
        image: (3, S, S) in [-1, 1].
        caption: of ``scene``, everything said, in ``language``.
        seed: for the edit; no picture is drawn from it.
    """

    key: str
    origin: str
    level: str
    split: str
    language: str
    scene: Scene
    image: Tensor
    caption: str
    seed: int


def cases(
    judge: Judge,
    count: int,
    system: System | None = None,
    *,
    level: str = "one",
    size: int = SIDE,
    seed: int = 0,
    suits: Callable[[Scene], bool] = lambda scene: True,
) -> Iterator[Case]:
    """Pictures to edit: renders and generated ones, splits and languages in turn, each as often as the others.

    Args:
        system: draws the generated half; None for renders alone.
        size: of the pictures in pixels.
        seed: number of the first scene and of what is drawn from: another asks for other scenes.
        suits: scenes an edit can be asked of; others are passed over before they are drawn, and generated pictures
            again by what the verifier sees in them. Those in which it sees nothing, or more things than a caption can
            name, are passed over as well: nothing is to be kept in them, or they cannot be described.
    """
    origins = ORIGINS if system is not None else ORIGINS[:1]
    kinds = [(origin, split, language) for language in LANGUAGES for split in SPLITS for origin in origins]
    taken: dict[tuple[str, str, str], int] = defaultdict(int)
    for k in range(count):
        kind = origin, split, language = kinds[k % len(kinds)]
        while True:
            index = seed + taken[kind] * len(LANGUAGES) + LANGUAGES.index(language)  # no scene in two languages
            taken[kind] += 1
            true = scene(level, split, index)
            if not suits(true):
                continue
            if origin == "render":
                image = renders(level, split, [index], size)[0]
                break
            assert system is not None
            caption = say(true, language, "dense", "edit", level, split, index)[0]
            image = system.generate_batch([caption], [index], size)[0]
            true = scene_of(judge.read(image[None])[0])
            if 0 < len(true.things) <= MAX_THINGS and suits(true):
                break
        caption = say(true, language, "dense", "edited", level, split, index)[0]
        key = f"{origin}/{level}/{split}/{language}/{index}"
        yield Case(key, origin, level, split, language, true, image, caption, EDITS + index)


@dataclass(frozen=True)
class Edited:
    """The verdict on one edited picture: of the facts asked for and of the others, which the picture shows."""

    asked: tuple[bool, ...]
    kept: tuple[bool, ...]
    wrong: tuple[str, ...]

    @property
    def done(self) -> bool:
        """Is everything there that was asked for?"""
        return all(self.asked)


def verdict(
    judge: Judge,
    target: Scene,
    asked: Sequence[Fact],
    image: Tensor,
    before: Scene | None = None,
    of: Callable[[Fact], bool] = lambda fact: True,
) -> Edited:
    """Whether an edited picture shows its target.

    Args:
        target: the scene the picture should show now.
        asked: the facts about it that were asked for; its other visible facts should have stayed.
        image: (3, S, S) in [-1, 1].
        before: what was shown before, its things in the order of the target's; a fact that could not be seen then
            does not count as kept. None where what can be seen has not changed.
        of: which of the other facts should have stayed: those of what lies outside a mask, for one.
    """
    facts = visible(target)
    could = facts if before is None else visible(before)
    seen = {(f.group, f.subject, f.object) for f in could}
    others = [f for f in facts if f not in asked and (f.group, f.subject, f.object) in seen and of(f)]
    together = [*asked, *others]
    right = judge.check(judge.read(image[None])[0], target, together)
    wrong = tuple(phrase(f, target) for f, ok in zip(together, right, strict=True) if not ok)
    return Edited(tuple(right[: len(asked)]), tuple(right[len(asked) :]), wrong)


@dataclass
class Tally:
    """Verdicts on many edits, and the shares they come to."""

    verdicts: list[tuple[Case, Edited]] = field(default_factory=list)

    def add(self, case: Case, edited: Edited) -> None:
        self.verdicts.append((case, edited))

    def done(self, of: Callable[[Case], bool] = lambda case: True) -> Interval:
        """Share of pictures that show what was asked for."""
        found = [edited.done for case, edited in self.verdicts if of(case)]
        return wilson(sum(found), len(found))

    def kept(self, of: Callable[[Case], bool] = lambda case: True) -> Interval:
        """Share of the other facts that stayed; pictures are resampled."""
        found = [edited.kept for case, edited in self.verdicts if of(case) and edited.kept]
        return bootstrap([sum(kept) for kept in found], [len(kept) for kept in found])

    def json(self) -> dict[str, Any]:
        """Both shares, of all and by origin, split and language."""
        groups: dict[str, Callable[[Case], bool]] = {"all": lambda case: True}
        for name, words in (("origin", ORIGINS), ("split", SPLITS), ("language", LANGUAGES)):
            for word in words:
                groups[word] = lambda case, name=name, word=word: getattr(case, name) == word  # type: ignore[misc]
        out = {}
        for name, of in groups.items():
            if sum(of(case) for case, _ in self.verdicts) >= 2:
                out[name] = {"asked": _told(self.done(of)), "kept": _told(self.kept(of))}
        return out

    def table(self) -> str:
        """The same as a Markdown table."""
        lines = ["| pictures | asked fact right | other facts kept | n |", "|---|--:|--:|--:|"]
        for name, one in self.json().items():
            asked, kept = one["asked"], one["kept"]
            lines.append(f"| {name} | {_percent(asked)} | {_percent(kept)} | {asked['count']} |")
        return "\n".join(lines)


def _told(interval: Interval) -> dict[str, float]:
    return {"value": interval.value, "low": interval.low, "high": interval.high, "count": interval.count}


def _percent(told: dict[str, float]) -> str:
    return f"{100 * told['value']:.1f} % [{100 * told['low']:.0f}, {100 * told['high']:.0f}]"


def write_sheet(path: Path, rows: Sequence[tuple[Case, Tensor, str]], columns: int = 8, side: int = 128) -> None:
    """A sheet of pairs: a case before, and what became of it with what was asked or what the judge says.

    Args:
        rows: case, edited picture (3, S, S) and the words below it.
        columns: pictures in a row, an even number.
    """
    images = torch.stack([x.float() for case, after, _ in rows for x in (case.image, after)])
    captions = [words for case, _, told in rows for words in (case.caption, told)]
    with replacing(path) as part:
        sheet(images, captions, columns, side).save(part, "PNG")
