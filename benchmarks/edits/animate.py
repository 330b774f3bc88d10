"""Walks measured: how uneven the steps between frames are for the eye, before the pace is made even and after.

python benchmarks/edits/animate.py [--model tranh-1] [--count 20] [--frames 24] [--out FOLDER]

A third of the walks pass prompts (half of them Vietnamese), a third pictures (half renders, half drawn by tranh-1), a
third seeds of one prompt; a model that has only latents, such as an autoencoder, walks between pictures alone. The
figure is standard deviation over mean of the differences between neighbouring frames: by pixels, which the pace is made
even by, and by CLIP embeddings, the model's own or those of tranh-1, which it is not.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from shares import due
from torch import Tensor

from tranh.data.scenes.draw import render
from tranh.data.scenes.layout import scene
from tranh.data.scenes.source import say
from tranh.edits.walk import steps_between, unevenness
from tranh.engine.sheet import sheet
from tranh.files import replacing, write_json
from tranh.metrics.interval import bootstrap, paired
from tranh.nn.pixels import to_images
from tranh.recipes import models
from tranh.recipes.pictures import pictures
from tranh.recipes.walks import animate
from tranh.types import Request, Unclips

KINDS = ("prompts", "pictures", "seeds")


def keys(kind: str, level: str, k: int, drawer: Any) -> tuple[list[Any], list[int]]:
    """What walk ``k`` passes; ``drawer`` draws half of the pictures."""
    turn = k // len(KINDS)
    some = [scene(level, ("test", "unseen")[n % 2], 3 * k + n) for n in range(3)]
    said = [say(one, ("en", "vi")[turn % 2], "dense", "walk", k, n)[0] for n, one in enumerate(some)]
    if kind == "pictures" and turn // 2 % 2:
        return pictures(drawer.generate_batch(said, range(3 * k, 3 * k + 3), 64)), []
    if kind == "pictures":
        return [Image.fromarray(render(one, 64)) for one in some], []
    return (said, []) if kind == "prompts" else (said[:1], [k, k + 1000, k + 2000])


@torch.no_grad()
def by_embedding(eyes: Any, frames: Tensor) -> float:
    """Unevenness of the angles between the embeddings of neighbouring frames."""
    side = eyes.sizes[0]
    rows = eyes.embed_images(F.interpolate(frames, size=(side, side), mode="area"))
    return unevenness((rows * rows.roll(-1, 0)).sum(-1).clamp(-1, 1).acos())


def walked(model: Any, request: Request, passed: list[Any], seeds: list[int], rounds: int) -> Tensor:
    *_, last = animate(model, request, passed, seeds, rounds=rounds)
    return to_images(np.stack([np.asarray(image) for image in last.result.images]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tranh-1")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--level", default="one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("animate"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    model, drawer = models.load(args.model), models.load()
    kinds, eyes = (KINDS, model) if isinstance(model, Unclips) else (("pictures",), drawer)
    found: dict[str, list[float]] = {name: [] for name in ("before", "after", "CLIP before", "CLIP after", "seconds")}
    rows: list[Tensor] = []
    for k in range(args.count):
        passed, seeds = keys(kinds[k % len(kinds)], args.level, k, drawer)
        request = Request("", seed=args.seed + k, frames=args.frames, steps=args.steps)
        plain = walked(model, request, passed, seeds, 0)
        begun = time.perf_counter()
        even = walked(model, request, passed, seeds, 2)
        found["seconds"].append(time.perf_counter() - begun)
        for name, frames in (("before", plain), ("after", even)):
            found[name].append(unevenness(steps_between(frames, loop=True)))
            found[f"CLIP {name}"].append(by_embedding(eyes, frames))
        rows += [*even[:: max(1, args.frames // 12)][:12]] if len(rows) < 72 else []
        print(f"{k + 1} of {args.count}", end="\r", flush=True)
        if due(k + 1):
            save(args, found, rows)
    print("| standard deviation over mean of steps | value |\n|---|--:|")
    for name, one in save(args, found, rows).items():
        print(f"| {name} | {one['value']:.3f} [{one['low']:.3f}, {one['high']:.3f}] |")


def save(args: argparse.Namespace, found: Mapping[str, list[float]], rows: Sequence[Tensor]) -> dict[str, Any]:
    """Write what is known; the figures are returned."""
    told = {name: asdict(bootstrap(values)) for name, values in found.items()}
    told["less uneven"] = asdict(paired(found["before"], found["after"]))
    write_json(args.out / "animate.json", told | {"settings": {**vars(args), "out": str(args.out)}})
    with replacing(args.out / "animate.png") as part:
        sheet(torch.stack(list(rows)), [""] * len(rows), columns=12, side=64).save(part, "PNG")
    return told


if __name__ == "__main__":
    main()
