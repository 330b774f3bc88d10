"""What trained parts were trained on, as the card of their export says it: run, data, split and seed.

It knows runs and their settings; whether two systems may have seen the same is judged by whoever asks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from tranh.data.scenes.world import VERSION
from tranh.engine.rundir import RunDir


def provenance(run: RunDir) -> dict[str, Any]:
    """Of a finished run: its hash, the hash and split of its data, its seed."""
    stage = run.stage()
    return {
        "run": run.hash(),
        "data": collection(stage.data),
        "split": str(stage.data.get("split", "train")),
        "seed": stage.seed,
    }


def collection(data: Mapping[str, Any]) -> str:
    """Names a collection of captioned pictures, whichever of its splits is read: 16 hex digits.

    Own pictures are named by the content of their shards, Scenes by their version.
    """
    if "hash" in data:
        return str(data["hash"])[:16]
    about = {"source": data.get("source", "scenes"), "version": VERSION}
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
