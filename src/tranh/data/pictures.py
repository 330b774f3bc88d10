"""Own pictures as a source of batches: batch ``step`` is a pure function of (seed, step).

Every epoch is a new permutation of the split, so each picture is seen once before any is seen twice. It knows which
captions are asked for, not what is trained on them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from tranh.data.prepared import Prepared, Tick
from tranh.nn.pixels import to_images
from tranh.text.normalise import looks_vietnamese, normalise, strip_diacritics
from tranh.types import Batch, TranhError

Tokenize = Callable[[Sequence[str]], tuple[Tensor, Tensor]]

LANGUAGES = ("und", "en", "vi", "vi_unmarked")
"""Forms of a caption, by their number in a batch's labels; ``und`` is undetermined."""

UNMARKED = 0.35
"""Share of Vietnamese captions that are shown without their marks in training, as many people type."""


def language_of(caption: str, said: str = "") -> str:
    """The language of a caption: what its source says, else ``vi`` by its letters, else ``und``."""
    return said or ("vi" if looks_vietnamese(caption) else "und")


class Pictures:
    """Batches of prepared pictures.

    Args:
        tokenize: captions -> (tokens (B, T), mask (B, T)).
        prepared: the pictures.
        split: which of ``prepared.SPLITS`` to train on; validation batches always come from ``validation``.
        size: side of the pictures.
        languages: language -> weight of its captions where a picture has several; 1 each if None, 0 leaves one out.
        unmarked: share of Vietnamese captions shown without marks.
        pairs: every caption is the shortest of a picture in its language, and ``labels`` hold the tokens of the longest
            (``dense``, ``dense_mask``), for what learns to say more.
        progress: called while pictures are unpacked.
    """

    spoken = LANGUAGES

    def __init__(
        self,
        tokenize: Tokenize,
        prepared: Prepared,
        *,
        split: str = "train",
        size: int = 64,
        languages: Mapping[str, float] | None = None,
        unmarked: float = UNMARKED,
        pairs: bool = False,
        progress: Tick | None = None,
    ) -> None:
        if not 8 <= size <= 1024:
            raise TranhError(f"data.size={size}: allowed are 8 to 1024 pixels")
        self.tokenize, self.prepared, self.size = tokenize, prepared, size
        self.split, self.languages, self.unmarked = split, dict(languages or {}), unmarked
        self.pairs = pairs
        self.training, self.held_out = prepared.of(split), prepared.of("validation")
        self._pixels = prepared.unpacked(size, progress)
        self._order = lru_cache(maxsize=2)(self._permutation)

    def __len__(self) -> int:
        """Pictures trained on."""
        return len(self.training)

    def _permutation(self, seed: int, epoch: int) -> np.ndarray:
        return np.random.Generator(np.random.Philox(key=[seed, epoch])).permutation(self.training)

    def batch(self, step: int, size: int, seed: int) -> Batch:
        """Training batch ``step`` of the order that ``seed`` gives."""
        places = range(step * size, (step + 1) * size)
        indices = [int(self._order(seed, p // len(self))[p % len(self)]) for p in places]
        return self._batch(indices, np.random.Generator(np.random.Philox(key=[seed, (1 << 48) + step])))

    def validation(self, step: int, size: int) -> Batch:
        """Batch ``step`` of the validation split, the same for every run."""
        return self.held(self.held_out, step, size)

    def held(self, indices: np.ndarray, step: int, size: int) -> Batch:
        """Batch ``step`` of some pictures in their order, from the beginning again after the last."""
        chosen = [int(indices[p % len(indices)]) for p in range(step * size, (step + 1) * size)]
        return self._batch(chosen, np.random.Generator(np.random.Philox(key=[0, (2 << 48) + step])))

    def images(self, indices: Sequence[int]) -> Tensor:
        """Pictures (B, 3, S, S) in [-1, 1] by their indices in the prepared folder."""
        if self._pixels is not None:
            return to_images(np.stack([self._pixels[i] for i in indices]))
        return to_images(np.stack([self.prepared.pixels(i, self.size) for i in indices]))

    def captions(self, index: int) -> list[tuple[str, str]]:
        """Every caption of a picture, normalised, with its language."""
        said = self.prepared.record(index)["captions"]
        return [(text, language_of(text, c["language"])) for c in said if (text := normalise(c["text"]))]

    def _batch(self, indices: Sequence[int], rng: np.random.Generator) -> Batch:
        told = [self._caption(index, rng) for index in indices]
        captions = [caption for caption, _, _ in told]
        tokens, mask = self.tokenize(captions)
        labels = {"language": torch.tensor([LANGUAGES.index(form) if form in LANGUAGES else 0 for _, _, form in told])}
        if self.pairs:
            labels["dense"], labels["dense_mask"] = self.tokenize([fullest for _, fullest, _ in told])
        return Batch(self.images(indices), captions, tokens, mask, torch.tensor(indices), labels)

    def _caption(self, index: int, rng: np.random.Generator) -> tuple[str, str, str]:
        """One of a picture's captions (a language by its weight, then one of its captions by chance), the longest in
        that language, and the form both have."""
        ticket = rng.random(3)
        known = self.captions(index)
        spoken = sorted({language for _, language in known})
        weights = np.array([self.languages.get(language, 1.0) for language in spoken])
        if not weights.sum():
            return "", "", "und"
        language = spoken[int(np.searchsorted(np.cumsum(weights) / weights.sum(), ticket[0], side="right"))]
        texts = [text for text, spoken_in in known if spoken_in == language]
        text = min(texts, key=len) if self.pairs else texts[int(ticket[1] * len(texts))]
        fullest = max(texts, key=len)
        if language == "vi" and ticket[2] < self.unmarked:
            return strip_diacritics(text), strip_diacritics(fullest), "vi_unmarked"
        return text, fullest, language
