"""What the data costs: making a batch of Scenes against a training step of the decoder, in one run.

python benchmarks/drawing.py [--count 2000]
"""

from __future__ import annotations

import argparse
import statistics
import time

from tranh.data.scenes.draw import render
from tranh.data.scenes.layout import scene
from tranh.engine.step import Stepper, make_accelerator
from tranh.families.decoder import Decoder
from tranh.recipes.sources import scenes_assets, source_of
from tranh.text.tokenizer import Tokenizer
from tranh.types import Stage


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=2000)
    args = parser.parse_args()
    for size in (64, 256):
        start = time.perf_counter()
        for i in range(50):
            render(scene("full", "train", i), size)
        print(f"drawing one picture of {size} px: {20 * (time.perf_counter() - start):.2f} ms")
    assets = scenes_assets()
    data = {"levels": {"one": 0.4, "two": 0.6}, "count": args.count, "patches": 8}
    source = source_of(data, assets)
    family = Decoder(vocab=len(Tokenizer.load(assets["tokenizer.json"])), label_sizes=[25, 11, 3, 3, 6], clip_dim=None)
    stepper = Stepper(Stage("decoder", batch=64, steps=1000), family, make_accelerator())
    making, training = [], []
    for k in range(10):
        start = time.perf_counter()
        batch = source.batch(k, 64, 0)
        middle = time.perf_counter()
        stepper(batch, k)
        making.append(middle - start)
        training.append(time.perf_counter() - middle)
    share = statistics.median(making) / (statistics.median(making) + statistics.median(training))
    print(f"a batch of 64 takes {share:.1%} of a training step of the decoder")


if __name__ == "__main__":
    main()
