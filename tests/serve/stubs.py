"""A model that draws one colour in no time, for tests of what is around a model."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

from PIL import Image

from tranh.recipes.pictures import Pictures
from tranh.recipes.tools import TOOLS
from tranh.serve.orders import Order, Work
from tranh.types import Event, TranhError


class Stub:
    """Its picture's colour is made of the prompt and the seed. A prompt with "unknownword" is refused, "fail" fails.

    Args:
        pause: seconds each step takes.
    """

    created = 1_700_000_000

    def __init__(self, name: str = "stub", pause: float = 0.0) -> None:
        self.name, self.pause = name, pause
        self.about: Mapping[str, Any] = {"sizes": [64], "steps": 4}
        self.begun = 0

    def ready(self, order: Order, pictures: Callable[[str], Image.Image]) -> Work:
        told = dict(order.request)
        prompt, steps, count = str(told.get("prompt", "")), int(told.get("steps") or 4), int(told.get("count") or 1)
        if "unknownword" in prompt:
            raise TranhError("the model was never taught 'unknownword'")
        side = int(told.get("size") or 64)
        if told.get("image"):
            pictures(str(told["image"]))

        def events() -> Iterator[Event]:
            self.begun += 1
            made, settings = [], []
            for k in range(count):
                seed = int(told.get("seed") or 0) + k
                for step in range(steps):
                    time.sleep(self.pause)
                    yield Event("draw", k * steps + step + 1, count * steps)
                    if "fail" in prompt:
                        raise RuntimeError("secret details")
                colour = (len(prompt) % 256, seed % 256, steps % 256)
                made.append(Image.new("RGB", (side, side), colour))
                settings.append({"prompt": prompt, "seed": seed, "steps": steps, "size": side, "model": self.name})
            yield Event("draw", count * steps, count * steps, result=Pictures(made, [], settings))

        return Work(count * steps, events)

    def understand(self, prompt: str) -> Mapping[str, Any]:
        return {"understood": prompt.lower(), "language": "en", "notices": [], "unknown": []}


FIELDS = {
    "generate": ("prompt", "negative_prompt", "count", "seed", "steps", "guidance", "size"),
    "inpaint": ("image", "mask", "prompt", "count", "seed", "steps", "guidance"),
    "instruct": ("image", "prompt", "count", "seed", "steps", "guidance"),
    "img2img": ("image", "prompt", "strength", "count", "seed", "steps", "guidance"),
    "variation": ("image", "strength", "count", "seed", "steps", "size"),
}


def _fields(tool: str) -> dict[str, dict[str, Any]]:
    """The fields of a tool as a model tells them."""
    found = {field.name: asdict(field) for field in TOOLS[tool].fields}
    return {name: {k: v for k, v in found[name].items() if k != "name"} for name in FIELDS[tool]}


class Able(Stub):
    """A stub that has tools and shows itself at work. ``steps`` counts those done."""

    def __init__(self, name: str = "stub", pause: float = 0.0, tools: tuple[str, ...] = tuple(FIELDS)) -> None:
        super().__init__(name, pause)
        self.about = {"sizes": [64, 256], "steps": 4, "tools": {tool: _fields(tool) for tool in tools}}
        self.steps = 0

    def ready(self, order: Order, pictures: Callable[[str], Image.Image]) -> Work:
        if order.tool not in self.about["tools"]:
            raise TranhError(f"{self.name} cannot do {order.tool}")
        work = super().ready(order, pictures)

        def events() -> Iterator[Event]:
            for event in work.events():
                self.steps += 1
                if "memory" in str(order.request.get("prompt")):
                    raise MemoryError
                yield replace(event, preview=lambda: Image.new("RGB", (64, 64), "grey"))

        return Work(work.cost, events)
