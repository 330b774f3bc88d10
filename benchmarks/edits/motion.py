"""Do moving pictures move as their sentences say, and does what moves stay what it is?

    python benchmarks/edits/motion.py --count 200 --beside my-motion --out runs/edits-motion

Sentences are those of held-out sequences, of ``test`` and ``unseen`` combinations, in both languages; motions take
turns. The verifier reads every frame. Told are, with 95 % intervals: the share of motions that are right (direction
within 22.5 degrees over at least 0.15 of the picture; larger or smaller at the end; there at the end and not at first;
the old colour at first and the new one at the end), and of frames in which the moving thing has the kind, and where it
keeps it the colour, that it has in the first frame it is seen in.
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from tranh.data.scenes.frame_captions import told as sentence
from tranh.data.scenes.frames import DIRECTIONS, MOTIONS, Moving, sequence
from tranh.data.scenes.labels import THING_FIELDS
from tranh.data.scenes.layout import generator
from tranh.data.scenes.world import SIZES
from tranh.engine.sheet import sheet
from tranh.families.verifier import Reading, Seen
from tranh.files import replacing, write_json
from tranh.metrics.interval import bootstrap, wilson
from tranh.nn.pixels import to_images
from tranh.recipes import models
from tranh.recipes.edit_cases import SPLITS
from tranh.recipes.judge import Judge
from tranh.recipes.moving import moving
from tranh.types import Request

FIELDS = list(THING_FIELDS)
FAR, NARROW = 0.15, math.radians(22.5)


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
    return path[0] is not None and [word(first, "colour"), word(last, "colour")] == colours


def kept(path: Sequence[Seen | None], asked: Moving) -> tuple[int, int]:
    """Frames in which the thing is what it was when first seen, and frames in which it should be."""
    seen = next((k for k, one in enumerate(path) if one is not None), None)
    if seen is None:
        return 0, len(path)
    groups = ("kind",) if asked.motion == "recolour" else ("kind", "colour")
    own = path[seen]
    assert own is not None
    frames = path[seen:]
    same = [one is not None and all(word(one, g) == word(own, g) for g in groups) for one in frames]
    return sum(same), len(frames)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--model", default="tranh-1")
    parser.add_argument("--beside", default=None, help="an exported `tranh train motion`")
    parser.add_argument("--guidance", type=float, default=None)
    parser.add_argument("--out", type=Path, default=Path("runs/edits-motion"))
    told = parser.parse_args()
    system, judge = models.load(told.model), Judge(models.load(models.JUDGE))
    if told.beside:
        system.beside = models.load(told.beside)
    verdicts: dict[str, list[bool]] = defaultdict(list)
    same, of, shown, words = [], [], [], []
    for k in range(told.count):
        split, language = SPLITS[k // len(MOTIONS) % 2], ("en", "vi")[k // (2 * len(MOTIONS)) % 2]
        asked = sequence(split, k)
        caption = sentence(asked, language, generator("motion", k))
        *_, last = moving(system, Request(caption, seed=k, guidance=told.guidance))
        frames = to_images(np.stack([np.asarray(image) for image in last.result.images]))
        path = track(judge.read(frames), asked)
        ok, (stayed, frames_asked) = right(path, asked), kept(path, asked)
        for name in ("all", asked.motion, split, language):
            verdicts[name].append(ok)
        same.append(stayed)
        of.append(frames_asked)
        if k < len(MOTIONS):
            shown += [frames[i] for i in (0, 3, 6, 9, 12, 15)]
            words += [f"{caption}: {'right' if ok else 'wrong'}", *[""] * 5]
        print(f"{k + 1}/{told.count} {asked.motion}: {ok} {stayed}/{frames_asked}", flush=True)
    value = {name: str(wilson(sum(one), len(one))) for name, one in verdicts.items()}
    value |= {"identity kept": str(bootstrap(same, of))}
    told.out.mkdir(parents=True, exist_ok=True)
    write_json(told.out / "motion.json", value | {"settings": vars(told) | {"out": str(told.out)}})
    with replacing(told.out / "motion.png") as part:
        sheet(torch.stack(shown), words, columns=6).save(part, "PNG")
    for name, one in value.items():
        print(f"{name}: {one}")


if __name__ == "__main__":
    main()
