"""One training run as a folder: everything that repeats it and everything it made.

It knows the files' names and their safety; what the numbers in them mean is the business of train, ema and frozen.

    recipe.json  tokenizer.json  stats.json  log.jsonl  measures.jsonl  state/  samples/  report.html
    model.safetensors  ema/  metrics.json  done.json
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tranh.files import read_json, sha256, write_bytes, write_json
from tranh.types import Stage, TranhError

FORMAT = 1
PACKAGES = ("tranh", "torch", "accelerate", "safetensors", "numpy")


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _plain(stage: Stage) -> dict[str, Any]:
    """A stage as JSON would give it back (tuples become lists)."""

    def turn(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {str(k): turn(v) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return [turn(v) for v in value]
        return value

    return {k: turn(v) for k, v in asdict(stage).items()}


@dataclass(frozen=True)
class RunDir:
    """A run's folder; it need not exist yet."""

    path: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))

    @property
    def recipe_file(self) -> Path:
        return self.path / "recipe.json"

    @property
    def weights(self) -> Path:
        """The weights chosen at the end."""
        return self.path / "model.safetensors"

    @property
    def log(self) -> Path:
        return self.path / "log.jsonl"

    @property
    def state(self) -> Path:
        return self.path / "state"

    @property
    def samples(self) -> Path:
        return self.path / "samples"

    @property
    def measures(self) -> Path:
        """What was measured on the way, a line per point of the curves."""
        return self.path / "measures.jsonl"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def metrics_file(self) -> Path:
        return self.path / "metrics.json"

    @property
    def done_file(self) -> Path:
        return self.path / "done.json"

    @property
    def finished(self) -> bool:
        return self.done_file.exists()

    def average(self, key: str) -> Path:
        return self.path / "ema" / f"{key}.safetensors"

    def recipe(self) -> dict[str, Any]:
        """What recipe.json holds: format, name, stage, parents' hashes, init's hash, versions.

        Raises:
            TranhError: it is missing, damaged, or of a newer format.
        """
        value = read_json(self.recipe_file)
        if not isinstance(value, dict) or value.get("format") != FORMAT or not isinstance(value.get("stage"), dict):
            raise TranhError(
                f"{self.recipe_file} is not a recipe of format {FORMAT}: made by another version of Tranh?"
            )
        return value

    def stage(self) -> Stage:
        """The resolved stage the run was begun with.

        Raises:
            TranhError: recipe.json is missing, damaged or names unknown settings.
        """
        stored = self.recipe()["stage"]
        unknown = sorted(stored.keys() - {f.name for f in fields(Stage)})
        if unknown:
            raise TranhError(f"{self.recipe_file} has settings this version does not know: {', '.join(unknown)}.")
        return Stage(**{**stored, "ema": tuple(stored.get("ema", Stage.ema))})  # JSON knows no tuples

    def hash(self) -> str:
        """What names the trained weights: the SHA-256 of model.safetensors.

        Raises:
            TranhError: the run is not finished.
        """
        if not self.finished:
            raise TranhError(
                f"the run {self.path} is not finished: train it to the end first (the same command resumes)."
            )
        return sha256(self.weights)

    def metrics(self) -> dict[str, Any]:
        """What has been measured, by name; empty if nothing has."""
        return dict(read_json(self.metrics_file)) if self.metrics_file.exists() else {}

    def add_metrics(self, figures: Mapping[str, Any]) -> None:
        """Add to metrics.json; names already there are replaced."""
        write_json(self.metrics_file, {**self.metrics(), **figures})

    def begin(
        self, stage: Stage, name: str, parents: Mapping[str, str], init: str | None, assets: Mapping[str, bytes]
    ) -> None:
        """Write recipe and assets, or check that those of the run being resumed are the same.

        Args:
            parents: part name -> hash of its run.
            init: hash of the weights the run starts from.
            assets: file name -> content (``tokenizer.json``, ``stats.json``).

        Raises:
            TranhError: the folder holds a run of another recipe, or an asset's name is not a plain file name.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        new = {"format": FORMAT, "name": name, "stage": _plain(stage), "parents": dict(parents), "init": init}
        if self.recipe_file.exists():
            old = self.recipe()
            stored = {**_plain(Stage(stage.family)), **old["stage"]}  # begun before a setting was known: its default
            changes = [
                f"{key} {stored[key]!r} there, {value!r} here"
                for key, value in _plain(stage).items()
                if stored[key] != value
            ]
            changes += [f"other {key}" for key in ("parents", "init") if old.get(key) != new[key]]
            if changes:
                raise TranhError(
                    f"{self.path} holds a run of another recipe ({'; '.join(changes)}). Use a new folder, "
                    "or the recipe it was begun with."
                )
        for file, content in assets.items():
            self._keep_asset(file, content)
        if not self.recipe_file.exists():
            write_json(self.recipe_file, {**new, "versions": _versions()})

    def _keep_asset(self, file: str, content: bytes) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", file):
            raise TranhError(f"an asset is called {file!r}; allowed are plain file names such as tokenizer.json.")
        path = self.path / file
        if not path.exists():
            write_bytes(path, content)
        elif path.read_bytes() != content:
            raise TranhError(f"{path} differs from the {file} of this recipe: use a new folder, or the old {file}.")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from training into the same folder; the lock dies with the process.

        Raises:
            TranhError: another process holds it.
        """
        self.state.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.state / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise TranhError(
                    f"another process trains into {self.path}: wait for it, or use another folder."
                ) from error
            yield
        finally:
            os.close(handle)
