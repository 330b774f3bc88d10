"""The words of the server: what is ordered, what became of it, and what is told on the way.

It knows neither HTTP nor databases nor models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from PIL import Image

from tranh.types import Event, TranhError

Status = Literal["queued", "in_progress", "completed", "failed", "cancelled"]
ENDS: tuple[Status, ...] = ("completed", "failed", "cancelled")

Kind = Literal["job", "progress", "preview", "image", "end"]


class Refused(TranhError):
    """A request that is answered with an error.

    Attributes:
        status: of HTTP.
        type, code, param: as in OpenAI's error bodies.
        retry_after: seconds after which another try makes sense; None where none does.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        type: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.type, self.code, self.param, self.retry_after = status, type, code, param, retry_after


@dataclass(frozen=True)
class Order:
    """What is wanted: a tool, a model's name, and the fields of the request as JSON.

    Pictures in ``request`` are told by the SHA-256 of their file, which lies among the blobs.
    """

    tool: str
    model: str
    request: Mapping[str, Any]


@dataclass(frozen=True)
class Fault:
    """Why a job failed; ``type``, ``code`` and ``param`` as in :class:`Refused`."""

    message: str
    type: str = "server_error"
    code: str | None = None
    param: str | None = None


@dataclass(frozen=True)
class Picture:
    """A finished picture. ``sha256`` names its file among the blobs; ``index`` counts within its job."""

    id: str
    job: str
    index: int
    sha256: str
    mime: str
    width: int
    height: int
    bytes: int
    seed: int
    settings: Mapping[str, Any]
    created_at: float
    favourite: bool = False


@dataclass(frozen=True)
class Record:
    """An order and what became of it. Times are unix seconds; ``owner`` names the key it was ordered with."""

    id: str
    owner: str
    order: Order
    status: Status
    created_at: float
    started_at: float | None = None
    completed_at: float | None = None
    attempts: int = 0
    step: int = 0
    steps: int = 0
    queue_position: int = 0
    eta_s: float | None = None
    pictures: tuple[Picture, ...] = ()
    notices: tuple[str, ...] = ()
    fault: Fault | None = None

    @property
    def progress(self) -> int:
        """In per cent."""
        if self.status == "completed":
            return 100
        return min(99, round(100 * self.step / self.steps)) if self.steps else 0


@dataclass(frozen=True)
class Update:
    """Something to tell whoever watches a job; ``number`` counts from 1 within the job and never goes back."""

    number: int
    kind: Kind
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Work:
    """An order made ready: its cost in network calls, and what does it."""

    cost: float
    events: Callable[[], Iterator[Event]]


class Model(Protocol):
    """What the server draws with.

    Attributes:
        name: as asked for. created: unix seconds. about: what people should know, JSON.
    """

    name: str
    created: int
    about: Mapping[str, Any]

    def ready(self, order: Order, pictures: Callable[[str], Image.Image]) -> Work:
        """Check an order, without long work.

        Args:
            pictures: the picture in the blob of a SHA-256.

        Raises:
            TranhError: it cannot be done.
        """
        ...

    def understand(self, prompt: str) -> Mapping[str, Any]:
        """How a prompt is read: ``understood``, ``language``, ``notices``, ``unknown`` (words, with near ones)."""
        ...
