"""The stage that learns the words of Scenes from labels, and lends them to what draws.

It knows nothing of who they are lent to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tranh.data.scenes.labels import PICTURE_SIZES, THING_SIZES
from tranh.types import Stage

QUESTIONS = THING_SIZES[0] + 1
"""A reader's questions: one for each kind of thing, one for the whole."""


def reader(data: Mapping[str, Any], *, steps: int, share: float, batch: int = 128, **model: Any) -> Stage:
    """The stage ``reader`` on levels of Scenes.

    Args:
        data, steps, share, batch: of the stage; model: further settings of :class:`tranh.families.reader.Reader`.
    """
    sizes = {"thing_sizes": list(THING_SIZES), "picture_sizes": list(PICTURE_SIZES)}
    return Stage(
        "reader", model=sizes | model, data=data, steps=steps, batch=batch, muon_lr=4e-3, decay=0.5, share=share
    )
