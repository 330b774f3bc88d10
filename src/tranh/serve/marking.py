"""The files of the server's pictures: marked, signed, and with their settings inside, whatever their format.

It knows orders and files by their names, and neither routes nor models.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any

from PIL import Image

from tranh.edits.inpaint import canvas
from tranh.recipes.marks import Keys, marked
from tranh.serve.orders import Order
from tranh.serve.sources import made_from


class Marking:
    """Writes pictures.

    Args:
        keys: of this installation.
        read: the bytes of a file by its SHA-256: what a picture was made from is named in its manifest.
    """

    def __init__(self, keys: Keys, read: Callable[[str], bytes]) -> None:
        self.keys, self.read = keys, read

    def encode(self, image: Image.Image, settings: Mapping[str, Any], order: Order) -> bytes:
        """A finished picture as the bytes of a PNG. Where an edit keeps pixels, so does the watermark."""
        files = [self.read(name) for name in made_from(order)]
        free = FREE.get(order.tool, _anywhere)(self, order, files)
        fits = free is not None and free.size == image.size
        return marked(image, settings, self.keys, opened=files, mask=free if fits else None)

    def rewrite(
        self, image: Image.Image, settings: Mapping[str, Any], kind: str, quality: int, order: Order, finished: bool
    ) -> bytes:
        """A picture's file in another format, which says the same of where it comes from.

        Args:
            finished: its watermark is in its pixels already; a preview has none.
        """
        files = [self.read(name) for name in made_from(order)]
        return marked(
            image, settings, self.keys, kind=kind, quality=quality, opened=files, watermark=False, carried=finished
        )


def _anywhere(marking: Marking, order: Order, files: list[bytes]) -> None:
    return None


def _inside(marking: Marking, order: Order, files: list[bytes]) -> Image.Image | None:
    name = order.request.get("mask")
    return Image.open(io.BytesIO(marking.read(name))).convert("L") if isinstance(name, str) else None


def _beyond(marking: Marking, order: Order, files: list[bytes]) -> Image.Image:
    picture = Image.open(io.BytesIO(files[0])).convert("RGB")
    left, top, right, bottom = order.request.get("extend") or (0.25, 0.25, 0.25, 0.25)
    return canvas(picture, (left, top, right, bottom))[1]


FREE: Mapping[str, Callable[[Marking, Order, list[bytes]], Image.Image | None]] = {
    "inpaint": _inside, "fill": _inside, "outpaint": _beyond,
}  # fmt: skip
"""Tools that keep pixels as they are: white where they drew."""
