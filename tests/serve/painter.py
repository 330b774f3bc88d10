"""A model that has some tools, sizes and samplers, and draws one colour in no time."""

from __future__ import annotations

import base64
import io
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from PIL import Image

from tranh.recipes.pictures import Pictures
from tranh.recipes.tools import TOOLS
from tranh.serve.orders import Order, Refused, Work
from tranh.types import Event, TranhError

WORDS = {"a", "red", "blue", "circle", "square", "mèo", "đỏ"}


class Painter:
    """Draws the seed as a colour; img2img gives the picture that was sent, inpaint draws into it.

    Args:
        pause: seconds each step takes.
    """

    created = 1_700_000_000

    def __init__(self, name: str = "painter", pause: float = 0.0, sizes: tuple[int, ...] = (64, 256)) -> None:
        self.name, self.pause = name, pause
        has = ("generate", "img2img", "inpaint")
        tools = {tool: {one.name: told(one) for one in TOOLS[tool].fields} for tool in has}
        self.about: Mapping[str, Any] = {
            "size": sizes[0], "sizes": list(sizes), "steps": 4, "guidance": 2.0, "samplers": ["ddim", "dpm++"],
            "tools": tools,
        }  # fmt: skip
        self.asked: list[Order] = []

    def ready(self, order: Order, pictures: Callable[[str], Image.Image]) -> Work:
        request = dict(order.request)
        if order.tool not in self.about["tools"]:
            raise TranhError(f"there is no tool {order.tool!r}")
        for name in request:
            if name not in self.about["tools"][order.tool]:
                raise Refused(f"there is no field {name!r}", param=name)
        sent = {name: pictures(request[name]).copy() for name in ("image", "mask") if request.get(name)}
        reading = self.understand(str(request.get("prompt", "")))
        if reading["unknown"] and not request.get("allow_unknown"):
            raise TranhError(f"{reading['unknown'][0]['word']!r} is unknown to this model")
        self.asked.append(order)
        count, steps = int(request.get("count") or 1), int(request.get("steps") or 4)

        def events() -> Iterator[Event]:
            made, settings = [], []
            for k in range(count):
                seed = int(request.get("seed") or 0) + k
                size = int(request.get("size") or 64)
                colour = (seed % 256, 100, 200)
                for step in range(steps):
                    time.sleep(self.pause)
                    yield Event("draw", k * steps + step + 1, count * steps, preview=lambda: Image.new("RGB", (8, 8)))
                image = sent["image"].convert("RGB") if "image" in sent else Image.new("RGB", (size, size), colour)
                image.putpixel((0, 0), colour)
                if "mask" in sent:
                    image.paste(colour, mask=sent["mask"].convert("L"))
                made.append(image)
                settings.append({
                    "prompt": request["prompt"], "negative_prompt": request.get("negative_prompt", ""), "seed": seed,
                    "steps": steps, "guidance": request.get("guidance", 2.0), "size": image.width, "model": self.name,
                    "hash": "0123456789abcdef", **({"sampler": request["sampler"]} if "sampler" in request else {}),
                })  # fmt: skip
            yield Event("draw", count * steps, count * steps, result=Pictures(made, reading["notices"], settings))

        return Work(count * steps, events)

    def understand(self, prompt: str) -> Mapping[str, Any]:
        unknown = [word for word in dict.fromkeys(re.findall(r"[^\W_]+", prompt.lower())) if word not in WORDS]
        notices = [f"{word!r} is unknown" for word in unknown]
        near = [{"word": word, "near": ["circle"] if word.startswith("circ") else []} for word in unknown]
        return {"understood": prompt.lower(), "language": "en", "notices": notices, "unknown": near}


def told(field: Any) -> dict[str, Any]:
    names = ("kind", "default", "low", "high", "choices", "needed", "many")
    return {name: getattr(field, name) for name in names}


def png(colour: tuple[int, int, int] = (9, 8, 7), size: tuple[int, int] = (32, 32)) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", size, colour).save(data, "PNG")
    return data.getvalue()


def as_text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def shown(text: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(text, validate=True)), formats=("PNG",)).convert("RGB")
