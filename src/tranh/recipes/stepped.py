"""A call that reports its steps while it runs, as an iterator of them: it runs in a thread of its own.

It knows neither pipelines nor requests.
"""

from __future__ import annotations

import contextvars
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from PIL import Image


class _Stopped(Exception):
    """Nobody listens any more."""


@dataclass(frozen=True)
class Done:
    """A finished step: how many there were, and what makes its picture."""

    count: int
    preview: Callable[[], Image.Image] | None = None


def step_by_step(
    call: Callable[[Callable[[Callable[[], Image.Image] | None], None]], Image.Image],
) -> Iterator[Done | Image.Image]:
    """Run a call that reports each of its steps, in a thread of its own, as an iterator.

    The thread computes for whom this one does: the doors know it by its context.

    Yields:
        every step as it ends, then the result. Once the iterator is closed the call stops at its next step.
    """
    said: queue.Queue[Done | Image.Image | BaseException] = queue.Queue()
    left = threading.Event()
    count = 0

    def ended(preview: Callable[[], Image.Image] | None) -> None:
        nonlocal count
        if left.is_set():
            raise _Stopped
        count += 1
        said.put(Done(count, preview))

    def work() -> None:
        try:
            said.put(call(ended))
        except BaseException as error:  # told to whoever waits
            said.put(error)

    thread = threading.Thread(target=contextvars.copy_context().run, args=(work,), daemon=True)
    thread.start()
    try:
        while True:
            one = said.get()
            if isinstance(one, BaseException):
                raise one
            yield one
            if isinstance(one, Image.Image):
                return
    finally:
        left.set()
        thread.join()
