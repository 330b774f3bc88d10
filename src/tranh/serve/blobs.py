"""Files named by the SHA-256 of what is in them, each written whole or not at all.

They know neither jobs nor pictures: who refers to a file is the store's business.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tranh.files import sync_folder
from tranh.serve.faults import fault
from tranh.serve.orders import Refused

NAME = re.compile(r"[0-9a-f]{64}")
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def full(where: object) -> Refused:
    """The reply when nothing more can be written."""
    return Refused(
        f"the disk of {where} is full: nothing was kept. Delete pictures or make room, then try again",
        status=507,
        type="server_error",
        code="insufficient_storage",
    )


class Blobs:
    """A folder of such files, in folders of two letters. The folder may be a link; below it no link is followed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    @staticmethod
    def name(data: bytes) -> str:
        """What a file is called."""
        return hashlib.sha256(data).hexdigest()

    def path(self, sha256: str) -> Path:
        """Where a file lies, or would."""
        if not NAME.fullmatch(sha256):
            raise ValueError(f"{sha256!r} is no SHA-256")
        return self.folder / sha256[:2] / sha256

    def has(self, sha256: str) -> bool:
        return _lies(self.path(sha256))

    def read(self, sha256: str) -> bytes:
        """What is in a file.

        Raises:
            FileNotFoundError: there is none, or a link in its place.
        """
        path = self.path(sha256)
        if not _lies(path):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return path.read_bytes()

    def write(self, data: bytes) -> str:
        """Keep bytes; they are on the disk when this returns. What is there already is not written again.

        Returns:
            Their SHA-256.

        Raises:
            Refused: the disk is full; nothing of it is left there.
        """
        sha256 = self.name(data)
        path = self.path(sha256)
        temporary = path.with_name(f".{sha256}.{os.getpid()}.{time.monotonic_ns()}.tmp")
        try:
            if _lies(path):
                os.utime(path)  # young again: another server's sweep leaves it alone
                return sha256
            if path.parent.is_symlink():
                path.parent.unlink()
            if not path.parent.is_dir():
                path.parent.mkdir(exist_ok=True)
                sync_folder(self.folder)
            fault("blob.begun")
            with temporary.open("wb") as file:
                file.write(data[: len(data) // 2])
                fault("blob.half")
                file.write(data[len(data) // 2 :])
                file.flush()
                os.fsync(file.fileno())
            fault("blob.written")
            os.replace(temporary, path)
            sync_folder(path.parent)
            fault("blob.named")
        except OSError as error:
            temporary.unlink(missing_ok=True)
            if error.errno in FULL:
                raise full(self.folder) from error
            raise
        return sha256

    def remove(self, sha256: str) -> None:
        """Delete a file; one that is not there is no error."""
        self.path(sha256).unlink(missing_ok=True)

    def files(self) -> Iterator[Path]:
        """All that lies there, what was never finished too."""
        return (path for path in self.folder.glob("*/*") if path.is_file() and not path.parent.is_symlink())

    def sweep(self, wanted: Callable[[str], bool], age: float = 0.0) -> int:
        """Delete what nobody refers to, and what was never finished.

        Args:
            wanted: is a SHA-256 referred to?
            age: seconds; younger files are left alone, for another server may be about to refer to them.

        Returns:
            How many files went.
        """
        gone = 0
        for path in self.files():
            if NAME.fullmatch(path.name) and wanted(path.name):
                continue
            if not age or time.time() - path.stat().st_mtime > age:
                path.unlink(missing_ok=True)
                gone += 1
        return gone


def _lies(path: Path) -> bool:
    """Is there a file, and not a link that leads to one?"""
    return path.is_file() and not path.is_symlink() and not path.parent.is_symlink()
