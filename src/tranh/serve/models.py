"""Loaded models as the desk knows them.

It knows neither HTTP nor what becomes of pictures.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from PIL import Image

from tranh.engine.doors import Doors
from tranh.engine.picture import SETTINGS_LIMIT
from tranh.recipes import models
from tranh.recipes.served import Served
from tranh.serve.orders import Order, Refused, Work
from tranh.types import TranhError

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
