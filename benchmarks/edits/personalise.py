"""How well a model learns new subjects: ten emblems no lexicon knows, 20 prompts each, judged among 50 distractors.

Each emblem is learned from ``--pictures`` views of it, without captions, as ``tranh personalise`` learns it. Printed:
how often the matcher is right on true pictures; in how many drawn pictures the emblem is recognised, and in its place
where the prompt says one; the prompts' other facts, beside those of the base model as people have it and without its
prior, for which a word that it knows stands in the emblem's place; and prompts with two subjects. Half of what stands
beside an emblem is of the unseen split. Subjects are resampled. Stopped, the same command goes on.

    python benchmarks/edits/personalise.py --count 10 --out runs/personalise
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from shares import percent, share
from torch import Tensor

from tranh.data.scenes.emblems import render_view, view
from tranh.engine.sheet import sheet
from tranh.files import read_json, replacing, write_json
from tranh.metrics.interval import Interval, paired
from tranh.nn.pixels import to_images
from tranh.recipes import models, subject_cases, subjects
from tranh.recipes.judge import Judge
from tranh.recipes.personalise import Estimate, personalise
from tranh.recipes.subject_cases import NAMES
from tranh.types import Request

AT_ONCE = 16

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--count", type=int, default=10, help="emblems, at most ten")
parser.add_argument("--prompts", type=int, default=20, help="for each")
parser.add_argument("--pictures", type=int, default=8, help="it is learned from, 3 to 10")
parser.add_argument("--renders", type=int, default=20, help="true pictures of each that the matcher is tried on")
parser.add_argument("--steps", type=int, default=None, help="of training; the recipe's if not given")
parser.add_argument("--seed", type=int, default=0, help="of prompts and pictures")
parser.add_argument("--model", default="tranh-1")
parser.add_argument("--out", type=Path, default=Path("runs/personalise"))


def teach(system: Any, name: str, index: int, args: argparse.Namespace) -> tuple[float | None, Estimate | None]:
    """The subject on the shelf, and how long it took (None if it was there)."""
    shelf = args.out / "subjects"
    if (shelf / name).exists():
        return None, None
    folder = subject_cases.write_views(args.out / "views" / name, index, args.pictures)
    begun, estimate = time.perf_counter(), None
    for event in personalise(system, name, folder, place=shelf, steps=args.steps, seed=args.seed):
        if isinstance(event.result, Estimate):
            estimate = event.result
            print(estimate, flush=True)
    return time.perf_counter() - begun, estimate


def draw(system: Any, texts: Sequence[str], seed: int, prior: str | None = "none") -> Tensor:
    """One picture of each prompt at the decoder's own size; no prior knows a new name, None takes the first one."""
    told = [system.understand(text).text for text in texts]
    drawn = []
    for start in range(0, len(told), AT_ONCE):
        part = told[start : start + AT_ONCE]
        drawn.append(system.generate_batch(part, range(seed + start, seed + start + len(part)), 64, prior=prior))
    return torch.cat(drawn)


def one(
    system: Any, judge: Judge, recognise: subject_cases.Recogniser, name: str, index: int, args: argparse.Namespace
) -> dict[str, Any]:
    """Teach and judge an emblem; its figures as JSON."""
    seconds, estimate = teach(system, name, index, args)
    asked = subject_cases.prompts(name, args.prompts, args.seed)
    taught = subjects.wearing(system, Request(f"<{name}>"), args.out / "subjects")
    drawn = draw(taught, [a.text for a in asked], args.seed)
    plain, alone = (draw(system, [a.known for a in asked], args.seed, prior) for prior in (None, "none"))
    found = [subject_cases.seen(judge, recognise, index, a, x) for a, x in zip(asked, drawn)]
    base, bare = ([subject_cases.facts_right(judge, a, x) for a, x in zip(asked, some)] for some in (plain, alone))
    given = render_view(view((index,), 0, "train"), 64)
    words = ["given", *(f"{'+' if s.recognised else '-'} {a.text}"[:70] for s, a in zip(found, asked))]
    with replacing(args.out / f"{name}.png") as part:
        sheet(torch.cat([to_images(given[None]), drawn]), words, columns=7, side=128).save(part, "PNG")
    return {
        "name": name,
        "seconds": seconds,
        "estimate": None if estimate is None else {"seconds": estimate.seconds, "memory": estimate.memory},
        "prompts": [a.text for a in asked],
        "seen": [s.json() for s in found],
        "base": base,
        "base without prior": bare,
    }


