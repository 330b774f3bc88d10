"""From a family's name to its class: the name is the file. No registry is kept, and no family is known here."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import pkgutil
import re
from importlib.metadata import EntryPoint, entry_points

import torch

from tranh.types import Family, Stage, TranhError

PACKAGE = "tranh.families"


def _outsiders() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=PACKAGE)}


def families() -> list[str]:
    """Names of all families: the files of ``tranh.families`` and what other packages announce, sorted."""
    spec = importlib.util.find_spec(PACKAGE)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    names = {module.name for module in pkgutil.iter_modules(folders) if not module.name.startswith("_")}
    return sorted(names | _outsiders().keys())


def family(name: str) -> type[Family]:
    """The class of a family.

    Raises:
        TranhError: no such family, or its file does not define exactly one.
    """
    plain = re.fullmatch(r"[a-z][a-z0-9_]*", name) is not None
    if not plain or importlib.util.find_spec(f"{PACKAGE}.{name}") is None:
        outside = _outsiders().get(name) if plain else None  # reads what every installed package says of itself
        if outside is None:
            known = families()
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise TranhError(f"there is no family {name!r}.{hint} Families: {', '.join(known) or 'none'}.")
        found = outside.load()
        if inspect.isclass(found) and issubclass(found, Family):
            return found
        module = found
    else:
        module = importlib.import_module(f"{PACKAGE}.{name}")
    classes = [
        value
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, Family) and value.__module__ == module.__name__
    ]
    if len(classes) != 1:
        raise TranhError(
            f"{module.__name__} defines {len(classes)} families ({', '.join(c.__name__ for c in classes) or 'none'}); "
            "one file is one family: move the others to files of their own."
        )
    return classes[0]


def build(stage: Stage, kind: type[Family] | None = None) -> Family:
    """A new family of a stage, with weights drawn from the stage's seed; the global generator is left as it was."""
    kind = kind or family(stage.family)
    with torch.random.fork_rng():
        torch.manual_seed(stage.seed)
        return kind(**stage.model)
