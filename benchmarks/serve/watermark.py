"""What the invisible watermark costs and survives, and how often it is seen where it is not.

    python benchmarks/serve/watermark.py [--count 40] [--keys 20000]

Prints three tables in Markdown: for each kind of picture and each treatment the share still told as marked and the
median z; the null against its closed form; bytes and seconds of marking and looking. Photographs are cut from the two
that scikit-learn ships. Nothing is downloaded and nothing is trained.
"""

from __future__ import annotations

import argparse
import datetime
import io
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image
from scipy.special import erfc
from sklearn.datasets import load_sample_images

from tranh.data.scenes.draw import render
from tranh.data.scenes.layout import scene
from tranh.engine.picture import encoded
from tranh.recipes.marks import credentials, keys, provenance, watermark
from tranh.recipes.marks.watermark import RATE, detect, embed, signs

KEY = b"benchmark".ljust(32)


def saved(image: Image.Image, format: str, **options: object) -> Image.Image:
    out = io.BytesIO()
    image.save(out, format, **options)
    return Image.open(io.BytesIO(out.getvalue())).convert("RGB")


def resized(image: Image.Image, share: float) -> Image.Image:
    size = round(image.width * share), round(image.height * share)
    return image.resize(size, Image.Resampling.BICUBIC)


def cut(image: Image.Image, share: float) -> Image.Image:
    """The lower right corner, from a place that is no corner of a block."""
    left, top = (max(1, round(side * share)) | 1 for side in image.size)
    return image.crop((left, top, image.width, image.height))


TREATMENTS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "PNG": lambda image: saved(image, "PNG"),
    "JPEG 90": lambda image: saved(image, "JPEG", quality=90),
    "JPEG 75": lambda image: saved(image, "JPEG", quality=75),
    "JPEG 50": lambda image: saved(image, "JPEG", quality=50),
    "WebP 80": lambda image: saved(image, "WEBP", quality=80),
    "x 2": lambda image: resized(image, 2),
    "x 1.5": lambda image: resized(image, 1.5),
    "x 0.5": lambda image: resized(image, 0.5),
    "cut 1/8": lambda image: cut(image, 1 / 8),
    "cut 1/3": lambda image: cut(image, 1 / 3),
    "turned 2°": lambda image: image.rotate(2, Image.Resampling.BICUBIC),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
}


def scenes(count: int, side: int) -> list[Image.Image]:
    return [Image.fromarray(render(scene(("one", "two")[k % 2], "test", k), side)) for k in range(count)]


def photographs(count: int, side: int) -> list[Image.Image]:
    whole, rng = [Image.fromarray(pixels) for pixels in load_sample_images().images], np.random.default_rng(0)
    out = []
    for k in range(count):
        image = whole[k % len(whole)]
        part = int(rng.integers(max(side, 128), min(image.size) + 1)) if side < min(image.size) else min(image.size)
        left, top = (int(rng.integers(0, edge - part + 1)) for edge in image.size)
        cut_out = image.crop((left, top, left + part, top + part))
        out.append(cut_out.resize((side, side), Image.Resampling.LANCZOS))
    return out


def flat(count: int, side: int) -> list[Image.Image]:
    rng = np.random.default_rng(1)
    colours = [(255, 255, 255), (0, 0, 0), (255, 0, 0), *map(tuple, rng.integers(0, 256, (count, 3)).tolist())]
    return [Image.new("RGB", (side, side), colour) for colour in colours[:count]]


def noise(count: int, side: int) -> list[Image.Image]:
    rng = np.random.default_rng(2)
    return [Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)) for _ in range(count)]


def psnr(a: Image.Image, b: Image.Image) -> float:
    difference = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    return float(10 * np.log10(255.0**2 / max(1e-9, float(np.mean(difference**2)))))


