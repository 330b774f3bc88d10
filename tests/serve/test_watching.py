"""Whoever watches a job sees its states and its end, whenever he comes and whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError
from test_desk import Gated, desk, growing, order, quick, wait, watched

from tranh.engine.jobs import Busy
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


@pytest.mark.parametrize("cancelled", [False, True], ids=["drawn", "cancelled"])
def test_numbers_do_not_go_back_for_what_only_waited(url: str, tmp_path: Path, cancelled: bool) -> None:
    """Places in the queue are told live and not kept: after a restart the states come after them."""
    with desk(tmp_path, url, Gated(), active=1) as opened:
        ids = [opened.submit(order(seed=k)).id for k in range(2)]
        wait(opened, ids[0], until=("in_progress",))
        for _ in range(40):
            opened._feed.say(ids[1], "progress", {"queue_position": 1})
        last = opened._feed.last(ids[1])
    model = Gated()
    with desk(tmp_path, url, model, active=1) as opened:
        if cancelled:
            opened.cancel(ids[1])
        model.gate.set()
        wait(opened, ids[1])
        told = watched(opened, ids[1], last)
        states = [one.data["status"] for one in told if one.kind == "job"]
        assert growing(told) and told[0].number > last and told[-1].kind == "end"
        assert states == (["cancelled"] if cancelled else ["in_progress", "completed"])


@pytest.mark.parametrize("deed", ["claim", "finish", "cancel"])
def test_what_is_said_while_a_state_is_kept_does_not_hide_it(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deed: str
) -> None:
    model = Gated()
    with desk(tmp_path, url, model, active=1) as opened:
        first = opened.submit(order("first")).id
        wait(opened, first, until=("in_progress",))
        id = opened.submit(order()).id
        done: Callable[..., Any] = getattr(opened.store.queue, deed)

        def meanwhile(one: str, *given: Any, **more: Any) -> Any:
            kept = done(one, *given, **more)
            for _ in range(9):
                opened._feed.say(one, "progress", {"queue_position": 1})
            return kept

        monkeypatch.setattr(opened.store.queue, deed, meanwhile)
        if deed == "cancel":
            opened.cancel(id)
        model.gate.set()
        wait(opened, id)
        until = time.monotonic() + 20
        while (told := opened._feed.since(id, 0) or [])[-1].kind != "end":
            assert time.monotonic() < until, told
        states = [one.data["status"] for one in told if one.kind == "job"]
        assert growing(told) and states[1:] == (["cancelled"] if deed == "cancel" else ["in_progress", "completed"])


def test_what_another_server_draws_is_watched_where_it_found_no_room(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, model = server.fresh(), Gated()
    with desk(tmp_path, url) as first, desk(tmp_path, url, model) as second:

        def full(*given: Any) -> Any:
            raise Busy(30, 1.0)

        monkeypatch.setattr(first.engine, "submit", full)
        id = first.submit(order()).id
        wait(second, id, until=("in_progress",))
        model.gate.set()
        told = watched(first, id)
        assert growing(told) and [one.data["status"] for one in told if one.kind == "job"][-1] == "completed"


def test_a_claim_whose_answer_is_lost_is_made_again(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with desk(tmp_path, server.fresh()) as opened:
        claim, lost = opened.store.queue.claim, threading.Event()

        def cut(*given: Any) -> Any:
            claimed = claim(*given)
            if not lost.is_set():
                lost.set()
                raise Refused("the database of jobs does not answer", status=503)
            return claimed

        monkeypatch.setattr(opened.store.queue, "claim", cut)
        id = opened.submit(order()).id
        assert watched(opened, id)[-1].data == {"status": "completed"} and opened.job(id).attempts == 2


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
