"""Finished pictures, files that were sent, and which file is still needed by something.

It knows neither how pictures are made nor HTTP. A file comes before the row that refers to it and goes after the last
one, so a row never lacks its file; a file without a row is what a crash left, and is swept at the next start.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, func, insert, or_, select, update

from tranh.serve.blobs import Blobs
from tranh.serve.faults import fault
from tranh.serve.orders import Picture, Refused
from tranh.serve.tables import Database, inputs, jobs, pictures, uploads

KEPT = 86400.0
"""Seconds for which a file that was sent is kept, if no job refers to it."""

MOST_SENT = 256
"""Files that were sent and are kept so, of one owner: older ones go."""


class Album:
    """Pictures in a database and their files in a folder."""

    def __init__(self, database: Database, blobs: Blobs) -> None:
        self.database, self.blobs = database, blobs

    def add(self, data: bytes, mime: str, owner: str) -> str:
        """Keep a file that was sent; gives its SHA-256. Those that were sent long ago, or before many others, and were
        never used go.

        Raises:
            Refused: the disk is full.
        """
        sha256, now = self.blobs.name(data), time.time()
        with self.keeping([data]) as do:
            self.database.alone_with(do, f"{owner}\n{sha256}")
            do.execute(delete(uploads).where(uploads.c.owner == owner, uploads.c.sha256 == sha256))
            do.execute(insert(uploads).values(owner=owner, sha256=sha256, mime=mime, created_at=now))
            others = select(uploads.c.sha256).where(uploads.c.owner == owner, uploads.c.sha256 != sha256)
            many = list(do.scalars(others.order_by(uploads.c.created_at.desc()).offset(MOST_SENT - 1)))
            mine = and_(uploads.c.owner == owner, uploads.c.sha256.in_(many))
            old = delete(uploads).where(or_(uploads.c.created_at < now - KEPT, mine)).returning(uploads.c.sha256)
            forgotten = list(do.scalars(old))
            fault("add.done")
        fault("add.committed")
        if forgotten:
            self.release(forgotten)
        return sha256

    @contextmanager
    def keeping(self, files: Sequence[bytes]) -> Iterator[Connection]:
        """A transaction whose rows may refer to new files; if it fails, they go again.

        Raises:
            Refused: the disk is full, or the database does not answer.
        """
        try:
            for data in files:  # long work: not while others wait to write
                self.blobs.write(data)
            with self.database.writing() as do:
                self.database.blobs_shared(do)
                for data in files:  # deleted a moment ago, by whoever needed it last
                    self.blobs.write(data)
                yield do
        except BaseException:
            with suppress(Refused):
                self.release(map(self.blobs.name, files))
            raise

    def may_read(self, sha256: str, owner: str) -> bool:
        """Did the owner send this file, order with it, or get it?"""
        with self.database.reading() as ask:
            return any(
                ask.scalar(found.limit(1)) is not None
                for found in (
                    select(uploads.c.sha256).where(uploads.c.sha256 == sha256, uploads.c.owner == owner),
                    select(pictures.c.sha256).where(pictures.c.sha256 == sha256, pictures.c.owner == owner),
                    select(inputs.c.sha256).join(jobs).where(inputs.c.sha256 == sha256, jobs.c.owner == owner),
                )
            )

    def picture(self, id: str, owner: str) -> Picture | None:
        """A finished picture."""
        with self.database.reading() as ask:
            row = ask.execute(select(pictures).where(pictures.c.id == id, pictures.c.owner == owner)).one_or_none()
        return picture_of(row) if row is not None else None

    def named(self, files: Collection[str], owner: str) -> dict[str, str]:
        """The ids of an owner's pictures by their files, of those that are such; the oldest where several are equal."""
        mine = select(pictures.c.sha256, pictures.c.id).where(pictures.c.owner == owner, pictures.c.sha256.in_(files))
        with self.database.reading() as ask:
            return {row.sha256: row.id for row in ask.execute(mine.order_by(pictures.c.number.desc()))}

    def pictures(
        self, owner: str, favourite: bool | None, before: int | None, limit: int
    ) -> tuple[list[Picture], int | None]:
        """Pictures of an owner, newest first, and the number below which the next page begins."""
        chosen = select(pictures).where(pictures.c.owner == owner)
        if favourite is not None:
            chosen = chosen.where(pictures.c.favourite == favourite)
        if before is not None:
            chosen = chosen.where(pictures.c.number < before)
        with self.database.reading() as ask:
            rows = ask.execute(chosen.order_by(pictures.c.number.desc()).limit(limit + 1)).all()
        following = rows[limit - 1].number if len(rows) > limit else None
        return [picture_of(row) for row in rows[:limit]], following

    def mark(self, picture: Picture, favourite: bool) -> Picture:
        """Make a picture a favourite, or no longer one."""
        with self.database.writing() as do:
            do.execute(update(pictures).where(pictures.c.id == picture.id).values(favourite=favourite))
        return replace(picture, favourite=favourite)

    def discard(self, picture: Picture) -> None:
        """Delete a picture, and its file if nothing else needs it."""
        with self.database.writing() as do:
            do.execute(delete(pictures).where(pictures.c.id == picture.id))
            fault("discard.done")
        fault("discard.committed")
        self.release([picture.sha256])

    def release(self, files: Iterable[str]) -> None:
        """Delete those files that nothing needs any more."""
        with self.database.writing() as do:
            self.database.blobs_alone(do)
            for sha256 in files:
                if not _needed(do, sha256):
                    fault("release.file")
                    self.blobs.remove(sha256)

    def sweep(self, age: float = 0.0) -> int:
        """Forget what was sent and never used, and delete files that nothing needs.

        Args:
            age: seconds; younger files are left alone.

        Returns:
            How many files went.
        """
        with self.database.writing() as do:
            self.database.blobs_alone(do)
            do.execute(delete(uploads).where(uploads.c.created_at < time.time() - KEPT))
            return self.blobs.sweep(lambda sha256: _needed(do, sha256), age)

    def figures(self) -> dict[str, int]:
        """How many pictures there are, and their bytes, for whoever watches the server."""
        with self.database.reading() as ask:
            number, size = ask.execute(select(func.count(), func.coalesce(func.sum(pictures.c.bytes), 0))).one()
        return {"pictures": int(number), "bytes": int(size)}


def _needed(ask: Connection, sha256: str) -> bool:
    """Does any row refer to a file?"""
    columns = (pictures.c.sha256, uploads.c.sha256, inputs.c.sha256)
    return any(ask.scalar(select(one).where(one == sha256).limit(1)) is not None for one in columns)


def picture_of(row: Row[Any]) -> Picture:
    index = row._mapping["index"]  # a row is a tuple, which has a method of that name
    return Picture(
        row.id, row.job, index, row.sha256, row.mime, row.width, row.height, row.bytes, row.seed, row.settings,
        row.created_at, row.favourite,
    )  # fmt: skip
