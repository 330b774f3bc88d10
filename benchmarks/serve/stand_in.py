"""A server whose model draws in no time, as a process: for measurements of what is around a model.

python benchmarks/serve/stand_in.py --port 8011 --data runs/stand-in --step 0.02
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from tranh.engine.doors import Doors
from tranh.engine.jobs import Engine
from tranh.recipes.pictures import Pictures
from tranh.serve.app import Settings, create_app
from tranh.serve.desk import Desk
from tranh.serve.limits import Patience
from tranh.serve.orders import Order, Work
from tranh.serve.process import opened, server
from tranh.serve.store import Store
from tranh.types import Event


class StandIn:
    """Draws the seed as a colour; ``step`` seconds for each of its steps.

    Args:
        step: seconds.
    """

    name, created = "stand-in", 1_700_000_000

    def __init__(self, step: float) -> None:
        self.step = step
        self.about: Mapping[str, Any] = {"size": 64, "sizes": [64], "steps": 8, "tools": {"generate": {}}}

    def ready(self, order: Order, pictures: Callable[[str], Image.Image]) -> Work:
        told: dict[str, Any] = {"prompt": "", "seed": 0, "steps": 8, "count": 1} | dict(order.request)
        steps, count, seed = int(told["steps"]), int(told["count"]), int(told["seed"])

        def events() -> Iterator[Event]:
            for done in range(steps * count):
                time.sleep(self.step)
                yield Event("draw", done + 1, steps * count)
            seeds = range(seed, seed + count)
            images = [Image.new("RGB", (64, 64), (s % 256, s // 256 % 256, 99)) for s in seeds]
            settings = [{"prompt": told["prompt"], "seed": s, "steps": steps, "model": self.name} for s in seeds]
            yield Event("draw", steps * count, steps * count, result=Pictures(images, [], settings))

        return Work(steps * count, events)

    def understand(self, prompt: str) -> Mapping[str, Any]:
        return {"understood": prompt, "language": "en", "notices": [], "unknown": []}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8011)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--step", type=float, default=0.02, help="seconds")
    parser.add_argument("--active", type=int, default=16)
    parser.add_argument("--waiting", type=int, default=256)
    args = parser.parse_args()
    with opened("127.0.0.1", args.port) as (listening, _):
        desk = Desk([StandIn(args.step)], Engine(Doors(), args.active, args.waiting), Store(args.data))
        patience = Patience()
        try:
            server(create_app(desk, Settings(host="127.0.0.1")), patience).run_until_told(listening)
        finally:
            desk.close(grace=1.0)


if __name__ == "__main__":
    main()
