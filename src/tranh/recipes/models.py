"""Models by name: those shipped with the package, and folders a user exported.

It knows where models lie, not what they are.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tranh.engine.system import TOGETHER, load_system
from tranh.files import read_json
from tranh.recipes.foreign_folder import HUB, INDEX
from tranh.types import TranhError

SHIPPED = Path(__file__).parent.parent / "models"
DEFAULT = "tranh-1"
JUDGE = "verifier-1"


@dataclass(frozen=True)
class ModelInfo:
    """A model that can be loaded: its name, its folder, and its card."""

    name: str
    path: Path
    card: Mapping[str, Any]


def available() -> list[ModelInfo]:
    """The models shipped with the package, by name."""
    found = []
    for file in sorted(SHIPPED.glob("*/system.json")):
        found.append(ModelInfo(file.parent.name, file.parent, json.loads(file.read_text("utf-8"))["card"]))
    return found


def load(name_or_path: str | Path = DEFAULT) -> Any:
    """The system in a folder, or the shipped one of that name; or any text-to-image folder of diffusers, or hub id.

    Raises:
        TranhError: there is none; the message lists what there is.
    """
    name, path = str(name_or_path), Path(name_or_path)
    known = name in {info.name for info in available()}
    here = not known and (path / INDEX).is_file()
    there = not known and not path.exists() and not path.parent.is_dir() and HUB.fullmatch(name)
    if not here and not there:
        return load_system(folder(name_or_path))
    from tranh.recipes import foreign  # which stands on systems, and those on this module

    return foreign.load(path) if here else foreign.from_hub(name)


def folder(name_or_path: str | Path) -> Path:
    """Where a model lies, by name or path."""
    known = {info.name: info.path for info in available()}
    if str(name_or_path) in known:
        return known[str(name_or_path)]
    path = Path(name_or_path)
    if (path / "system.json").is_file():
        return path
    near = difflib.get_close_matches(str(name_or_path), known, n=1)
    meant = f" (did you mean {near[0]!r}?)" if near else ""
    raise TranhError(
        f"no model is called {str(name_or_path)!r}{meant}; shipped: {', '.join(known) or 'none'}. A folder written by "
        "`tranh export RUN DIR` or by diffusers can be given by its path, a repository of the "
        "Hugging Face hub by OWNER/NAME."
    )


def verifier() -> Any:
    """The shipped verifier: the judge of Scenes."""
    return load(JUDGE)


@dataclass(frozen=True)
class Trained:
    """A trained part to begin from: its family and sizes, and what ``Stage.init`` is to be."""

    family: str
    config: Mapping[str, Any]
    init: str


def trained(name: str | Path = DEFAULT) -> dict[str, Trained]:
    """The parts of a shipped model or an exported folder, by name."""
    there = folder(name)
    entries = read_json(there / "system.json")["parts"]
    files = {
        part: str(there / e["file"]) + (f"#{part}" if e["file"] == TOGETHER else "") for part, e in entries.items()
    }
    return {part: Trained(e["family"], e["config"], files[part]) for part, e in entries.items()}
