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
from tranh.engine.system import TOGETHER, dequantize, part_of
from tranh.engine.weights import load_tensors
from tranh.files import read_tensors, sha256
from tranh.types import Batch, Family, Stage, TranhError

PREPARE_BATCHES = 16


def init_hash(stage: Stage, run: RunDir) -> str | None:
    if run.recipe_file.exists():  # the start is behind us: its file may have gone on or gone away
        found = run.recipe().get("init")
        return str(found) if found else None
    return None if stage.init is None else sha256(_init_file(stage.init)[0])


def _init_file(path: str) -> tuple[Path, str]:
    """Weights to begin from: those of a file, or of a run: the chosen ones, or of its newest checkpoint; and the part
    that is meant, of a file that holds several (``parts.safetensors#decoder``)."""
    file, _, part = path.partition("#")
    if file.endswith(".safetensors") and Path(file).is_file() and bool(part) == (Path(file).name == TOGETHER):
        return Path(file), part
    run = RunDir(Path(path))
    if run.finished:
        return run.weights, ""
    found = checkpoint.newest(run)
    if found is None:
        raise TranhError(
            f"init={path} is no run with weights: give the folder of a run that has begun, or a part of an exported "
            "model (MODEL/parts/decoder.safetensors, or MODEL/parts.safetensors#decoder of one file)."
        )
    return found.path / "model.safetensors", ""


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
        file, part = _init_file(stage.init)
        tensors = part_of(read_tensors(file), part) if part else read_tensors(file)
        load_tensors(family, family.adopt(dequantize(tensors)), str(file))
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
