"""The word that links and sessions are signed with: made once, kept beside the data, read by nobody else."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from tranh.types import TranhError

LENGTH = 32


def secret(folder: Path) -> bytes:
    """The secret of a data folder; made where there is none.

    Raises:
        TranhError: it cannot be read or written, or is none.
    """
    path = folder / "secret"
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        pass
    except OSError as error:
        raise TranhError(f"{path} cannot be written: {error.strerror}") from error
    else:
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(LENGTH))
            os.fsync(file.fileno())
    try:
        found = path.read_bytes()
    except OSError as error:
        raise TranhError(f"{path} cannot be read: {error.strerror}") from error
    if len(found) != LENGTH:
        raise TranhError(f"{path} is damaged: delete it, then links and sessions given out so far end")
    return found
