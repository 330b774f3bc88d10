"""The recipe of the expander, and what it is to those who use it: a few words in, a description out.

It knows neither pictures nor what is drawn of the prompt.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tranh.families.expander import Expander
from tranh.recipes import models
from tranh.recipes.own import TOKENIZER
from tranh.text.tokenizer import Tokenizer
from tranh.types import Family, Recipe, Stage, TranhError

SCENES = {"source": "scenes", "levels": {"one": 0.3, "two": 0.35, "full": 0.35}}

SHIPPED = "expander-1"
"""The expander of Scenes, for every model with the tokenizer of Scenes."""


def recipe(data: Mapping[str, Any] | None = None) -> Recipe:
    """From the short captions of a data set to its dense ones.

    Args:
        data: of own pictures that have both (see `tranh data recaption`), ``{"source": PATH}``; None for Scenes.
    """
    stage = Stage(
        "expander", data={**(data or SCENES), "pairs": True}, steps=2500, batch=128, muon_lr=4e-3, decay=0.6,
    )  # fmt: skip
    return Recipe(
        name="expander",
        stages={"expander": stage},
        system="tranh.recipes.expander:assemble",
        parts=("expander",),
        cost="2500 steps of 128 pairs of captions: about 20 minutes of two CPU cores",
        expected="see docs/families/expander.md",
    )


class Expansion:
    """Says what a short prompt leaves open. ``tokenizer`` is the form its words must have."""

    def __init__(self, part: Expander, tokenizer: bytes, card: Mapping[str, Any]) -> None:
        self.part, self.card, self.written = part.eval(), dict(card), tokenizer
        self.tokenizer = Tokenizer.load(tokenizer)

    def expand(self, prompt: str, seed: int = 0, temperature: float = 0.7) -> str:
        """A dense caption for a prompt that was understood; another seed says other things.

        Args:
            temperature: 0 says what is likeliest.
        """
        tokens, mask = self.tokenizer.encode([prompt])
        return self.tokenizer.decode(self.part.expand(tokens, mask, [seed], temperature)[0])


def assemble(parts: dict[str, Family], assets: dict[str, bytes], card: dict[str, Any]) -> Expansion:
    """What ``load`` returns for an exported expander."""
    part = parts.get("expander")
    if not isinstance(part, Expander):
        raise TranhError(f"this folder has no expander but {', '.join(parts) or 'nothing'}")
    return Expansion(part, assets[TOKENIZER], card)


def for_words_of(tokenizer: bytes, name: str) -> Expansion:
    """The shipped expander, if it speaks the words of a model.

    Args:
        tokenizer: the model's; name: what it is called.

    Raises:
        TranhError: it learned other captions.
    """
    shipped = models.load(SHIPPED) if SHIPPED in {info.name for info in models.available()} else None
    if not isinstance(shipped, Expansion) or shipped.written != tokenizer:
        raise TranhError(
            f"{name} has no expander. Train one on captions both short and dense (tranh train expander, for own "
            "pictures with data=PATH), export it, and give it: --expander DIR (in Python: system.expander = "
            "tranh.load(DIR))"
        )
    return shipped
