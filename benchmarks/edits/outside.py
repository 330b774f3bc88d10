"""The warning measured: how often it comes for held-out pictures of Scenes, and for parts of two photographs.

python benchmarks/edits/outside.py [--model tranh-1] [--count 10]
"""

from __future__ import annotations

import argparse

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

from tranh.data.fit import square
from tranh.nn.pixels import to_images
from tranh.recipes import models, outside
from tranh.recipes.judge import renders

PARTS = ((0, 0, 427, 427), (213, 0, 640, 427), (100, 100, 228, 228), (200, 200, 264, 264), (300, 50, 500, 250))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tranh-1")
    parser.add_argument("--count", type=int, default=10, help="pictures of each level and split")
    args = parser.parse_args()
    model = models.load(args.model)
    sets = [
        renders(level, split, range(10, 10 + args.count))
        for level in ("one", "two", "full")
        for split in ("test", "unseen")
    ]
    photos = [Image.fromarray(pixels).crop(box) for pixels in load_sample_images().images for box in PARTS]
    for name, many in (
        ("Scenes", [x[None] for some in sets for x in some]),
        ("photographs", [to_images(np.asarray(square(photo, outside.SIDE))[None]) for photo in photos]),
    ):
        gains = sorted(outside.familiar(model, x) for x in many)
        warned = sum(gain < outside.LEAST for gain in gains)
        print(f"{name}: {warned} of {len(gains)} warned of; gains {gains[0]:.2f} to {gains[-1]:.2f} dB, median "
              f"{gains[len(gains) // 2]:.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
