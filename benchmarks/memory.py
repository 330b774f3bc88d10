"""Is the guard against copying right? False alarms and copies caught on Scenes, and a decoder that learned by heart.

    python benchmarks/memory.py [--steps 2000] [--sheet worst.png]

The index of 1000 and of 5000 training pictures: false alarms among 1000 held-out pictures, copies caught by what was
done to them. Then one small decoder, told nothing but noise, trained on 50 pictures and the same on 5000: samples
beside held-out pictures. The sheets have the worst pairs of both.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tranh.data.scenes.source import drawn
from tranh.diffusion.sample import euler, run, seeded
from tranh.diffusion.schedule import linear
from tranh.families.decoder import Decoder
from tranh.metrics.interval import wilson
from tranh.metrics.look import resized
from tranh.metrics.report import percent
from tranh.nn.pixels import to_images
from tranh.recipes.copying import report
from tranh.recipes.memory import Memory, build
from tranh.recipes.networks import own
from tranh.text.tokenizer import EMPTY
from tranh.types import Batch, Phase

LEVELS = ("one", "two", "full")
SIDE = 32
"""Pixels of the small decoder."""
CACHED = {"train": 40000, "validation": 2048}


def batches(split: str, start: int, count: int, side: int = 64) -> Iterator[tuple[list[str], Tensor]]:
    """The scenes ``start`` to ``start + count`` of a split, a third of each level."""
    for at in range(start, start + count, 60):
        which = range(at, min(at + 60, start + count))
        pixels = np.stack([drawn(LEVELS[i % 3], split, 64, CACHED[split])[i // 3] for i in which])
        yield [f"{LEVELS[i % 3]}/{split}/{i // 3}" for i in which], resized(to_images(pixels), side)


def alarms(memory: Memory) -> str:
    ratios = torch.cat([memory.look_up(images).ratio for _, images in batches("validation", 0, 1000)])
    found = wilson(int((ratios < memory.limit.value).sum()), len(ratios))
    return f"{100 * found.value:.1f} % [{100 * found.low:.1f}, {100 * found.high:.1f}]"


def learned(count: int, steps: int, seed: int = 0) -> Decoder:
    """A small decoder after some steps on ``count`` pictures and the empty caption."""
    torch.manual_seed(seed)
    decoder = Decoder(
        vocab=16, max_len=4, clip_dim=None, text_dim=32, text_depth=1, text_heads=2, image_size=SIDE,
        hidden_size=160, depth=4, num_heads=4, label_tap=1,
    )  # fmt: skip
    images = torch.cat([x for _, x in batches("train", 0, count, SIDE)])
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=2e-3, betas=(0.9, 0.95), weight_decay=0.0)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, steps, pct_start=0.05)
    dice, phase = np.random.default_rng(seed), Phase("train", 0, steps, torch.Generator().manual_seed(seed))
    tokens = torch.tensor(EMPTY)[None]
    for _ in range(steps):
        chosen = torch.from_numpy(dice.choice(count, 32))
        some = tokens.expand(32, -1)
        batch = Batch(images[chosen], [""] * 32, some, torch.ones_like(some, dtype=torch.bool), chosen)
        with torch.autocast("cpu", torch.bfloat16):
            loss = decoder(batch, phase)["loss"]
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
        optimizer.step()
        rate.step()
    return decoder.eval()


@torch.no_grad()
def samples(decoder: Decoder, count: int) -> list[tuple[list[str], Tensor]]:
    tokens = torch.tensor(EMPTY)[None].expand(count, -1)
    denoise = decoder.guided(tokens, torch.ones_like(tokens, dtype=torch.bool), None, 1.0)
    x = run(euler(denoise, seeded(range(count), (3, SIDE, SIDE))(), linear(16, last=0.05))).clamp(-1, 1)
    return [([f"seed {i}" for i in range(count)], x)]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--trained", default="50,5000", help="numbers of pictures the decoders are trained on")
    parser.add_argument("--sheet", type=Path)
    args = parser.parse_args()
    print("| training pictures | limit | false alarms | caught: |")
    for n in (1000, 5000):
        memory = build(batches("train", 0, n))
        caught = ", ".join(f"{what} {100 * share:.0f} %" for what, share in memory.caught.items())
        print(f"| {n} | {memory.limit.value:.3f} | {alarms(memory)} | {caught} |", flush=True)
    held_out = list(batches("validation", 1200, args.count, SIDE))
    for n in map(int, args.trained.split(",")):
        begun = time.monotonic()
        memory = build(batches("train", 0, n, SIDE), network=own())
        decoder = learned(n, args.steps)
        pixels = {key: image for keys, images in batches("train", 0, n, SIDE) for key, image in zip(keys, images)}
        found = report(memory, samples(decoder, args.count), held_out, pixels.__getitem__, own())
        share, floor, near = (found.figures[k] for k in ("share", "floor", "nearer"))
        told = ", ".join(f"{way} {x['value']:.2f} [{x['low']:.2f}, {x['high']:.2f}]" for way, x in near.items())
        print(
            f"decoder on {n}: near copies {percent(share)}, held out {percent(floor)}, "
            f"copies: {found.figures['copies']}; nearer: {told}; promised {memory.limit.alarm:.3f}; "
            f"{time.monotonic() - begun:.0f} s",
            flush=True,
        )
        if args.sheet:
            found.sheet.save(args.sheet.with_stem(f"{args.sheet.stem}-{n}"))


if __name__ == "__main__":
    main()
