"""What a model can do beyond drawing: by a part of its own, or by one shipped beside it that knows the same words.

It knows capabilities and no family.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from tranh.recipes import models
from tranh.recipes.own import TOKENIZER, WORDS
from tranh.text.words import Words
from tranh.types import Family, TranhError, capabilities

SHIPPED = "edits-1"
"""The parts of Scenes that change pictures, for every model with the tokenizer of Scenes."""


class Beside:
    """Parts that help a model. ``written`` is the tokenizer whose tokens they read, ``words`` are those they know."""

    def __init__(self, parts: Mapping[str, Family], assets: Mapping[str, bytes], card: Mapping[str, Any]) -> None:
        self.parts, self.card = dict(parts), dict(card)
        self.written, self.words = assets[TOKENIZER], Words.load(assets[WORDS])
        self.name = str(card.get("name", SHIPPED))


def assemble(parts: dict[str, Family], assets: dict[str, bytes], card: dict[str, Any]) -> Beside:
    """What ``load`` returns for parts that are no system by themselves."""
    return Beside(parts, assets, card)


@cache
def shipped() -> Beside | None:
    """The parts that were shipped, loaded once; None if none were."""
    found = models.load(SHIPPED) if SHIPPED in {info.name for info in models.available()} else None
    return found if isinstance(found, Beside) else None


def parts_of(system: Any) -> Iterator[tuple[Any, Words]]:
    """The parts a system may use and the words each knows: its own, those put beside it, and the shipped ones."""
    for part in getattr(system, "parts", {}).values():
        yield part, system.words
    for other in (getattr(system, "beside", None), shipped()):
        if other is not None and other.written == getattr(system, "written", None):
            for part in other.parts.values():
                yield part, other.words


def tells_time(part: Any) -> bool:
    """Is it a part for moving pictures, which is told when?"""
    return bool(getattr(part, "config", {}).get("moments"))


def able(system: Any, capability: type, verb: str, how: str, moving: bool = False) -> tuple[Any, Words]:
    """The part that has a capability, and the words it knows.

    Args:
        verb: what is asked, after "cannot".
        how: which systems can, and how one gets them.
        moving: a part for moving pictures is wanted.

    Raises:
        TranhError: none has it; says what the system does instead.
    """
    for part, words in parts_of(system):
        if isinstance(part, capability) and tells_time(part) == moving:
            return part, words
    name = getattr(system, "name", type(system).__name__)
    does = sorted({word for part, _ in parts_of(system) for word in capabilities(part)} | set(capabilities(system)))
    raise TranhError(f"{name} cannot {verb} (it {', '.join(does) or 'does nothing'}). Systems that can: {how}")
