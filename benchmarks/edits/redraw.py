"""How good are the edits of parts: inpainting, outpainting, and image-to-image?

    python benchmarks/edits/redraw.py --count 200 --out runs/edits-redraw
    python benchmarks/edits/redraw.py --count 200 --while-sampling --out runs/edits-redraw-masked
    python benchmarks/edits/redraw.py --count 50 --size 256 --out runs/edits-redraw-256

Pictures are half held-out renders and half generated, of ``test`` and ``unseen`` combinations, asked for in both
languages. Told are, with 95 % intervals: the share of asked facts that are right, of facts outside that were kept, of
pixels outside that are exactly equal, and the gradient across the seam, as a multiple of the mean gradient of the
pictures that were edited (at the very place of a seam it is often nought: grounds are plain).
Masks take turns: ``object`` (the box of a thing, to become another), ``brush`` (strokes, the picture as it was),
``half`` (the half with the thing, to become another), ``background`` (all but the thing: another ground), ``empty`` (a
free place, a thing is added), ``beyond`` (outpainting by a quarter: the setting goes on).
"""

from __future__ import annotations

import argparse
import random
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from tranh.data.scenes.changes import singles
from tranh.data.scenes.facts import canonical, visible
from tranh.data.scenes.layout import extents, generator
from tranh.data.scenes.pairs import changed
from tranh.data.scenes.source import say
from tranh.data.scenes.world import PLAINS, Fact, Scene
from tranh.files import write_json
from tranh.metrics.interval import bootstrap, wilson
from tranh.nn.pixels import to_images
from tranh.recipes import models
from tranh.recipes.edit_cases import Case, Edited, cases, result, verdict, write_sheet
from tranh.recipes.img2img import img2img
from tranh.recipes.inpaint import inpaint, outpaint
from tranh.recipes.judge import Judge, shrunk
from tranh.recipes.pictures import pictures
from tranh.types import Request

MARGIN = 0.03
"""Around the box of a thing, in canvas units."""

SHOWN = 24


@dataclass(frozen=True)
class Task:
    """What is asked of a picture: where, the scene it should show, and which of its facts are new."""

    mask: np.ndarray
    target: Scene
    asked: tuple[Fact, ...]


def box(scene: Scene, index: int, size: int) -> np.ndarray:
    """Where a thing is, (size, size) bool."""
    thing = scene.things[index]
    at = (np.arange(size) + 0.5) / size
    across, down = (e + MARGIN for e in extents(thing))
    return (np.abs(at[:, None] - thing.y) < down) & (np.abs(at[None] - thing.x) < across)


def another(scene: Scene, draw: random.Random, kind: str) -> tuple[Scene, tuple[Fact, ...]] | None:
    """The scene with its first single thing changed in one way, its facts that are asked."""
    for _ in range(20):
        pair = changed(scene, kind, draw)
        if pair is not None:
            return pair.after, tuple(f for f in pair.asked if f.group in ("kind", "colour", "setting"))
    return None


def object_(scene: Scene, draw: random.Random, size: int) -> Task | None:
    made = another(scene, draw, draw.choice(("replace", "recolour")))
    if made is None:
        return None
    subject = next((f.subject for f in made[1] if f.subject is not None), None)
    return None if subject is None else Task(box(scene, subject, size), *made)


def brush(scene: Scene, draw: random.Random, size: int) -> Task | None:
    mask, at = np.zeros((size, size), bool), (np.arange(size) + 0.5) / size
    for _ in range(3):
        (x0, y0, x1, y1), wide = (draw.random() for _ in range(4)), 0.04 + 0.04 * draw.random()
        for s in np.linspace(0, 1, 32):
            x, y = x0 + s * (x1 - x0), y0 + s * (y1 - y0)
            mask |= (at[None] - x) ** 2 + (at[:, None] - y) ** 2 < wide**2
    touched = [i for i in singles(scene) if (mask & box(scene, i, size)).any()]
    asked = tuple(f for f in visible(scene) if f.subject in touched and f.group in ("kind", "colour"))
    return Task(mask, scene, asked) if asked else None


