"""Is the order of layers seen, and is a turned view nearer to the truth than the picture moved as it is?

    python benchmarks/edits/turn.py --count 200 --beside my-edits --out runs/edits-turn

Pictures are held-out renders of level ``full``, of ``test`` and ``unseen`` combinations: only of those the turned view
is known, by drawing their layers anew. Told are, with 95 % intervals: the share of pairs of layers whose order is seen,
of all and apart for a thing and the setting and for a thing and another that it overlaps, and by how many dB the turned
view is nearer to the true one than the best of the picture left and the picture moved whole. What is behind is said in
English and Vietnamese in turn.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from shares import due, share

from tranh.data.scenes.depth import COVERED, turned
from tranh.data.scenes.depth import layers as drawn
from tranh.data.scenes.draw import render
from tranh.data.scenes.facts import overlapping, visible
from tranh.data.scenes.layout import scene
from tranh.data.scenes.source import say
from tranh.data.scenes.world import Scene
from tranh.edits.turn import moved, view
from tranh.engine.sheet import sheet
from tranh.files import replacing, write_json
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


def pairs(value: Scene, found: np.ndarray) -> tuple[tuple[int, int], tuple[int, int]]:
    """Pairs of layers in the right order, and pairs: a thing and the setting, then a thing and another that it
    overlaps. The level of a thing is the median of what is seen of it."""
    covers = drawn(value, SIZE)[1:-1, ..., 3] >= 255 * COVERED  # (things, S, S)
    seen = [mine & ~covers[i + 1 :].any(0) for i, mine in enumerate(covers)]
    levels = {i: float(np.median(found[mask])) for i, mask in enumerate(seen) if mask.any()}
    free = ~covers.any(0)
    ground = float(np.median(found[free])) if free.any() else 0.0
    on = [level > ground for level in levels.values()]
    over = [
        levels[i] > levels[j]
        for i in levels for j in levels if j < i and overlapping(value.things[i], value.things[j], 0.0)
    ]  # fmt: skip
    return (sum(on), len(on)), (sum(over), len(over))


def save(
    told: argparse.Namespace, order: Sequence[Sequence[tuple[int, int]]], gains: Sequence[float],
    shown: Sequence[torch.Tensor], words: Sequence[str],
) -> dict[str, str]:  # fmt: skip
    """Write what is known; the figures are returned."""
    both = [(ground[0] + thing[0], ground[1] + thing[1]) for ground, thing in order]
    parts = {"pairs in order": both, "thing and setting": [g for g, _ in order], "two things": [t for _, t in order]}
    value = {name: str(share([r for r, _ in some], [n for _, n in some]) or "-") for name, some in parts.items()}
    value["gain, dB"] = str(share(gains) or "-")
    write_json(told.out / "turn.json", value | {"settings": vars(told) | {"out": str(told.out)}})
    with replacing(told.out / "turn.png") as part:
        sheet(torch.stack(list(shown)), list(words), columns=6).save(part, "PNG")
    return value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--model", default="tranh-1")
    parser.add_argument("--beside", default=None, help="an exported folder with depth and editor")
    parser.add_argument("--seed", type=int, default=0, help="number of the first scene")
    parser.add_argument("--out", type=Path, default=Path("runs/edits-turn"))
    told = parser.parse_args()
    system = models.load(told.model)
    if told.beside:
        system.beside = models.load(told.beside)
    sees, _ = able(system, Layers, "see depth", WHO)
    told.out.mkdir(parents=True, exist_ok=True)
    order, gains, shown, words = [], [], [], []
    for k in range(told.count):
        value = scene("full", SPLITS[k % 2], told.seed + k // 2)
        image = to_images(render(value, SIZE)[None])
        found = sees.depth(image)[0, 0].numpy().astype(float)
        order.append(pairs(value, found))
        whole = [f for f in visible(value) if f.subject is None and f.group in ("setting", "light", "style")]
        empty, language = Scene(value.setting, value.light, value.style, ()), ("en", "vi")[k // 2 % 2]
        behind = say(empty, language, "dense", "turn", k)[0] if whole else ""
        plates, _ = layers(system, Request(behind, image=pictures(image)[0], seed=k, allow_unknown=True))
        true, ours = to_images(turned(value, SHIFT, SIZE)[None])[0], view(plates, SHIFT)
        flat = max(psnr(one, true) for one in (image[0], moved(image[0], SHIFT)))
        gains.append(psnr(ours, true) - flat)
        if k < SHOWN:
            shown += [image[0], ours, true]
            words += ["picture", f"turned: {gains[-1]:+.1f} dB", "truth"]
        print(f"{k + 1}/{told.count} pairs {order[-1]} gain {gains[-1]:+.2f} dB", flush=True)
        if due(k + 1):
            save(told, order, gains, shown, words)
    for name, one in save(told, order, gains, shown, words).items():
        print(f"{name}: {one}")


if __name__ == "__main__":
    main()
