"""A system as one folder that needs nothing else, and back. What a system can do, its assembler in ``recipes`` knows.

Everything in such a folder is read as if a stranger had sent it: paths stay inside, hashes must agree, keys must be
known, the assembler must be ours or a declared entry point, and nothing that could be a pickle is opened.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from tranh.engine import find
from tranh.engine.rundir import RunDir
from tranh.engine.weights import load_tensors, tensors_of
from tranh.files import read_json, read_tensors, sha256, write_bytes, write_json, write_tensors
from tranh.types import Family, Stage, TranhError

FORMAT = 1
ALLOWED = "tranh.recipes"
SCALE = "#scale"  # no module can have this in its name
TOGETHER = "parts.safetensors"
"""The file of all parts where they are kept together, each tensor by ``part/name``."""
Kept = Literal["fp32", "bf16", "fp16", "int8"]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
PART_KEYS = {"family", "config", "file", "sha256", "dtype", "run"}
TOP_KEYS = {"format", "assembler", "parts", "assets", "card"}


def quantize(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Symmetric int8 per row: (R, C) float -> (R, C) int8 and scale (R,) float32; off by at most scale / 2."""
    weight = weight.float()
    scale = weight.abs().amax(dim=1).clamp(min=torch.finfo(torch.float32).tiny * 127) / 127
    return (weight / scale[:, None]).round().clamp(-127, 127).to(torch.int8), scale


