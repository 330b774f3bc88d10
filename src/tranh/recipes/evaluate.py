"""The evaluation of a text-to-image system on Scenes: captions of held-out scenes, pictures, a verdict on each fact.

Every score stands beside the verifier's own score on true pictures of the same scenes, its ceiling.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from tranh.data.scenes.layout import scene
from tranh.data.scenes.source import LANGUAGES, say
from tranh.data.scenes.world import LEVELS, SPLITS, VERSION, Fact, Scene
from tranh.engine import evaluate as engine
from tranh.engine.weights import fingerprint
from tranh.files import write_json
from tranh.metrics.scores import Outcome
from tranh.nn.pixels import to_pixels
from tranh.recipes import report, sets
from tranh.recipes import second_opinion as second
from tranh.recipes.judge import BATCH, SIDE, Detector, Judge, Verdict, on_renders, phrase, renders, shrunk
from tranh.types import Event, Request, TranhError


class System(Protocol):
    """What is asked of a system: pictures (B, 3, size, size) in [-1, 1], picture k from prompt k and seed k."""

    def generate_batch(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        size: int | None = None,
        steps: int | None = None,
        guidance: float | None = None,
    ) -> Tensor: ...


@dataclass(frozen=True)
class Asked:
    """A scene asked of a system, and the facts its caption says. ``repeat`` counts the samples of one prompt."""

    level: str
    split: str
    language: str
    index: int
    scene: Scene
    caption: str
    facts: tuple[Fact, ...]
    repeat: int | None = None

    @property
    def key(self) -> str:
        where = f"{self.level}/{self.split}/{self.language}/{self.index}"
        return where if self.repeat is None else f"samples/{where}_{self.repeat}"

    @property
    def number(self) -> int:
        """What is added to the seed: one noise per scene, or one per sample of a prompt."""
        return self.index if self.repeat is None else self.repeat

    def outcome(self, asked: Mapping[str, int], right: Mapping[str, int]) -> Outcome:
        of = {n: getattr(self, n) for n in ("level", "split", "language")} | {"objects": str(len(self.scene.things))}
        return Outcome(f"{self.level}/{self.split}/{self.index}", of, asked, right)


@dataclass
class Truth:
    """What the judge and the second opinion make of the true pictures."""

    outcomes: list[Outcome] = field(default_factory=list)
    tally: second.Tally = field(default_factory=second.Tally)
    features: dict[str, Tensor] = field(default_factory=dict)  # level -> (count, D), first split


def evaluate(
    system: System,
    verifier: Detector,
    out_dir: Path,
    *,
    levels: Sequence[str] = LEVELS,
    splits: Sequence[str] = ("test", "unseen"),
    languages: Sequence[str] = ("en", "vi"),
    count: int = 1000,
    size: int | None = SIDE,
    steps: int | None = None,
    guidance: float | None = None,
    prior: str | None = None,
    density: str = "dense",
    seed: int = 0,
    batch: int = 32,
    prompts: int = 16,
    samples: int = 8,
) -> Iterator[Event]:
    """Ask a system for ``count`` scenes per level and split in every language, judge them, and write the report.

    Args:
        verifier: a trained family ``verifier``.
        out_dir: gets ``report.json report.md report.html samples.png results.jsonl pictures/``; the same call continues
            what was stopped, a larger ``count`` adds to it.
        languages: the first is what others are compared with, on the same scenes and seeds.
        size, steps, guidance: None means the system's own; prior: of a hierarchy, one of its own or ``none``.
        prompts, samples: prompts per level that are drawn several times, to measure diversity; 0 prompts for none.

    Yields:
        Progress; the last event's ``result`` is what ``report.json`` holds.

    Raises:
        TranhError: a word that is not of Scenes, too few pictures, or ``out_dir`` belongs to another evaluation.
    """
    _known(levels=(levels, LEVELS), splits=(splits, SPLITS), languages=(languages, tuple(LANGUAGES)))
    _known(density=((density,), ("dense", "short")))
    if count < 2 or (prompts and (prompts < 2 or samples < 2)):
        raise TranhError(f"count {count}, prompts {prompts}, samples {samples}: at least two of each (or 0 prompts).")
    judge, out = Judge(verifier), Path(out_dir)
    size = size or int(getattr(system, "size", SIDE))
    protocol = {
        "scenes": VERSION, "density": density, "size": size, "steps": steps, "guidance": guidance, "prior": prior,
        "seed": seed, "model": str(getattr(system, "hash", "unknown")), "verifier": weights_hash(verifier),
    }  # fmt: skip
    if (drawn := getattr(system, "own", size)) != size:
        protocol["drawn at"] = drawn  # and brought to ``size``
    asked = [_asked(*where, density) for where in product(levels, splits, languages, range(count))]
    again = [
        [_asked(level, splits[0], languages[0], i, density, k) for i in range(prompts)]
        for level, k in product(levels, range(samples))
    ]
    asked += [a for one in again for a in one]
    by_key = {a.key: a for a in asked}
    cases = [
        engine.Case(a.key, Request(a.caption, seed=seed + a.number, steps=steps, guidance=guidance, size=size))
        for a in asked
    ]

    def generate(requests: list[Request]) -> Tensor:
        said, seeds = [r.prompt for r in requests], [r.seed for r in requests]
        chosen = {"prior": prior} if prior else {}  # a system that is no hierarchy need not know the word
        return system.generate_batch(said, seeds, size, steps, guidance, **chosen)

    def judged(cases: Sequence[engine.Case], images: Tensor) -> list[dict[str, Any]]:
        return _judged(judge, [by_key[case.key] for case in cases], images, density == "dense")

    truth = yield from _truth(judge, levels, splits, count, size)
    records: list[dict[str, Any]] = []
    for event in engine.evaluate(generate, cases, {"verdict": judged}, out, protocol=protocol, batch=batch):
        records = event.result or records
        yield Event(event.stage, event.done, event.total, event.figures)
    yield Event("report", 0, 1)
    main = [(a, r["verdict"]) for a, r in zip(asked, records, strict=True) if a.repeat is None]
    for _, verdict in main:
        truth.tally.picture(verdict["agree"])
    ends = {"levels": list(levels), "splits": list(splits), "languages": list(languages), "count": count}
    value = report.scores(
        [a.outcome(v["asked"], v["right"]) for a, v in main], truth.outcomes, truth.tally, protocol | ends
    )
    value["sets"] = [
        sets.compare(judge, out, truth.features[level], (level, splits[0], languages[0]), count, size)
        for level in levels
    ]
    value["diversity"] = [
        sets.diverse(judge, out, level, [[a.key for a in one] for one in again if one[0].level == level])
        for level in levels
        if prompts
    ]
    write_json(out / "report.json", value)
    report.write(value, _shown(out, main, levels, size), out)
    yield Event("report", 1, 1, result=value)


def weights_hash(verifier: Detector) -> str:
    """Names the weights a verdict was made with: 16 hex digits."""
    return fingerprint(verifier.state_dict() if isinstance(verifier, torch.nn.Module) else {})


def _known(**given: tuple[Sequence[str], Sequence[str]]) -> None:
    for what, (words, allowed) in given.items():
        if not words or not set(words) <= set(allowed) or len(set(words)) != len(words):
            raise TranhError(f"{what} is {', '.join(words) or 'empty'}; allowed, each once: {', '.join(allowed)}.")


def _asked(level: str, split: str, language: str, index: int, density: str, repeat: int | None = None) -> Asked:
    value = scene(level, split, index)
    caption, facts = say(value, language, density, "evaluate", level, split, index)
    return Asked(level, split, language, index, value, caption, facts, repeat)


def asked_of(key: str, density: str = "dense") -> Asked | None:
    """What a key of an evaluation's results asked; None for a key that is not of this evaluation."""
    match = re.fullmatch(r"(samples/)?(\w+)/(\w+)/([a-z]+)/(\d+)(?:_(\d+))?", key)
    if not match or bool(match[1]) != bool(match[6]) or match[2] not in LEVELS or match[3] not in SPLITS:
        return None
    if match[4] not in LANGUAGES:
        return None
    return _asked(match[2], match[3], match[4], int(match[5]), density, int(match[6]) if match[6] else None)


