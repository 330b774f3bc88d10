"""The side at which pictures are meant to be seen: 64 px for most, their own for sets of tiny ones.

It knows data sets by their kind, and no network.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tranh.data.detect import detect
from tranh.data.prepared import is_prepared

SIDE = 64
TINY = {"digits": 8, "idx": 28}
"""Sides of kinds of data sets whose pictures are smaller."""


def natural(data: Mapping[str, Any]) -> dict[str, Any]:
    """A stage's data with its ``size`` said, unless it is."""
    if "size" in data:
        return dict(data)
    source = str(data["source"])
    if source == "scenes" or is_prepared(Path(source)):
        side = SIDE
    else:
        side = TINY.get(detect(source).kind, SIDE)
    return {"size": side, **data}


def tiny(data: Mapping[str, Any]) -> bool:
    """Are the pictures so small that a layer may look at all of their pixels at once?"""
    return int(data["size"]) < SIDE // 2