def half(scene: Scene, draw: random.Random, size: int) -> Task | None:
    task = object_(scene, draw, size)
    if task is None:
        return None
    rows, columns = np.nonzero(task.mask)
    at, middle = np.arange(size), size // 2
    for name, inside in (
        ("left", columns.max() < middle), ("right", columns.min() >= middle),
        ("top", rows.max() < middle), ("bottom", rows.min() >= middle),
    ):  # fmt: skip
        if inside:
            first = at < middle if name in ("left", "top") else at >= middle
            mask = np.broadcast_to(first[None] if name in ("left", "right") else first[:, None], (size, size)).copy()
            return replace(task, mask=mask)
    return None


def background(scene: Scene, draw: random.Random, size: int) -> Task | None:
    if not scene.setting.startswith("plain_") or scene.style != "flat" or scene.light != "plain":
        return None
    colours = {thing.colour for thing in scene.things}
    choices = [f"plain_{c}" for c in PLAINS if f"plain_{c}" != scene.setting and c not in colours]
    target = canonical(replace(scene, setting=draw.choice(choices)))
    mask = np.ones((size, size), bool)
    for i in range(len(scene.things)):
        mask &= ~box(scene, i, size)
    return Task(mask, target, tuple(f for f in visible(target) if f.group == "setting"))


def empty(scene: Scene, draw: random.Random, size: int) -> Task | None:
    made = another(scene, draw, "add")
    if made is None or len(made[0].relations) > len(scene.relations):
        return None
    target, asked = made
    return Task(box(target, len(target.things) - 1, size), target, asked)


TASKS = {"object": object_, "brush": brush, "half": half, "background": background, "empty": empty}


def seam(image: Tensor, mask: np.ndarray) -> tuple[float, float]:
    """Summed absolute differences of neighbours that the border of a mask parts, and how many there are."""
    inside = torch.from_numpy(mask)
    total, count = 0.0, 0
    for axis in (0, 1):
        edge = inside.diff(dim=axis)
        total += float((image.diff(dim=axis + 1).abs().mean(0) * edge).sum())
        count += int(edge.sum())
    return total, count


