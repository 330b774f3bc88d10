"""How well pictures fit their captions, by a judge that is not the system's own: each figure between floor and ceiling.

The floor is the same with captions shuffled against pictures, the ceiling that of real held-out pictures. What a judge
cannot see there it is not asked about elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tranh.engine.weights import fingerprint, tensors_of
from tranh.metrics import matching
from tranh.metrics.matching import Between
from tranh.metrics.report import Table, percent
from tranh.recipes.caption_judge import CaptionJudge
from tranh.types import Embeds, Family, TranhError

KIN = 0.5
"""Cosine of all weights above which two networks had the same beginning; of two seeds it is about 0."""

DECIMALS = 6
"""Of a cosine that count."""

TRAIN = "train one on pictures kept for it: tranh train matcher data=PATH"

ACCURACY, PRECISION, ORDER = "matching accuracy", "R-precision@1", "word order"


@dataclass(frozen=True)
class Captioned:
    """Pictures and the captions they should fit.

    Attributes:
        images: (N, 3, H, W) in [-1, 1], or several such tensors one after another (to hold few at a time).
        captions: N of them, one per row.
        ids: of the pictures, where one stands in several rows with other captions; each row is its own if None.
    """

    images: Tensor | Iterable[Tensor]
    captions: Sequence[str]
    ids: Sequence[int] | None = None


def match(
    judge: CaptionJudge,
    pictures: Mapping[str, Captioned],
    held_out: Mapping[str, Captioned],
    *,
    system: object | None,
    circular: bool = False,
    k: int = matching.CANDIDATES,
    seed: int = 0,
) -> dict[str, Any]:
    """Matching accuracy, R-precision@1 and word order of pictures by language.

    Args:
        pictures: what is judged, by language.
        held_out: real pictures that neither judge nor system was trained on, in the same languages; best with the very
            captions the others were made for, then both are chosen from the same candidates.
        system: that made the pictures, so that its own CLIP is not its judge; None for pictures nobody made.
        circular: judge by the system's own CLIP all the same; the result says so.
        k: candidates of R-precision; fewer where there are fewer captions.

    Returns:
        JSON values: ``protocol``, ``warnings`` and ``rows``, each with language, measure, candidates, pictures,
        ``value``, ``floor``, ``ceiling``, ``position`` (intervals, or None where ``refused`` says why).

    Raises:
        TranhError: the judge is not independent, a language lacks real pictures, or there are too few.
    """
    warnings = check_independent(judge, system, circular=circular)
    rows, cut = [], 0
    for language, asked in pictures.items():
        if language not in held_out:
            raise TranhError(
                f"no held-out pictures with captions in {language!r}: without a ceiling a score means nothing; "
                f"there are some in: {', '.join(held_out) or 'no language'}."
            )
        made, real = (_Scored(judge, one, language, seed) for one in (asked, held_out[language]))
        cut += made.cut + real.cut
        if set(asked.captions) != set(held_out[language].captions):
            warnings.append(
                f"{language}: pictures and held-out pictures have other captions, so they are told from other "
                "candidates and the position is only near"
            )
        rows += [{"language": language} | row for row in _rows(made, real, k, seed)]
    if cut:
        warnings.append(f"{cut} captions are longer than the judge reads; their ends are not judged")
    protocol = {
        "judge": judge.name,
        "judge_hash": judge.hash,
        "judge_family": judge.part,
        "judge_trained": _trained(judge).get(judge.part),
        "resize": f"antialiased bilinear to {judge.image_size} px",
        "candidates": k,
        "shuffles": matching.SHUFFLES,
        "seed": seed,
        "circular": circular,
    }
    return {"protocol": protocol, "warnings": warnings, "rows": rows}


class _Scored:
    """Pictures against every different caption of their set, and against captions with two words exchanged."""

    def __init__(self, judge: CaptionJudge, asked: Captioned, language: str, seed: int) -> None:
        notices: list[str] = []
        captions = list(asked.captions)
        if len(captions) < matching.LEAST:
            raise TranhError(
                f"{len(captions)} captions in {language!r}: nothing is said of fewer than {matching.LEAST} pictures."
            )
        image = judge.embed_images(asked.images)
        if len(image) != len(captions) or (asked.ids is not None and len(asked.ids) != len(captions)):
            raise TranhError(f"{len(image)} pictures, {len(captions)} captions in {language!r}: each row needs both.")
        ids = list(range(len(captions))) if asked.ids is None else list(asked.ids)
        texts = {text: j for j, text in enumerate(dict.fromkeys(captions))}
        self.own = [texts[caption] for caption in captions]
        self.scores = _scores(image, judge.embed_captions(list(texts), notices.append))  # (N, M)
        self.picture = np.unique(ids, return_inverse=True)[1]  # (N,), 0 ... P - 1
        known = np.zeros((self.picture.max() + 1, len(texts)), bool)
        known[self.picture, self.own] = True
        self.true = known[self.picture]  # (N, M)
        self.cut = len(notices)
        rng = np.random.default_rng(seed)
        turned = [exchanged(text, rng) for text in texts]
        self.can_turn = np.array([text is not None for text in turned])  # (M,)
        said = [text or "" for text in turned]
        self.turned = _scores(image, judge.embed_captions(said, notices.append))  # (N, M)

    def by_picture(self, rows: np.ndarray) -> list[float]:
        """Means of rows (N,) by picture; NaN is a row that says nothing, a picture of such rows is left out."""
        says = ~np.isnan(rows)
        count = np.bincount(self.picture[says])
        found: list[float] = (np.bincount(self.picture[says], rows[says])[count > 0] / count[count > 0]).tolist()
        return found

    def order(self, whose: np.ndarray) -> np.ndarray:
        """Whether the captions of rows ``whose`` beat themselves with two words exchanged, (N,); NaN where none can."""
        own, row = np.array(self.own)[whose], np.arange(len(whose))
        found: np.ndarray = matching.beats(self.scores[row, own], self.turned[row, own])
        return np.where(self.can_turn[own], found, np.nan)


def _scores(image: Tensor, text: Tensor) -> np.ndarray:
    """Cosines (N, M), rounded: what differs by less is a tie, and not for rounding to decide."""
    scores: np.ndarray = (image.double() @ text.double().T).round(decimals=DECIMALS).numpy()
    return scores


def _rows(made: _Scored, real: _Scored, k: int, seed: int) -> list[dict[str, Any]]:
    """Every measure of one language."""
    if k < 2:
        raise TranhError(f"k={k} candidates: allowed are 2 and more.")
    pair = (made, real)
    asked = [matching.ranks(one.scores, one.own, one.true) for one in pair]
    shuffled = [matching.shuffled(one.scores, one.own, seed) for one in pair]
    k = min(k, *(1 + int(ranks.wrong.min()) for ranks in asked))
    found: dict[tuple[str, int | None], Between] = {}
    for name, n in ((ACCURACY, None), (PRECISION, k)):
        rows = [_credit(ranks, n) for ranks in asked]
        floors = [np.mean([_credit(ranks, n) for ranks in turns], axis=0) for turns in shuffled]
        value, ceiling, floor, under = (
            one.by_picture(x) for one, x in zip((*pair, *pair), (*rows, *floors), strict=True)
        )
        found[name, n] = matching.place(value, floor, ceiling, under, "captions", seed)
    value, ceiling = (one.by_picture(one.order(np.arange(len(one.own)))) for one in pair)
    # By pictures that are not theirs: what the judge would say of a sentence out of order without looking.
    floor, under = (one.by_picture(_mean([one.order(order) for order in matching.shuffles(len(one.own), seed)]))
                    for one in pair)  # fmt: skip
    if min(len(value), len(ceiling)) >= matching.LEAST:
        found[ORDER, None] = matching.place(value, floor, ceiling, under, "word orders", seed)
    return [
        {"measure": measure, "candidates": n, "pictures": int(made.picture.max()) + 1} | asdict(one)
        for (measure, n), one in found.items()
    ]


def _credit(ranks: matching.Ranks, k: int | None) -> np.ndarray:
    return matching.accuracy(ranks) if k is None else matching.precision(ranks, k)


def _mean(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Mean of several (N,), without what is NaN; NaN where all are."""
    table = np.stack(rows)
    says = (~np.isnan(table)).sum(0)
    return np.divide(np.nansum(table, axis=0), says, out=np.full(len(says), np.nan), where=says > 0)


