"""Loaded models as the desk draws with them. It knows no HTTP; what a model is asked, its tools say."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from PIL import Image

from tranh.engine.doors import Doors
from tranh.recipes import models
from tranh.recipes.served import Served
from tranh.serve.orders import Order, Refused, Work


class Loaded:
    """A model of the server, see :class:`tranh.serve.orders.Model`.

    Attributes:
        about: ``sizes`` and ``steps`` of its own, ``tools`` with the names of their fields, whether it is ``exact`` and
            by how many levels of 255 a pixel may depend on company if not (``tolerance``), and lines of its card.
    """

    def __init__(self, served: Served) -> None:
        system, self.served = served.system, served
        self.name, self.created = served.name, int(time.time())
        card = getattr(system, "card", {})
        self.about: Mapping[str, Any] = {
            "sizes": [int(side) for side in getattr(system, "sizes", ())],
            "size": getattr(system, "size", None),
            "steps": getattr(system, "steps", None),
            "guidance": getattr(system, "guidance", None),
            "tools": {name: [field.name for field in tool.fields_of(system)] for name, tool in served.tools().items()},
            "exact": served.exact,
            "tolerance": served.tolerance,
            "samplers": list(getattr(system, "samplers", ())),
            **{name: card[name] for name in ("title", "about", "licence", "languages") if name in card},
        }

    def ready(self, order: Order, pictures: Callable[[str], Image.Image]) -> Work:
        """Check an order; raises TranhError."""
        tools: Mapping[str, Any] = self.about["tools"]
        if order.tool not in tools:
            raise Refused(
                f"{self.name} cannot do {order.tool!r}; it can: {', '.join(tools)}",
                code="unsupported_tool",
                param="tool",
            )
        ready = self.served.ready(order.tool, order.request, pictures)
        return Work(ready.cost, ready.events)

    def understand(self, prompt: str) -> Mapping[str, Any]:
        return self.served.understand(prompt)


def load(name: str, doors: Doors, exact: bool = False) -> Loaded:
    """A model by name, folder or repository, ready to be served; its name is the one it was asked for by.

    Raises:
        TranhError: there is none, or it draws nothing.
    """
    loaded = Loaded(Served(models.load(name), doors, exact=exact, name=_short(name)))
    if not loaded.about["tools"]:
        raise Refused(f"{name} cannot be served: it makes no pictures and changes none")
    return loaded


def _short(name: str) -> str:
    """A folder's last part; a shipped model's name, or a repository's, as it is."""
    from pathlib import Path

    path = Path(name)
    return path.resolve().name if path.exists() else name
