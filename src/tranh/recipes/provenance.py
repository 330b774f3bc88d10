"""What trained parts were trained on, as the card of their export says it: run, data, split and seed.

It knows runs and their settings; whether two systems may have seen the same is judged by whoever asks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tranh.data.scenes.world import VERSION
from tranh.engine.rundir import RunDir
from tranh.files import sha256

MANIFEST = "manifest.json"


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

    Prepared pictures are named by their manifest, which holds the hashes of all shards; Scenes by their version.
    """
    source, path = data.get("source", "scenes"), data.get("path")
    manifest = Path(path) / MANIFEST if isinstance(path, str) else None
    if manifest is not None and manifest.is_file():
        return sha256(manifest)[:16]
    about = {"source": source, "version": VERSION} if path is None else {"source": source, "path": str(path)}
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
