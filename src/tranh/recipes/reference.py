"""Reference statistics of a data set: what its pictures look like to a feature network, computed once and kept.

It knows batches of pictures and a folder, not where the pictures are read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from torch import Tensor

from tranh.metrics.network import Network
from tranh.metrics.statistics import Statistics, gather, load, save
from tranh.types import TranhError


def reference(
    data: str, network: Network, batches: Iterable[Tensor], folder: Path, *, size: int, count: int | None = None
) -> Statistics:
    """The statistics of a data set, from ``folder`` if they were computed before.

    Args:
        data: names the data set and the choice made of it, a hash of its manifest.
        batches: pictures (B, 3, size, size) in [-1, 1], in an order that does not change; begun only if it has to be.
        size: side of the pictures in pixels.
        count: pictures used, the first ones; None for all.

    Raises:
        TranhError: fewer pictures than ``count``, pictures of another size, or a damaged file.
    """
    path = where(data, network, folder, size=size, count=count)
    if path.exists():
        found = load(path)
        found.check(network)
        if (found.data, found.size) == (data, size) and count in (None, found.count):
            return found
        raise TranhError(f"{path} holds the statistics of other pictures. Delete it; they are computed again.")
    found = gather((network.features(part) for part in _first(batches, size, count)), network, data=data, size=size)
    if count is not None and found.count < count:
        raise TranhError(f"{count} pictures were asked for and the data set has {found.count}; ask for at most those.")
    save(path, found)
    return found


def where(data: str, network: Network, folder: Path, *, size: int, count: int | None = None) -> Path:
    """The file of a data set, a network, a size and a number of pictures."""
    parts = (data[:16], network.name, network.hash[:16], f"{size}px", "all" if count is None else str(count))
    return folder / f"{re.sub(r'[^A-Za-z0-9_.-]', '_', '-'.join(parts))}.safetensors"


def _first(batches: Iterable[Tensor], size: int, count: int | None) -> Iterator[Tensor]:
    left = count
    for batch in batches:
        if batch.ndim != 4 or tuple(batch.shape[1:]) != (3, size, size):
            raise TranhError(f"a batch of pictures has shape {list(batch.shape)}; it must be (B, 3, {size}, {size}).")
        part = batch if left is None else batch[:left]
        if len(part):
            yield part
        if left is not None:
            left -= len(part)
            if left == 0:
                return
