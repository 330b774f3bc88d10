"""Evaluation: pictures for many requests, each measured once, kept on disk, and taken up again where it was stopped.

What is asked and what is measured is handed in; nothing here knows a data set, a network or a score.

    results.jsonl   the protocol, then one line per case        pictures/KEY.png   what was measured
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from tranh.nn.pixels import to_images, to_pixels
from tranh.types import Event, Request, TranhError

RESULTS = "results.jsonl"
Generate = Callable[[list[Request]], Tensor]
"""Requests of one size -> pictures (B, 3, S, S) in [-1, 1]; picture k is that of request k and its seed."""


@dataclass(frozen=True)
class Case:
    """One picture to be made and measured. ``key`` names it for good: lower-case words joined by ``/``."""

    key: str
    request: Request


Measure = Callable[[Sequence[Case], Tensor], Sequence[Any]]
"""Cases and their pictures (B, 3, S, S), rounded to 8 bits as a user would see them -> one JSON value per case."""


def evaluate(
    generate: Generate,
    cases: Sequence[Case],
    measures: Mapping[str, Measure],
    out: Path,
    *,
    protocol: Mapping[str, Any],
    batch: int = 16,
) -> Iterator[Event]:
    """Make and measure the pictures of all cases that were not measured before.

    Args:
        measures: by the name their values have in a record.
        out: folder of the results; the same call continues what an earlier one began.
        protocol: JSON values on which results depend (settings, hashes of the weights); a folder holds one protocol.
        batch: pictures made at a time.

    Yields:
        An event per batch, with the mean of every number measured. The last one's ``result`` is the list of
        records, in the order of the cases.

    Raises:
        TranhError: the folder holds results of another protocol, is in use, keys are not unique, or pictures or values
            do not fit the cases.
    """
    for case in cases:
        if not re.fullmatch(r"[a-z0-9_]+(/[a-z0-9_]+)*", case.key):
            raise TranhError(f"a case is called {case.key!r}; allowed are a-z, 0-9 and _, joined by /.")
    if len({case.key for case in cases}) != len(cases):
        raise TranhError("two cases have the same key; a key names one picture.")
    out = Path(out)
    with _journal(out, protocol) as (known, write):
        todo = [case for case in cases if not measures.keys() <= known.get(case.key, {}).keys()]
        before, begun = len(cases) - len(todo), time.monotonic()
        for start in range(0, len(todo), batch):
            part = todo[start : start + batch]
            images = _checked(generate([case.request for case in part]), len(part))
            found = {name: list(measure(part, images)) for name, measure in measures.items()}
            for name, values in found.items():
                if len(values) != len(part):
                    raise TranhError(f"measure {name!r} gave {len(values)} values for {len(part)} pictures.")
            _keep(out, part, images)
            about = [{"key": c.key, "prompt": c.request.prompt} for c in part]
            write([one | {name: found[name][k] for name in found} for k, one in enumerate(about)])
            done = start + len(part)
            figures = _means([known[c.key] for c in cases if c.key in known], measures)
            speed = {"images_per_second": done / max(1e-9, time.monotonic() - begun)}
            yield Event("evaluate", before + done, len(cases), figures | speed)
        yield Event("evaluate", len(cases), len(cases), result=[known[case.key] for case in cases])


def pictures(out: Path, keys: Sequence[str]) -> Tensor:
    """The pictures that were measured, (B, 3, S, S) in [-1, 1].

    Raises:
        TranhError: one is missing or damaged.
    """
    found = []
    for key in keys:
        path = Path(out) / "pictures" / f"{key}.png"
        try:
            with Image.open(path, formats=("PNG",)) as image:
                found.append(np.array(image.convert("RGB")))
        except OSError as error:
            raise TranhError(
                f"{path} cannot be read ({error}): delete {Path(out) / RESULTS} and evaluate again."
            ) from error
    return to_images(np.stack(found))


@contextmanager
def _journal(
    out: Path, protocol: Mapping[str, Any]
) -> Iterator[tuple[dict[str, dict[str, Any]], Callable[[list[dict[str, Any]]], None]]]:
    """The records on disk by key, and a function that adds some; a line that was cut off when killed is dropped."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / RESULTS
    with path.open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise TranhError(f"another process evaluates into {out}: wait for it, or use another folder.") from error
        file.seek(0)
        content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        file.truncate(len(whole))
        lines = _lines(whole, path)
        header = json.loads(json.dumps({"protocol": dict(protocol)}, allow_nan=False))
        if not lines:
            file.write(json.dumps(header).encode() + b"\n")
            file.flush()
        elif lines[0] != header:
            old = lines[0].get("protocol", {})
            new = header["protocol"]
            changed = [f"{k}: {old.get(k)!r} there, {new.get(k)!r} here" for k in new | old if old.get(k) != new.get(k)]
            raise TranhError(f"{out} holds results of another protocol ({'; '.join(changed)}). Use a new folder.")
        known = {line["key"]: line for line in lines[1:]}

        def write(records: list[dict[str, Any]]) -> None:
            text = "".join(json.dumps(record, allow_nan=False) + "\n" for record in records)
            file.write(text.encode())
            file.flush()
            known.update((record["key"], record) for record in json.loads(f"[{','.join(text.splitlines())}]"))

        yield known, write


def _lines(content: bytes, path: Path) -> list[dict[str, Any]]:
    try:
        lines = [json.loads(line) for line in content.splitlines()]
    except ValueError as error:
        raise TranhError(f"{path} is damaged ({error}): delete it and evaluate again.") from error
    if not all(isinstance(line, dict) and ("key" in line) == (k > 0) for k, line in enumerate(lines)):
        raise TranhError(f"{path} was not written by an evaluation: use another folder.")
    return lines


def _checked(images: Tensor, count: int) -> Tensor:
    """Pictures as they will be when read back from disk."""
    if images.ndim != 4 or images.shape[:2] != (count, 3) or not torch.isfinite(images).all():
        raise TranhError(
            f"{count} requests gave pictures of shape {list(images.shape)}; expected ({count}, 3, S, S), all finite."
        )
    return to_images(to_pixels(images))


def _keep(out: Path, cases: Sequence[Case], images: Tensor) -> None:
    for case, picture in zip(cases, to_pixels(images), strict=True):
        path = out / "pictures" / f"{case.key}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        Image.fromarray(picture).save(part, "PNG")
        os.replace(part, path)


def _means(records: Sequence[Mapping[str, Any]], measures: Mapping[str, Measure]) -> dict[str, float]:
    """The mean of every number measured, and of every number in a record that a measure gave."""
    sums: dict[str, list[float]] = {}
    for record in records:
        for name in measures:
            value = record.get(name)
            for key, number in (value if isinstance(value, dict) else {name: value}).items():
                if isinstance(number, (bool, int, float)):
                    sums.setdefault(key, []).append(number)
    return {key: sum(values) / len(values) for key, values in sums.items()}
