"""Share of the machine's bf16 matrix peak that training the decoder uses; both measured in this run.

    python benchmarks/mfu.py [--batch 64] [--steps 8] [--patch 8]

Peak: the best rate of square products 1024, 2048, 3072 and 4096 and of the decoder's own shapes. Work: floating-point
operations of forward and backward as counted by torch, over the time of whole optimiser steps of the training loop.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from torch.utils.flop_counter import FlopCounterMode

from tranh.engine.muon import block_rows
from tranh.engine.step import Stepper, make_accelerator
from tranh.families.decoder import Decoder
from tranh.types import Batch, Stage

SQUARES = [(n, n, n) for n in (1024, 2048, 3072, 4096)]


def rate(m: int, n: int, k: int, dtype: torch.dtype) -> float:
    """Best of five blocks of a product (m, k) x (k, n), in GFLOP/s."""
    a, b = torch.randn(m, k).to(dtype), torch.randn(k, n).to(dtype)
    repeats = max(1, int(2e10 / (2 * m * n * k)))
    best = 0.0
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(repeats):
            a @ b
        best = max(best, 2 * m * n * k * repeats / (time.perf_counter() - start) / 1e9)
    return best


def example(batch: int, patch: int, words: int = 32) -> Batch:
    g = torch.Generator().manual_seed(0)
    clip = torch.nn.functional.normalize(torch.randn(batch, 128, generator=g), dim=-1)
    tokens = torch.randint(4, 1300, (batch, words), generator=g)
    labels = {"patches": torch.randint(0, 3, (batch, (64 // patch) ** 2, 5), generator=g)}
    images = torch.rand(batch, 3, 64, 64, generator=g) * 2 - 1
    return Batch(images, [""] * batch, tokens, tokens > 0, torch.arange(batch), labels, {"clip.image": clip})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--patch", type=int, default=8)
    args = parser.parse_args()
    rows, d = args.batch * (64 // args.patch) ** 2, 384
    shapes = [*SQUARES, (rows, 3 * d, d), (rows, 1056, d), (rows, d, 1056)]
    print("product (m, n, k)        bf16 GFLOP/s   fp32 GFLOP/s")
    peaks = {}
    for shape in shapes:
        peaks[shape] = rate(*shape, torch.bfloat16)
        print(f"{shape!s:24} {peaks[shape]:12.0f} {rate(*shape, torch.float32):14.0f}")
    stage = Stage("decoder", batch=args.batch, steps=1000)
    family = Decoder(vocab=1400, patch_size=args.patch, label_sizes=[25, 11, 3, 3, 6])
    stepper, batch = Stepper(stage, family, make_accelerator()), example(args.batch, args.patch)
    with FlopCounterMode(display=False) as counter:
        stepper(batch, 0)
    # The optimiser's own products (Muon) are overhead, not work: only forward and backward count.
    flops = sum(sum(ops.values()) for name, ops in counter.get_flop_counts().items() if name == "Global")
    muon = _muon_flops(family)
    times = []
    for step in range(1, args.steps + 1):
        start = time.perf_counter()
        stepper(batch, step)
        times.append(time.perf_counter() - start)
    seconds, peak = statistics.median(times), max(peaks.values())
    achieved = (flops - muon) / seconds / 1e9
    print(f"decoder, {args.batch} pictures of {args.patch} px patches: {args.batch / seconds:.1f} images/s")
    print(f"{achieved:.0f} GFLOP/s of forward and backward = {achieved / peak:.1%} of the peak of {peak:.0f} GFLOP/s")


def _muon_flops(family: Decoder, iterations: int = 5) -> float:
    """Newton-Schulz of Muon: per iteration and block two products of the smaller side with the larger, one square."""
    total = 0.0
    for group in family.param_groups("train"):
        if group.optimizer == "muon":
            for rows, columns in (p.shape for p in group.params):
                block = block_rows(rows)
                small, large = sorted((block, columns))
                total += rows // block * iterations * (2 * small * small * large * 2 + 2 * small**3)
    return total


if __name__ == "__main__":
    main()