def exchanged(caption: str, rng: np.random.Generator) -> str | None:
    """The caption with two different words in each other's place; None if it has no two."""
    words = caption.split()
    pairs = [(i, j) for i in range(len(words)) for j in range(i) if words[i] != words[j]]
    if not pairs:
        return None
    i, j = pairs[int(rng.integers(len(pairs)))]
    words[i], words[j] = words[j], words[i]
    return " ".join(words)


def table(result: Mapping[str, Any]) -> Table:
    """The rows of :func:`match` for people."""
    rows = []
    for row in result["rows"]:
        values = [percent(row[x]) if row[x] else None for x in ("value", "floor", "ceiling", "position")]
        name = row["measure"] + (f" of {row['candidates']}" if row["candidates"] else "")
        rows.append([row["language"], name, row["pictures"], *values, row["refused"] or None])
    return Table(
        "Captions matched",
        ("language", "measure", "pictures", "value", "floor: shuffled", "ceiling: real", "position", "refused"),
        rows,
        "Position is 0 % at the floor and 100 % at the ceiling. Intervals are of 95 %, pictures resampled.",
    )


def check_independent(judge: CaptionJudge, system: object | None, *, circular: bool = False) -> list[str]:
    """Refuse a judge that is the system's own CLIP, comes from it, or learned from the system's pictures.

    Returns:
        What a report must say beside every score; empty if the judge is known to be independent.

    Raises:
        TranhError: it is not independent, and ``circular`` is not set.
    """
    if system is None:
        return []
    name = str(getattr(system, "name", type(system).__name__))
    parts: Mapping[str, Family] = getattr(system, "parts", {})
    own, others = _trained(judge).get(judge.part), _trained(system)
    why = [found for part, model in parts.items() if isinstance(model, Embeds) and (found := _kin(judge, part, model))]
    if own is not None:
        why += [
            f"it is the run its {part} was exported from" for part, other in others.items() if _same(own, other, "run")
        ]
        seen = [part for part, other in others.items() if _same(own, other, "data", "split")]
        if seen:
            why.append(f"it was trained on the split {own['split']!r} of the same pictures as its {', '.join(seen)}")
    if why and not circular:
        raise TranhError(
            f"{judge.name} cannot judge {name}: {'; '.join(why)}. It would find its own mistakes right; {TRAIN}; or "
            "say circular=True, and every result will say so."
        )
    if why:
        return [f"CIRCULAR: {judge.name} is no independent judge of {name}: {'; '.join(why)}. The scores flatter it."]
    silent = [who for who, told in ((judge.name, own), (name, others)) if not told]
    if silent:
        return [f"whether judge and system were trained on the same pictures is not known: {' and '.join(silent)} "
                "does not say"]  # fmt: skip
    return []


