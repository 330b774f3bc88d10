"""Checkpoints of a run: complete or not there, verified before they are believed, the last two kept.

It knows files and hashes, not optimisers: what is in the tensors and in the state is handed in and out.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from tranh.engine.rundir import RunDir
from tranh.files import read_json, read_tensors, sha256, sync_file, sync_folder
from tranh.types import TranhError

KEEP = 2
MANIFEST = "MANIFEST.json"
_log = logging.getLogger("tranh.engine")


@dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint: its folder, the step it was made at, and its state.json."""

    path: Path
    step: int
    state: dict[str, Any]

    def tensors(self, name: str) -> dict[str, Tensor]:
        return read_tensors(self.path / f"{name}.safetensors")


def _folders(run: RunDir) -> list[tuple[int, Path]]:
    """(step, folder) of all checkpoints, oldest first."""
    if not run.state.exists():
        return []
    found = [(re.fullmatch(r"step_(\d{8})", p.name), p) for p in run.state.iterdir()]
    return sorted((int(m[1]), p) for m, p in found if m)


def save(run: RunDir, step: int, tensors: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any]) -> Path:
    """Write a checkpoint and drop the oldest ones.

    Args:
        step: steps done.
        tensors: file name without ending -> tensors (``model``, ``optimizer``, ``ema-0.050``).
        state: JSON value.

    Returns:
        Its folder, ``state/step_XXXXXXXX``.
    """
    run.state.mkdir(parents=True, exist_ok=True)
    for left in run.state.glob(".tmp-*"):  # of a process that died while saving
        shutil.rmtree(left, ignore_errors=True)
    temporary = run.state / f".tmp-{step:08d}-{os.getpid()}"
    temporary.mkdir()
    for name, values in tensors.items():
        safetensors.torch.save_file({k: v.contiguous() for k, v in values.items()}, temporary / f"{name}.safetensors")
    (temporary / "state.json").write_text(json.dumps({"step": step, **state}, allow_nan=False))
    names = sorted(p.name for p in temporary.iterdir())
    manifest = {n: {"sha256": sha256(temporary / n), "size": (temporary / n).stat().st_size} for n in names}
    (temporary / MANIFEST).write_text(json.dumps(manifest, indent=2))
    for name in (*names, MANIFEST):
        sync_file(temporary / name)
    sync_folder(temporary)
    target = run.state / f"step_{step:08d}"
    if target.exists():  # a corrupt one of the same step: a folder cannot be replaced unless it is empty
        os.replace(target, run.state / f".tmp-old-{step:08d}")
    os.replace(temporary, target)
    sync_folder(run.state)
    for _, folder in _folders(run)[:-KEEP]:
        shutil.rmtree(folder, ignore_errors=True)
    return target


def verify(path: Path) -> None:
    """Compare every file of a checkpoint with its manifest.

    Raises:
        TranhError: a file is missing, of another size or of another hash.
    """
    manifest = read_json(path / MANIFEST)
    if not isinstance(manifest, dict) or not {"model.safetensors", "state.json"} <= manifest.keys():
        raise TranhError(f"{path / MANIFEST} is not a manifest")
    for name, entry in manifest.items():
        file = path / name
        if not file.exists():
            raise TranhError(f"{file} is missing")
        if not isinstance(entry, dict) or file.stat().st_size != entry.get("size"):
            raise TranhError(f"{file} has another size than its manifest says")
        if sha256(file) != entry.get("sha256"):
            raise TranhError(f"{file} has another content than its manifest says")


def newest(run: RunDir) -> Checkpoint | None:
    """The newest checkpoint that passes :func:`verify`, or None; damaged ones are skipped with a warning."""
    for step, path in reversed(_folders(run)):
        try:
            verify(path)
            return Checkpoint(path, step, read_json(path / "state.json"))
        except TranhError as error:
            _log.warning("checkpoint %s is skipped: %s", path.name, error)
    return None


def keep_newest(run: RunDir) -> None:
    """Drop all but the newest checkpoint: a finished run needs no more."""
    for _, path in _folders(run)[:-1]:
        shutil.rmtree(path, ignore_errors=True)


def forget_after(run: RunDir, step: int) -> None:
    """Drop checkpoints later than a step: damaged, or of a course that was given up."""
    for found, path in _folders(run):
        if found > step:
            shutil.rmtree(path, ignore_errors=True)
