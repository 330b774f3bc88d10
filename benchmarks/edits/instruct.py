"""How good is editing by instruction: is what was asked for there, has the rest stayed, are faults told?

    python benchmarks/edits/instruct.py --count 200 --out runs/edits-instruct
    python benchmarks/edits/instruct.py --count 200 --group style --out runs/edits-style
    python benchmarks/edits/instruct.py --count 200 --like --out runs/edits-like
    python benchmarks/edits/instruct.py --count 50 --size 256 --out runs/edits-instruct-256

Pictures are half held-out renders and half generated, of ``test`` and ``unseen`` combinations, with instructions in
English and Vietnamese in turn; operations take turns. Then as many instructions whose target is missing or ambiguous,
half on pictures that the model drew, as far as the fault is in them. Told are shares with 95 % intervals: asked facts
right and others kept, of instructions as they are answered (a good one that is refused is not done) and with refused
ones tried all the same; good ones that were refused; faulty ones that were answered with a fault, and with the one they
have. A thing that was to go must not be read where it stood. With ``--group`` only style, light or setting is asked
for; with ``--like`` a style, by a reference picture that is drawn in it.
"""

from __future__ import annotations

import argparse
import random
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from shares import due, turn
from torch import Tensor

from tranh.data.scenes.changes import OPS
from tranh.data.scenes.draw import render
from tranh.data.scenes.facts import canonical
from tranh.data.scenes.instructions import instruction
from tranh.data.scenes.labels import THING_FIELDS
from tranh.data.scenes.layout import generator, scene
from tranh.data.scenes.pairs import Faulty, Pair, changed, faulty, meant
from tranh.data.scenes.source import say
from tranh.data.scenes.world import Thing
from tranh.families.verifier import Reading
from tranh.files import write_json
from tranh.metrics.interval import wilson
from tranh.nn.pixels import to_images
from tranh.recipes import models
from tranh.recipes.edit_cases import SPLITS, Case, Edited, Tally, cases, result, verdict, write_sheet
from tranh.recipes.instruct import WHY, instruct
from tranh.recipes.judge import Judge, shrunk
from tranh.recipes.pictures import pictures
from tranh.recipes.restyle import restyle
from tranh.recipes.seen_scene import scene_of
from tranh.types import Request, TranhError

SHOWN = 24
GROUPS = ("style", "light", "setting")
AGAIN = "refused ones tried again"
NEAR = 0.15
"""Of the picture's side: what is no further stands where it stood."""


