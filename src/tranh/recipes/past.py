"""What this machine has trained: predicted and actual time, what came out. A plan learns from it what it is worth.

One JSON line per plan and per finished stage, in ``past.jsonl`` of the cache; nothing leaves the machine. It measures
nothing itself, and a line it cannot keep costs a warning.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

from tranh.data.scenes.source import cache_dir
from tranh.engine.curves import curves
from tranh.engine.fit import Cost
from tranh.engine.log import plain, read_log
from tranh.engine.rundir import RunDir
from tranh.types import Stage

FILE = "past.jsonl"
KEPT = 2000
"""Lines that are read, the newest."""
LEAST = 20.0
"""Seconds under which a run says nothing about the machine's speed."""
GUESS = (0.85, 1.0, 1.4)
"""Actual over predicted time where nothing has been compared yet: a guess, and said to be one."""
_logger = logging.getLogger("tranh.plan")
Line = Mapping[str, Any]


@dataclass(frozen=True)
class Trust:
    """Actual over predicted time of past runs: the least, the middle and the most; ``runs`` of them, 0 for a guess."""

    low: float
    middle: float
    high: float
    runs: int


def path() -> Path:
    """Where the lines are."""
    return cache_dir() / FILE


def machine() -> str:
    """What times depend on besides the stage: the device and the threads that are used."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{platform.machine()} CPU"
    return f"{device}, {torch.get_num_threads()} of {os.cpu_count()} threads"


def key_of(stage: Stage) -> str:
    """Names what decides the time of a step: everything but how many there are and where they start."""
    kept = {k: v for k, v in asdict(stage).items() if k not in ("steps", "init", "share", "seed", "lr", "muon_lr")}
    return _hash(kept)


def kin_of(stage: Stage) -> str:
    """Names what decides what a figure means: the family, its networks and the data."""
    return _hash({"family": stage.family, "model": stage.model, "data": stage.data})


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=list).encode()).hexdigest()[:16]


def read() -> list[dict[str, Any]]:
    """The newest lines, oldest first; what is torn or not ours is left out."""
    try:
        lines = path().read_text("utf-8", errors="replace").splitlines()[-KEPT:]
    except OSError:
        return []
    found = []
    for line in lines:
        try:
            value = json.loads(line)
        except ValueError:
            continue
        found += [value] if isinstance(value, dict) and value.get("what") in ("plan", "run") else []
    return found


def _add(line: Line) -> None:
    try:
        path().parent.mkdir(parents=True, exist_ok=True)
        with path().open("ab") as file:  # one write: lines of two processes do not mix
            file.write((json.dumps(plain(line), allow_nan=False) + "\n").encode())
    except OSError as error:
        _logger.warning("%s cannot be written (%s): plans will not learn from this run", path(), error)


def planned(stage: Stage, cost: Cost, before: float) -> None:
    """Remember what a plan measured, so that the training that follows can be compared with it.

    Args:
        before: seconds until its training begins: data opened, first batches examined.
    """
    _add({"what": "plan", "machine": machine(), "key": key_of(stage), "cost": asdict(cost), "before": before})


def predicted(stage: Stage) -> float | None:
    """What the newest plan of this stage on this machine says of its time, in seconds; None without one."""
    key, here = key_of(stage), machine()
    for line in reversed(read()):
        if line["what"] == "plan" and line["key"] == key and line["machine"] == here:
            return float(line["before"]) + Cost(**line["cost"]).seconds(stage)
    return None


def finished(recipe: str, name: str, stage: Stage, run: RunDir, guess: float | None, actual: float | None) -> None:
    """Remember a finished stage.

    Args:
        guess: seconds predicted before it began, None if nobody did; actual: seconds it took, None if it was resumed.
    """
    log = read_log(run.log)
    spent = [line["seconds"] for line in log if "seconds" in line]
    scores = run.metrics().get("weights", {})
    _add({
        "what": "run", "machine": machine(), "key": key_of(stage), "kin": kin_of(stage), "recipe": recipe,
        "stage": name, "family": stage.family, "batch": stage.batch, "steps": stage.steps, "init": stage.init,
        "pictures": stage.steps * stage.batch, "predicted": guess, "actual": actual,
        "seconds_per_step": median(spent) if spent else None,
        "score": scores.get("scores", {}).get(scores.get("chosen")),
        "measures": {k: points[-1][1] for k, points in curves(read_log(run.measures)).items()},
    })  # fmt: skip


def trust(lines: Sequence[Line], family: str) -> Trust:
    """How actual times compare with predicted ones on this machine: of this family if there are three, else of all."""
    here = machine()
    compared = [
        (line["family"], line["actual"] / line["predicted"])
        for line in lines
        if line["what"] == "run" and line["machine"] == here
        and line.get("predicted") and (line.get("actual") or 0) >= LEAST
    ]  # fmt: skip
    own = [ratio for of, ratio in compared if of == family]
    ratios = (own if len(own) >= 3 else [ratio for _, ratio in compared])[-20:]
    if not ratios:
        return Trust(*GUESS, 0)
    # A few runs do not show the worst that can be: never surer than a tenth.
    middle = median(ratios)
    return Trust(min(*ratios, 0.9 * middle), middle, max(*ratios, 1.1 * middle), len(ratios))


def relatives(lines: Sequence[Line], stage: Stage, most: int = 3) -> list[Line]:
    """Finished runs of the same networks on the same data, those that saw about as many pictures first."""
    kin, seen = kin_of(stage), stage.steps * stage.batch
    same = [line for line in lines if line["what"] == "run" and line["kin"] == kin and line.get("score") is not None]
    return sorted(same, key=lambda line: abs(line["pictures"] - seen))[:most]
