"""Completing a picture whose top is given: the rest is made anew, as a prompt says.

It asks for ``Completes`` and knows no family.
"""

from __future__ import annotations

from collections.abc import Iterator

from PIL.Image import Image

from tranh.types import Completes, Event, Request, TranhError, capabilities


def complete(
    model: object, picture: Image, request: Request, rows: float = 0.5, name: str = "the model"
) -> Iterator[Event]:
    """The pictures of a request whose top is that of ``picture``.

    Args:
        model: a system.
        rows: share of the height that is kept, at least 0 and below 1.
        name: of the model, for what is said when it cannot.

    Yields:
        Progress; the result of the last event is what the model's own pictures come as.

    Raises:
        TranhError: the model cannot complete a picture, or ``rows`` is out of range.
    """
    if not isinstance(model, Completes):
        does = ", ".join(capabilities(model)) or "does nothing"
        raise TranhError(
            f"{name} cannot complete a picture: it does not draw from top to bottom (it {does}). Systems that "
            "can: dalle (tranh train dalle)"
        )
    if not 0 <= rows < 1:
        raise TranhError(f"rows is {rows}; allowed: 0 to below 1, the share of the height that is kept")
    yield from model.complete(request.replace(image=picture, strength=1 - rows))
