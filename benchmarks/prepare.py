"""What preparing costs beyond decoding and resizing: `prepare` to shards against Pillow alone, in turns, in one run.

Pillow alone: as many processes as `prepare` has, fed the same files fifty at a time, and for each picture
`Image.open(file).convert("RGB")` and `.resize((256, 256))` (Pillow's own filter, bicubic) of the middle square, nothing
kept. `prepare` also reads captions, cleans them, hashes, looks for doubles, encodes, and writes shards and a manifest.
Both are timed from the first call to the last result, with the start of the processes.

python benchmarks/prepare.py [--count 2000] [--rounds 5] [--workers N] [--sides 384,480] [--square]
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from tranh.data.prepare import CHUNK, prepare
from tranh.data.ready import Options
from tranh.data.workers import CONTEXT, available

SIZE = 256


def draw(folder: Path, sides: list[int], square: bool, index: int) -> None:
    """A JPEG with the spectrum of a photograph (amplitude 1/f), no two alike; square, or 4:3, upright or not."""
    rng = np.random.default_rng(index)
    short = sides[index % len(sides)]
    long = short if square else short * 4 // 3
    width, height = (long, short) if index // len(sides) % 3 else (short, long)
    pixels = np.full((height, width, 3), 128, np.float32)
    for octave in range(2, 8):
        noise = rng.normal(0, 90 / 1.6**octave, (2**octave, 2**octave, 3)).astype(np.float32)
        layers = [Image.fromarray(noise[..., c]).resize((width, height), Image.Resampling.BICUBIC) for c in range(3)]
        pixels += np.stack([np.asarray(layer) for layer in layers], -1)
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / f"{index:06d}.jpg", quality=90)


def make(folder: Path, count: int, sides: list[int], square: bool = False) -> list[Path]:
    """A folder of captioned pictures."""
    folder.mkdir()
    with ProcessPoolExecutor(mp_context=CONTEXT) as pool:
        list(pool.map(partial(draw, folder, sides, square), range(count), chunksize=50))
    lines = [{"file_name": f"{i:06d}.jpg", "text": f"picture number {i} of a benchmark"} for i in range(count)]
    (folder / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return [folder / line["file_name"] for line in lines]


def pillow(file: Path, filter: Image.Resampling) -> None:
    """What the peer does to one picture."""
    image = Image.open(file).convert("RGB")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image.resize((SIZE, SIZE), filter, (left, top, left + side, top + side))


def pillow_alone(pictures: list[Path], workers: int, filter: Image.Resampling) -> None:
    with ProcessPoolExecutor(workers, CONTEXT) as pool:
        for _ in pool.map(partial(pillow, filter=filter), pictures, chunksize=CHUNK):
            pass


def ours(folder: Path, workers: int) -> None:
    with tempfile.TemporaryDirectory() as out:
        *_, last = prepare(folder, Path(out), Options(size=SIZE), workers=workers)
        assert last.result["kept"] == last.result["seen"], last.result["left"]


def measured(work: Callable[[], None]) -> tuple[float, float]:
    """Seconds by the clock, and seconds of all cores together."""

    def burned() -> float:
        uses = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return sum(use.ru_utime + use.ru_stime for use in uses)

    start, before = time.perf_counter(), burned()
    work()
    return time.perf_counter() - start, burned() - before


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=available())
    parser.add_argument("--sides", default="384,480", help="shorter sides of the pictures, in turn")
    parser.add_argument("--square", action="store_true", help="square pictures; else 4:3")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "pictures"
        pictures = make(folder, args.count, [int(side) for side in args.sides.split(",")], args.square)
        size = statistics.mean(p.stat().st_size for p in pictures) / 1024
        shape = "square" if args.square else "4:3"
        about = f"{size:.0f} KiB on average; {args.workers} processes"
        print(f"{args.count} {shape} JPEGs, shorter sides {args.sides}, {about}")
        works = {
            "Pillow alone, bicubic": partial(pillow_alone, pictures, args.workers, Image.Resampling.BICUBIC),
            "Pillow alone, Lanczos": partial(pillow_alone, pictures, args.workers, Image.Resampling.LANCZOS),
            "prepare": partial(ours, folder, args.workers),
        }
        pillow_alone(pictures, args.workers, Image.Resampling.BICUBIC)  # so that all read files the system has at hand
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
        for _ in range(args.rounds):
            for name, work in works.items():
                taken[name].append(measured(work))
        for name, times in taken.items():
            clock, cores = (statistics.median(column) for column in zip(*times, strict=True))
            print(f"{name}: {args.count / clock:.0f} pictures/s, {1000 * cores / args.count:.2f} ms of a core each")
            if name != "prepare":
                shares = [[one[k] / own[k] for one, own in zip(times, taken["prepare"], strict=True)] for k in (0, 1)]
                speed, work_ = (statistics.median(share) for share in shares)
                worst, best = min(shares[0]), max(shares[0])
                print(f"  prepare reaches {speed:.0%} of it ({worst:.0%} to {best:.0%}); by time of cores {work_:.0%}")


if __name__ == "__main__":
    main()