def _counts(verdict: Verdict) -> tuple[dict[str, int], dict[str, int]]:
    asked = Counter(fact.group for fact in verdict.facts)
    right = Counter(fact.group for fact, ok in zip(verdict.facts, verdict.right, strict=True) if ok)
    return dict(asked), dict(right)


def _judged(judge: Judge, asked: Sequence[Asked], images: Tensor, counted: bool) -> list[dict[str, Any]]:
    out = []
    for a, reading, pixels in zip(asked, judge.read(images), to_pixels(shrunk(images)), strict=True):
        verdict = judge.verdict(reading, a.scene, a.facts, counted)
        numbers = dict(zip(("asked", "right"), _counts(verdict), strict=True))
        wrong = [phrase(fact, a.scene) for fact in verdict.wrong]
        agree = second.agreement(second.opinion(pixels), second.detected(reading))
        out.append({"exact": verdict.exact, **numbers, "wrong": wrong, "seen": judge.describe(reading), "agree": agree})
    return out


def _truth(
    judge: Judge, levels: Sequence[str], splits: Sequence[str], count: int, size: int
) -> Generator[Event, None, Truth]:
    truth, total, done = Truth(), len(levels) * len(splits) * count, 0
    for level, split in product(levels, splits):
        features = []
        for start in range(0, count, BATCH):
            indices = range(start, min(start + BATCH, count))
            images = renders(level, split, indices, size)
            verdicts = on_renders(judge, level, split, indices, images)
            for i, verdict, pixels in zip(indices, verdicts, to_pixels(shrunk(images)), strict=True):
                a = Asked(level, split, "", i, scene(level, split, i), "", ())
                truth.outcomes.append(a.outcome(*_counts(verdict)))
                truth.tally.render(pixels, a.scene)
            features += [judge.features(images)] if split == splits[0] else []
            done += len(indices)
            yield Event("ceiling", done, total)
        if features:
            truth.features[level] = torch.cat(features)
    return truth


def _shown(
    out: Path, main: Sequence[tuple[Asked, Mapping[str, Any]]], levels: Sequence[str], size: int, each: int = 12
) -> list[report.Shown]:
    """The first scenes of every level, in every split and language in turn; nobody chose them."""
    shown = []
    for level in levels:
        rows = sorted((pair for pair in main if pair[0].level == level), key=lambda pair: pair[0].index)
        for a, verdict in rows[:each]:
            true = renders(a.level, a.split, [a.index], size)[0]
            made = engine.pictures(out, [a.key])[0]
            shown.append(report.Shown(f"{a.caption} ({a.key})", true, made, verdict["wrong"], verdict["seen"]))
    return shown
