"""Is the order of layers seen, and is a turned view nearer to the truth than the picture moved as it is?

    python benchmarks/edits/turn.py --count 200 --beside my-edits --out runs/edits-turn

Pictures are held-out renders of level ``full``, of ``test`` and ``unseen`` combinations: only of those the turned view
is known, by drawing their layers anew. Told are, with 95 % intervals: the share of pairs of layers whose order is seen
(a thing and the setting, a thing and what it overlaps), and by how many dB the turned view is nearer to the true one
than the best of the picture left and the picture moved whole.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from tranh.data.scenes.depth import depth as true_depth
from tranh.data.scenes.depth import ranks, turned
from tranh.data.scenes.draw import render
from tranh.data.scenes.facts import overlapping, visible
from tranh.data.scenes.layout import scene
from tranh.data.scenes.source import say
from tranh.data.scenes.world import Scene
from tranh.edits.turn import moved, view
from tranh.engine.sheet import sheet
from tranh.files import replacing, write_json
from tranh.metrics.interval import bootstrap
from tranh.nn.pixels import to_images
from tranh.recipes import models
from tranh.recipes.beside import able
from tranh.recipes.edit_cases import SPLITS
from tranh.recipes.pictures import pictures
from tranh.recipes.turn import WHO, layers
from tranh.types import Layers, Request

SHIFT, SIZE, SHOWN = 0.06, 64, 8


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(10 * torch.log10(4 / (a - b).square().mean().clamp(min=1e-8)))


def pairs(value: Scene, found: np.ndarray) -> tuple[int, int]:
    """Pairs of layers in the right order, and pairs: medians of what is seen of each."""
    true, alone = true_depth(value, SIZE), ranks(value)
    right = asked = 0
    seen = []
    for i in range(len(value.things)):
        less = Scene(value.setting, value.light, value.style, value.things[: i + 1])
        mine = true_depth(less, SIZE) == alone[i]
        covered = np.zeros_like(mine)
        for j in range(i + 1, len(value.things)):
            if overlapping(value.things[i], value.things[j], 0.0):
                covered |= true > alone[i]
        seen.append(mine & ~covered)
    levels = [float(np.median(found[mask])) if mask.any() else None for mask in seen]
    ground = float(np.median(found[true == 0]))
    for i, level in enumerate(levels):
        if level is None:
            continue
        asked, right = asked + 1, right + (level > ground)
        for j in range(i):
            if levels[j] is not None and overlapping(value.things[i], value.things[j], 0.0):
                asked, right = asked + 1, right + (level > levels[j])  # type: ignore[operator]
    return right, asked


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--model", default="tranh-1")
    parser.add_argument("--beside", default=None, help="an exported folder with depth and editor")
    parser.add_argument("--out", type=Path, default=Path("runs/edits-turn"))
    told = parser.parse_args()
    system = models.load(told.model)
    if told.beside:
        system.beside = models.load(told.beside)
    sees, _ = able(system, Layers, "see depth", WHO)
    rights, askeds, gains, shown, words = [], [], [], [], []
    for k in range(told.count):
        value = scene("full", SPLITS[k % 2], k // 2)
        image = to_images(render(value, SIZE)[None])
        found = sees.depth(image)[0, 0].numpy().astype(float)
        right, asked = pairs(value, found)
        rights.append(right)
        askeds.append(asked)
        whole = [f for f in visible(value) if f.subject is None and f.group in ("setting", "light", "style")]
        behind = say(Scene(value.setting, value.light, value.style, ()), "en", "dense", "turn", k)[0] if whole else ""
        plates, _ = layers(system, Request(behind, image=pictures(image)[0], seed=k, allow_unknown=True))
        true, ours = to_images(turned(value, SHIFT, SIZE)[None])[0], view(plates, SHIFT)
        flat = max(psnr(one, true) for one in (image[0], moved(image[0], SHIFT)))
        gains.append(psnr(ours, true) - flat)
        if k < SHOWN:
            shown += [image[0], ours, true]
            words += ["picture", f"turned: {gains[-1]:+.1f} dB", "truth"]
        print(f"{k + 1}/{told.count} pairs {right}/{asked} gain {gains[-1]:+.2f} dB", flush=True)
    value_ = {"pairs in order": str(bootstrap(rights, askeds)), "gain, dB": str(bootstrap(gains))}
    told.out.mkdir(parents=True, exist_ok=True)
    write_json(told.out / "turn.json", value_ | {"settings": vars(told) | {"out": str(told.out)}})
    with replacing(told.out / "turn.png") as part:
        sheet(torch.stack(shown), words, columns=6).save(part, "PNG")
    for name, one in value_.items():
        print(f"{name}: {one}")


if __name__ == "__main__":
    main()
