"""Trainings as a folder of a model: their finished stages, one tokenizer, the words they know.

It trains nothing and assembles nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any, Literal, cast

from tranh.engine.rundir import RunDir
from tranh.engine.system import export_system
from tranh.files import read_json
from tranh.recipes.memory import MEMORY
from tranh.recipes.own import TOKENIZER, WORDS
from tranh.recipes.provenance import provenance
from tranh.text.words import Words
from tranh.types import TranhError

BESIDE = "tranh.recipes.beside:assemble"
"""What parts of several recipes are together: no system, but what helps one."""


def export(
    root: Path,
    out: Path,
    dtype: str = "bf16",
    card: Mapping[str, Any] | None = None,
    others: Sequence[Path] = (),
    together: bool = False,
) -> Path:
    """Write the trained stages under ``root`` as one self-contained folder.

    Args:
        others: more trainings whose parts go along; all of them then help other models and are none themselves.
        together: all parts in one file.

    Raises:
        TranhError: ``root`` or another holds no finished run of a recipe with a system, or they do not go together.
    """
    done: dict[str, RunDir] = {}
    assembler = ""
    for each in (root, *others):
        found, system = _trained(each)
        if twice := done.keys() & found.keys():
            raise TranhError(f"{each} has a part {', '.join(sorted(twice))} that another has too: leave one out")
        done |= found
        assembler = BESIDE if others else system
    told = {name: provenance(run) for name, run in done.items()}
    about = {"name": root.name, "recipe": read_json(root / "recipe.json")["name"], "trained": told} | dict(card or {})
    kept = cast(Literal["fp32", "bf16", "fp16", "int8"], dtype)
    return export_system(done, about, _assets(done), out, assembler=assembler, dtype=kept, together=together)


def _trained(root: Path) -> tuple[dict[str, RunDir], str]:
    """The finished parts of a training, and what assembles them."""
    if not (root / "recipe.json").is_file():
        raise TranhError(f"{root} holds no training: train a recipe there first (tranh train quick --run {root})")
    trained = read_json(root / "recipe.json")
    done = {name: run for name in trained["parts"] if (run := RunDir(root / name)).finished}
    if not done or not trained["system"]:
        raise TranhError(f"{root} holds no finished stage of {', '.join(trained['parts'])}: train one of them first")
    return done, str(trained["system"])


def _assets(done: Mapping[str, RunDir]) -> dict[str, bytes]:
    """One tokenizer, the words that any part knows, and the index of the stage nearest to the pictures."""
    tokenizers = {(run.path / TOKENIZER).read_bytes() for run in done.values()}
    if len(tokenizers) > 1:
        raise TranhError(f"{', '.join(done)} were trained with different tokenizers, so they cannot go together")
    known = {content: Words.load(content) for run in done.values() for content in [(run.path / WORDS).read_bytes()]}
    assets = {TOKENIZER: tokenizers.pop(), WORDS: reduce(Words.joined, known.values()).save()}
    for run in done.values():
        if (run.path / MEMORY).exists():
            assets[MEMORY] = (run.path / MEMORY).read_bytes()
    return assets
