"""Does memory grow with the number of pictures? The peak of `prepare` and of its largest worker, for few and for many.

Each count is prepared by a process of its own, which reports its peak and that of its largest child.

python benchmarks/prepare_memory.py [--counts 1000,50000] [--workers N]
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from tranh.data.prepare import prepare
from tranh.data.ready import Options


def make(folder: Path, count: int) -> None:
    """Small captioned pictures, a thousand to a folder, no two alike."""
    lines = []
    for index in range(count):
        pixels = np.random.default_rng(index).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        out = io.BytesIO()
        Image.fromarray(pixels).resize((64, 64), Image.Resampling.BICUBIC).save(out, "JPEG")
        name = f"{index // 1000:03d}/{index:06d}.jpg"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(out.getvalue())
        lines.append(json.dumps({"file_name": name, "text": f"picture number {index} of a benchmark"}) + "\n")
    (folder / "metadata.jsonl").write_text("".join(lines))


def peak(folder: str, out: str, workers: int) -> None:
    """Prepare, and print what was reached: kept, KiB of this process, KiB of its largest child."""
    *_, last = prepare(folder, Path(out), Options(size=64), workers=workers)
    sizes = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(json.dumps([last.result["kept"], *sizes]))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--counts", default="1000,50000")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--peak", nargs=2, metavar=("FOLDER", "OUT"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peak:
        folder, out = args.peak
        peak(folder, out, args.workers)
        return
    counts = [int(count) for count in args.counts.split(",")]
    peaks = []
    for count in counts:
        with tempfile.TemporaryDirectory() as root:
            make(Path(root) / "in", count)
            command = [sys.executable, __file__, "--workers", str(args.workers), "--peak", f"{root}/in", f"{root}/out"]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
        kept, parent, child = json.loads(done.stdout)
        peaks.append((parent, child))
        print(f"{count} pictures ({kept} kept): parent {parent / 1024:.0f} MiB, largest worker {child / 1024:.0f} MiB")
    for k, name in enumerate(("parent", "largest worker")):
        first, last = peaks[0][k], peaks[-1][k]
        print(f"{name}: {last / first:.2f} times as much for {counts[-1] / counts[0]:.0f} times the pictures")


if __name__ == "__main__":
    main()
