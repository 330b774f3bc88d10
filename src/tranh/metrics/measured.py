"""A number with its interval and its protocol card: everything somebody needs to get the same number again.

It knows no measure. A number that cannot be had is a ``Refused`` with the reason, not a missing row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from tranh.metrics.interval import Interval
from tranh.metrics.network import Network
from tranh.types import TranhError

PROTOCOL = 1
"""Raised when a measure of this package gives another number for the same pictures."""

FEW = 16
"""Fewest independent pictures (or prompts) whose mean gets an interval: resampling fewer promises too much."""

Better = Literal["higher", "lower", "neither"]


@dataclass(frozen=True)
class Card:
    """The protocol of one number. All values are JSON.

    Attributes:
        implementation: package, version of its protocols and measure, with the paper.
        counts: pictures (or prompts) it rests on, by what they are.
        interval: how the interval was made, in words.
        network, network_hash, resize: what the pictures were seen with; None where pixels are compared.
        seed: of all that was drawn: resamples, subsets, candidates.
        settings: what else the value depends on.
        notes: warnings to be read with the number.
    """

    implementation: str
    counts: Mapping[str, int]
    interval: str
    network: str | None = None
    network_hash: str | None = None
    resize: str | None = None
    seed: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        seen = f"{self.network} ({self.network_hash}), pictures {self.resize}" if self.network else None
        parts = [self.implementation, ", ".join(f"{n} {what}" for what, n in self.counts.items()), seen]
        parts += [f"{key} {value}" for key, value in self.settings.items()]
        parts += [f"interval: {self.interval}", None if self.seed is None else f"seed {self.seed}"]
        return "; ".join(part for part in (*parts, *self.notes) if part)


@dataclass(frozen=True)
class Measured:
    """A measured number.

    Attributes:
        name: as it may be called; of another network than its paper's it carries the network's name.
        interval: value, and the 95 % interval in which the same protocol on other pictures would fall.
        better: which way is better.
        bias: about how much of the value is due to so few pictures alone; None where the estimate has no bias, or
            where it is not known.
    """

    name: str
    interval: Interval
    card: Card
    better: Better = "higher"
    bias: float | None = None

    @property
    def value(self) -> float:
        return self.interval.value

    def __str__(self) -> str:
        counts = ", ".join(f"{n} {what}" for what, n in self.card.counts.items())
        bias = "" if self.bias is None else f", of which about {self.bias:.2g} is due to so few pictures"
        way = "" if self.better == "neither" else f"; {self.better} is better"
        return f"{self.name} {self.interval}{bias} ({counts}{way})" + "".join(f" ! {note}" for note in self.card.notes)

    def json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return asdict(self) | {"card": asdict(self.card) | {"notes": list(self.card.notes)}}


@dataclass(frozen=True)
class Refused:
    """A number that was not given, and why."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: not measured. {self.reason}"

    def json(self) -> dict[str, Any]:
        return asdict(self)


def card(
    measure: str,
    counts: Mapping[str, int],
    interval: str,
    *,
    network: Network | None = None,
    seed: int | None = None,
    settings: Mapping[str, Any] | None = None,
    notes: tuple[str, ...] = (),
) -> Card:
    """The card of a measure of this package."""
    said = Card(
        f"tranh.metrics {PROTOCOL}, {measure}",
        dict(counts),
        interval,
        seed=seed,
        settings=dict(settings or {}),
        notes=notes,
    )
    if network is None:
        return said
    settings = {**said.settings, **({"weights": network.origin} if network.origin else {})}
    return replace(said, network=network.name, network_hash=network.hash, resize=network.resize, settings=settings)


def enough(
    name: str, counts: Mapping[str, int], minimum: int, instead: str, allow_few: bool = False
) -> tuple[str, ...]:
    """The note a card gets when there are too few pictures and they were allowed; empty where there are enough.

    Args:
        instead: what to do about it, a sentence.

    Raises:
        TranhError: too few, and not allowed.
    """
    few = {what: n for what, n in counts.items() if n < minimum}
    if not few:
        return ()
    told = " and ".join(f"{n} {what}" for what, n in few.items())
    if not allow_few:
        raise TranhError(f"{told} are too few for {name}: it needs at least {minimum}. {instead}")
    return (f"too few pictures ({told}; {minimum} are needed): not to be compared with any other number",)
