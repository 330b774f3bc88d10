"""The desk: orders come in, pictures go out, and whoever wants to can watch.

Every route of the server is a thin shell over it. It knows no HTTP.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from PIL import Image

from tranh.engine.doors import Left
from tranh.engine.jobs import Engine
from tranh.serve.orders import ENDS, Fault, Kind, Model, Order, Picture, Record, Refused, Status, Update
from tranh.types import Event, TranhError


def missing(what: str, id: str) -> Refused:
    return Refused(f"there is no {what} {id!r}", status=404, code="not_found")


class Desk:
    """Takes orders for some models, and remembers what became of them (in memory).

    Args:
        models: the first is drawn with where none is named.
        engine: runs the work.

    Attributes:
        on_end: is told of every job that has ended, and of how many pictures it made.
    """

    def __init__(self, models: Sequence[Model], engine: Engine) -> None:
        self.models: Mapping[str, Model] = {model.name: model for model in models}
        self.engine = engine
        self.on_end: Callable[[Status, int], None] = lambda status, pictures: None
        self._records: dict[str, Record] = {}
        self._updates: dict[str, list[Update]] = {}
        self._jobs: dict[str, Any] = {}
        self._blobs: dict[str, bytes] = {}
        self._pictures: dict[str, Picture] = {}
        self._watchers: dict[str, list[tuple[asyncio.AbstractEventLoop, asyncio.Event]]] = {}

    def model(self, name: str | None) -> Model:
        """The model of a name; the first for None.

        Raises:
            Refused: there is none of that name.
        """
        if not name:
            return next(iter(self.models.values()))
        if name not in self.models:
            known = ", ".join(self.models)
            raise Refused(
                f"the model {name!r} does not exist; there are: {known}",
                status=404,
                code="model_not_found",
                param="model",
            )
        return self.models[name]

    def submit(
        self, order: Order, owner: str = "", *, idempotency: str | None = None, within: float | None = None
    ) -> Record:
        """Accept an order; it is checked first.

        Args:
            owner: names the key it is ordered with: nobody else sees it.
            idempotency: the same word from the same owner within a day gives the same job.
            within: seconds after which it is cancelled, waiting included.

        Raises:
            TranhError: it cannot be done. Busy: too many wait.
        """
        work = self.model(order.model).ready(order, self.picture_in)
        record = Record(uuid.uuid4().hex, owner, order, "queued", time.time())
        self._records[record.id], self._updates[record.id] = record, []
        self._jobs[record.id] = self.engine.submit(lambda: self._do(record.id, work.events), work.cost, within)
        self._say(record.id, "job", {"status": "queued"})
        return self.job(record.id, owner)

    def job(self, id: str, owner: str = "") -> Record:
        """Where an order stands.

        Raises:
            Refused: there is none, or it is another's.
        """
        record = self._records.get(id)
        if record is None or record.owner != owner:
            raise missing("job", id)
        live = self._jobs.get(id)
        if record.status == "queued" and live is not None:
            if live.state == "cancelled":
                self._end(id, "cancelled")
                return self._records[id]
            return replace(record, queue_position=self.engine.ahead(live), eta_s=self.engine.eta(live))
        return replace(record, eta_s=self.engine.eta(live)) if live is not None else record

    def jobs(
        self, owner: str = "", *, status: str | None = None, cursor: str | None = None, limit: int = 50
    ) -> tuple[list[Record], str | None]:
        """Orders of an owner, newest first, and the cursor of the next page."""
        mine = [r for r in reversed(self._records.values()) if r.owner == owner and status in (None, r.status)]
        start = next((k + 1 for k, r in enumerate(mine) if r.id == cursor), 0)
        page = mine[start : start + limit]
        return page, page[-1].id if start + limit < len(mine) else None

    def cancel(self, id: str, owner: str = "") -> Record:
        """Stop an order; what has ended stays as it is."""
        if self.job(id, owner).status not in ENDS:
            self._jobs[id].cancel()
        return self.job(id, owner)

    def retry(self, id: str, owner: str = "") -> Record:
        """The same order again, as a new job."""
        return self.submit(self.job(id, owner).order, owner)

    def remove(self, id: str, owner: str = "") -> None:
        """Forget an order and its pictures; one that runs is cancelled first."""
        self.cancel(id, owner)
        for picture in self._records.pop(id).pictures:
            self._pictures.pop(picture.id, None)

    async def watch(self, id: str, owner: str = "", after: int = 0) -> AsyncIterator[Update]:
        """What is told of a job: what was, after number ``after``, and what comes, until ``end``."""
        self.job(id, owner)
        changed = asyncio.Event()
        told = (asyncio.get_running_loop(), changed)
        self._watchers.setdefault(id, []).append(told)
        try:
            while True:
                changed.clear()
                for update in [u for u in self._updates.get(id, []) if u.number > after]:
                    after = update.number
                    yield update
                    if update.kind == "end":
                        return
                await changed.wait()
        finally:
            self._watchers[id].remove(told)

    def add(self, data: bytes, mime: str) -> str:
        """Keep a picture's file that was sent (it is known to be sound); gives its SHA-256, by which orders name it."""
        name = hashlib.sha256(data).hexdigest()
        self._blobs[name] = data
        return name

    def picture_in(self, sha256: str) -> Image.Image:
        """The picture in a blob."""
        if sha256 not in self._blobs:
            raise missing("picture", sha256)
        return Image.open(io.BytesIO(self._blobs[sha256]), formats=("PNG", "JPEG", "WEBP"))

    def picture(self, id: str, owner: str = "") -> Picture:
        """A finished picture.

        Raises:
            Refused: there is none, or it is another's.
        """
        picture = self._pictures.get(id)
        if picture is None or self._records[picture.job].owner != owner:
            raise missing("image", id)
        return picture

    def pictures(
        self, owner: str = "", *, favourite: bool | None = None, cursor: str | None = None, limit: int = 50
    ) -> tuple[list[Picture], str | None]:
        """Finished pictures, newest first, and the cursor of the next page."""
        mine = [
            p
            for p in reversed(self._pictures.values())
            if self._records[p.job].owner == owner and favourite in (None, p.favourite)
        ]
        start = next((k + 1 for k, p in enumerate(mine) if p.id == cursor), 0)
        page = mine[start : start + limit]
        return page, page[-1].id if start + limit < len(mine) else None

    def file(self, picture: Picture) -> bytes:
        """The bytes of a finished picture."""
        return self._blobs[picture.sha256]

    def mark(self, id: str, owner: str = "", *, favourite: bool) -> Picture:
        """Make a picture a favourite, or no longer one."""
        self._pictures[id] = replace(self.picture(id, owner), favourite=favourite)
        return self._pictures[id]

    def discard(self, id: str, owner: str = "") -> None:
        """Delete a finished picture."""
        picture = self.picture(id, owner)
        del self._pictures[id]
        record = self._records[picture.job]
        self._records[record.id] = replace(record, pictures=tuple(p for p in record.pictures if p.id != id))

    def close(self) -> None:
        self.engine.close()

    def _do(self, id: str, events: Callable[[], Iterator[Event]]) -> Iterator[Event]:
        """The work of a job in its own thread, told as it goes."""
        self._records[id] = replace(self._records[id], status="in_progress", started_at=time.time(), attempts=1)
        self._say(id, "job", {"status": "in_progress"})
        result: Any = None
        try:
            for event in events():
                result = event.result if event.result is not None else result
                self._records[id] = replace(self._records[id], step=event.done, steps=event.total)
                self._say(id, "progress", {"step": event.done, "steps": event.total})
                if event.preview is not None and self._watchers.get(id):
                    count = int(self._records[id].order.request.get("count") or 1)
                    index = max(0, event.done - 1) * count // max(1, event.total)
                    self._say(id, "preview", {"b64_json": as_preview(event.preview()), "index": index})
                yield event
            made = [self._keep(id, k, *one) for k, one in enumerate(zip(result.images, result.settings, strict=True))]
            done = replace(self._records[id], pictures=tuple(made), notices=tuple(result.notices))
            self._records[id] = done
            self._end(id, "completed")
        except (Left, GeneratorExit):
            self._end(id, "cancelled")
            raise
        except TranhError as error:
            self._end(id, "failed", Fault(str(error), "invalid_request_error"))
            raise
        except Exception:
            self._end(id, "failed", Fault("the server failed at this job"))
            raise

    def _keep(self, id: str, index: int, image: Image.Image, settings: Mapping[str, Any]) -> Picture:
        data = io.BytesIO()
        image.save(data, "PNG")
        sha256 = self.add(data.getvalue(), "image/png")
        picture = Picture(
            uuid.uuid4().hex, id, index, sha256, "image/png", *image.size, len(data.getvalue()),
            int(settings["seed"]), dict(settings), time.time(),
        )  # fmt: skip
        self._pictures[picture.id] = picture
        self._say(id, "image", {"id": picture.id, "index": index})
        return picture

    def _end(self, id: str, status: Any, fault: Fault | None = None) -> None:
        self._records[id] = replace(self._records[id], status=status, fault=fault, completed_at=time.time())
        self.on_end(status, len(self._records[id].pictures))
        self._say(id, "job", {"status": status})
        self._say(id, "end", {"status": status})

    def _say(self, id: str, kind: Kind, data: Mapping[str, Any]) -> None:
        updates = self._updates[id]
        updates.append(Update(len(updates) + 1, kind, dict(data)))
        for loop, changed in self._watchers.get(id, []):
            loop.call_soon_threadsafe(changed.set)


def as_preview(image: Image.Image) -> str:
    """A picture as it is told to those who watch: PNG in base64."""
    data = io.BytesIO()
    image.save(data, "PNG")
    return base64.b64encode(data.getvalue()).decode()
