"""How well a CLIP knows which caption belongs to which picture: retrieval both ways, and classes it was never told of.

Every share stands beside what guessing gets. On Scenes a caption also fits every other picture with the same facts, on
own pictures every picture that has the very words among its captions: these are no wrong answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tranh.data.scenes.captions import caption
from tranh.data.scenes.layout import generator, scene
from tranh.data.scenes.source import LANGUAGES, drawn, say
from tranh.data.scenes.world import FACT_GROUPS, LEVELS, SPLITS, VERSION, Fact, Scene
from tranh.files import write_bytes, write_json
from tranh.metrics.report import Report, Table, markdown, percent
from tranh.metrics.retrieval import recalls, share
from tranh.nn.pixels import to_images
from tranh.recipes import own
from tranh.recipes.caption_judge import CaptionJudge
from tranh.text.normalise import strip_diacritics
from tranh.types import Event, TranhError

LEAST = 20
"""Pictures without which nothing is said."""

CLASSES = 1000
"""Most classes that are told apart."""

TAUGHT = 2000
"""Training pictures whose captions tell what classes are called."""


@dataclass(frozen=True)
class Classes:
    """What pictures are told apart by: captions each class is ``called`` by, and the class ``of`` each picture."""

    called: Mapping[str, Sequence[str]]
    of: Sequence[str]


@dataclass(frozen=True)
class Shown:
    """Held-out pictures with one caption each, in one language.

    Attributes:
        where: what they are, in words: ``one/test``.
        language: of the captions.
        images: (N, 3, S, S) in [-1, 1].
        captions: N of them.
        true: bool (N, N), picture by caption: which captions fit which pictures.
        classes: by what they are classes of (``colour``, ``label``); empty where there are none.
    """

    where: str
    language: str
    images: Tensor
    captions: Sequence[str]
    true: np.ndarray
    classes: Mapping[str, Classes]


def evaluate(
    judge: CaptionJudge,
    out: Path,
    *,
    data: Mapping[str, Any] | None = None,
    levels: Sequence[str] = ("one",),
    splits: Sequence[str] = ("test",),
    languages: Sequence[str] = (),
    count: int = 1000,
    seed: int = 0,
) -> Iterator[Event]:
    """Ask for captions by pictures and for pictures by captions, and write ``report.json`` and ``report.md``.

    Args:
        judge: whatever embeds both.
        data: of own pictures, ``{"source": PATH}``: those held out for tests; None for Scenes.
        levels, splits: of Scenes. languages: of captions; English and Vietnamese on Scenes, else all there are.
        count: pictures, at most.

    Yields:
        Progress; the last event's ``result`` is what ``report.json`` holds.

    Raises:
        TranhError: a word that is not of Scenes, or too few pictures.
    """
    if data is not None:
        yield from (Event(e.stage, e.done, e.total, e.figures) for e in own.prepare(data))
        asked = _of_pictures(data, judge.image_size, languages, count)
    else:
        asked = _of_scenes(levels, splits, languages or ("en", "vi"), count)
    found: list[dict[str, Any]] = []
    named: list[dict[str, Any]] = []
    known: tuple[str, Tensor] = "", torch.empty(0)
    for shown, total in asked:
        if known[0] != shown.where:  # the pictures of every language are the same
            rows = []
            for start in range(0, len(shown.images), 64):
                yield Event(f"pictures of {shown.where}", start, len(shown.images))
                rows.append(judge.embed_images(shown.images[start : start + 64]))
            known = shown.where, torch.cat(rows)
        about = {"where": shown.where, "language": shown.language, "pictures": len(shown.captions)}
        found += [about | row for row in retrieved(judge, shown, known[1], seed)]
        named += [about | {"of": what} | classified(judge, one, known[1], seed) for what, one in shown.classes.items()]
        yield Event("asked", len({(r["where"], r["language"]) for r in found}), total)
    value = {
        "protocol": {
            "model": judge.name, "part": judge.part, "hash": judge.hash, "seed": seed,
            "towers": _towers(judge), "data": str(data["source"]) if data else f"scenes-v{VERSION}, dense captions",
            "interval": "95 %, pictures resampled 2000 times",
        },
        "retrieval": found,
        "zero_shot": named,
    }  # fmt: skip
    write_json(out / "report.json", value)
    write_bytes(out / "report.md", markdown(told(value)).encode())
    yield Event("report", 1, 1, result=value)


def retrieved(judge: CaptionJudge, shown: Shown, images: Tensor, seed: int = 0) -> list[dict[str, Any]]:
    """R@k both ways; a caption that several pictures have is one candidate."""
    different = {caption: j for j, caption in reversed(list(enumerate(shown.captions)))}
    columns = sorted(different.values())  # the first row of each caption
    text = judge.embed_captions([shown.captions[j] for j in columns], notice=lambda _: None)
    scores, true = (images @ text.T).double().numpy(), shown.true[:, columns]
    own_column = {shown.captions[j]: k for k, j in enumerate(columns)}
    asked = [own_column[caption] for caption in shown.captions]  # every picture's caption is asked once
    ways = {"caption to picture": (scores.T[asked], true.T[asked]), "picture to caption": (scores, true)}
    return [
        {"way": way, "k": r.k, "among": r.among, "value": asdict(r.value), "chance": r.chance}
        for way, (score, fits) in ways.items()
        for r in recalls(score, fits, seed=seed)
    ]


def classified(judge: CaptionJudge, classes: Classes, images: Tensor, seed: int = 0) -> dict[str, Any]:
    """Share of pictures whose class is the nearest; a class is the mean of the embeddings of what it is called."""
    names = list(classes.called)
    labels = np.array([names.index(name) for name in classes.of])
    right = (images @ class_embeddings(judge, list(classes.called.values())).T).argmax(1).numpy() == labels
    frequent = float(np.bincount(labels).max() / len(labels))
    told = {"classes": len(names), "value": asdict(share(right.astype(float), seed))}
    return told | {"chance": 1 / len(names), "most_frequent": frequent}


def class_embeddings(judge: CaptionJudge, captions: Sequence[Sequence[str]]) -> Tensor:
    """(K, D), unit length: of each class the mean of its captions' embeddings (the paper's prompt ensemble)."""
    rows = [judge.embed_captions(list(said), notice=lambda _: None).mean(0) for said in captions]
    return torch.nn.functional.normalize(torch.stack(rows), dim=-1)


def _of_scenes(
    levels: Sequence[str], splits: Sequence[str], languages: Sequence[str], count: int
) -> Iterator[tuple[Shown, int]]:
    for what, given, allowed in (
        ("levels", levels, LEVELS), ("splits", splits, SPLITS), ("languages", languages, tuple(LANGUAGES)),
    ):  # fmt: skip
        if not given or not set(given) <= set(allowed):
            raise TranhError(f"{what} is {', '.join(given) or 'empty'}; allowed: {', '.join(allowed)}")
    _enough(count, "of Scenes")
    for level, split in product(levels, splits):
        scenes = [scene(level, split, i) for i in range(count)]
        images = to_images(np.array(drawn(level, split, 64, count)))
        for language in languages:
            said = [say(one, language, "dense", "evaluate", level, split, i) for i, one in enumerate(scenes)]
            facts = [frozenset(found) for _, found in said]
            true = np.array([[a == b for b in facts] for a in facts])
            classes = _facts(scenes, language) if level == "one" else {}
            shown = Shown(f"{level}/{split}", language, images, [words for words, _ in said], true, classes)
            yield shown, len(levels) * len(splits) * len(languages)


def _facts(scenes: Sequence[Scene], language: str) -> dict[str, Classes]:
    """The kind ("a circle") and the colour ("a red circle", "a red cat", ...) of the one thing in each scene."""

    def called(*facts: Fact) -> str:
        draw = generator("called", language, *(fact.value for fact in facts))
        words = caption(scenes[0], facts, language.removesuffix("_unmarked"), draw)[0]
        return strip_diacritics(words) if language.endswith("_unmarked") else words

    kinds, colours = ([Fact(group, 0, value) for value in FACT_GROUPS[group]] for group in ("kind", "colour"))
    by_kind = {kind.value: [called(kind)] for kind in kinds}
    by_colour = {colour.value: [called(kind, colour) for kind in kinds] for colour in colours}
    things = [one.things[0] for one in scenes]
    return {
        "kind": Classes(by_kind, [thing.kind for thing in things]),
        "colour": Classes(by_colour, [thing.colour for thing in things]),
    }


def _of_pictures(
    data: Mapping[str, Any], side: int, languages: Sequence[str], count: int
) -> Iterator[tuple[Shown, int]]:
    pictures = own.untold(data, side)
    rows = [int(i) for i in pictures.prepared.of("test")[:count]]
    said = {i: pictures.captions(i) for i in rows}
    spoken = sorted({language for known in said.values() for _, language in known})
    wanted = [language for language in languages or spoken if language in spoken]
    if not wanted:
        raise TranhError(f"no caption is in {', '.join(languages)}; there are: {', '.join(spoken) or 'none'}")
    for language in wanted:
        asked = [i for i in rows if any(spoken_in == language for _, spoken_in in said[i])]
        _enough(len(asked), f"with captions in {language!r}, held out for tests")
        captions = [next(text for text, spoken_in in said[i] if spoken_in == language) for i in asked]
        texts = [{text for text, _ in said[i]} for i in asked]
        true = np.array([[caption in known for caption in captions] for known in texts])
        called = _called(pictures, language)
        of = [str(pictures.prepared.record(i).get("label")) for i in asked]
        classes = {"label": Classes(called, of)} if called and set(of) <= called.keys() else {}
        where = f"test of {data['source']}" if len(asked) == len(rows) else f"{language} test of {data['source']}"
        yield Shown(where, language, pictures.images(asked), captions, true, classes), len(wanted)


def _called(pictures: Any, language: str) -> dict[str, list[str]]:
    """What training captions call the classes, up to twenty names each; nothing if there are none or too many."""
    called: dict[str, dict[str, None]] = {}
    for i in pictures.training[:TAUGHT]:
        label = pictures.prepared.record(int(i)).get("label")
        if label is not None:
            texts = [text for text, spoken in pictures.captions(int(i)) if spoken == language]
            called.setdefault(str(label), {}).update(dict.fromkeys(texts))
    named = {label: list(names)[:20] for label, names in sorted(called.items()) if names}
    return named if 2 <= len(named) <= CLASSES else {}


def _enough(count: int, what: str) -> None:
    if count < LEAST:
        raise TranhError(f"{count} pictures {what}: nothing is said of fewer than {LEAST}.")


def _towers(judge: CaptionJudge) -> str:
    config = judge.model.config
    return (
        f"{config.get('vision', 'vit')} + {config.get('text', 'transformer')}" if judge.part == "clip" else judge.part
    )


def told(value: Mapping[str, Any]) -> Report:
    """The same for people."""
    by: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for row in value["retrieval"]:
        by.setdefault((row["where"], row["language"], row["way"]), []).append(row)
    columns = ["pictures of", "language", "asked", "among"]
    at = sorted({row["k"] for row in value["retrieval"]})
    rows = []
    for (where, language, way), some in by.items():
        said = {row["k"]: f"{percent(row['value'])}, chance {100 * row['chance']:.1f} %" for row in some}
        rows.append([where, language, way, some[0]["among"], *(said.get(k, "-") for k in at)])
    tables = [
        Table(
            "Retrieval", [*columns, *(f"R@{k}" for k in at)], rows,
            "How often something that fits is among the k nearest. Chance is what guessing gets.",
        )
    ]  # fmt: skip
    if value["zero_shot"]:
        named = [
            [r["where"], r["language"], r["of"], r["classes"], percent(r["value"]), f"{100 * r['chance']:.1f} %",
             f"{100 * r['most_frequent']:.1f} %"]
            for r in value["zero_shot"]
        ]  # fmt: skip
        tables.append(
            Table(
                "Classes by their names",
                ["pictures of", "language", "told apart by", "classes", "right", "chance", "most frequent"],
                named, "The class whose name is nearest. Most frequent: what always saying the same gets.",
            )
        )  # fmt: skip
    return Report(f"Retrieval: {value['protocol']['model']}", value["protocol"], tables)
