"""Loaded models as the desk knows them.

It knows neither HTTP nor what becomes of pictures.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from PIL import Image

from tranh.engine.doors import Doors
from tranh.recipes import models
from tranh.recipes.served import Served
from tranh.serve.orders import Order, Work
from tranh.types import TranhError


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
        ready = self.served.ready(order.tool, order.request, pictures)
        return Work(ready.cost, ready.events)

    def understand(self, prompt: str) -> Mapping[str, Any]:
        """See :meth:`tranh.serve.orders.Model.understand`."""
        return self.served.understand(prompt)


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