def both(
    system: Any, recognise: subject_cases.Recogniser, names: Sequence[str], args: argparse.Namespace
) -> list[list[list[bool]]]:
    """Prompts with two subjects, those of a pair of them together: is each recognised?"""
    out: list[list[list[bool]]] = []
    for k, first in enumerate(names[:-1]):
        texts = subject_cases.pairs(first, names[k + 1])
        taught = subjects.wearing(system, Request(texts[0]), args.out / "subjects")
        drawn = draw(taught, texts, args.seed)
        out.append([[recognise(image, index)[0] for index in (k, k + 1)] for image in drawn])
    return out


def of_groups(groups: Sequence[Sequence[bool]]) -> Interval | None:
    """The share that is right; whole groups are resampled, since what is of one subject stands or falls together."""
    return share([sum(one) for one in groups], [len(one) for one in groups])


def figures(
    results: Sequence[dict[str, Any]], right: Sequence[Sequence[bool]], two: Sequence[Sequence[Sequence[bool]]]
) -> dict[str, Interval | None]:
    """Every share, over subjects; None of fewer than two.

    Args:
        right: of the matcher on renders of each subject.
        two: of prompts with two subjects, by pairs of subjects.
    """
    seen = [r["seen"] for r in results]
    asked = [sum(s["asked"] for s in one) for one in seen]
    facts = [sum(s["right"] for s in one) for one in seen]
    base, bare = ([sum(r[name]) for r in results] for name in ("base", "base without prior"))
    several = len(results) > 1 and sum(asked) > 0
    return {
        "matcher right on renders": of_groups(right),
        "recognised among 50 distractors": of_groups([[s["recognised"] for s in one] for one in seen]),
        "in its place, where one was said": of_groups(
            [[s["placed"] for s in one if s["placed"] is not None] for one in seen]
        ),
        "other facts right": share(facts, asked),
        "other facts right, base model": share(base, asked),
        "other facts right, base model without prior": share(bare, asked),
        "difference to the base model": paired(base, facts, asked) if several else None,
        "difference to the base model without prior": paired(bare, facts, asked) if several else None,
        "two subjects: each recognised": of_groups([[ok for one in some for ok in one] for some in two]),
        "two subjects: both recognised": of_groups([[all(one) for one in some] for some in two]),
    }


def main(args: argparse.Namespace) -> None:
    system, judge = models.load(args.model), Judge(models.verifier())
    names, results, recognise = NAMES[: args.count], [], subject_cases.Recogniser()
    right = [recognise.on_renders(args.renders, [index]) for index in range(len(names))]
    print(f"the matcher is right on renders: {sum(map(sum, right))} of {sum(map(len, right))}", flush=True)
    for index, name in enumerate(names):
        file = args.out / f"{name}.json"
        if not file.exists():
            write_json(file, one(system, judge, recognise, name, index, args))
        results.append(read_json(file))
        seen = results[-1]["seen"]
        print(f"{name}: recognised in {sum(s['recognised'] for s in seen)} of {len(seen)}", flush=True)
    rows = figures(results, right, both(system, recognise, names, args))
    print("\n| | share | n |\n|---|--:|--:|")
    for name, found in rows.items():
        print(f"| {name} | {percent(found)} | {found.count if found else 0} |")
    seconds = [r["seconds"] for r in results if r["seconds"]]
    if seconds:
        print(f"minutes a subject: {min(seconds) / 60:.1f} to {max(seconds) / 60:.1f}")
    told = {name: found and vars(found) for name, found in rows.items()}
    write_json(args.out / "personalise.json", {"figures": told, "seconds": seconds, "seed": args.seed})
    print(json.dumps({"out": str(args.out)}))


if __name__ == "__main__":
    main(parser.parse_args())
