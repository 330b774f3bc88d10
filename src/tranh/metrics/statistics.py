"""What is kept of a set of pictures so that others can be compared with it: moments of its features, and a sample.

It knows features as they come in batches, and one file; not where the pictures came from.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from tranh.files import read_metadata, read_tensors, write_tensors
from tranh.metrics.network import Network
from tranh.types import TranhError

KEPT = 10_000
"""Pictures whose features are kept: all of a smaller set, a random choice from a larger one."""


@dataclass(frozen=True)
class Moments:
    """Mean (D,) and unbiased covariance (D, D) in float64, of ``count`` pictures."""

    mean: Tensor
    covariance: Tensor
    count: int


def moments(x: Tensor) -> Moments:
    """Moments of features (N, D), N >= 2.

    Raises:
        TranhError: a value is not finite, or there are fewer than two pictures.
    """
    x = x.detach().double().cpu()
    _finite(x)
    if len(x) < 2:
        raise TranhError(f"{len(x)} pictures have no covariance; at least two are needed.")
    mean = x.mean(0)
    x = x - mean
    return Moments(mean, x.T @ x / (len(x) - 1), len(x))


@dataclass(frozen=True)
class Statistics:
    """A reference set, as kept on disk.

    Attributes:
        data: names the set (a hash of its manifest).
        network, network_hash, resize: what its pictures were seen with.
        size: side of the pictures in pixels.
        moments: of all its pictures.
        sample: (at most KEPT, D) float32 features, a random choice if there were more.
    """

    data: str
    network: str
    network_hash: str
    resize: str
    size: int
    moments: Moments
    sample: Tensor

    @property
    def count(self) -> int:
        return self.moments.count

    @property
    def whole(self) -> bool:
        """Are the features of every picture kept?"""
        return len(self.sample) == self.count

    def check(self, network: Network) -> None:
        """Refuse to be compared in the features of another network (TranhError)."""
        if network.hash != self.network_hash:
            raise TranhError(
                f"these reference statistics were made with {self.network} ({self.network_hash}), the pictures are "
                f"seen with {network.name} ({network.hash}). Compute them again with the same network."
            )


def gather(
    features: Iterable[Tensor], network: Network, *, data: str, size: int, kept: int = KEPT, seed: int = 0
) -> Statistics:
    """The statistics of features (B, D) that come in batches; memory does not grow with their number.

    Raises:
        TranhError: fewer than two pictures, or a value is not finite.
    """
    generator = torch.Generator().manual_seed(seed)
    count, mean, scatter = 0, torch.zeros(0), torch.zeros(0)
    sample, keys = torch.zeros(0), torch.zeros(0, dtype=torch.float64)
    for batch in features:
        x = batch.detach().double().cpu()
        _finite(x)
        if count == 0:
            D = x.shape[1]
            mean, scatter = x.new_zeros(D), x.new_zeros(D, D)
            sample = torch.zeros(0, D)
        if len(x) == 0:
            continue
        # Chan et al. 1979: two parts' means and scatters joined without large sums that cancel.
        own = x.mean(0)
        step, total = own - mean, count + len(x)
        x = x - own
        scatter += x.T @ x + torch.outer(step, step) * (count * len(x) / total)
        mean, count = mean + step * (len(x) / total), total
        # Each picture draws a number, the smallest stay: every choice of that many is as likely.
        sample = torch.cat([sample, batch.detach().float().cpu()])
        keys = torch.cat([keys, torch.rand(len(batch), generator=generator, dtype=torch.float64)])
        if len(sample) > kept:
            keys, stay = keys.topk(kept, largest=False, sorted=False)
            sample = sample[stay.sort().values]
            keys = keys[stay.argsort()]
    if count < 2:
        raise TranhError(f"{count} pictures have no statistics; at least two are needed.")
    found = Moments(mean, scatter / (count - 1), count)
    return Statistics(data, network.name, network.hash, network.resize, size, found, sample)


def save(path: Path, statistics: Statistics) -> None:
    """Write one safetensors file; its header carries the card as JSON."""
    m = statistics.moments
    card = {k: v for k, v in asdict(statistics).items() if k not in ("moments", "sample")} | {"count": m.count}
    tensors = {"mean": m.mean, "covariance": m.covariance, "sample": statistics.sample}
    write_tensors(path, tensors, {"statistics": json.dumps(card)})


def load(path: Path) -> Statistics:
    """Read what ``save`` wrote.

    Raises:
        TranhError: the file is missing, damaged or something else.
    """
    tensors, said = read_tensors(path), read_metadata(path).get("statistics")
    try:
        card = json.loads(said or "")
        found = Moments(tensors["mean"], tensors["covariance"], int(card.pop("count")))
        out = Statistics(**card, moments=found, sample=tensors["sample"])
    except (ValueError, KeyError, TypeError) as error:
        raise TranhError(f"{path} does not hold reference statistics. Delete it; they are computed again.") from error
    D = out.sample.shape[-1]
    if found.mean.shape != (D,) or found.covariance.shape != (D, D) or out.sample.ndim != 2:
        raise TranhError(f"{path} holds statistics whose shapes do not agree. Delete it; they are computed again.")
    return out


def _finite(x: Tensor) -> None:
    if not torch.isfinite(x).all():
        raise TranhError("a feature is NaN or infinite: the pictures or the network are broken.")
