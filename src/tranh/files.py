"""Files that are either the old ones or the new ones, never half of each; tensors as safetensors, the rest as JSON.

It knows nothing of runs or training. A reader never executes what it reads: pickles are not opened anywhere.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from tranh.types import TranhError

HEADER_LIMIT = 16 * 2**20  # bytes; a model of a million tensors needs no more


def users_folder(name: str, variable: str, folder: Path | None = None) -> Path:
    """Where something of the user's is kept: the folder given, the one an environment variable names, or ``name`` in
    the usual place."""
    if folder is not None:
        return Path(folder)
    if given := os.environ.get(variable):
        return Path(given)
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "tranh" / name


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut (on systems where folders can be synced)."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except (PermissionError, IsADirectoryError):  # Windows has no such call
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_file(path: Path) -> None:
    """Wait until a file's content is on the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place when the block ends well, and vanishes when it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        sync_file(temporary)
        os.replace(temporary, path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON value, indented. NaN and infinity are refused (ValueError): they are not JSON."""
    write_bytes(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors as one safetensors file, with words about them in its header. The same give the same bytes."""
    with replacing(path) as temporary:
        kept = {k: v.detach().contiguous() for k, v in tensors.items()}
        safetensors.torch.save_file(kept, temporary, dict(metadata) if metadata else None)


def read_json(path: Path, limit: int = 2**26) -> Any:
    """Read a JSON file of at most ``limit`` bytes.

    Raises:
        TranhError: it is missing, too large or not JSON.
    """
    try:
        size = path.stat().st_size
        if size > limit:
            raise TranhError(f"{path} has {size} bytes; at most {limit} are read. It is not a file Tranh wrote.")
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TranhError(f"{path} cannot be read ({error.strerror}). Is this the right folder?") from error
    except (ValueError, RecursionError) as error:
        raise TranhError(f"{path} is not valid JSON ({error}). Restore it from a copy.") from error


def check_safetensors(path: Path) -> None:
    """Refuse what is not safetensors before any library opens it.

    Raises:
        TranhError: the file is missing, a pickle, too short, or its header is larger than 16 MiB.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise TranhError(f"{path} cannot be read ({error.strerror}).") from error
    if len(start) < 9 or start[8:9] != b"{":
        kind = "a pickle" if start[:1] == b"\x80" or start[:2] == b"PK" else "damaged or something else"
        raise TranhError(f"{path} is not a safetensors file ({kind}). Only safetensors are opened; convert it first.")
    header = int.from_bytes(start[:8], "little")
    if header > min(HEADER_LIMIT, size - 8):
        raise TranhError(f"{path} announces a header of {header} bytes; at most {min(HEADER_LIMIT, size - 8)} can be.")


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file onto the CPU.

    Raises:
        TranhError: it is missing, damaged or not safetensors.
    """
    check_safetensors(path)
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise TranhError(f"{path} is not a whole safetensors file ({error}). Restore it from a copy.") from error


def read_metadata(path: Path) -> dict[str, str]:
    """The words in a safetensors file's header; empty if there are none.

    Raises:
        TranhError: it is missing, damaged or not safetensors.
    """
    check_safetensors(path)
    try:
        with safetensors.safe_open(path, "pt") as file:
            return dict(file.metadata() or {})
    except (safetensors.SafetensorError, ValueError) as error:
        raise TranhError(f"{path} is not a whole safetensors file ({error}). Restore it from a copy.") from error


def sha256(path: Path) -> str:
    """Hex digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
