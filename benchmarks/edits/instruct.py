"""How good is editing by instruction: is what was asked for there, has the rest stayed, are faults told?

    python benchmarks/edits/instruct.py --count 200 --out runs/edits-instruct
    python benchmarks/edits/instruct.py --count 200 --ops restyle --out runs/edits-restyle
    python benchmarks/edits/instruct.py --count 50 --size 256 --out runs/edits-instruct-256

Pictures are half held-out renders and half generated, of ``test`` and ``unseen`` combinations, with instructions in
English and Vietnamese in turn; operations take turns. Then as many instructions whose target is missing or ambiguous,
on renders. Told are shares with 95 % intervals: asked facts right, others kept, faults reported, and good instructions
that were refused.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tranh.data.scenes.changes import OPS
from tranh.data.scenes.draw import render
from tranh.data.scenes.instructions import instruction
from tranh.data.scenes.layout import generator
from tranh.data.scenes.pairs import changed, faulty
from tranh.files import write_json
from tranh.metrics.interval import wilson
from tranh.nn.pixels import to_images
from tranh.recipes import models
from tranh.recipes.edit_cases import SPLITS, Tally, cases, result, verdict, write_sheet
from tranh.recipes.instruct import instruct
from tranh.recipes.judge import Judge, shrunk
from tranh.recipes.pictures import pictures
from tranh.types import Request, TranhError

SHOWN = 24


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--level", default="two")
    parser.add_argument("--ops", default=",".join(OPS), help="which operations, of " + ", ".join(OPS))
    parser.add_argument("--model", default="tranh-1")
    parser.add_argument("--beside", default=None, help="an exported `tranh train editor`")
    parser.add_argument("--guidance", type=float, default=None)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/edits-instruct"))
    told = parser.parse_args()
    ops = told.ops.split(",")
    system, judge = models.load(told.model), Judge(models.load(models.JUDGE))
    if told.beside:
        system.beside = models.load(told.beside)
    tallies, refused, asked = {op: Tally() for op in (*ops, "all")}, 0, 0
    shown: list[Any] = []
    for k, case in enumerate(cases(judge, told.count, system, level=told.level, size=told.size, seed=told.seed)):
        draw, op = generator("instruct", told.seed, case.key), ops[k % len(ops)]
        pair = next((p for _ in range(40) if (p := changed(case.scene, op, draw)) is not None), None)
        if pair is None:
            continue
        words = instruction(pair, case.language, draw)
        request = Request(words, image=pictures(case.image[None])[0], seed=case.seed, guidance=told.guidance)
        asked += 1
        try:
            made = result(instruct(system, request)).images[0]
        except TranhError:
            refused += 1
            made = result(instruct(system, request.replace(allow_unknown=True))).images[0]
        after = to_images(np.asarray(made)[None])[0]
        edited = verdict(judge, pair.after, pair.asked, shrunk(after[None])[0], _before(pair))
        for name in (op, "all"):
            tallies[name].add(case, edited)
        if len(shown) < SHOWN:
            after = torch.nn.functional.interpolate(after[None], size=case.image.shape[1:])[0]
            shown.append((case, after, f"{words}: {'; '.join(edited.wrong) or 'right'}"))
        print(f"{k + 1}/{told.count} {op}: {words!r} {edited.done} {sum(edited.kept)}/{len(edited.kept)}", flush=True)
    faults = reported(system, told.count, told.level, told.size)
    value = {
        "settings": vars(told) | {"out": str(told.out)},
        "ops": {op: tally.json() for op, tally in tallies.items() if tally.verdicts},
        "refused though good": str(wilson(refused, asked)),
        "faults reported": str(wilson(sum(faults), len(faults))),
    }
    told.out.mkdir(parents=True, exist_ok=True)
    write_json(told.out / "instruct.json", value)
    write_sheet(told.out / "instruct.png", shown)
    for op, tally in tallies.items():
        if len(tally.verdicts) > 1:
            print(f"\n{op}\n{tally.table()}")
    print(f"\nfaults reported: {value['faults reported']}; good ones refused: {value['refused though good']}")


def _before(pair: Any) -> Any:
    """The scene before with its things in the order of the one after, where nothing was taken away."""
    return None if pair.op == "remove" else pair.before


def reported(system: Any, count: int, level: str, size: int) -> list[bool]:
    """Whether each of ``count`` faulty instructions was answered with its fault."""
    out = []
    for k in range(count):
        wrong = faulty(level, SPLITS[k % 2], k)
        words = instruction(wrong.pair, ("en", "vi")[k // 2 % 2], generator("faulty", k))
        image = pictures(to_images(render(wrong.scene, size)[None]))[0]
        try:
            next(iter(instruct(system, Request(words, image=image, steps=1))))
            out.append(False)
        except TranhError as error:
            out.append("cannot be followed" in str(error))
    return out


if __name__ == "__main__":
    main()
