"""DALL-E: a discrete autoencoder, a transformer over caption and codes, and a CLIP that ranks candidates.

``recipe`` says how its stages are trained; ``assemble`` puts them together into what users hold: a system that draws as
all do, takes temperature, top-k and top-p, and completes a picture from its top rows.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from tranh.families.dalle import Dalle
from tranh.families.dvae import Dvae
from tranh.nn.pixels import to_images
from tranh.recipes import dvae, words
from tranh.recipes.pictures import Pictures
from tranh.recipes.system import Alone
from tranh.text.prompt import Prompt
from tranh.types import Event, Family, Recipe, Request, Stage, TranhError

PARTS = ("dvae", "clip", "dalle")
"""Stages that are part of the system; the reader only helped to train it."""

SMALL_CLIP = {"vision_width": 128, "vision_depth": 4, "vision_heads": 2, "text_width": 128, "text_heads": 2}


def recipe(data: Mapping[str, Any] | None = None) -> Recipe:
    """All stages on level ``one`` of Scenes, or on other data.

    On Scenes a ``reader`` learns the words first, from the labels; its caption encoder, which sees only backwards as
    the stack does, becomes the first blocks of ``dalle``. Own pictures have no labels: ``dalle`` begins from nothing.
    """
    of = dict(data or dvae.SCENES)
    scenes = of["source"] == "scenes"
    stages = {
        "dvae": dvae.stage(of, share=0.2),
        "clip": Stage("clip", model=SMALL_CLIP, data=of, steps=250, batch=128, share=0.06),
    }
    if scenes:
        stages["reader"] = words.reader(of, steps=300, share=0.13, causal=True)
    stages["dalle"] = Stage(
        "dalle",
        data=of,
        parents={"dvae": "dvae"},
        init="reader" if scenes else None,
        steps=900,
        batch=48,
        muon_lr=4e-3,
        decay=0.5,
        share=0.61,
    )
    return Recipe(
        name="dalle",
        stages=stages,
        system="tranh.recipes.dalle:assemble",
        parts=PARTS,
        cost="two cores: about 20 minutes, all stages together",
        expected="see docs/families/dalle.md",
    )


class DallE(Alone):
    """The assembled system.

    Args:
        parts: ``dalle`` and the ``dvae`` it stands on; ``clip``, if trained, ranks candidates.
        assets, card: as for every system; of the card ``temperature``, ``top_k`` and ``top_p`` are read too.

    Attributes:
        how: temperature, top-k and top-p of its pictures; given: codes they begin with, or None.
    """

    writes_codes: ClassVar[bool] = True
    given: Tensor | None = None

    def __init__(self, parts: Mapping[str, Family], assets: Mapping[str, bytes], card: Mapping[str, Any]) -> None:
        super().__init__(parts, assets, {"name": "dalle", **card})
        dalle, vae = self.drawer, parts.get("dvae")
        if not isinstance(dalle, Dalle) or not isinstance(vae, Dvae):
            raise TranhError(f"DALL-E needs the parts dalle and dvae; given: {', '.join(parts)}")
        self.vae, self.dalle = vae, dalle
        self.guidance = dalle.guidance if self.guidance is None else self.guidance
        self.how: Mapping[str, Any] = {k: card.get(k, v) for k, v in dalle.how.items()}
        self.drawer = _drawing(dalle, self.how)

    def choosing(self, how: Mapping[str, Any], given: Tensor | None = None) -> DallE:
        """The same system, which chooses its codes in another way, or goes on from some (1, n)."""
        own = copy.copy(self)
        own.how, own.given = dict(how), given
        own.drawer = _drawing(self.dalle, how, given)
        return own

    def generate_events(self, request: Request) -> Iterator[Event]:
        wanted = {"temperature": request.temperature, "top_k": request.top_k, "top_p": request.top_p}
        own = self.choosing({**self.how, **{k: v for k, v in wanted.items() if v is not None}}, self.given)
        yield from super(DallE, own).generate_events(request)

    def settings(self, request: Request, prompt: Prompt, seed: int) -> dict[str, Any]:
        return super().settings(request, prompt, seed) | dict(self.how)

    def complete(self, request: Request) -> Iterator[Event]:
        """Keep the top of ``request.image`` and make the rest anew: ``request.strength`` of the height, half if None.

        As many whole rows of codes are kept as lie above; their pixels stay as they are. The encoder looks around each
        place, so what is to be made is hidden from it: the lowest kept line of pixels goes on to the bottom.

        Yields:
            One event per row of codes; the last one's ``result`` is :class:`Pictures`.

        Raises:
            TranhError: no picture was given, or a strength that cannot be meant.
        """
        strength = 0.5 if request.strength is None else request.strength
        if request.image is None or not 0 < strength <= 1:
            given = "no picture" if request.image is None else f"strength {strength}"
            raise TranhError(
                f"{given} was given; completing needs a picture whose top is kept, and a strength above 0 and "
                "at most 1, the share of its height that is made anew"
            )
        grid = self.dalle.grid
        rows = int((1 - strength) * grid + 1e-6)
        top = rows * self.size // grid
        own, image = self, _square(request.image, self.size)
        if rows:
            seen = to_images(image[None]).to(self.device)
            seen[:, :, top:] = seen[:, :, top - 1 : top]
            with torch.no_grad(), self.computing():
                codes = self.vae.codes_of(seen)[:, :rows].flatten(1)
            own = self.choosing(self.how, codes)
        for event in own.generate_events(request.replace(image=None, strength=None)):
            if isinstance(made := event.result, Pictures):
                for picture, told in zip(made.images, made.settings, strict=True):
                    if top:
                        picture.paste(Image.fromarray(image[:top]), (0, 0))
                    told["completed"] = {"rows": top, "of": self.size}
            yield event


def _drawing(dalle: Dalle, how: Mapping[str, Any], given: Tensor | None = None) -> Any:
    """The same family, whose ``draw`` chooses codes in this way and goes on from these."""
    own = copy.copy(dalle)
    own.__dict__["draw"] = partial(dalle.draw, given=given, **how)
    return own


def _square(image: Image.Image, side: int) -> np.ndarray:
    """The middle of a picture at (side, side, 3), uint8."""
    return np.asarray(ImageOps.fit(image.convert("RGB"), (side, side), Image.Resampling.BOX), dtype=np.uint8)


def assemble(parts: dict[str, Family], assets: dict[str, bytes], card: dict[str, Any]) -> DallE:
    """What ``load`` returns for an exported DALL-E."""
    return DallE(parts, assets, card)
