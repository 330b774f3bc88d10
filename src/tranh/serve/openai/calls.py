"""Calls that wait for their job: a client who is gone no longer needs it, and one who comes again finds it running.

It knows what a request and a desk are, and no field of either.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Request

from tranh.serve.desk import Desk
from tranh.serve.openai.placed import Placed
from tranh.serve.orders import ENDS, Record


class Calls:
    """Who waits for which job.

    Args:
        linger: seconds a job goes on without anybody waiting, where the client is known to come again by itself.

    Attributes:
        closing: the server ends: it hangs up itself, and jobs stay for its next start.
    """

    def __init__(self, desk: Desk, linger: float) -> None:
        self.desk, self.linger = desk, linger
        self.closing = False
        self._waiting: Counter[str] = Counter()
        self._running: dict[tuple[str, str], str] = {}
        self._found: set[str] = set()  # jobs that no call here has ordered: they go on whoever leaves

    def running(self, owner: str, placed: Placed) -> Record | None:
        """The job of an owner's same request that has not ended (begun before a restart, too), or just ended well.

        Where no call here waits for it, somebody may have ordered it to be drawn in any case: it will not be cancelled.
        """
        id = self._running.get((owner, placed.digest))
        if id is not None and (record := self.desk.job(id, owner)).status not in ("failed", "cancelled"):
            return record
        for status in ("in_progress", "queued"):
            for record in self.desk.jobs(owner, status=status, limit=200)[0]:
                if placed.same(record.order):
                    if not self._waiting[record.id]:
                        self._found.add(record.id)
                    return record
        return None

    def close(self) -> None:
        """The server ends: nobody waits any longer, and no job is cancelled for that."""
        self.closing = True
        self.desk.hang_up()

    @asynccontextmanager
    async def waiting(self, record: Record, digest: str, *, again: bool, keep: bool) -> AsyncIterator[None]:
        """Somebody waits for a job; when nobody does any more before it has ended, it is cancelled.

        Args:
            again: the client comes again by itself when a connection breaks; keep: the job goes on in any case.
        """
        key = record.owner, digest
        self._running[key] = record.id
        self._waiting[record.id] += 1
        try:
            yield
        finally:
            self._waiting[record.id] -= 1
            if self._waiting[record.id]:
                pass
            elif keep or not again:
                self._leave(record, key, keep)
            else:
                asyncio.get_running_loop().call_later(self.linger, self._leave, record, key, False)

    def _leave(self, record: Record, key: tuple[str, str], keep: bool) -> None:
        if self._waiting[record.id]:
            return  # somebody came again
        del self._waiting[record.id]
        keep |= record.id in self._found
        self._found.discard(record.id)
        if self._running.get(key) == record.id:
            del self._running[key]
        if not keep and not self.closing:
            # a thread of its own: a store may be slow, and a loop must not wait for it
            asyncio.get_running_loop().run_in_executor(None, self._cancel, record)

    def _cancel(self, record: Record) -> None:
        if self.desk.job(record.id, record.owner).status not in ENDS:
            self.desk.cancel(record.id, record.owner)


async def ended(request: Request, desk: Desk, record: Record, seconds: float) -> Record | None:
    """The job once it has ended; None if the client went away before, or the time was over."""

    async def until_end() -> None:
        async for _ in desk.watch(record.id, record.owner, previews=False):
            pass

    async def until_gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    tasks = {asyncio.ensure_future(until_end()), asyncio.ensure_future(until_gone())}
    try:
        await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    found = await asyncio.to_thread(desk.job, record.id, record.owner)
    return found if found.status in ENDS else None