def gradient(image: Tensor) -> float:
    """Mean absolute difference of neighbours in a picture (3, S, S)."""
    return float(torch.stack([image.diff(dim=axis).abs().mean() for axis in (1, 2)]).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--level", default="one")
    parser.add_argument("--model", default="tranh-1")
    parser.add_argument("--beside", default=None, help="an exported `tranh train editor`")
    parser.add_argument("--while-sampling", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/edits-redraw"))
    told = parser.parse_args()
    system, judge = models.load(told.model), Judge(models.load(models.JUDGE))
    if told.beside:
        system.beside = models.load(told.beside)
    kept: dict[str, list[Edited]] = defaultdict(list)
    seams: dict[str, list[tuple[float, float]]] = defaultdict(list)
    equal: list[bool] = []
    shown: list[Any] = []
    k = 0
    names = (*TASKS, "beyond", "again")
    for case in cases(judge, told.count, system, level=told.level, size=told.size, seed=told.seed):
        draw, name = generator("redraw", told.seed, case.key), names[k % len(names)]
        k += 1
        image = pictures(case.image[None])[0]
        if name == "again":
            edited, after, mask = begun_again(system, judge, case, image)
        elif name == "beyond":
            edited, after, mask = beyond(system, judge, case, image, told.while_sampling)
        else:
            task = next((t for _ in range(8) if (t := TASKS[name](case.scene, draw, told.size)) is not None), None)
            if task is None:
                continue
            caption = say(task.target, case.language, "dense", "redraw", case.key)[0]
            hole = Image.fromarray(task.mask.astype(np.uint8) * 255)
            request = Request(caption, image=image, mask=hole, seed=case.seed)
            after = to_images(np.asarray(result(inpaint(system, request, told.while_sampling)).images[0])[None])[0]
            edited, mask = verdict(judge, task.target, task.asked, shrunk(after[None])[0], case.scene), task.mask
        kept[name].append(edited)
        if mask is not None:
            whole = case.image if after.shape == case.image.shape else None
            if whole is not None:
                equal.append(bool(torch.equal(after[:, ~mask], to_images(np.asarray(image)[None])[0][:, ~mask])))
                made = seam(after, mask)
                seams[name].append((made[0], gradient(whole) * made[1]))
        if len(shown) < SHOWN:
            words = f"{name}: {'; '.join(edited.wrong) or 'right'}"
            shown.append((case, torch.nn.functional.interpolate(after[None], size=case.image.shape[1:])[0], words))
        print(f"{k}/{told.count} {name}: asked {edited.asked} kept {sum(edited.kept)}/{len(edited.kept)}", flush=True)
    value = report(kept, seams, equal) | {"settings": vars(told) | {"out": str(told.out)}}
    told.out.mkdir(parents=True, exist_ok=True)
    write_json(told.out / "redraw.json", value)
    write_sheet(told.out / "redraw.png", shown)
    print(value["table"])


def begun_again(system: Any, judge: Judge, case: Case, image: Image.Image) -> tuple[Edited, Tensor, None]:
    """Image-to-image towards another colour or kind of the first thing."""
    made = another(case.scene, generator("again", case.key), "recolour") or (case.scene, ())
    caption = say(made[0], case.language, "dense", "again", case.key)[0]
    request = Request(caption, image=image, seed=case.seed, strength=0.7)
    after = to_images(np.asarray(result(img2img(system, request)).images[0])[None])[0]
    return verdict(judge, made[0], made[1], after, case.scene), after, None


def beyond(
    system: Any, judge: Judge, case: Case, image: Image.Image, masked: bool
) -> tuple[Edited, Tensor, np.ndarray | None]:
    """Outpainting by a quarter at every side: the setting must go on, so it is asked of the whole new picture."""
    request = Request(case.caption, image=image, seed=case.seed, extend=(0.25, 0.25, 0.25, 0.25))
    after = to_images(np.asarray(result(outpaint(system, request, masked)).images[0])[None])[0]
    asked = [f for f in visible(case.scene) if f.group == "setting"]
    small = torch.nn.functional.interpolate(after[None], size=(64, 64), mode="area")
    right = judge.check(judge.read(small)[0], case.scene, asked)
    return Edited(tuple(right), (), tuple(f.value for f, ok in zip(asked, right, strict=True) if not ok)), after, None


def report(
    kept: dict[str, list[Edited]], seams: dict[str, list[tuple[float, float]]], equal: list[bool]
) -> dict[str, Any]:
    """Shares by kind of mask and of all inpainting together, as JSON and as a table."""
    groups = dict(kept) | {"all masks": [e for name in TASKS for e in kept.get(name, [])]}
    border = dict(seams) | {"all masks": [s for name in TASKS for s in seams.get(name, [])]}
    lines = ["| what | n | asked facts right | others kept | seam, of real |", "|---|--:|--:|--:|--:|"]
    value: dict[str, Any] = {}
    for name, edits in groups.items():
        asked = [e for e in edits if e.asked]
        right = sum(sum(e.asked) for e in asked), sum(len(e.asked) for e in asked)
        stayed = [e for e in edits if e.kept]
        cells = [str(wilson(*right)) if right[1] else "-"]
        cells.append(
            str(bootstrap([sum(e.kept) for e in stayed], [len(e.kept) for e in stayed])) if len(stayed) > 1 else "-"
        )
        made, real = (sum(s[i] for s in border.get(name, [])) for i in (0, 1))
        cells.append(f"{made / real:.2f}" if real else "-")
        value[name] = {"count": len(edits), "asked": cells[0], "kept": cells[1], "seam": cells[2]}
        lines.append(f"| {name} | {len(edits)} | {' | '.join(cells)} |")
    value["exactly equal outside"] = f"{sum(equal)} of {len(equal)}"
    lines.append(f"\npixels outside the mask exactly equal: {value['exactly equal outside']}")
    return value | {"table": "\n".join(lines)}


if __name__ == "__main__":
    main()
