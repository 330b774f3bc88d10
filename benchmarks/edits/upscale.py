"""Super-resolution measured: posterior mean and sampled picture against Lanczos, seams of tiles, the verifier.

python benchmarks/edits/upscale.py [--model DIR] [--count 400] [--from 64] [--level full] [--out FOLDER]

The small picture is the area reduction of a true one four times as wide, in 8 bits. Half are pictures that a model
drew, of which no larger one is known: they are only reduced again and compared with themselves; PSNR is of the others.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from shares import due
from torch import Tensor

from tranh.data.scenes.draw import render
from tranh.edits.enlarge import FACTOR, able, enlarged, starts
from tranh.engine.sheet import sheet
from tranh.files import replacing, write_json
from tranh.metrics.interval import Interval, bootstrap, paired
from tranh.metrics.psnr import psnr
from tranh.metrics.sharpness import sharpness_difference
from tranh.nn.pixels import to_images, to_pixels
from tranh.recipes import models
from tranh.recipes.edit_cases import Case, cases, verdict
from tranh.recipes.judge import Judge
from tranh.recipes.upscale import default

MAKERS = ("lanczos", "mean", "sampled")


def lanczos(small: Tensor) -> Tensor:
    """The same four times as wide, by Pillow."""
    side = FACTOR * small.shape[-1]
    made = [Image.fromarray(one).resize((side, side), Image.Resampling.LANCZOS) for one in to_pixels(small)]
    return to_images(np.stack([np.asarray(one) for one in made]))


BESIDE = 8
"""Pixels beside the edge of a tile, where there is none."""


def seam(x: Tensor, side: int, overlap: int, beside: int = 0) -> float:
    """Mean absolute difference of neighbouring pixels across the edges of tiles of a picture (1, 3, S, S), or so many
    pixels beside them; over all pixels where there is one tile only."""
    begins = starts(x.shape[-1] // FACTOR, side, overlap)
    edges = sorted({FACTOR * at for a in begins for at in (a, a + side)} - {0, x.shape[-1]}) if len(begins) > 1 else []
    down, right = x.diff(dim=2).abs(), x.diff(dim=3).abs()
    if not edges:
        return float((down.mean() + right.mean()) / 2)
    at = torch.tensor(sorted({edge - 1 + way for edge in edges for way in {-beside, beside}}))
    return float((down[:, :, at].mean() + right[..., at].mean()) / 2)


def pooled_gain(plain: Sequence[float], own: Sequence[float]) -> float:
    """dB by which the mean squared error over all pictures is smaller."""
    a, b = (sum(10 ** (-one / 10) for one in many) for many in (plain, own))
    return float(10 * np.log10(a / b))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="an enhancer or a hierarchy, exported; the shipped one if none")
    parser.add_argument("--drawn", default="tranh-1", help="a model that draws half of the pictures; empty for none")
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--from", type=int, default=64, dest="side", help="pixels of the small pictures")
    parser.add_argument("--level", default="full")
    parser.add_argument("--steps", type=int, default=4, help="of the sampled picture")
    parser.add_argument("--tile", type=int, nargs=2, help="side and overlap of tiles; as the model says if none")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("upscale"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    system = default(args.model)
    model = able(system, args.model or "the shipped model")
    tile = tuple(args.tile or getattr(system, "tile", (64, 16)))
    drawer = models.load(args.drawn) if args.drawn else None
    judge = Judge(models.verifier())
    found: dict[str, dict[str, list[float]]] = {maker: defaultdict(list) for maker in MAKERS}
    rows: list[Tensor] = []
    words: list[str] = []
    several = cases(judge, args.count, drawer, level=args.level, size=args.side, seed=args.seed)
    for k, case in enumerate(islice(several, args.count)):
        true, small = pair(case, args.side)
        made = {"lanczos": lanczos(small)}
        for maker, steps in (("mean", 1), ("sampled", args.steps)):
            begun = time.perf_counter()
            *_, last = enlarged(model, small, [case.seed], steps)
            found[maker]["seconds"].append(time.perf_counter() - begun)
            made[maker] = last.x
        for maker, x in made.items():
            judged(found[maker], case, true, small, x, judge, tile)
        if len(rows) < 24:
            rows += [F.interpolate(small, scale_factor=FACTOR)[0], *(made[maker][0] for maker in MAKERS)]
            words += [f"{case.origin}, {args.side} px", *MAKERS]
        print(f"{k + 1} of {args.count}", end="\r", flush=True)
        if due(k + 1):
            save(args, found, rows, words)
    print(table(save(args, found, rows, words)))


def save(
    args: argparse.Namespace, found: dict[str, dict[str, list[float]]], rows: Sequence[Tensor], words: Sequence[str]
) -> dict[str, Any]:
    """Write what is known; the figures are returned."""
    told = figures(found)
    write_json(args.out / f"upscale-{args.side}.json", told | {"settings": {**vars(args), "out": str(args.out)}})
    with replacing(args.out / f"upscale-{args.side}.png") as part:
        sheet(torch.stack(list(rows)), list(words), columns=8, side=FACTOR * 64).save(part, "PNG")
    return told


def pair(case: Case, side: int) -> tuple[Tensor | None, Tensor]:
    """A true large picture, if there is one, and the small one, (1, 3, side, side), in 8 bits."""
    if case.origin != "render":
        return None, to_images(to_pixels(case.image[None]))
    true = to_images(render(case.scene, FACTOR * side)[None])
    return true, to_images(to_pixels(F.avg_pool2d(true, FACTOR)))


def judged(
    to: dict[str, list[float]], case: Case, true: Tensor | None, small: Tensor, x: Tensor, judge: Judge,
    tile: tuple[int, int],
) -> None:  # fmt: skip
    """Add what there is to say of one large picture."""
    again = F.avg_pool2d(x, FACTOR)
    to["seam"].append(seam(x, *tile))
    to["beside"].append(seam(x, *tile, BESIDE))
    to["reduced again"].append(float(psnr(again, small)))
    kept = verdict(judge, case.scene, [], F.adaptive_avg_pool2d(x, 64)[0]).kept
    to["facts right"].append(float(sum(kept)))
    to["facts"].append(float(len(kept)))
    if true is None:
        return
    to["psnr"].append(float(psnr(x, true)))
    to["sharpness"].append(float(sharpness_difference(x, true)))
    to["own seam"].append(seam(x, *tile))
    to["seam of true"].append(seam(true, *tile))


def figures(found: dict[str, dict[str, list[float]]]) -> dict[str, Any]:
    """Means with intervals, by maker."""
    out: dict[str, Any] = {}
    for maker, many in found.items():
        told: dict[str, Interval] = {
            "PSNR, mean of pictures, dB": bootstrap(many["psnr"]),
            "sharpness difference, dB": bootstrap(many["sharpness"]),
            "reduced again, dB": bootstrap(many["reduced again"]),
            "facts right": bootstrap(many["facts right"], many["facts"]),
            "gradient across tile edges / of the true picture there": bootstrap(many["own seam"], many["seam of true"]),
            "gradient across tile edges / 8 px beside them": bootstrap(many["seam"], many["beside"]),
        }
        if maker != "lanczos":
            plain = found["lanczos"]["psnr"]
            told["PSNR more than Lanczos, dB"] = paired(plain, many["psnr"])
            told["seconds"] = bootstrap(many["seconds"])
        out[maker] = {name: asdict(one) for name, one in told.items()}
        if maker != "lanczos":
            out[maker]["seconds of the slowest picture"] = max(many["seconds"])
            out[maker]["more than Lanczos by the error over all pictures, dB"] = pooled_gain(plain, many["psnr"])
    return out


def table(told: dict[str, Any]) -> str:
    """Markdown."""
    names = list(dict.fromkeys(name for one in told.values() for name in one))
    lines = ["| |" + "|".join(f" {maker} " for maker in told) + "|", "|---|" + "--:|" * len(told)]
    for name in names:
        cells = []
        for one in told.values():
            value = one.get(name)
            if isinstance(value, dict):
                cells.append(f" {value['value']:.3g} [{value['low']:.3g}, {value['high']:.3g}] ")
            else:
                cells.append(" " if value is None else f" {value:.2f} ")
        lines.append(f"| {name} |" + "|".join(cells) + "|")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
