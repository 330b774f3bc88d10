"""What a comparison keeps of a system apart from its weights: a small file and a strip of pictures.

With the folder ``records`` a table goes on on another machine, or gets one more system, and nothing is trained again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from tranh.files import read_json, write_bytes, write_json
from tranh.nn.pixels import to_images
from tranh.recipes.compare_page import First, Logs
from tranh.recipes.report import png
from tranh.types import TranhError

FOLDER = "records"
POINTS = 100
"""Of the curve of a stage."""


@dataclass(frozen=True)
class Record:
    """A system as it was measured.

    Attributes:
        protocol: what its numbers depend on; they stand beside those of the same protocol alone.
        value: what ``compare.json`` says of it.
        logs: stage -> lines of its log, few.
        firsts: what it drew for the captions of the sheet.
    """

    protocol: Mapping[str, Any]
    value: dict[str, Any]
    logs: Logs
    firsts: Sequence[First]


def write(out: Path, record: Record) -> None:
    """``records/NAME.json`` and, of a system that draws, ``records/NAME.png``."""
    name, folder = record.value["name"], Path(out) / FOLDER
    if record.firsts:
        strip = torch.cat([first.made for first in record.firsts], dim=2)  # side by side
        write_bytes(folder / f"{name}.png", png(strip))
    asked = [[first.key, first.caption] for first in record.firsts]
    curves = {stage: thin(log) for stage, log in record.logs.items()}
    told = {"protocol": record.protocol, "value": record.value, "asked": asked, "logs": curves}
    write_json(folder / f"{name}.json", told)


def read(out: Path, name: str, protocol: Mapping[str, Any]) -> Record | None:
    """The record of a system, None if there is none.

    Raises:
        TranhError: it was measured by another protocol, or is damaged.
    """
    path = Path(out) / FOLDER / f"{name}.json"
    if not path.exists():
        return None
    told = read_json(path)
    try:
        there, value, asked, logs = (told[key] for key in ("protocol", "value", "asked", "logs"))
        strip = _strip(path.with_suffix(".png"), len(asked)) if asked else []
    except (KeyError, OSError, ValueError, TypeError) as error:
        raise TranhError(f"{path} is no record of a comparison ({error!r}). Remove it to train {name} here.") from error
    if changed := [f"{k}: {there.get(k)!r} there, {v!r} here" for k, v in protocol.items() if there.get(k) != v]:
        raise TranhError(
            f"{path} was measured on other terms ({'; '.join(changed)}). Ask for the same, or remove it to train {name}"
            " here."
        )
    firsts = [First(key, caption, made) for (key, caption), made in zip(asked, strip, strict=True)]
    return Record(protocol, value, logs, firsts)


def _strip(path: Path, count: int) -> Sequence[torch.Tensor]:
    with Image.open(path, formats=("PNG",)) as image:
        pixels = np.array(image.convert("RGB"))  # (S, count * S, 3)
    return list(to_images(np.stack(np.split(pixels, count, axis=1))))


def thin(log: Sequence[Mapping[str, Any]], points: int = POINTS) -> list[dict[str, Any]]:
    """A log of at most ``points`` lines: of neighbours the losses in the mean and the seconds together."""
    if not log:
        return []
    names = [name for name in log[0] if name.split(".")[-1] == "loss"]
    every = -(-len(log) // points)
    groups = [log[i : i + every] for i in range(0, len(log), every)]
    return [
        {"step": group[-1]["step"], "seconds": round(sum(float(line.get("seconds", 0)) for line in group), 3)}
        | {name: float(f"{np.mean([line[name] for line in group]):.5g}") for name in names}
        for group in groups
    ]