def _trained(system: object) -> dict[str, Mapping[str, Any]]:
    """What a system's card says its parts were trained on, by part; empty if it says nothing."""
    told = getattr(system, "card", {}).get("trained")
    return {k: v for k, v in told.items() if isinstance(v, Mapping)} if isinstance(told, Mapping) else {}


def _same(own: Mapping[str, Any], other: Mapping[str, Any], *keys: str) -> bool:
    return all(own.get(key) is not None and own.get(key) == other.get(key) for key in keys)


def _kin(judge: CaptionJudge, part: str, model: Family) -> str:
    """How the judge's weights are those of a part, empty if they are not. Rounding on export does not hide it."""
    a, b = tensors_of(judge.model), tensors_of(model)
    if fingerprint(a) == fingerprint(b):
        return f"it has the weights of its {part}"
    if {k: v.shape for k, v in a.items()} != {k: v.shape for k, v in b.items()}:
        return ""
    matrices = [k for k, v in a.items() if v.ndim > 1]
    x, y = (torch.cat([t[k].flatten().double().cpu() for k in matrices]) for t in (a, b))
    cosine = float(torch.nn.functional.cosine_similarity(x, y, dim=0))
    return f"its weights have a cosine of {cosine:.2f} to its {part}'s: the same beginning" if cosine > KIN else ""
