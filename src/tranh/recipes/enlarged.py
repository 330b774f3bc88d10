"""A system that draws smaller (or larger) pictures than are judged.

It knows neither judges nor measures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from tranh.nn.pixels import resized


class Enlarged:
    """A system whose pictures are brought to the side that all are judged at.

    Args:
        system: any that draws; side: of the pictures judged.

    Attributes:
        own: side of the pictures it draws.
    """

    def __init__(self, system: Any, side: int) -> None:
        self.system, self.size, self.parts = system, side, system.parts
        self.hash, self.name, self.card = system.hash, system.name, getattr(system, "card", {})
        self.own = side if side in system.sizes else int(system.size)

    @property
    def memory(self) -> Any:
        """The index of its training pictures, if it has one."""
        return self.system.memory

    def generate_batch(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        size: int | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        **chosen: Any,
    ) -> Tensor:
        images: Tensor = self.system.generate_batch(prompts, seeds, self.own, steps, guidance, **chosen)
        return resized(images, self.size)
