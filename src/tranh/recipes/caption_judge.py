"""A judge of captions for pictures of any kind: a picture and a caption in, how well they belong together out.

It knows no world and no facts: it compares. What a number means is told by :mod:`tranh.recipes.matching`; to search, to
classify and to choose among candidates, comparing is all there is to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from tranh.data.fit import square
from tranh.engine.weights import fingerprint, tensors_of
from tranh.nn.pixels import resized, to_images
from tranh.recipes import models
from tranh.recipes.own import TOKENIZER, WORDS
from tranh.text.lexicon import Lexicon
from tranh.text.normalise import normalise
from tranh.text.prompt import Prompt, understand
from tranh.text.tokenizer import Tokenizer
from tranh.text.words import Words
from tranh.types import Embeds, Family, TranhError

BATCH = 64
PARTS = ("matcher", "clip")
"""Parts that can judge, the first that is there."""


class CaptionJudge:
    """A trained part that embeds pictures and captions, with its tokenizer.

    Args:
        part: name of the part, ``matcher`` or ``clip``.
        model: its networks.
        tokenizer: it was trained with.
        card: of the folder it came from; ``name`` and ``trained`` are read from it.
        words: it was taught; where they are not known, any prompt is taken as it is.
    """

    def __init__(
        self, part: str, model: Family, tokenizer: Tokenizer, card: Mapping[str, Any], words: Words | None = None
    ) -> None:
        if not isinstance(model, Embeds):
            raise TranhError(f"part {part!r} is a {type(model).__name__}, which does not embed captions and pictures.")
        self.part, self.model, self.tokenizer, self.card = part, model.eval(), tokenizer, dict(card)
        self.words = words
        self.name = str(card.get("name", part))
        self.image_size = int(model.config["image_size"])
        self._embeds: Embeds = model

    @cached_property
    def hash(self) -> str:
        """Names the weights."""
        return fingerprint(tensors_of(self.model))

    @torch.no_grad()
    def embed_images(self, images: Tensor | Iterable[Tensor]) -> Tensor:
        """Pictures (N, 3, H, W) in [-1, 1] of any size, or several such tensors one after another -> (N, D) on the CPU.

        Raises:
            TranhError: something that is no picture.
        """
        given = [images] if isinstance(images, Tensor) else images
        return torch.cat([self._embed(tile) for one in given for tile in _checked(one).split(BATCH)])

    def _embed(self, tile: Tensor) -> Tensor:
        return self._embeds.embed_images(resized(tile.float().to(self.device), self.image_size)).float().cpu()

    @torch.no_grad()
    def embed_texts(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """(N, T) of its own tokenizer -> (N, D) on the CPU."""
        rows = zip(tokens.split(BATCH), mask.split(BATCH), strict=True)
        return torch.cat(
            [self._embeds.embed_texts(t.to(self.device), m.to(self.device)).float().cpu() for t, m in rows]
        )

    def embed_captions(self, captions: Sequence[str], notice: Callable[[str], None] | None = None) -> Tensor:
        """Captions, in any spelling -> (N, D) on the CPU.

        Args:
            notice: one that is too long is refused; with ``notice`` it is cut and the cut is reported there.
        """
        if not captions:
            raise TranhError("no caption is given: at least one is needed.")
        return self.embed_texts(*self.tokenizer.encode([normalise(c) for c in captions], notice=notice))

    def embed_pictures(self, pictures: Sequence[Image.Image]) -> Tensor:
        """Pictures of any size and shape, their middle cut out as in training -> (N, D) on the CPU."""
        squares = (np.asarray(square(picture.convert("RGB"), self.image_size)) for picture in pictures)
        return self.embed_images(to_images(pixels[None]) for pixels in squares)

    def similarity(self, picture: Image.Image, caption: str) -> float:
        """Cosine of a picture and a caption; what of a long one it cannot read is left out."""
        text = self.embed_captions([caption], notice=lambda _: None)
        return float((self.embed_pictures([picture]) * text).sum())

    def understand(self, prompt: str, allow_unknown: bool = False) -> Prompt:
        """Read a prompt; a word it was never taught is refused with what it knows."""
        if self.words is None:
            return Prompt(normalise(prompt), prompt, "und")
        lexicons = [Lexicon.load(language) for language in ("en", "vi")]
        return understand(prompt, lexicons, self.words, allow_unknown=allow_unknown)

    def score(self, images: Tensor | Iterable[Tensor], captions: Sequence[str]) -> Tensor:
        """How well each picture and its caption belong together, (N,): a cosine, to be compared and not read.

        Raises:
            TranhError: other numbers of pictures and captions.
        """
        image, text = self.embed_images(images), self.embed_captions(captions)
        if len(image) != len(text):
            raise TranhError(f"{len(image)} pictures and {len(text)} captions: each picture needs one.")
        return (image * text).sum(-1)

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device


def _checked(images: Tensor) -> Tensor:
    if images.ndim != 4 or images.shape[1] != 3 or not len(images):
        raise TranhError(f"pictures have shape {list(images.shape)}; the judge reads (N, 3, H, W), N at least 1.")
    return images


def assemble(parts: Mapping[str, Family], assets: Mapping[str, bytes], card: Mapping[str, Any]) -> CaptionJudge:
    """What ``load`` returns for an exported judge.

    Raises:
        TranhError: the folder holds no part that can judge.
    """
    part = next((name for name in PARTS if name in parts), None)
    if part is None or TOKENIZER not in assets:
        raise TranhError(
            f"this folder holds {', '.join(parts) or 'nothing'}; a judge's holds one of {', '.join(PARTS)}."
        )
    words = Words.load(assets[WORDS]) if WORDS in assets else None
    return CaptionJudge(part, parts[part], Tokenizer.load(assets[TOKENIZER]), card, words)


def judge_of(system: Any) -> CaptionJudge:
    """The judge in a loaded folder: an exported judge, or a system of which a part embeds (its CLIP).

    Raises:
        TranhError: there is none.
    """
    if isinstance(system, CaptionJudge):
        return system
    parts, tokenizer = getattr(system, "parts", {}), getattr(system, "tokenizer", None)
    part = next((name for name in PARTS if name in parts), None)
    if part is None or not isinstance(tokenizer, Tokenizer):
        raise TranhError(
            f"{getattr(system, 'name', type(system).__name__)} cannot judge captions: it has none of the parts "
            f"{', '.join(PARTS)}. Train a judge: tranh train matcher data=PATH"
        )
    return CaptionJudge(part, parts[part], tokenizer, getattr(system, "card", {}), getattr(system, "words", None))


def load(name_or_path: str | Path) -> CaptionJudge:
    """The judge of that name or in that folder."""
    return judge_of(models.load(name_or_path))
