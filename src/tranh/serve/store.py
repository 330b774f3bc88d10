"""What the server remembers: a database of jobs and a folder of their files, in one place.

It opens them, sees to it that two servers do not share what only one can have, and tidies up after a crash.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from tranh.files import users_folder
from tranh.serve.album import Album
from tranh.serve.blobs import Blobs
from tranh.serve.queue import LEASE, Queue
from tranh.serve.tables import Database
from tranh.types import TranhError

YOUNG = 3600.0
"""Seconds for which a file without a row is left alone, while other servers use the same folder."""


def data_folder() -> Path:
    """``$TRANH_DATA``, or ``~/.local/share/tranh/server``."""
    return users_folder("server", "TRANH_DATA")


class Store:
    """Jobs, pictures and files.

    Args:
        folder: of the files, and of the database if that is SQLite; None for :func:`data_folder`.
        url: of the database; None for ``$TRANH_DATABASE_URL``, or SQLite in ``folder``.
        synced: False keeps nothing through a power cut, and is quicker.
        lease: seconds after which a server that says nothing more is taken for dead.
        clock: unix seconds.

    Attributes:
        queue, album, database: its parts.
        sole: no other server can use the database (SQLite).
        recovered: jobs that a dead server was drawing; swept: files that it left.

    Raises:
        TranhError: the folder or the database cannot be used.
    """

    def __init__(
        self,
        folder: Path | None = None,
        url: str | None = None,
        *,
        synced: bool = True,
        lease: float = LEASE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.folder = Path(folder or data_folder())
        url = url or os.environ.get("TRANH_DATABASE_URL") or f"sqlite:///{self.folder / 'tranh.db'}"
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            blobs = Blobs(self.folder / "blobs")
        except OSError as error:
            raise TranhError(f"{self.folder} cannot be written ({error.strerror}): set TRANH_DATA") from error
        self.sole = url.startswith("sqlite")
        self._lock = self._locked() if self.sole else None
        try:
            self.database = Database(url, synced)
        except TranhError:
            self._unlock()
            raise
        self.album = Album(self.database, blobs)
        self.queue = Queue(self.database, self.album, uuid.uuid4().hex, lease=lease, clock=clock)
        self.queue.beat()
        self.recovered = self.queue.recover(self.sole)
        self.swept = self.album.sweep(0.0 if self.sole or self.queue.alone() else YOUNG)

    @classmethod
    def temporary(cls) -> Store:
        """One that is gone with the process."""
        folder = tempfile.TemporaryDirectory(prefix="tranh-")
        store = cls(Path(folder.name), f"sqlite:///{folder.name}/tranh.db", synced=False)
        store._temporary = folder
        return store

    def close(self) -> None:
        """Say goodbye: others take what waits here."""
        try:
            self.queue.leave()
        finally:
            self.database.close()
            self._unlock()
            if self._temporary is not None:
                self._temporary.cleanup()

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _locked(self) -> int:
        """Keep other servers out of the folder; the lock dies with the process."""
        handle = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(handle)
            raise TranhError(
                f"another server uses {self.folder}: stop it, set TRANH_DATA to another folder, or let both use "
                "PostgreSQL (TRANH_DATABASE_URL)"
            ) from error
        return handle
