"""A labelled folder of pictures drawn by a model, so many of each class: data for others to learn from.

Any system that draws what a class's caption says will do. The folder is an ``imagefolder`` with ``metadata.jsonl``, as
``tranh data inspect`` reads it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tranh.engine.picture import save_picture
from tranh.files import write_bytes
from tranh.recipes import own
from tranh.recipes.pictures import pictures
from tranh.text.normalise import normalise
from tranh.types import Event, TranhError

TILE = 32
MOST_CLASSES = 1000


@dataclass(frozen=True)
class Class:
    """A class: its label, and its caption in every language it has one."""

    label: str
    captions: Mapping[str, str]


def classes(data: Mapping[str, Any]) -> list[Class]:
    """The classes of a labelled data set, by label, from its training pictures.

    Raises:
        TranhError: it has no labels, or more than ``MOST_CLASSES``.
    """
    prepared = own.prepared(data)
    found: dict[str, dict[str, str]] = {}
    for row in prepared.of("train"):
        record = prepared.record(int(row))
        if record.get("label") is None:
            continue
        said = found.setdefault(str(record["label"]), {})
        for caption in record["captions"]:
            said.setdefault(caption["language"], caption["text"])
    if not found or len(found) > MOST_CLASSES:
        raise TranhError(
            f"{data['source']} has {len(found) or 'no'} labels; 1 to {MOST_CLASSES} are needed: a folder for each "
            'class, or "label" in its metadata.jsonl'
        )
    return [Class(label, said) for label, said in sorted(found.items())]


def augment(
    system: Any, data: Mapping[str, Any], out: Path, *, per_class: int, seed: int = 0, language: str | None = None
) -> Iterator[Event]:
    """Draw ``per_class`` pictures of every class and write them as a labelled folder.

    Args:
        system: draws what a caption says.
        data: ``{"source": PATH}``, whose classes are meant.
        out: a new folder; gets ``pictures/`` and ``metadata.jsonl``.
        seed: of the first picture; the others' follow.
        language: of the captions drawn from; the first there is if None.

    Yields:
        Progress; the last event's ``result`` is the number of pictures.

    Raises:
        TranhError: the folder is taken, there are no classes, no caption in that language, or the system reads none.
    """
    if out.exists() and any(out.iterdir()):
        raise TranhError(f"{out} is not empty: write into a new folder.")
    reads = [p for p in getattr(system, "parts", {}).values() if "vocab" in getattr(p, "config", {})]
    if getattr(system, "parts", None) and not reads:
        raise TranhError(f"{system.name} reads no captions, so it cannot draw a class: train one that does (vae, ...)")
    yield from (Event(e.stage, e.done, e.total, e.figures) for e in own.prepare(data))
    known = classes(data)
    asked = {}
    for one in known:
        if not one.captions or (language is not None and language not in one.captions):
            there = sorted({code or "und" for c in known for code in c.captions})
            raise TranhError(f"class {one.label} has no caption in {language!r}; there are: {', '.join(there)}")
        asked[one.label] = one.captions[language] if language is not None else next(iter(one.captions.values()))
    (out / "pictures").mkdir(parents=True)
    lines, total, done = [], per_class * len(known), 0
    for number, one in enumerate(known):
        prompt = normalise(asked[one.label])
        for start in range(0, per_class, TILE):
            rows = range(start, min(start + TILE, per_class))
            seeds = [seed + number * per_class + k for k in rows]
            made = pictures(system.generate_batch([prompt] * len(rows), seeds))
            for image, s, k in zip(made, seeds, rows, strict=True):
                name = f"pictures/{number:03d}-{k:05d}.png"
                save_picture(image, out / name, {"prompt": prompt, "seed": s, "model": str(system.name)})
                text = {f"text_{code}" if code else "text": caption for code, caption in one.captions.items()}
                lines.append({"file_name": name, "label": one.label, **text, "split": "train"})
            done += len(rows)
            yield Event("draw", done, total)
    content = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    write_bytes(out / "metadata.jsonl", content.encode())
    yield Event("draw", total, total, result=len(lines))
