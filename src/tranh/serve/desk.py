"""The desk: orders come in, pictures go out, and whoever wants to can watch.

Every route of the server is a thin shell over it. It knows no HTTP.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import io
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from dataclasses import replace
from typing import get_args

from PIL import Image

from tranh.engine.jobs import Engine
from tranh.serve.blobs import NAME
from tranh.serve.feed import Feed
from tranh.serve.orders import ENDS, Model, Order, Picture, Record, Refused, Status, Update, Work
from tranh.serve.queue import fingerprint
from tranh.serve.runner import Encode, Runner, as_png
from tranh.serve.store import Store

THUMB = 256
"""Most pixels of a thumbnail's side."""

FORMATS = ("PNG", "JPEG", "WEBP")


def missing(what: str, id: str) -> Refused:
    return Refused(f"there is no {what} {id!r}", status=404, code="not_found")


def stops() -> Refused:
    return Refused("the server stops", status=503, type="server_error", code="stopping", retry_after=5)


class Desk:
    """Takes orders for some models, and remembers what became of them.

    Args:
        models: the first is drawn with where none is named.
        engine: runs the work.
        store: what is remembered, through a crash too; None for one that is gone with the process.
        deadline: seconds after which any order is cancelled, waiting included; None for never.
        encode: a finished picture and its settings as the bytes of a PNG.
    """

    def __init__(
        self,
        models: Sequence[Model],
        engine: Engine,
        store: Store | None = None,
        *,
        deadline: float | None = None,
        encode: Encode = as_png,
    ) -> None:
        self.models = {model.name: model for model in models}
        self.engine, self.deadline = engine, deadline
        self.store = store if store is not None else Store.temporary()
        self._feed = Feed()
        self._thumb = functools.lru_cache(maxsize=512)(self._thumb_of)
        self._runner = Runner(engine, self.store, self._feed, self._ready, encode)

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
        self,
        order: Order,
        owner: str = "",
        *,
        idempotency: str | None = None,
        within: float | None = None,
        attach: bool = False,
    ) -> Record:
        """Accept an order; it is checked first. When this returns it is on the disk, and is not lost.

        Args:
            owner: names the key it is ordered with: nobody else sees it.
            idempotency: the same word from the same owner within a day gives the same job.
            within: seconds after which it is cancelled, waiting included.
            attach: give the same owner's job of an equal order instead, if one has not ended yet: a client that lost
                its connection asks again.

        Raises:
            TranhError: it cannot be done. Busy: too many wait.
            Refused: 422 where the word of idempotency was used for another order, 507 where the disk is full, 503
                while the server stops or its database does not answer.
        """
        if self._runner.closing:
            raise stops()
        if idempotency is not None or attach:
            known = self.store.queue.known(owner, fingerprint(order), idempotency, attach)
            if known is not None:
                return self.job(known, owner)
        record = Record(uuid.uuid4().hex, owner, order, "queued", time.time())
        within = self.deadline if within is None else within
        id = self._runner.accept(record, self._ready(record), within, idempotency)
        return self._runner.seen(record) if id == record.id else self.job(id, owner)

    def job(self, id: str, owner: str = "") -> Record:
        """Where an order stands.

        Raises:
            Refused: there is none, or it is another's.
        """
        record = self.store.queue.job(id, owner) if id.isalnum() else None
        if record is None:
            raise missing("job", id)
        return self._runner.seen(record) if record.status not in ENDS else record

    def jobs(
        self, owner: str = "", *, status: str | None = None, cursor: str | None = None, limit: int = 50
    ) -> tuple[list[Record], str | None]:
        """Orders of an owner, newest first, and the cursor of the next page."""
        if status is not None and status not in get_args(Status):
            raise Refused(f"status is {status!r}; allowed: {', '.join(get_args(Status))}", param="status")
        found, following = self.store.queue.jobs(owner, status, _place(cursor), limit)
        page = [self._runner.seen(record) if record.status not in ENDS else record for record in found]
        return page, None if following is None else str(following)

    def cancel(self, id: str, owner: str = "") -> Record:
        """Stop an order; what has ended stays as it is."""
        if self.job(id, owner).status not in ENDS:
            self._runner.cancel(id, owner)
        return self.job(id, owner)

    def retry(self, id: str, owner: str = "") -> Record:
        """The same order again, as a new job."""
        return self.submit(self.job(id, owner).order, owner)

    def remove(self, id: str, owner: str = "") -> None:
        """Forget an order and its pictures; one that runs is cancelled first."""
        self.cancel(id, owner)
        self.store.queue.remove(id, owner)
        self._feed.forget(id)

    def on_end(self, told: Callable[[Status, int], None]) -> None:
        """Tell somebody of every job that ends here, and of how many pictures it made."""
        self._runner.on_end = told

    async def watch(
        self, id: str, owner: str = "", after: int = 0, *, previews: bool = True
    ) -> AsyncGenerator[Update, None]:
        """What is told of a job: what was, after number ``after``, and what comes, until ``end`` (or :meth:`hang_up`).

        Numbers only grow, through a restart too. States, pictures and the end are all told; progress and previews may
        be left out where newer ones came meanwhile, and are not told again after a restart.

        Args:
            previews: made for whoever watches, which takes time.
        """
        await asyncio.to_thread(self.job, id, owner)
        with self._feed.listening(id) as changed:
            while True:
                changed.clear()
                news, base = self._feed.since(id, after), after
                if news is None:
                    base = max(after, self._feed.base(id) or 0)
                    news = await asyncio.to_thread(self._kept, id, owner, after)
                    news += self._feed.since(id, base) or []
                for update in sorted(news, key=lambda one: one.number):
                    if update.number > after:
                        after = update.number
                        if update.kind == "preview" and not previews:
                            continue
                        yield await self._seen(update)
                        if update.kind == "end":
                            return
                after = max(after, base)
                if self._feed.closed:
                    return
                await changed.wait()

    def preview(self, id: str, owner: str = "") -> Image.Image | None:
        """How a job that runs looks by now, if that is known."""
        self.job(id, owner)
        update = self._feed.newest(id, "preview")
        return None if update is None else _drawn(update)

    def add(self, data: bytes, mime: str, owner: str = "") -> str:
        """Keep a picture's file that was sent (it is known to be sound); gives its SHA-256, by which orders name it."""
        return self.store.album.add(data, mime, owner)

    def picture_in(self, sha256: str, owner: str = "") -> Image.Image:
        """The picture in a file that the owner sent, or got.

        Raises:
            Refused: there is none.
        """
        album = self.store.album
        if not NAME.fullmatch(sha256) or not album.may_read(sha256, owner):
            raise missing("picture", sha256)
        try:
            return Image.open(io.BytesIO(album.blobs.read(sha256)), formats=FORMATS)
        except FileNotFoundError as error:
            raise missing("picture", sha256) from error

    def picture(self, id: str, owner: str = "") -> Picture:
        """A finished picture.

        Raises:
            Refused: there is none, or it is another's.
        """
        picture = self.store.album.picture(id, owner) if id.isalnum() else None
        if picture is None:
            raise missing("image", id)
        return picture

    def named(self, files: Collection[str], owner: str = "") -> dict[str, str]:
        """The ids of an owner's finished pictures by their files (SHA-256), of those that are such."""
        return self.store.album.named(files, owner)

    def pictures(
        self, owner: str = "", *, favourite: bool | None = None, cursor: str | None = None, limit: int = 50
    ) -> tuple[list[Picture], str | None]:
        """Finished pictures, newest first, and the cursor of the next page."""
        found, following = self.store.album.pictures(owner, favourite, _place(cursor), limit)
        return found, None if following is None else str(following)

    def file(self, picture: Picture) -> bytes:
        """The bytes of a finished picture.

        Raises:
            Refused: it was deleted meanwhile.
        """
        try:
            return self.store.album.blobs.read(picture.sha256)
        except FileNotFoundError as error:
            raise missing("image", picture.id) from error

    def thumb(self, picture: Picture) -> bytes:
        """A small copy of a finished picture, as WebP.

        Raises:
            Refused: it was deleted meanwhile.
        """
        try:
            return self._thumb(picture.sha256)
        except FileNotFoundError as error:
            raise missing("image", picture.id) from error

    def mark(self, id: str, owner: str = "", *, favourite: bool) -> Picture:
        """Make a picture a favourite, or no longer one."""
        return self.store.album.mark(self.picture(id, owner), favourite)

    def discard(self, id: str, owner: str = "") -> None:
        """Delete a finished picture."""
        self.store.album.discard(self.picture(id, owner))

    def hang_up(self) -> None:
        """Whoever watches is told what there is and no more. Jobs go on."""
        self._feed.close()

    def close(self, grace: float = 0.0) -> None:
        """Take no more orders; what runs has ``grace`` seconds to end, and is put back into the queue after that.

        The engine is closed too. What waits is drawn after the next start.
        """
        self._runner.close(grace)
        self.store.close()

    def _ready(self, record: Record) -> Work:
        return self.model(record.order.model).ready(
            record.order, functools.partial(self.picture_in, owner=record.owner)
        )

    def _kept(self, id: str, owner: str, after: int) -> list[Update]:
        """What the store knows of a job after a number, and how far it is if another server draws it.

        Whoever has seen the end already is told it again: nobody waits for what will not come.
        """
        record = self.store.queue.job(id, owner)
        if record is None:  # it was removed
            return [Update(after + 1, "end", {"status": "cancelled"})]
        told = self.store.queue.told(id, after)
        if record.status in ENDS and not told:
            return [Update(after + 1, "end", {"status": record.status})]
        if self._feed.base(id) is not None:
            return told
        for one in self.store.queue.standing([id]):
            if one.status == "in_progress" and one.told > (told[-1].number if told else after):
                far = {"step": one.step, "steps": one.steps, "progress": record.progress}
                told.append(Update(one.told, "progress", {**far, "eta_s": None, "queue_position": 0}))
        return told

    async def _seen(self, update: Update) -> Update:
        """A preview as it is told; anything else as it is."""
        if update.kind != "preview":
            return update
        image = await asyncio.to_thread(lambda: as_preview(_drawn(update)))
        return replace(update, data={"b64_json": image, "index": update.data["index"]})

    def _thumb_of(self, sha256: str) -> bytes:
        image = Image.open(io.BytesIO(self.store.album.blobs.read(sha256)), formats=FORMATS).convert("RGB")
        image.thumbnail((THUMB, THUMB))
        data = io.BytesIO()
        image.save(data, "WEBP", quality=80, method=4)
        return data.getvalue()


def _drawn(update: Update) -> Image.Image:
    """The picture of a preview, which is made when somebody wants to see it."""
    image: Image.Image = update.data["make"]()
    return image


def _place(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    if not (cursor.isascii() and cursor.isdecimal() and len(cursor) < 19):
        raise Refused(f"{cursor!r} is no cursor: take it from the 'next' of the page before", param="cursor")
    return int(cursor)


def as_preview(image: Image.Image) -> str:
    """A picture as it is told to those who watch: PNG in base64."""
    return base64.b64encode(as_png(image)).decode()
