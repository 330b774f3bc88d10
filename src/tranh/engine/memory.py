"""The memory of this process and of the machine it may use, in bytes; exact on Linux, elsewhere what the system tells.

It does not know who holds it.
"""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress
from pathlib import Path

STATUS, FORGET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
MACHINE = Path("/proc/meminfo")
CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def _status(name: str, file: Path | None = None) -> int | None:
    try:
        lines = (file or STATUS).read_text().splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), None)


def forget_peak() -> None:
    """Let :func:`peak` count from now on; where the system has no such call it goes on counting from the start."""
    try:
        FORGET.write_text("5")
    except OSError:
        return


def peak() -> int:
    """The most memory the process has held since :func:`forget_peak`."""
    known = _status("VmHWM")
    if known is not None:
        return known
    try:
        import resource
    except ImportError:  # Windows
        return 0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


def held() -> int:
    """What the process holds now; where that is not told, its peak."""
    return _status("VmRSS") or peak()


def give_back() -> None:
    """Hand memory that nobody uses back to the system, where the C library keeps it (glibc).

    Captions of varying length leave holes of varying size between tensors: CLIP was seen to hold 10 MB more every step.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def limit() -> int | None:
    """What the process may hold at most: the machine's memory, or its container's if that is less; None if unknown."""
    known = []
    with suppress(AttributeError, ValueError, OSError):  # Windows has no such call
        known.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for name in CGROUPS:
        try:
            told = Path(name).read_text().strip()
        except OSError:
            continue
        known += [int(told)] if told.isdigit() else []
    return min(known, default=None)


def available() -> int | None:
    """What the process may take beyond what it holds: what the machine has free, or its container if that is less;
    None if unknown."""
    most = limit()
    known = [_status("MemAvailable", MACHINE), None if most is None else max(0, most - held())]
    return min((bytes for bytes in known if bytes is not None), default=None)
