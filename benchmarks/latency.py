"""How long one picture takes: warm, stage by stage, and from the start of a process to the file.

python benchmarks/latency.py [--model tranh-1] [--size 256]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tranh

PROMPT = "a large red circle above a small blue square"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="tranh-1")
    parser.add_argument("--size", type=int, default=None)
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    system = tranh.load(args.model)
    system.generate(PROMPT, size=args.size)
    warm = []
    for seed in range(args.repeats):
        start = time.perf_counter()
        system.generate(PROMPT, seed=seed, size=args.size)
        warm.append(time.perf_counter() - start)
    print(
        f"warm, one picture of {args.size or system.size} px: "
        f"median {statistics.median(warm):.2f} s, worst {max(warm):.2f} s"
    )
    cold = []
    with tempfile.TemporaryDirectory() as folder:
        size = ["--size", str(args.size)] if args.size else []
        for k in range(3):
            start = time.perf_counter()
            out = Path(folder) / f"{k}.png"
            command = [sys.executable, "-m", "tranh", PROMPT, "-o", str(out), "--model", args.model, *size]
            subprocess.run(command, check=True, capture_output=True)
            assert out.is_file()
            cold.append(time.perf_counter() - start)
    print(f"process start to file: median {statistics.median(cold):.2f} s, worst {max(cold):.2f} s")


if __name__ == "__main__":
    main()
