"""Requests for more memory than there is: refused by an estimate, and told where the estimate was wrong."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from tranh.engine import memory
from tranh.recipes.served import Ready, Served
from tranh.serve.models import Drawing
from tranh.serve.orders import Order, Refused
from tranh.serve.runner import _why


def test_what_torch_says_on_a_processor_is_told_as_what_it_is() -> None:
    try:
        torch.empty(1 << 60)
    except RuntimeError as error:
        assert not isinstance(error, MemoryError) and _why(error).code == "out_of_memory"
    assert _why(RuntimeError("secret details")).code is None


class Huge:
    """A model of any size that draws nothing."""

    name, exact, tolerance = "huge", False, 0

    def __init__(self) -> None:
        self.system = SimpleNamespace(size=512)

    def tools(self) -> dict[str, Any]:
        return {}

    def ready(self, *asked: Any) -> Ready:
        return Ready(1.0, lambda: iter(()))


def test_more_than_there_is_memory_for_is_refused_by_an_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    model, free = Drawing(cast(Served, Huge())), [2**30]
    monkeypatch.setattr("tranh.serve.models.memory.available", lambda: free[0])

    def ready(tool: str = "generate", **said: Any) -> None:
        model.ready(Order(tool, "huge", said), lambda id: pytest.fail(id))

    for said, param, fits in (
        ({"size": 4096.0, "count": 1000}, "size", "1020 pixels a side"),
        ({"size": 1021}, "size", "1020 pixels a side"),
        ({"count": 1000}, "count", "up to 384 fit"),
        ({"seeds": list(range(385))}, "seeds", "up to 384 fit"),
    ):
        with pytest.raises(Refused, match=fits) as caught:
            ready(**said)
        assert caught.value.param == param and caught.value.status == 400 and "GiB" in str(caught.value)
    ready(size=1020)
    ready(count=384)
    ready(count=10, candidates=1000)  # the best are kept
    with pytest.raises(Refused):
        ready("animate", keys=["a"], size=1000, frames=400)
    free[0] = 0  # what is small always goes
    ready(size=510)
    free[0] = None
    ready(size=4096, count=1000)


def test_the_memory_that_is_free_is_known_here() -> None:
    found = memory.available()
    assert found is not None and 0 <= found <= (memory.limit() or 2**62)
