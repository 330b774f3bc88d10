"""Enhancement measured: worn pictures before and after, by what was done to them, and corners of skewed ones.

python benchmarks/edits/enhance.py [--model DIR] [--count 200] [--size 64] [--level full] [--out FOLDER]

Half are held-out renders and half drawn by tranh-1, of ``test`` and ``unseen`` combinations; the picture before it was
worn is the truth. Beside PSNR the verifier tells how many facts the worn and the mended picture show.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from tranh.edits.enhance import able, straightened
from tranh.engine.sheet import sheet
from tranh.files import replacing, write_json
from tranh.metrics.interval import Interval, bootstrap, paired
from tranh.metrics.psnr import psnr
from tranh.nn import degrade
from tranh.recipes import models
from tranh.recipes.edit_cases import Case, cases, verdict
from tranh.recipes.judge import Judge, shrunk
from tranh.recipes.upscale import default

WEAR = ("none", "blur", "noise", "jpeg", "all")


def worn(x: Tensor, kind: str, g: torch.Generator) -> Tensor:
    """Pictures (B, 3, S, S) with one kind of wear in the middle of its range, or all of them."""
    if kind in ("blur", "all"):
        x = degrade.blur(x, torch.full((len(x),), 1.2))
    if kind in ("noise", "all"):
        x = (x + 0.13 * torch.randn(x.shape, generator=g)).clamp(-1, 1)
    if kind in ("jpeg", "all"):
        x = degrade.jpeg(x, [30] * len(x))
    return x


def facts(judge: Judge, some: Sequence[Case], images: Tensor) -> Interval:
    """The share of the facts of cases that pictures (B, 3, S, S) show."""
    kept = [verdict(judge, case.scene, [], x).kept for case, x in zip(some, shrunk(images), strict=True)]
    return bootstrap([sum(one) for one in kept], [len(one) for one in kept])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="an export of `tranh train enhancer`; the shipped one if none")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--level", default="full")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("enhance"))
    args = parser.parse_args()
    model = able(default(args.model, None))
    args.out.mkdir(parents=True, exist_ok=True)
    judge = Judge(models.verifier())
    some = list(cases(judge, args.count, models.load(), level=args.level, size=args.size, seed=args.seed))
    true, g = torch.stack([case.image for case in some]), torch.Generator().manual_seed(args.seed)
    told, rows, words = {}, [], []
    print("| wear | PSNR before, dB | after, dB | gained | facts right before | after |\n|---|--:|--:|--:|--:|--:|")
    for kind in WEAR:
        poor = worn(true, kind, g)
        mended = torch.cat([model.restore(some) for some in torch.split(poor, 8)])
        before, after = (psnr(x, true).clamp(max=60).tolist() for x in (poor, mended))
        one = {"before": bootstrap(before), "after": bootstrap(after), "gained": paired(before, after)}
        one |= {"facts before": facts(judge, some, poor), "facts after": facts(judge, some, mended)}
        told[kind] = {name: asdict(interval) for name, interval in one.items()}
        print(f"| {kind} | {' | '.join(map(str, one.values()))} |", flush=True)
        write_json(args.out / f"enhance-{args.size}.json", told)
        rows += [x for k in range(2) for x in (true[-1 - k], poor[-1 - k], mended[-1 - k])]
        words += ["true", kind, "mended"] * 2
    corners = degrade.held(len(true), g)
    ground = 2 * torch.rand(len(true), 3, generator=g) - 1
    seen = degrade.skew(true, corners, ground)
    off = (torch.cat([model.corners(some) for some in torch.split(seen, 8)]) - corners).abs().mean((1, 2)) / 2
    straight = torch.cat([straightened(model, some)[0] for some in torch.split(seen, 8)])
    left = degrade.unskew(seen, corners)
    told["corners"] = {"off by, share of a side": asdict(bootstrap(off.tolist()))}
    told["straightened"] = {
        "PSNR against straightening by the true corners": asdict(bootstrap(psnr(straight, left).clamp(max=60).tolist()))
    }
    print(f"\ncorners off by {bootstrap(off.tolist())} of a side; straightened {told['straightened']}")
    rows += [x for k in range(4) for x in (true[-1 - k], seen[-1 - k], straight[-1 - k])]
    words += ["true", "skewed", "straightened"] * 4
    write_json(args.out / f"enhance-{args.size}.json", told | {"settings": {**vars(args), "out": str(args.out)}})
    with replacing(args.out / f"enhance-{args.size}.png") as part:
        sheet(torch.stack(rows), words, columns=6).save(part, "PNG")


if __name__ == "__main__":
    main()
