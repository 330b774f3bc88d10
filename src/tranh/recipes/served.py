"""A loaded model whose networks many requests share: doors before them, what requests cost and what they may differ by.

It knows systems, tools and doors, and neither queues nor HTTP. What of a part is shared, its family says; of a folder
of diffusers it is every network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from PIL.Image import Image
from torch import nn

from tranh.engine.doors import Doors
from tranh.nn.packed import padded
from tranh.recipes import beside
from tranh.recipes.foreign import Foreign
from tranh.recipes.pictures import Pictures, check, seeds_of
from tranh.recipes.system import System
from tranh.recipes.tools import TOOLS, Tool, tool
from tranh.text.prompt import UnknownWord
from tranh.types import Event, Family, Request, TranhError

TILE = 4
"""Rows of every call in exact mode: a guided picture fills half of one."""

TOLERANCE = 1
"""Levels of 255 by which a pixel may depend on the company, outside exact mode: the last bit of sums that a processor
takes in another order (products in bf16 and embeddings were seen equal, convolutions to differ by about 1e-6)."""

STEPS, FRAMES = 16, 16
"""Of systems and tools that do not say theirs, to tell what they cost."""

ENLARGED = 2
"""Rows of the decoder that a row of an upsampler takes as long as."""

WALKS: Mapping[str, tuple[int, int]] = {
    "variation": (1, 1), "reconstruct": (1, 1), "textdiff": (1, 1), "restyle": (1, 1), "turn": (4, 0),
    "interpolate": (2, 1), "sweep": (1, 1), "animate": (0, 3), "motion": (0, 1),
}  # fmt: skip
"""Walks from noise to picture (or back) that a tool begins with, and those for each frame or picture it gives."""


@dataclass(frozen=True)
class Ready:
    """A request that was checked: its cost in network calls of one row, and what does it."""

    cost: float
    events: Callable[[], Iterator[Event]]


class Served:
    """One model for many requests at once. Each is run as a guest of the doors, by :class:`tranh.engine.jobs.Engine`.

    Args:
        system: of ours, or :class:`tranh.recipes.foreign.Foreign`.
        exact: a picture then does not depend on its company by a bit: every call has ``TILE`` rows, padding is computed
            like the rest, and so all shapes stand still. Costs a single request about twice the time.
        name: as clients ask for it; the system's own if None.
    """

    def __init__(self, system: Any, doors: Doors, *, exact: bool = False, name: str | None = None) -> None:
        self.system, self.doors, self.exact = system, doors, exact
        self.name = name or str(getattr(system, "name", type(system).__name__))
        for owner, method in networks(system):
            doors.put(owner, method, tile=TILE if exact else None, within=padded if exact else nullcontext)

    @property
    def tolerance(self) -> int:
        """Levels of 255 by which a pixel may depend on who else is served."""
        return 0 if self.exact else TOLERANCE

    def tools(self) -> dict[str, Tool]:
        """What it can be asked for."""
        return {name: one for name, one in TOOLS.items() if one.who(self.system) is None}

    def ready(self, name: str, values: Mapping[str, Any], picture: Callable[[str], Image]) -> Ready:
        """Check what was sent for a tool, as plain JSON values; nothing is computed.

        Args:
            picture: the picture that an id stands for.

        Raises:
            TranhError: the tool is unknown, the system has it not, or the values cannot be meant.
        """
        asked = tool(name)
        if (why := asked.who(self.system)) is not None:
            raise TranhError(why)
        request, options = asked.asked(values, picture)
        if name == "generate" and hasattr(self.system, "checked"):
            self.system.checked(request)
        elif name != "animate":  # whose seeds are its keys'
            check(request)
        return Ready(self.cost(name, request, options), lambda: self.run(name, request, options))

    def run(self, name: str, request: Request, options: Mapping[str, Any] | None = None) -> Iterator[Event]:
        """A tool's events; its pictures' settings say whether they may depend on their company, and by how much."""
        for event in tool(name).run(self.system, request, options):
            if isinstance(event.result, Pictures):
                for told in event.result.settings:
                    told |= {"exact": self.exact, "tolerance": self.tolerance}
            yield event

    def cost(self, name: str, request: Request, options: Mapping[str, Any] | None = None) -> float:
        """Network calls of one row that a request takes, near enough to foretell when it ends."""
        steps = request.steps or getattr(self.system, "steps", None) or STEPS
        guidance = getattr(self.system, "guidance", None) if request.guidance is None else request.guidance
        first, each = WALKS.get(name, (0, 1))
        some = tool(name)
        many = {field.name: field.default for field in some.fields}.get("frames")
        count = (request.frames or many or FRAMES) if many else len(seeds_of(request)) * request.candidates
        calls = (first + each * count) * steps * (1 if guidance in (None, 1) else 2)
        if isinstance(self.system, System) and (request.size or self.system.size) > self.system.side:
            calls += count * ENLARGED * getattr(self.system, "upsampler_steps", 1)
        return float(calls)

    def understand(self, prompt: str) -> dict[str, Any]:
        """How a prompt is read: ``understood``, ``language``, ``notices``; ``unknown``, words with those near them."""
        unknown: list[dict[str, Any]] = []
        try:
            read = self.system.understand(prompt)
        except UnknownWord as error:
            unknown = [{"word": word, "near": list(error.suggestions.get(word, ()))} for word in error.words]
            read = self.system.understand(prompt, allow_unknown=True)
        return {
            "understood": read.text, "language": read.language, "notices": list(read.notices), "unknown": unknown
        }  # fmt: skip


def networks(system: Any) -> Iterator[tuple[Any, str]]:
    """What of a system is shared: objects, and the names of their methods."""
    if isinstance(system, Foreign):
        for part in system.pipeline.components.values():
            if isinstance(part, nn.Module):
                yield part, "forward"
                for coder in ("encoder", "decoder"):  # of an autoencoder, whose own methods are told a generator
                    if isinstance(getattr(part, coder, None), nn.Module):
                        yield getattr(part, coder), "forward"
        return
    for part in _parts(system):
        yield from shared_by(part)


def shared_by(part: Family) -> Iterator[tuple[Any, str]]:
    """The same of one part; a network that it was built without is none."""
    for name in part.shared:
        inner, _, last = name.rpartition(".")
        owner = attrgetter(inner)(part) if inner else part
        found = getattr(owner, last)
        if isinstance(found, nn.Module):
            yield found, "forward"
        elif found is not None:
            yield owner, last


def _parts(system: Any) -> Iterable[Family]:
    """The parts a system may use: its own, and those beside it."""
    for one in (system, getattr(system, "beside", None), beside.shipped()):
        yield from getattr(one, "parts", {}).values()