def survival(count: int) -> None:
    few = max(4, count // 4)
    sets = {
        "Scenes 64": scenes(count, 64), "Scenes 128": scenes(count, 128), "Scenes 256": scenes(few, 256),
        "photographs 64": photographs(count, 64), "photographs 128": photographs(count, 128),
        "photographs 256": photographs(few, 256), "flat 64": flat(count, 64), "noise 64": noise(count, 64),
    }  # fmt: skip
    print("| pictures | PSNR dB, least / median |", " | ".join(TREATMENTS), "|")
    print("|---|---|" + "---|" * len(TREATMENTS))
    for name, pictures in sets.items():
        made = [embed(picture, KEY) for picture in pictures]
        quality = [psnr(a, b) for a, b in zip(made, pictures, strict=True)]
        cells = []
        for treat in TREATMENTS.values():
            read = [detect(treat(picture), KEY) for picture in made]
            cells.append(f"{np.mean([r.found for r in read]):.0%} ({median(r.z for r in read):.0f})")
        print(f"| {name} ({len(pictures)}) | {min(quality):.1f} / {median(quality):.1f} |", " | ".join(cells), "|")


def null(count: int, many: int) -> None:
    patterns = np.stack([signs(b"%d" % k) for k in range(many)]).reshape(many, -1)
    levels = (2.0, 3.0, 4.0)
    print(f"\n| unmarked, each by {many} keys | mean z | variance |", " | ".join(f"z >= {x:g}" for x in levels), "|")
    print("|---|---|---|" + "---|" * len(levels))
    normal = " | ".join(f"{0.5 * erfc(x / 2**0.5):.2e}" for x in levels)
    print(f"| closed form (normal tail) | 0 | 1 | {normal} |")
    kinds = {"Scenes": scenes, "photographs": photographs, "noise": noise}
    for name, make in kinds.items():
        z = []
        for picture in make(count, 64):
            folded = watermark._folded(watermark._grey(picture)).ravel()
            z.append(patterns @ folded / max(float(np.linalg.norm(folded)), 1e-9))
        all_z = np.concatenate(z)
        shares = " | ".join(f"{np.mean(all_z >= x):.2e}" for x in levels)
        print(f"| {name} 64 ({count}) | {all_z.mean():+.4f} | {all_z.var():.4f} | {shares} |")
    pictures = [*scenes(5 * count, 64), *photographs(5 * count, 64), *noise(2 * count, 64), *flat(2 * count, 64)]
    read = [detect(picture, KEY) for picture in pictures]
    least = min(reading.rate for reading in read)
    print(f"\nThe whole detector, every place searched: {sum(r.found for r in read)} of {len(read)} told as marked.")
    print(f"The least rate that one read is {least:.1g}; a mark is told from {RATE:g} on.")


def seconds(work: Callable[[], object]) -> float:
    """The least CPU time of five."""
    times = []
    for _ in range(5):
        begun = time.process_time()
        work()
        times.append(time.process_time() - begun)
    return min(times)


def cost() -> None:
    print("\n| side | watermark ms | settings, PNG ms | signature ms, bytes | read, marked ms | read, unmarked ms |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        own = keys(Path(folder) / "keys")
        for side in (64, 256, 512):
            image, said = photographs(1, side)[0], {"prompt": "a"}
            drawn = embed(image, own.mark)
            file = encoded(drawn, "PNG", said)
            signed = credentials.signed(file, "PNG", own, model="a", created=datetime.datetime.now(datetime.UTC))
            work: list[Callable[[], object]] = [
                partial(embed, image, own.mark),
                partial(encoded, drawn, "PNG", said),
                partial(credentials.signed, file, "PNG", own, model="a", created=datetime.datetime.now(datetime.UTC)),
                partial(provenance, signed, own),
                partial(detect, image, own.mark),
            ]
            mark, png, sign, read, search = (f"{1000 * seconds(one):.0f}" for one in work)
            print(f"| {side} | {mark} | {png} | {sign}, {len(signed) - len(file)} | {read} | {search} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=40, help="pictures of each kind")
    parser.add_argument("--keys", type=int, default=20_000, help="keys that each unmarked picture is read with")
    given = parser.parse_args()
    survival(given.count)
    null(given.count, given.keys)
    cost()


if __name__ == "__main__":
    main()
