"""Points where a test can make the server die, or its disk fill up; without ``TRANH_FAULTS`` they do nothing.

It knows nothing of what is done between them.
"""

from __future__ import annotations

import errno
import fnmatch
import itertools
import os
import signal
from collections.abc import Callable


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _fill() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _swell() -> None:
    raise MemoryError


DEEDS: dict[str, Callable[[], None]] = {"kill": _die, "full": _fill, "memory": _swell}

_armed: list[tuple[str, int, Callable[[], None], itertools.count[int]]] = []


def arm(faults: str) -> None:
    """Say what happens where: ``NAME:TIME:DEED``, several with commas between.

    Args:
        faults: NAME may have a ``*``; TIME is the how manieth time such a point is reached, 0 for every time; DEED is
            kill (SIGKILL), full (no space on the disk) or memory (none left). An empty text disarms.
    """
    _armed.clear()
    for one in filter(None, faults.split(",")):
        name, when, deed = one.split(":")
        _armed.append((name, int(when), DEEDS[deed], itertools.count(1)))


def fault(name: str) -> None:
    """A point at which something may go wrong."""
    for pattern, when, deed, times in _armed:
        if fnmatch.fnmatchcase(name, pattern) and (next(times) == when or not when):
            deed()


arm(os.environ.get("TRANH_FAULTS", ""))
