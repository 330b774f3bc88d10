"""How good are the edits of parts: inpainting, outpainting, and image-to-image?

    python benchmarks/edits/redraw.py --tasks object,brush,half,background,empty --out runs/edits-inpaint
    python benchmarks/edits/redraw.py --tasks beyond --out runs/edits-outpaint
    python benchmarks/edits/redraw.py --tasks again --out runs/edits-img2img
    python benchmarks/edits/redraw.py --while-sampling --against runs/edits-inpaint/redraw.json --out runs/edits-masked
    python benchmarks/edits/redraw.py --count 50 --size 256 --out runs/edits-redraw-256

Pictures are half held-out renders and half generated, of ``test`` and ``unseen`` combinations, asked for in both
languages. Tasks take turns until ``--count`` are done: ``object`` (the box of a thing, to become another), ``brush``
(strokes, the picture as it was), ``half`` (the half with the thing, to become another), ``background`` (all but the
thing: another ground), ``empty`` (a free place, a thing is added), ``beyond`` (outpainting by half a side: in the four
corners, which are new for three quarters, the setting goes on and nothing else comes), ``again`` (image-to-image).

Told are, with 95 % intervals over pictures: the share of asked facts that are right and of facts outside the mask that
were kept, of pixels outside that are exactly equal, and the gradient across the seam twice: as a multiple of the mean
gradient of the picture given (at the very place of a seam it is often nought: grounds are plain), and for renders of
the gradient at the same place of the true picture. With ``--against`` the same edits as in another run, and the
difference to it by pairs.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from masks import TASKS, another, gradient, outside, seam
from PIL import Image
from shares import due, percent, share, turn
from torch import Tensor

from tranh.data.scenes.draw import render
from tranh.data.scenes.facts import visible
from tranh.data.scenes.layout import generator
from tranh.data.scenes.source import say
from tranh.data.scenes.world import Scene
from tranh.edits.inpaint import canvas
from tranh.files import write_json
from tranh.metrics.interval import paired
from tranh.nn.pixels import to_images
from tranh.recipes import models
from tranh.recipes.edit_cases import Case, Edited, cases, result, verdict, write_sheet
from tranh.recipes.img2img import img2img
from tranh.recipes.inpaint import able_part, inpaint, outpaint
from tranh.recipes.judge import Judge, shrunk
from tranh.recipes.pictures import pictures
from tranh.types import Request

EXTEND = (0.5, 0.5, 0.5, 0.5)
NAMES = (*TASKS, "beyond", "again")
SHOWN = 24


@dataclass(frozen=True)
class Done:
    """One edit: the picture (3, S, S), the verdict, and what there is to say of its mask.

    Attributes:
        equal: is every pixel outside what it was?
        seam: the gradients across it, summed, and as many mean gradients of the picture given.
        true: the gradients across it of the edited picture and of the true one.
    """

    name: str
    case: Case
    after: Tensor
    edited: Edited
    equal: bool | None = None
    seam: tuple[float, float] | None = None
    true: tuple[float, float] | None = None

    def json(self) -> dict[str, Any]:
        """What another run is paired with."""
        return {
            part: [sum(right), len(right)] for part, right in (("asked", self.edited.asked), ("kept", self.edited.kept))
        }


@dataclass(frozen=True)
class Bench:
    """One system, and how it fills in."""

    system: Any
    judge: Judge
    while_sampling: bool

    def done(self, name: str, case: Case, draw: random.Random) -> Done | None:
        """A task done on a case; None where it does not fit."""
        image = pictures(case.image[None])[0]
        if name == "again":
            return self.again(case, image)
        return self.beyond(case, image) if name == "beyond" else self.inpainted(name, case, image, draw)

    def inpainted(self, name: str, case: Case, image: Image.Image, draw: random.Random) -> Done | None:
        size = image.width
        task = next((t for _ in range(8) if (t := TASKS[name](case.scene, draw, size)) is not None), None)
        if task is None:
            return None
        caption = say(task.target, case.language, "dense", "redraw", case.key)[0]
        hole = Image.fromarray(task.mask.astype(np.uint8) * 255)
        request = Request(caption, image=image, mask=hole, seed=case.seed)
        after = first(result(inpaint(self.system, request, self.while_sampling)))
        of = outside(task.target, task.mask)
        edited = verdict(self.judge, task.target, task.asked, shrunk(after[None])[0], case.scene, of)
        given = to_images(np.asarray(image)[None])[0]
        equal = bool(torch.equal(after[:, ~task.mask], given[:, ~task.mask]))
        made, count = seam(after, task.mask)
        true = None
        if case.origin == "render":
            true = made, seam(to_images(render(task.target, size)[None])[0], task.mask)[0]
        return Done(name, case, after, edited, equal, (made, gradient(given) * count), true)

    def beyond(self, case: Case, image: Image.Image) -> Done:
        """Outpainting by half a side each way, told the setting alone: things have other places and sizes now.

        Every corner of the side of the picture given is judged by itself: three quarters of it are new. Asked is the
        setting; kept it has where nothing stands in what is new.
        """
        behind = Scene(case.scene.setting, case.scene.light, case.scene.style, ())
        words = say(behind, case.language, "dense", "beyond", case.key)[0]
        request = Request(words, image=image, seed=case.seed, extend=EXTEND)
        after = first(result(outpaint(self.system, request, self.while_sampling)))
        mask = np.asarray(canvas(image, EXTEND)[1]) > 0
        facts = [f for f in visible(case.scene) if f.group == "setting"]
        asked, kept = list[bool](), list[bool]()
        side = image.width
        for top, left in ((0, 0), (0, side), (side, 0), (side, side)):
            corner = shrunk(after[None, :, top : top + side, left : left + side])
            reading = self.judge.read(corner)[0]
            asked += self.judge.check(reading, case.scene, facts)
            kept.append(all((one.x > 0.5) != (left > 0) and (one.y > 0.5) != (top > 0) for one in reading.things))
        wrong = (*(() if all(asked) else ("setting",)), *(() if all(kept) else ("nothing more",)))
        given = to_images(np.asarray(image)[None])[0]
        equal = bool(torch.equal(after[:, ~mask], given.flatten(1)))
        made, count = seam(after, mask)
        return Done(
            "beyond", case, after, Edited(tuple(asked), tuple(kept), wrong), equal, (made, gradient(given) * count)
        )

    def again(self, case: Case, image: Image.Image) -> Done | None:
        """Image-to-image towards another colour of a thing."""
        made = another(case.scene, generator("again", case.key), "recolour")
        if made is None:
            return None
        caption = say(made[0], case.language, "dense", "again", case.key)[0]
        request = Request(caption, image=image, seed=case.seed, strength=0.7, size=image.width)
        after = first(result(img2img(self.system, request)))
        return Done("again", case, after, verdict(self.judge, *made, shrunk(after[None])[0], case.scene))


def first(made: Any) -> Tensor:
    """The first picture of a result, (3, S, S)."""
    return to_images(np.asarray(made.images[0])[None])[0]


def figures(edits: Sequence[Done]) -> dict[str, Any]:
    """What there is to tell of some edits; intervals are None where there are too few."""
    asked = [d.edited.asked for d in edits if d.edited.asked]
    kept = [d.edited.kept for d in edits if d.edited.kept]
    seams, true = [d.seam for d in edits if d.seam], [d.true for d in edits if d.true]
    equal = [d.equal for d in edits if d.equal is not None]
    return {
        "count": len(edits),
        "pixels out": sorted({d.after.shape[-1] for d in edits}),
        "asked": share([sum(a) for a in asked], [len(a) for a in asked]),
        "kept": share([sum(k) for k in kept], [len(k) for k in kept]),
        "seam": share([s[0] for s in seams], [s[1] for s in seams]),
        "true_seams": share([s[0] for s in true], [s[1] for s in true]),
        "equal": f"{sum(equal)} of {len(equal)}" if equal else "-",
    }


def report(edits: Sequence[Done], against: dict[str, Any] | None) -> tuple[dict[str, Any], str]:
    """Figures by task and of all inpainting together, as JSON and as a table."""
    groups: dict[str, list[Done]] = defaultdict(list)
    for done in edits:
        groups[done.name].append(done)
        if done.name in TASKS:
            groups["all masks"].append(done)
    lines = [
        "| what | n | px out | asked facts right | outside kept | seam, of mean gradient | seam, of the true one | "
        "equal outside |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    value: dict[str, Any] = {"edits": {f"{d.name} {d.case.key}": d.json() for d in edits}}
    for name, some in groups.items():
        told = figures(some)
        cells = [
            str(told["count"]),
            ", ".join(map(str, told["pixels out"])),
            *map(percent, (told["asked"], told["kept"])),
        ]
        cells += [str(told["seam"] or "-"), str(told["true_seams"] or "-"), told["equal"]]
        lines.append(f"| {name} | {' | '.join(cells)} |")
        value[name] = {key: vars(one) if hasattr(one, "low") else one for key, one in told.items()}
    if against is not None:
        value["against"] = {part: differing(against["edits"], value["edits"], part) for part in ("asked", "kept")}
        lines.append(
            "\nmore than the other run, by pairs: " + "; ".join(f"{k} {v}" for k, v in value["against"].items())
        )
    return value, "\n".join(lines)


def differing(theirs: dict[str, Any], ours: dict[str, Any], part: str) -> str:
    """The share right in ours more than in theirs, over the edits that both have."""
    pairs = [(theirs[key][part], one[part]) for key, one in ours.items() if key in theirs and one[part][1]]
    if len(pairs) < 2:
        return "-"
    more = paired([a[0] for a, _ in pairs], [b[0] for _, b in pairs], [b[1] for _, b in pairs])
    return f"{more} ({len(pairs)} pairs)"


def save(edits: Sequence[Done], told: argparse.Namespace) -> str:
    """Write what is known; the table is returned."""
    value, table = report(edits, json.loads(told.against.read_text("utf-8")) if told.against else None)
    settings = {name: str(one) if isinstance(one, Path) else one for name, one in vars(told).items()}
    write_json(told.out / "redraw.json", value | {"settings": settings})
    (told.out / "redraw.md").write_text(table + "\n", "utf-8")
    rows = []
    for done in edits[:SHOWN]:
        small = F.interpolate(done.after[None], size=done.case.image.shape[1:])[0]
        rows.append((done.case, small, f"{done.name}: {'; '.join(done.edited.wrong) or 'right'}"))
    write_sheet(told.out / "redraw.png", rows)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200, help="edits")
    parser.add_argument("--tasks", default=",".join(NAMES), help="which take turns, of " + ", ".join(NAMES))
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--level", default="two")
    parser.add_argument("--model", default="tranh-1")
    parser.add_argument("--beside", default=None, help="an exported `tranh train editor`")
    parser.add_argument("--while-sampling", action="store_true")
    parser.add_argument(
        "--against", type=Path, default=None, help="redraw.json of another run: its edits are done again"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/edits-redraw"))
    told = parser.parse_args()
    if told.against:
        same = json.loads(told.against.read_text("utf-8"))["settings"]
        vars(told).update({name: same[name] for name in ("tasks", "level", "size", "seed", "count", "model")})
    names = told.tasks.split(",")
    if unknown := set(names) - set(NAMES):
        parser.error(f"no such task: {', '.join(unknown)}; there are {', '.join(NAMES)}")
    told.out.mkdir(parents=True, exist_ok=True)
    system = models.load(told.model)
    if told.beside:
        system.beside = models.load(told.beside)
    if set(names) - {"again"} and able_part(system, told.while_sampling)[1]:
        parser.error("the model has no part that learned to fill in: --beside my-editor, or --while-sampling")
    bench, edits = Bench(system, Judge(models.load(models.JUDGE)), told.while_sampling), list[Done]()
    more = 100 * told.count  # cases that a task does not fit are passed over
    for case in cases(bench.judge, more, system, level=told.level, size=told.size, seed=told.seed):
        name = names[turn(len(edits), len(names))]
        done = bench.done(name, case, generator("redraw", told.seed, case.key))
        if done is None:
            continue
        edits.append(done)
        asked, kept = done.edited.asked, done.edited.kept
        print(f"{len(edits)}/{told.count} {name}: asked {asked} kept {sum(kept)}/{len(kept)}", flush=True)
        if due(len(edits)):
            save(edits, told)
        if len(edits) == told.count:
            break
    print(save(edits, told))


if __name__ == "__main__":
    main()
