"""Where the subjects lie that models were taught, by name. It reads their cards and nothing heavier."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from tranh.files import read_json, users_folder
from tranh.text.normalise import normalise
from tranh.text.subjects import bracketed, spoken_of
from tranh.types import Request, TranhError

CARD = "subject.json"
TRAINING = ".training"
"""Ends the name of the folder in which a subject is being learned."""


def shelf(folder: Path | None = None) -> Path:
    """Where subjects are kept: the folder given, ``$TRANH_SUBJECTS``, or ``~/.local/share/tranh/subjects``."""
    return users_folder("subjects", "TRANH_SUBJECTS", folder)


def learned(place: Path) -> dict[str, dict[str, Any]]:
    """The cards of all subjects on a shelf, by name."""
    return {file.parent.name: read_json(file) for file in sorted(place.glob(f"*/{CARD}"))}


def names_one(request: Request, place: Path | None = None) -> bool:
    """Whether a prompt may name a subject: something stands in brackets, or a name of the shelf is in it."""
    text = normalise(f"{request.prompt} {request.negative_prompt}")
    return bool(bracketed(text) or spoken_of(text, learned(shelf(place))))


def remove(place: Path, name: str) -> None:
    """Take a subject off the shelf, and what a training of it has left.

    Raises:
        TranhError: there is none of that name.
    """
    found = [folder for folder in (place / name, place / f"{name}{TRAINING}") if folder.is_dir()]
    if not found or not name or Path(name).name != name:
        raise TranhError(f"there is no subject {name!r} in {place}{those(learned(place))}")
    for folder in found:
        shutil.rmtree(folder)


def those(known: dict[str, dict[str, Any]]) -> str:
    """The end of a sentence that names what there is."""
    return f"; there are: {', '.join(known)}" if known else ""
