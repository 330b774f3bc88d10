"""Captions that do not fit their pictures, by a CLIP that is handed in: each against the captions of other pictures.

It knows no model. A CLIP that cannot tell true captions from others on these data is not believed at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from tranh.data.decode import decode
from tranh.data.doctor.captions import guess
from tranh.data.doctor.finding import Ledger
from tranh.data.doctor.words import words_of
from tranh.data.item import Collection
from tranh.types import Event

EmbedImages = Callable[[Sequence[Image.Image]], np.ndarray]
EmbedTexts = Callable[[Sequence[str]], np.ndarray]

BLOCK = 1024
"""Pictures compared with one another at a time."""
BATCH = 32
LEAST = 12
"""Captions of a language without which nothing is shuffled."""
SKILL = 1.5
"""Median score of the pairs, in standard deviations of shuffled ones, that a CLIP must reach to be believed."""
SPREADS = 5.0
"""How far under the median of all pairs, in their own (robust) standard deviations, a pair must be to be named."""
BETTER = 0.02
"""Share of strangers' captions that must fit the picture better, too."""


@dataclass(frozen=True)
class Pair:
    """A caption at its picture: how far above strangers it scores, in both directions, and how many fit better."""

    place: int
    key: str
    text: str
    score: float
    better: float


def matcher(embed_images: EmbedImages, embed_texts: EmbedTexts, name: str) -> Callable[..., Iterator[Event]]:
    """What ``scan`` calls when everything else was looked at.

    Args:
        embed_images: RGB pictures -> (B, D), rows of unit length; embed_texts: the same of captions.
        name: of the CLIP, for the report.
    """

    def run(collection: Collection, places: Sequence[int], ledger: Ledger) -> Iterator[Event]:
        pairs: list[Pair] = []
        for start in range(0, len(places), BLOCK):
            block = places[start : start + BLOCK]
            if len(places) - start - len(block) < BLOCK // 2:  # no short rest: few strangers say little
                block = places[start:]
            yield from _block(collection, block, embed_images, embed_texts, pairs, start, len(places))
            if start + len(block) == len(places):
                break
        _judge(pairs, name, ledger)

    return run


def _block(
    collection: Collection,
    places: Sequence[int],
    embed_images: EmbedImages,
    embed_texts: EmbedTexts,
    pairs: list[Pair],
    done: int,
    total: int,
) -> Iterator[Event]:
    seen: list[np.ndarray] = []
    keys: list[str] = []
    said: dict[str, list[tuple[int, str]]] = {}  # language -> (row, caption)
    for start in range(0, len(places), BATCH):
        images = []
        for place in places[start : start + BATCH]:
            item = collection[place]
            images.append(decode(item.read(), box=item.box, at_least=256).image)
            for caption in item.captions:
                if caption.text.strip():
                    language = caption.language or guess(caption.text, words_of(caption.text))
                    said.setdefault(language, []).append((len(keys), caption.text))
            keys.append(item.key)
        seen.append(embed_images(images))
        yield Event("match", done + len(keys), total)
    pictures = np.concatenate(seen)  # (N, D)
    for captions in said.values():
        if len(captions) >= LEAST:
            texts = np.concatenate(
                [embed_texts([t for _, t in captions[i : i + BATCH]]) for i in range(0, len(captions), BATCH)]
            )
            rows = np.array([row for row, _ in captions])
            score, better = against(pictures, texts, rows, [t for _, t in captions])
            pairs += [
                Pair(places[row], keys[row], text, float(s), float(b))
                for (row, text), s, b in zip(captions, score, better, strict=True)
            ]


def against(
    pictures: np.ndarray, texts: np.ndarray, rows: np.ndarray, captions: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Each caption at its picture against strangers: other pictures' captions, and other captions' pictures.

    Args:
        pictures: (N, D); texts: (M, D); rows: (M,) the picture of each caption.

    Returns:
        (M,) the smaller of both standard scores, and (M,) the share of strangers' captions that fit the picture better.
    """
    all_ = texts @ pictures.T  # (M, N)
    true = all_[np.arange(len(rows)), rows]
    number = {text: i for i, text in enumerate(dict.fromkeys(captions))}
    same = np.array([number[text] for text in captions])
    score, better = np.empty(len(rows)), np.empty(len(rows))
    for i, row in enumerate(rows):
        others = (rows != row) & (same != same[i])
        elsewhere = np.ones(len(pictures), bool)
        elsewhere[rows[same == same[i]]] = False
        score[i] = min(_standard(true[i], all_[others, row]), _standard(true[i], all_[i, elsewhere]))
        better[i] = (all_[others, row] > true[i]).mean() if others.any() else 0.0
    return score, better


def _standard(value: float, others: np.ndarray) -> float:
    return float((value - others.mean()) / max(float(others.std()), 1e-6)) if len(others) > 1 else 0.0


def _judge(pairs: Sequence[Pair], name: str, ledger: Ledger) -> None:
    if not pairs:
        ledger.note("mismatch not judged", name, "too few sound pictures with captions in one language")
        return
    scores = np.array([pair.score for pair in pairs])
    middle = float(np.median(scores))
    spread = 1.4826 * float(np.median(np.abs(scores - middle)))
    if middle < SKILL:
        said = f"the captions score {middle:.1f} standard deviations above strangers', {SKILL} are needed"
        ledger.note("mismatch not judged", name, said)
        return
    limit = middle - SPREADS * max(spread, 0.1)
    for pair in pairs:
        if pair.score < limit and pair.better >= BETTER:
            note = (
                f"{pair.score:+.1f}, others {middle:+.1f}; {pair.better:.0%} of strangers' fit better: {pair.text[:80]}"
            )
            ledger.note("caption mismatch", pair.key, note, score=pair.score, place=pair.place)
