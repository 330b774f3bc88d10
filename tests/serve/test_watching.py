"""Whoever watches a job sees its states and its end, whenever he comes and whatever happens meanwhile."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError
from test_desk import Gated, desk, order, quick, wait, watched

from tranh.serve.orders import Refused, Update

__all__ = ["quick"]


@pytest.mark.parametrize("after", [0, 1, 10**15])
def test_who_has_seen_the_end_is_told_it_again(url: str, tmp_path: Path, after: int) -> None:
    """From what is known here, after a restart, and once it was removed."""
    with desk(tmp_path, url) as opened:
        id = opened.submit(order()).id
        wait(opened, id)
        after += watched(opened, id)[-1].number
        (again,) = watched(opened, id, after)
        assert (again.kind, again.data) == ("end", {"status": "completed"}) and again.number > after
    with desk(tmp_path, url) as opened:
        assert watched(opened, id, after) == [again]
        with pytest.raises(Refused, match="no job"):
            watched(opened, "nothing", after)


def test_a_watcher_from_beyond_the_end_is_told_it_too(url: str, tmp_path: Path) -> None:
    model = Gated()
    with desk(tmp_path, url, model) as opened:
        id = opened.submit(order()).id
        wait(opened, id, until=("in_progress",))

        async def told() -> list[Update]:
            asyncio.get_running_loop().call_later(0.2, model.gate.set)
            return [update async for update in opened.watch(id, after=10**9)]

        assert [one.kind for one in asyncio.run(asyncio.wait_for(told(), 20))] == ["end"]


def test_a_job_has_not_ended_because_its_store_does_not_answer(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with desk(tmp_path, url) as opened:
        id = opened.submit(order()).id
        wait(opened, id)
    with desk(tmp_path, url) as opened:

        def away(*given: Any) -> Any:
            with opened.store.database.reading():
                raise OperationalError("SELECT", {}, Exception("gone"))

        monkeypatch.setattr(opened.store.queue, "told", away)
        with pytest.raises(Refused) as refused:
            watched(opened, id)
        assert refused.value.status == 503