class Bench:
    """The measurements of one system: a tally of each operation, and of all as answered and with refusals overruled."""

    def __init__(self, system: Any, judge: Judge, told: argparse.Namespace) -> None:
        self.system, self.judge, self.told = system, judge, told
        self.tallies: dict[str, Tally] = defaultdict(Tally)
        self.refused: list[bool] = []
        self.faults: dict[str, list[bool]] = defaultdict(list)
        self.sides: set[int] = set()
        self.shown: list[tuple[Case, Tensor, str]] = []

    def edit(self, case: Case, op: str) -> bool:
        """Change a case by one operation; False where it finds no room there."""
        draw = generator("instruct", self.told.seed, case.key)
        pair = asked(case, op, draw, self.told.group)
        if pair is None:
            return False
        words = pair.asked[0].value if self.told.like else instruction(pair, case.language, draw)
        image = pictures(case.image[None])[0]
        request = Request(words, image=image, seed=case.seed, guidance=self.told.guidance, size=image.width)
        made, refused = likened(self.system, request, case) if self.told.like else followed(self.system, request)
        after = to_images(np.asarray(made)[None])[0]
        small = shrunk(after[None])
        edited = verdict(self.judge, pair.after, pair.asked, small[0], of=set(pair.kept).__contains__)
        if pair.op == "remove" and stands(self.judge.read(small)[0], pair.before.things[pair.target or 0]):
            edited = replace(edited, asked=(*edited.asked, False), wrong=(*edited.wrong, "still there"))
        answered = Edited((False,), edited.kept, ("refused",)) if refused else edited
        for name, one in ((op, answered), ("all", answered), (AGAIN, edited)):
            self.tallies[name].add(case, one)
        self.refused.append(refused)
        self.sides.add(after.shape[-1])
        if len(self.shown) < SHOWN:
            self.shown.append((case, after, f"{words}: {'; '.join(answered.wrong) or 'right'}"))
        print(f"{len(self.refused)}/{self.told.count} {op}: {words!r} {answered.done} {sum(edited.kept)}/"
              f"{len(edited.kept)}", flush=True)  # fmt: skip
        return True

    def fault(self, k: int) -> None:
        """Is faulty instruction ``k`` answered, and with the fault that it has?"""
        number, language = self.told.seed + k, ("en", "vi")[k // 2 % 2]
        wrong = faulty(self.told.level, SPLITS[k // 4 % 2], number)
        words = instruction(wrong.pair, language, generator("faulty", number))
        image = pictures(
            (self.drawn(wrong, language, number) if k // 8 % 2 else rendered(wrong, self.told.size))[None]
        )[0]
        answer = ""
        try:
            next(iter(instruct(self.system, Request(words, image=image, steps=1))))
        except TranhError as error:
            answer = str(error)
        self.faults["answered with a fault"].append("cannot be followed" in answer)
        self.faults[f"{wrong.why}: answered with it"].append(WHY[wrong.why] in answer)

    def drawn(self, wrong: Faulty, language: str, number: int) -> Tensor:
        """The same, drawn by the model; true, where it drew nothing in which the instruction has the fault."""
        words = say(wrong.scene, language, "dense", "faulty", number)[0]
        for more in range(4):
            image: Tensor = self.system.generate_batch([words], [number + more], self.told.size)[0]
            fits = meant(scene_of(self.judge.read(shrunk(image[None]))[0]), wrong.pair.named)
            if len(fits) == 0 if wrong.why == "missing" else len(fits) > 1:
                self.faults["of them on pictures that it drew"].append(True)
                return image
        self.faults["of them on pictures that it drew"].append(False)
        return rendered(wrong, self.told.size)

    def save(self) -> str:
        """Write what is known; what is to be printed is returned."""
        told = {"refused though good": self.refused, **self.faults}
        shares = {name: str(wilson(sum(one), len(one))) for name, one in told.items() if one}
        settings = {"settings": vars(self.told) | {"out": str(self.told.out)}, "pixels out": sorted(self.sides)}
        tallies = {name: one for name, one in self.tallies.items() if len(one.verdicts) > 1}
        ops = {name: one.json() for name, one in tallies.items()}
        write_json(self.told.out / "instruct.json", {**settings, "ops": ops, **shares})
        write_sheet(self.told.out / "instruct.png", self.shown)
        lines = [f"{name}, {', '.join(map(str, sorted(self.sides)))} px out\n{one.table()}\n"
                 for name, one in tallies.items()]  # fmt: skip
        text = "\n".join([*lines, *(f"{name}: {one}" for name, one in shares.items())])
        (self.told.out / "instruct.md").write_text(text + "\n", "utf-8")
        return text


def asked(case: Case, op: str, draw: random.Random, group: str | None) -> Pair | None:
    """A change that a case has room for; of the whole picture in ``group`` alone, if one is given."""
    tries = (changed(case.scene, op, draw) for _ in range(80))
    return next((p for p in tries if p is not None and group in (None, p.asked[0].group)), None)


def rendered(wrong: Faulty, size: int) -> Tensor:
    """The true picture that an instruction cannot be followed in, (3, S, S)."""
    return to_images(render(wrong.scene, size)[None])[0]


def followed(system: Any, request: Request) -> tuple[Any, bool]:
    """What an instruction makes of its picture, and whether it was refused at first."""
    try:
        return result(instruct(system, request)).images[0], False
    except TranhError:
        return result(instruct(system, request.replace(allow_unknown=True))).images[0], True


def likened(system: Any, request: Request, case: Case) -> tuple[Any, bool]:
    """The same picture as another held-out scene is drawn, which has the style that the request names."""
    number = int(case.key.rpartition("/")[2]) + 1000
    other = canonical(replace(scene("full", case.split, number), style=request.prompt))
    given = pictures(to_images(render(other, case.image.shape[-1])[None]))[0]
    return result(restyle(system, request.replace(prompt="", other=given))).images[0], False


def stands(reading: Reading, thing: Thing) -> bool:
    """Is a thing of its kind and colour still read where it stood?"""
    fields = list(THING_FIELDS)
    return any(
        all(THING_FIELDS[g][one.fields[fields.index(g)]] == getattr(thing, g) for g in ("kind", "colour"))
        and max(abs(one.x - thing.x), abs(one.y - thing.y)) < NEAR
        for one in reading.things
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--level", default="two")
    parser.add_argument("--ops", default=",".join(OPS), help="which operations, of " + ", ".join(OPS))
    parser.add_argument("--group", choices=GROUPS, help="restyle only this")
    parser.add_argument("--like", action="store_true", help="restyle by a reference picture instead of words")
    parser.add_argument("--model", default="tranh-1")
    parser.add_argument("--beside", default=None, help="an exported `tranh train editor`")
    parser.add_argument("--guidance", type=float, default=None)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/edits-instruct"))
    told = parser.parse_args()
    told.group = "style" if told.like else told.group
    ops = ["restyle"] if told.group else told.ops.split(",")
    if unknown := set(ops) - set(OPS):
        parser.error(f"no such operation: {', '.join(unknown)}; there are {', '.join(OPS)}")
    told.out.mkdir(parents=True, exist_ok=True)
    system = models.load(told.model)
    if told.beside:
        system.beside = models.load(told.beside)
    bench, more = Bench(system, Judge(models.load(models.JUDGE)), told), 100 * told.count
    for case in cases(bench.judge, more, system, level=told.level, size=told.size, seed=told.seed):
        done = len(bench.refused)
        if bench.edit(case, ops[turn(done, len(ops))]) and due(done + 1):
            bench.save()
        if len(bench.refused) == told.count:
            break
    for k in range(0 if told.group else told.count):
        bench.fault(k)
    print(bench.save())


if __name__ == "__main__":
    main()
