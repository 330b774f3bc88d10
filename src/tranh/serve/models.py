"""Loaded models as the desk knows them.

It knows neither HTTP nor what becomes of pictures.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from PIL import Image

from tranh.engine import memory
from tranh.engine.doors import Doors
from tranh.engine.picture import SETTINGS_LIMIT
from tranh.recipes import models
from tranh.recipes.served import Served
from tranh.serve.orders import Order, Refused, Work
from tranh.serve.sources import given_by
from tranh.types import TranhError

KEPT, DRAWN, SMALL = 8, 1024, 2**28
"""Bytes of memory: of a finished pixel and its file; of a pixel in a network, 256 numbers; of what is always let in."""

OTHERS = 1000
"""Bytes of a picture's settings that are no texts of a request."""


class Drawing:
    """A model that draws behind doors.

    Attributes:
        about: ``sizes`` and ``size`` (its own) in pixels; ``steps`` and ``guidance``, null for what it thinks best;
            ``samplers``; ``exact`` and ``tolerance``, see :class:`tranh.recipes.served.Served`; ``tools`` by name, with
            the fields each can be told and what these take.
    """

    def __init__(self, served: Served, created: int = 0) -> None:
        self.served, self.name, self.created = served, served.name, created
        system = served.system
        self.about: Mapping[str, Any] = {
            "size": getattr(system, "size", None),
            "sizes": list(getattr(system, "sizes", ())),
            "steps": getattr(system, "steps", None),
            "guidance": getattr(system, "guidance", None),
            "samplers": list(getattr(system, "samplers", ())),
            "exact": served.exact,
            "tolerance": served.tolerance,
            "tools": {
                name: {field.name: _told(field) for field in tool.fields_of(system)}
                for name, tool in served.tools().items()
            },
        }

    def ready(self, order: Order, pictures: Callable[[str], Image.Image]) -> Work:
        """See :meth:`tranh.serve.orders.Model.ready`."""
        _fits(order.request)
        ready = self.served.ready(order.tool, order.request, pictures)
        _affordable(order, self.about["size"])
        return Work(ready.cost, ready.events)

    def understand(self, prompt: str) -> Mapping[str, Any]:
        """See :meth:`tranh.serve.orders.Model.understand`."""
        return self.served.understand(prompt)


def _fits(request: Mapping[str, Any]) -> None:
    """Refuse texts that would not fit into the finished picture's file, which is known only after it was drawn.

    Raises:
        Refused: they are too long.
    """
    sizes = {name: _size(value) for name, value in request.items()}
    size, most = sum(sizes.values()) + sizes.get("prompt", 0), SETTINGS_LIMIT - OTHERS  # a prompt is kept as read, too
    if size > most:
        field = max(sizes, key=lambda name: sizes[name])
        message = (
            f"{field} is too long: the texts take {size} bytes in the picture's file (the prompt twice), and {most} fit"
        )
        raise Refused(message, code="string_above_max_length", param=field)


def _affordable(order: Order, own: int | None) -> None:
    """Refuse pictures for which there cannot be enough memory.

    The estimate is what a request takes at least: ``KEPT`` bytes for each pixel of all its pictures, which are held
    until the last one is finished, and ``DRAWN`` for each pixel of the one that is being drawn. What a network takes
    beyond that is not foretold. Up to ``SMALL`` bytes are never refused: others may end meanwhile.

    Args:
        own: side of the model's pictures.

    Raises:
        Refused: says what is asked, and what fits.
    """
    side, count = int(order.request.get("size") or own or 0), given_by(order)
    each, free = side**2 * KEPT, memory.available()
    needed = count * each + side**2 * DRAWN
    if free is None or needed <= max(free, SMALL):
        return
    left = max(free, SMALL)
    alone = each + side**2 * DRAWN
    if alone > left:
        fits, field = f"pictures of up to {math.isqrt(left // (KEPT + DRAWN))} pixels a side fit", "size"
    else:
        field = next((name for name in ("frames", "seeds") if order.request.get(name)), "count")
        fits = f"of this size up to {(left - side**2 * DRAWN) // each} fit"
    message = (
        f"{count} pictures of {side} x {side} pixels take {needed / 2**30:.1f} GiB of memory or more, and "
        f"{left / 2**30:.1f} GiB are free: {fits}"
    )
    raise Refused(message, code="invalid_size" if field == "size" else "invalid_value", param=field)


def _size(value: Any) -> int:
    """Bytes that the texts in a value take as JSON."""
    if isinstance(value, str):
        return len(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    if isinstance(value, Mapping):
        return sum(map(_size, value.values()))
    return sum(map(_size, value)) if isinstance(value, Sequence) else 0


def _told(field: Any) -> dict[str, Any]:
    """A field as JSON."""
    return {one.name: getattr(field, one.name) for one in fields(field) if one.name != "name"}


def load(name: str, doors: Doors, *, exact: bool = False) -> Drawing:
    """A model ready to be served, by name, folder or repository; a folder's name is its last part.

    Raises:
        TranhError: there is none, or there is nothing to ask it for.
    """
    path = Path(name)
    called = path.resolve().name if path.exists() else name
    drawing = Drawing(Served(models.load(name), doors, exact=exact, name=called), int(time.time()))
    if not drawing.about["tools"]:
        raise TranhError(f"{name} cannot be served: it neither makes pictures nor changes any")
    return drawing
