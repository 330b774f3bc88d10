"""What comes before the first step of a run: settled parents, weights to begin from, prepared buffers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch

from tranh.engine import checkpoint
from tranh.engine.frozen import TILE, Frozen, attach
from tranh.engine.rundir import RunDir
from tranh.engine.source import Source
from tranh.engine.step import global_seed, seed_of
from tranh.engine.system import dequantize
from tranh.engine.weights import load_tensors
from tranh.files import read_tensors, sha256
from tranh.types import Batch, Family, Stage, TranhError

PREPARE_BATCHES = 16


def init_hash(stage: Stage, run: RunDir) -> str | None:
    if run.recipe_file.exists():  # the start is behind us: its file may have gone on or gone away
        found = run.recipe().get("init")
        return str(found) if found else None
    return None if stage.init is None else sha256(_init_file(stage.init))


def _init_file(path: str) -> Path:
    """Weights to begin from: those of a file, or of a run: the chosen ones, or of its newest checkpoint."""
    if path.endswith(".safetensors") and Path(path).is_file():
        return Path(path)
    run = RunDir(Path(path))
    if run.finished:
        return run.weights
    found = checkpoint.newest(run)
    if found is None:
        raise TranhError(
            f"init={path} is no run with weights: give the folder of a run that has begun, or a part of an exported "
            "model (MODEL/parts/decoder.safetensors)."
        )
    return found.path / "model.safetensors"


def settle(parents: Mapping[str, Frozen], source: Source) -> None:
    """Let every parent find out how its rows are to be computed, with the same examples at every start."""
    if parents:
        batch = source.validation(0, TILE)
        for name, parent in parents.items():
            parent.settle(batch)
            batch = attach(batch, {name: parent})


def start(stage: Stage, family: Family, batches: Iterator[Batch]) -> None:
    """What comes before the first step: the weights of ``init``, buffers with them, or else ``Family.prepare``."""
    if stage.init is not None:
        file = _init_file(stage.init)
        load_tensors(family, family.adopt(dequantize(read_tensors(file))), str(file))
        return
    family.eval()
    with global_seed(seed_of(stage.seed, "prepare"), next(family.parameters()).device):
        family.prepare(batches)
    broken = [name for name, b in family.named_buffers() if b.is_floating_point() and bool(torch.isnan(b).any())]
    if broken:
        raise TranhError(
            f"after {type(family).__name__}.prepare, {', '.join(broken)} holds NaN: some of the first "
            f"{PREPARE_BATCHES} batches are broken. Look at the data (`tranh doctor`)."
        )
