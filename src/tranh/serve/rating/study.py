"""What is compared: systems, the captions they share, the questions asked. One value, the same for every rater.

It knows no votes and no pages; pictures are functions that give bytes.
"""

from __future__ import annotations

import hashlib
import json
import random
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

from tranh.types import TranhError

QUESTIONS = ("photorealism", "caption", "diversity")
GRIDS = (9, 4, 2)
"""How many samples of one caption a side may show when variety is asked for; the largest that both have is taken."""

CHECK_EVERY = 6
"""Of so many comparisons in a row one is followed by a comparison whose right answer is known."""

PASS_AT_LEAST = 0.7
"""A rater who fails more of the checks than the rest, and at least two, is left out of the results."""


@dataclass(frozen=True)
class Picture:
    """``key`` names it within its system; ``read`` gives the encoded bytes."""

    key: str
    read: Callable[[], bytes]


@dataclass(frozen=True)
class Prompt:
    """A caption, in one or several languages (code -> words; the code is empty where it is not known)."""

    captions: Mapping[str, str]

    @cached_property
    def key(self) -> str:
        """Names it in every system: what its first caption says."""
        return plain(next(iter(self.captions.values())))

    def said(self, language: str) -> tuple[str, str]:
        """The caption for a reader of a language, and the language it is in."""
        code = language if language in self.captions else next(iter(self.captions))
        return self.captions[code], code


@dataclass(frozen=True)
class System:
    """A system's pictures, by the key of their caption."""

    name: str
    prompts: Mapping[str, Prompt]
    pictures: Mapping[str, tuple[Picture, ...]]


@dataclass(frozen=True)
class Study:
    """Systems beside each other. Build it with :func:`study`.

    Attributes:
        shared: pair of systems -> keys of the captions that both have pictures of.
        varied: the same for captions of which both have two samples or more.
        questions: those that can be asked; notes: why others are not, and what else its owner should know.
        protocol: JSON values that votes depend on; votes of another protocol are never mixed with these.
    """

    systems: Mapping[str, System]
    shared: Mapping[tuple[str, str], tuple[str, ...]]
    varied: Mapping[tuple[str, str], tuple[str, ...]]
    questions: tuple[str, ...]
    notes: tuple[str, ...]
    protocol: Mapping[str, Any]

    @property
    def seed(self) -> str:
        return str(self.protocol["seed"])

    def keys(self, question: str, pair: tuple[str, str]) -> tuple[str, ...]:
        """Captions a question can be asked about for a pair of systems."""
        return (self.varied if question == "diversity" else self.shared)[pair]

    def grid(self, pair: tuple[str, str], key: str) -> int:
        """Samples each side shows when variety is asked for."""
        least = min(len(self.systems[name].pictures[key]) for name in pair)
        return next(n for n in GRIDS if n <= least)

    def prompt(self, key: str) -> Prompt:
        return next(system.prompts[key] for system in self.systems.values() if key in system.prompts)


def plain(caption: str) -> str:
    """A caption as it is compared: composed letters, single spaces, lower case, no full stop."""
    return " ".join(unicodedata.normalize("NFC", caption).split()).casefold().rstrip(".")


def study(
    systems: Sequence[System],
    *,
    questions: Sequence[str] = QUESTIONS,
    per_rater: int = 30,
    most: int = 200,
    seed: int = 0,
) -> Study:
    """Match the pictures of systems by caption.

    Args:
        questions: of :data:`QUESTIONS`, in any order.
        per_rater: comparisons a rater is asked for, besides the checks.
        most: captions used; of more, as many are drawn at random.

    Raises:
        TranhError: fewer than two systems, two of one name, an unknown question, or systems that no chain of shared
            captions joins.
    """
    names = [system.name for system in systems]
    if len(names) < 2 or len(set(names)) < len(names):
        raise TranhError(
            f"systems to compare: {', '.join(names) or 'none'}. Give two or more folders whose names differ."
        )
    odd = [question for question in questions if question not in QUESTIONS]
    if odd or not questions or len(set(questions)) < len(questions):
        raise TranhError(f"questions: {', '.join(questions) or 'none'}; allowed, each once: {', '.join(QUESTIONS)}.")
    if per_rater < 1 or most < 1:
        raise TranhError(f"per_rater is {per_rater} and most is {most}: at least one of each.")
    by_name = {system.name: system for system in systems}
    pairs = list(combinations(names, 2))
    all_shared = {(a, b): [k for k in by_name[a].pictures if k in by_name[b].pictures] for a, b in pairs}
    _check_joined(names, all_shared)
    used = sorted({key for keys in all_shared.values() for key in keys})
    kept = set(used if len(used) <= most else random.Random(f"{seed} captions").sample(used, most))
    shared = {pair: tuple(sorted(kept.intersection(keys))) for pair, keys in all_shared.items()}
    _check_joined(names, shared)
    shared = {pair: keys for pair, keys in shared.items() if keys}
    varied = {
        (a, b): tuple(k for k in keys if min(len(by_name[n].pictures[k]) for n in (a, b)) > 1)
        for (a, b), keys in shared.items()
    }
    notes = [f"{a} and {b} share no caption: others compare them" for a, b in pairs if (a, b) not in shared]
    if len(kept) < len(used):
        notes.append(f"{len(kept)} of {len(used)} captions are used, drawn at random")
    asked = [question for question in QUESTIONS if question in questions]
    if "diversity" in asked and not _joined(names, varied):
        asked.remove("diversity")
        notes.append("diversity is not asked: it needs two pictures or more of one caption from every system")
    if not asked:
        raise TranhError(f"no question is left to ask: {'; '.join(notes)}.")
    protocol = {
        "version": 1,
        "systems": {name: _fingerprint(by_name[name], kept) for name in names},
        "questions": asked,
        "per_rater": per_rater,
        "checks": {"every": CHECK_EVERY, "pass_at_least": PASS_AT_LEAST},
        "captions": len(kept),
        "seed": seed,
    }
    return Study(by_name, shared, varied, tuple(asked), tuple(notes), protocol)


def _joined(names: Sequence[str], shared: Mapping[tuple[str, str], Sequence[str]]) -> list[str]:
    """All names if chains of shared captions join them, else an empty list."""
    found = {names[0]}
    for _ in names:
        found |= {name for pair, keys in shared.items() if keys and found & {*pair} for name in pair}
    return list(names) if len(found) == len(names) else []


def _check_joined(names: Sequence[str], shared: Mapping[tuple[str, str], Sequence[str]]) -> None:
    if not _joined(names, shared):
        pairs = ", ".join(f"{a} and {b}: {len(keys)}" for (a, b), keys in shared.items())
        raise TranhError(
            f"captions in common are too few to compare all systems ({pairs}). Pictures are matched by their caption: "
            "give folders that were made from the same captions, or models with --prompts FILE."
        )


def _fingerprint(system: System, kept: set[str]) -> str:
    """Of the captions and pictures that are used: 16 hex digits."""
    digest = hashlib.sha256()
    for key in sorted(kept.intersection(system.pictures)):
        digest.update(json.dumps([dict(system.prompts[key].captions), [p.key for p in system.pictures[key]]]).encode())
        for picture in system.pictures[key]:
            try:
                digest.update(hashlib.sha256(picture.read()).digest())
            except OSError as error:
                raise TranhError(f"{system.name}: the picture {picture.key} cannot be read ({error}).") from error
    return digest.hexdigest()[:16]
