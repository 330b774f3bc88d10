"""Do moving pictures move as their sentences say, and does what moves stay what it is?

    python benchmarks/edits/motion.py --count 200 --beside my-motion --out runs/edits-motion

Sentences are those of held-out sequences, of ``test`` and ``unseen`` combinations, in both languages; motions take
turns, and half begin from a given picture, the first true frame. The verifier reads every frame. Told are, with 95 %
intervals: the share of motions that are right (direction within 22.5 degrees over at least 0.15 of the picture; larger
or smaller at the end; there at the end and not at first; the old colour at first and the new one at the end), and of
frames in which the moving thing has the kind, and where it keeps it the colour, that it has in most; a frame without it
counts as wrong, but for those before it appears. The same of the true frames: no model can be judged better.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from shares import due, share
from torch import Tensor

from tranh.data.scenes.frame_captions import told as sentence
from tranh.data.scenes.frames import DIRECTIONS, MOTIONS, Moving, render_frames, sequence
from tranh.data.scenes.labels import THING_FIELDS
from tranh.data.scenes.layout import generator
from tranh.data.scenes.world import SIZES
from tranh.engine.sheet import sheet
from tranh.families.verifier import Reading, Seen
from tranh.files import replacing, write_json
from tranh.metrics.interval import wilson
from tranh.nn.pixels import to_images
from tranh.recipes import models
from tranh.recipes.edit_cases import SPLITS
from tranh.recipes.judge import Judge
from tranh.recipes.moving import moving
from tranh.recipes.pictures import pictures
from tranh.types import Request

FIELDS = list(THING_FIELDS)
FAR, NARROW = 0.15, math.radians(22.5)
SHOWN = 12


def word(seen: Seen, group: str) -> str:
    return THING_FIELDS[group][seen.fields[FIELDS.index(group)]]


def track(readings: Sequence[Reading], asked: Moving) -> list[Seen | None]:
    """The moving thing in every frame: what has most of its words, and of equals what is nearest to where it was."""
    thing = asked.scenes[-1].things[asked.subject]
    colours = {s.things[asked.subject].colour for s in asked.scenes if len(s.things) > asked.subject}
    found: list[Seen | None] = []
    before: Seen | None = None
    for reading in readings:

        def likeness(seen: Seen, before: Seen | None = before) -> tuple[int, float]:
            same = (word(seen, "kind") == thing.kind) + (word(seen, "colour") in colours)
            return same, -math.hypot(seen.x - before.x, seen.y - before.y) if before else 0.0

        best = max(reading.things, key=likeness, default=None)
        best = best if best is not None and likeness(best)[0] else None
        found.append(best)
        before = best or before
    return found


def right(path: Sequence[Seen | None], asked: Moving) -> bool:
    """Is the motion the one that was asked for?"""
    seen = [one for one in path if one is not None]
    if len(seen) < 2:
        return False
    first, last = seen[0], seen[-1]
    if asked.motion != "appear" and (path[0] is None or path[-1] is None):
        return False  # what has left, or came late, was not seen to move all the way
    if asked.motion in DIRECTIONS:
        x, y = DIRECTIONS[asked.motion]
        dx, dy = last.x - first.x, last.y - first.y
        turned = math.atan2(dy, dx) - math.atan2(y, x)
        return math.hypot(dx, dy) > FAR and abs(math.remainder(turned, 2 * math.pi)) < NARROW
    if asked.motion in ("grow", "shrink"):
        sizes = [SIZES.index(word(one, "size")) for one in (first, last)]
        return sizes[1] > sizes[0] if asked.motion == "grow" else sizes[1] < sizes[0]
    if asked.motion == "appear":
        return path[0] is None and path[1] is None and path[-1] is not None
    colours = [scene.things[asked.subject].colour for scene in (asked.scenes[0], asked.scenes[-1])]
    return [word(first, "colour"), word(last, "colour")] == colours


def kept(path: Sequence[Seen | None], asked: Moving) -> tuple[int, int]:
    """Frames in which the thing is what it is in most, and frames in which it should be: all, but where it appears
    only those from the first in which it is seen."""
    begins = next((k for k, one in enumerate(path) if one is not None), None)
    if begins is None:
        return 0, len(path)
    groups = ("kind",) if asked.motion == "recolour" else ("kind", "colour")
    looks = [one and tuple(word(one, g) for g in groups) for one in path[begins if asked.motion == "appear" else 0 :]]
    most = Counter(look for look in looks if look is not None).most_common(1)[0][1]
    return most, len(looks)


class Judged:
    """Verdicts on pictures: motions right, by group, and frames in which what moves stays what it is."""

    def __init__(self) -> None:
        self.right: dict[str, list[bool]] = defaultdict(list)
        self.frames: list[tuple[int, int]] = []

    def add(self, path: Sequence[Seen | None], asked: Moving, groups: Sequence[str]) -> str:
        """Judge one path; says what came of it."""
        ok, frames = right(path, asked), kept(path, asked)
        for name in ("all", *groups):
            self.right[name].append(ok)
        self.frames.append(frames)
        return f"{'right' if ok else 'wrong'} {frames[0]}/{frames[1]}"

    def json(self) -> dict[str, str]:
        told = {name: str(wilson(sum(one), len(one))) for name, one in self.right.items()}
        return told | {"identity kept": str(share([s for s, _ in self.frames], [n for _, n in self.frames]) or "-")}


def save(told: argparse.Namespace, drawn: Judged, true: Judged, shown: Sequence[Tensor], words: Sequence[str]) -> None:
    value = drawn.json() | {"true frames": true.json(), "settings": vars(told) | {"out": str(told.out)}}
    write_json(told.out / "motion.json", value)
    with replacing(told.out / "motion.png") as part:
        sheet(torch.stack(list(shown)), list(words), columns=6).save(part, "PNG")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--model", default="tranh-1")
    parser.add_argument("--beside", default=None, help="an exported `tranh train motion`")
    parser.add_argument("--guidance", type=float, default=None)
    parser.add_argument("--seed", type=int, default=0, help="number of the first sequence")
    parser.add_argument("--out", type=Path, default=Path("runs/edits-motion"))
    told = parser.parse_args()
    system, judge = models.load(told.model), Judge(models.load(models.JUDGE))
    if told.beside:
        system.beside = models.load(told.beside)
    told.out.mkdir(parents=True, exist_ok=True)
    drawn, true, shown, words = Judged(), Judged(), list[Tensor](), list[str]()
    for k in range(told.count):
        split, language = SPLITS[k // len(MOTIONS) % 2], ("en", "vi")[k // (2 * len(MOTIONS)) % 2]
        begun = ("from a picture", "from words")[k // (4 * len(MOTIONS)) % 2]
        number = told.seed + k
        asked = sequence(split, number)
        caption, there = sentence(asked, language, generator("motion", number)), to_images(render_frames(asked))
        image = pictures(there[:1])[0] if begun == "from a picture" else None
        *_, last = moving(system, Request(caption, image=image, seed=number, guidance=told.guidance))
        frames = to_images(np.stack([np.asarray(image) for image in last.result.images]))
        groups = (asked.motion, split, language, begun)
        verdict = drawn.add(track(judge.read(frames), asked), asked, groups)
        true.add(track(judge.read(there), asked), asked, groups)
        if k % (len(MOTIONS) + 1) == 0 and len(words) < 6 * SHOWN:  # another motion, language and split each time
            shown += [frames[i] for i in (0, 3, 6, 9, 12, 15)]
            words += [f"{caption}: {verdict}", *[""] * 5]
        print(f"{k + 1}/{told.count} {asked.motion}: {verdict}", flush=True)
        if due(k + 1):
            save(told, drawn, true, shown, words)
    save(told, drawn, true, shown, words)
    ceiling = true.json()
    for name, one in drawn.json().items():
        print(f"{name}: {one}, of true frames {ceiling[name]}")


if __name__ == "__main__":
    main()