def dequantize(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Undo :func:`pack`'s int8; other tensors stay as they are."""
    result = {}
    for name, tensor in tensors.items():
        if name.endswith(SCALE):
            continue
        scale = tensors.get(name + SCALE)
        if scale is None:
            result[name] = tensor
        elif tensor.ndim == 2 and scale.shape == tensor.shape[:1]:
            result[name] = tensor.float() * scale.float()[:, None]
        else:
            raise TranhError(
                f"{name} has shape {list(tensor.shape)} and scale {list(scale.shape)}; the file is damaged."
            )
    return result


def pack(family: Family, dtype: Kept) -> dict[str, Tensor]:
    """Weights in the dtype asked for. Buffers (means, codebooks, tables) keep theirs: they are small and sensitive."""
    weights = {name for name, _ in family.named_parameters()}
    result = {}
    for name, tensor in tensors_of(family).items():
        if name not in weights or not tensor.is_floating_point():
            result[name] = tensor
        elif dtype == "int8" and tensor.ndim == 2:
            result[name], result[name + SCALE] = quantize(tensor)
        else:
            result[name] = tensor.to(DTYPES["bf16" if dtype == "int8" else dtype])
    return result


def part_of(tensors: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    """The tensors of one part, from a file that holds several."""
    start = f"{part}/"
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}


def export_system(
    parts: Mapping[str, RunDir],
    card: Mapping[str, Any],
    assets: Mapping[str, bytes],
    out_dir: Path,
    *,
    assembler: str,
    dtype: Kept = "bf16",
    together: bool = False,
    kinds: Mapping[str, type[Family]] | None = None,
) -> Path:
    """Write trained runs as one self-contained folder.

    Args:
        parts: part name -> finished run.
        card: what people should know (name, data, licence, limits), JSON values; handed to the assembler.
        assets: file name -> content (``tokenizer.json``).
        out_dir: made if absent; must not hold another system.
        assembler: ``module:function`` in ``tranh.recipes``, or declared as an entry point of that group.
        dtype: of the weights in the files; int8 rounds matrices per row and keeps the rest in bf16.
        together: all parts in one file.
        kinds: classes of families that are not found by name (tests).

    Raises:
        TranhError: a run is not finished, the folder is taken, or a name is not allowed.
    """
    out_dir = Path(out_dir)
    if dtype not in (*DTYPES, "int8"):
        raise TranhError(f"dtype {dtype!r} is unknown; allowed: {', '.join(DTYPES)}, int8.")
    if out_dir.exists() and any(out_dir.iterdir()):
        raise TranhError(f"{out_dir} is not empty: export into a new folder.")
    check_assembler(assembler)
    entries: dict[str, Any] = {}
    packed: dict[str, dict[str, Tensor]] = {}  # file -> what it holds
    for name, run in parts.items():
        _check_name(name, "part")
        stage = run.stage()
        family = find.build(stage, (kinds or {}).get(name))
        load_tensors(family, read_tensors(run.weights), str(run.weights))
        file, start = (TOGETHER, f"{name}/") if together else (f"parts/{name}.safetensors", "")
        packed.setdefault(file, {}).update((start + key, tensor) for key, tensor in pack(family, dtype).items())
        told = {"family": stage.family, "config": dict(stage.model), "dtype": dtype, "run": run.hash()}
        entries[name] = told | {"file": file}
    for file, tensors in packed.items():
        write_tensors(out_dir / file, tensors)
    for entry in entries.values():
        entry["sha256"] = sha256(out_dir / entry["file"])
    files = {}
    for name, content in assets.items():
        _check_file(name)
        write_bytes(out_dir / name, content)
        files[name] = sha256(out_dir / name)
    value = {"format": FORMAT, "assembler": assembler, "parts": entries, "assets": files, "card": dict(card)}
    write_json(out_dir / "system.json", value)  # last: a folder without it is no system
    return out_dir


def load_system(folder: Path, *, kinds: Mapping[str, type[Family]] | None = None) -> Any:
    """What the assembler makes of an exported folder: a system with its capabilities.

    Args:
        kinds: classes of families that are not found by name (tests), by part.

    Raises:
        TranhError: anything in the folder is missing, altered, unknown or points outside it.
    """
    folder = Path(folder)
    value = _checked(read_json(folder / "system.json", limit=2**20))
    assemble = check_assembler(value["assembler"])
    assets = {name: _verified(folder, name, digest).read_bytes() for name, digest in value["assets"].items()}
    parts = {}
    for name, entry in value["parts"].items():
        file = _verified(folder, entry["file"], entry["sha256"])
        kind = (kinds or {}).get(name) or find.family(entry["family"])
        try:
            family = find.build(Stage(entry["family"], model=entry["config"]), kind)
        except (TypeError, ValueError, RuntimeError) as error:
            raise TranhError(
                f"part {name} cannot be built as {entry['family']}: {error}. Was it made by another version?"
            ) from error
        tensors = read_tensors(file)
        if file.name == TOGETHER:
            tensors = part_of(tensors, name)
        load_tensors(family, dequantize(tensors), str(file))
        for p in family.parameters():
            p.requires_grad_(False)
        parts[name] = family.eval()
    return assemble(parts, assets, value["card"])


def check_assembler(path: object) -> Callable[[dict[str, Family], dict[str, bytes], dict[str, Any]], Any]:
    """The function behind ``module:function``, if it may be called.

    Raises:
        TranhError: it lies outside ``tranh.recipes`` and is no entry point of that group, or does not exist.
    """
    word = r"[a-z][a-z0-9_]*"
    allowed = {point.value for point in entry_points(group=ALLOWED)}
    if not isinstance(path, str) or not (
        re.fullmatch(rf"{re.escape(ALLOWED)}(\.{word})*:{word}", path) or path in allowed
    ):
        raise TranhError(
            f"the system wants to be assembled by {path!r}; allowed are functions in {ALLOWED} and installed entry "
            f"points of that group ({', '.join(sorted(allowed)) or 'none'})."
        )
    module_name, name = path.split(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise TranhError(f"{module_name}, which assembles this system, is not installed: update Tranh.") from error
    function = getattr(module, name, None)
    # A name that the module merely imported (os.system, say) is not one of its functions.
    if not callable(function) or getattr(function, "__module__", None) != module_name:
        raise TranhError(f"{module_name} defines no function {name}: update Tranh, or export the system again.")
    return function  # type: ignore[no-any-return]


def _checked(value: Any) -> dict[str, Any]:
    """system.json if it has exactly the known keys, with values of the known types."""
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise TranhError(f"system.json is not of format {FORMAT}: made by another version of Tranh?")
    _check_keys(value, TOP_KEYS, "system.json")
    if not all(isinstance(value[k], dict) for k in ("parts", "assets", "card")):
        raise TranhError("system.json: parts, assets and card must be objects.")
    for name, entry in value["parts"].items():
        _check_name(name, "part")
        if not isinstance(entry, dict):
            raise TranhError(f"system.json: part {name} must be an object.")
        _check_keys(entry, PART_KEYS, f"part {name}")
        if not isinstance(entry["config"], dict) or not all(isinstance(entry[k], str) for k in PART_KEYS - {"config"}):
            raise TranhError(f"system.json: part {name} has a value of the wrong type.")
        _check_name(entry["family"], "family")
        if entry["file"] not in (f"parts/{name}.safetensors", TOGETHER):
            raise TranhError(
                f"part {name} lies in {entry['file']!r}; it must be parts/{name}.safetensors or {TOGETHER}."
            )
        if entry["dtype"] not in (*DTYPES, "int8"):
            raise TranhError(f"part {name} has dtype {entry['dtype']!r}; known: {', '.join(DTYPES)}, int8.")
    for name in value["assets"]:
        _check_file(name)
    return value


def _check_keys(value: Mapping[str, Any], known: set[str], where: str) -> None:
    if value.keys() != known:
        unknown, missing = sorted(value.keys() - known), sorted(known - value.keys())
        raise TranhError(f"{where} has unknown keys {unknown} and lacks {missing}; known: {', '.join(sorted(known))}.")


def _check_name(name: str, what: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name):
        raise TranhError(f"a {what} is called {name!r}; allowed are lower-case letters, digits and _, a letter first.")


def _check_file(name: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", name) or name == "system.json":
        raise TranhError(f"an asset is called {name!r}; allowed are plain file names inside the folder.")


def _verified(folder: Path, name: str, digest: object) -> Path:
    """A file of the folder whose content is what system.json says."""
    path = folder / name
    if path.is_symlink() or not path.resolve().is_relative_to(folder.resolve()):
        raise TranhError(f"{path} leads outside the folder; a system's files must lie in it.")
    if not path.is_file():
        raise TranhError(f"{path} is missing: copy the whole folder again.")
    if sha256(path) != digest:
        raise TranhError(f"{path} is not what system.json says (its hash differs): copy the folder again.")
    return path
