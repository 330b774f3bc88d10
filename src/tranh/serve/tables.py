"""The tables of the server, and how a database is opened: SQLite in a file, or PostgreSQL.

It knows what is kept and not what it is for.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Connection,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    func,
    insert,
    inspect,
    select,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError, TimeoutError

from tranh.serve.blobs import FULL, full
from tranh.serve.orders import Refused
from tranh.types import TranhError

VERSION = 1
"""Of the tables. A database of a newer one is not touched."""

SCHEMA_LOCK, BLOB_LOCK = 0x7472616E68, 0x7472616E69
"""Advisory locks of PostgreSQL: for whoever makes the tables, and for whoever makes or deletes files of blobs."""

tables = MetaData()
Number = BigInteger().with_variant(Integer, "sqlite")
Id = String(64)

about = Table("tranh_store", tables, Column("version", Integer, nullable=False))

workers = Table(  # servers that are alive: each says so again before its time is over
    "workers",
    tables,
    Column("id", Id, primary_key=True),
    Column("until", Float, nullable=False),
)

jobs = Table(
    "jobs",
    tables,
    Column("number", Number, primary_key=True, autoincrement=True),  # the order they came in
    Column("id", Id, nullable=False, unique=True),
    Column("owner", Text, nullable=False),
    Column("tool", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("request", JSON, nullable=False),
    Column("body", Id, nullable=False),  # SHA-256 of tool, model and request
    Column("cost", Float, nullable=False),
    Column("status", String(16), nullable=False),
    Column("unwanted", Boolean, nullable=False, default=False),  # cancelled while it runs
    Column("worker", Id),  # in whose queue it is, or who draws it
    Column("attempts", Integer, nullable=False, default=0),
    Column("told", BigInteger, nullable=False),  # number of its newest update
    Column("step", Integer, nullable=False, default=0),
    Column("steps", Integer, nullable=False, default=0),
    Column("created_at", Float, nullable=False),
    Column("started_at", Float),
    Column("completed_at", Float),
    Column("deadline", Float),
    Column("notices", JSON, nullable=False, default=list),
    Column("fault", JSON(none_as_null=True)),
    Index("jobs_of_owner", "owner", "number"),
    Index("jobs_of_status", "status", "number"),
    Index("jobs_of_body", "owner", "body"),
    sqlite_autoincrement=True,  # a number is not given twice, though its job was deleted
)


def of_job(**more: Any) -> Column[str]:
    return Column("job", Id, ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False, **more)


pictures = Table(
    "pictures",
    tables,
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("id", Id, nullable=False, unique=True),
    of_job(),
    Column("owner", Text, nullable=False),
    Column("index", Integer, nullable=False),
    Column("sha256", Id, nullable=False, index=True),
    Column("mime", String(32), nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("settings", JSON, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("favourite", Boolean, nullable=False, default=False),
    Index("pictures_of_owner", "owner", "number"),
    Index("pictures_of_job", "job", "index", unique=True),
    sqlite_autoincrement=True,
)

updates = Table(
    "updates",
    tables,
    of_job(primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("data", JSON, nullable=False),
    Column("picture", Id, ForeignKey("pictures.id", ondelete="CASCADE"), index=True),
)

uploads = Table(
    "uploads",
    tables,
    Column("owner", Text, primary_key=True),
    Column("sha256", Id, primary_key=True, index=True),
    Column("mime", String(32), nullable=False),
    Column("created_at", Float, nullable=False),
)

inputs = Table(  # files that an order refers to
    "inputs",
    tables,
    of_job(primary_key=True),
    Column("sha256", Id, primary_key=True, index=True),
)

keys = Table(  # of idempotency; the word itself is not kept, only its SHA-256
    "keys",
    tables,
    Column("owner", Text, primary_key=True),
    Column("key", Id, primary_key=True),
    of_job(),
    Column("body", Id, nullable=False),
    Column("created_at", Float, nullable=False),
)


class Database:
    """Connections to one database, for reading and for writing.

    Args:
        url: as SQLAlchemy writes them; ``postgres://`` and ``postgresql://`` mean psycopg.
        synced: wait for the disk at every commit (SQLite).

    Raises:
        TranhError: it cannot be opened, is not ours, or is a newer version's.
    """

    def __init__(self, url: str | URL, synced: bool = True) -> None:
        try:
            place = make_url(url)
            self.sqlite = place.get_backend_name() == "sqlite"
            if place.drivername in ("postgres", "postgresql"):
                place = place.set(drivername="postgresql+psycopg")
            if not self.sqlite and place.drivername != "postgresql+psycopg":
                raise ArgumentError(f"{place.drivername} is not spoken")
            self._engine = create_engine(place, pool_pre_ping=not self.sqlite, pool_size=8, max_overflow=24)
        except (ArgumentError, ImportError) as error:
            raise TranhError(
                f"the address names no database that can be opened ({error}); allowed: sqlite:///FILE and "
                "postgresql://USER@HOST/NAME (pip install 'tranh[postgres]')"
            ) from error  # it may hold a password, so it is not said
        self.place = place.database if self.sqlite else place.render_as_string(hide_password=True)
        self._writer = self._engine.execution_options(writes=True)
        self._one: Any = threading.Lock() if self.sqlite else nullcontext()  # fairer than SQLite's own waiting
        if self.sqlite:
            event.listen(self._engine, "connect", lambda connection, _: _prepare(connection, synced))
            event.listen(self._engine, "begin", _begin)
        self._make()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A view of the database at one moment."""
        with self._failing(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Changes that are all made when the block ends well, and none when it does not.

        Raises:
            Refused: the disk is full (507), or the database does not answer (503).
        """
        with self._failing(), self._one, self._writer.begin() as connection:
            yield connection

    def blobs_shared(self, connection: Connection) -> None:
        """Until the transaction ends no file of a blob is deleted."""
        if not self.sqlite:  # there, whoever writes is alone
            connection.execute(select(func.pg_advisory_xact_lock_shared(BLOB_LOCK)))

    def blobs_alone(self, connection: Connection) -> None:
        """Until the transaction ends nobody else refers to a file of a blob."""
        if not self.sqlite:
            connection.execute(select(func.pg_advisory_xact_lock(BLOB_LOCK)))

    def alone_with(self, connection: Connection, word: str) -> None:
        """Until the transaction ends nobody else works at what the word names."""
        if not self.sqlite:
            number = int.from_bytes(hashlib.sha256(word.encode("utf-8", "replace")).digest()[:8], "big", signed=True)
            connection.execute(select(func.pg_advisory_xact_lock(number)))

    def now(self, connection: Connection) -> float:
        """Unix seconds on the database's clock, that all its servers share."""
        return float(connection.scalar(select(func.extract("epoch", func.clock_timestamp()))) or 0.0)

    def close(self) -> None:
        self._engine.dispose()

    def _make(self) -> None:
        try:
            with self.writing() as connection:
                if not self.sqlite:
                    connection.execute(select(func.pg_advisory_xact_lock(SCHEMA_LOCK)))
                found = inspect(connection).get_table_names()
                if about.name not in found:
                    if taken := set(found) & set(tables.tables):
                        raise TranhError(f"{self.place} is another program's: it has tables {', '.join(sorted(taken))}")
                    tables.create_all(connection)
                    connection.execute(insert(about).values(version=VERSION))
                version = connection.scalar(select(about.c.version))
        except (Refused, DBAPIError) as error:
            raise TranhError(f"{self.place} cannot be opened: {getattr(error, 'orig', error)}") from error
        if version != VERSION:
            raise TranhError(
                f"{self.place} was written by another version of Tranh (its tables are {version}, this one knows "
                f"{VERSION}): use that version, or another folder (TRANH_DATA) or database (TRANH_DATABASE_URL)"
            )

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """Faults of the database as replies."""
        try:
            yield
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise full(self.place) from error
        except (DBAPIError, TimeoutError) as error:
            if _is_full(error):
                raise full(self.place) from error
            if not _is_away(error):
                raise
            said = str(error.orig if isinstance(error, DBAPIError) else error)
            raise Refused(
                f"the database of jobs does not answer ({said.strip().splitlines()[0]})",
                status=503,
                type="server_error",
                code="store_unavailable",
                retry_after=5,
            ) from error


def _prepare(connection: Any, synced: bool) -> None:
    connection.isolation_level = None  # transactions are begun by us
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(f"PRAGMA synchronous={'FULL' if synced else 'OFF'}")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA busy_timeout=30000")


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _is_full(error: Exception) -> bool:
    cause = getattr(error, "orig", None)
    return getattr(cause, "sqlstate", None) == "53100" or "disk is full" in str(cause)


def _is_away(error: Exception) -> bool:
    """Does the database fail, and not what it was asked?"""
    return isinstance(error, (OperationalError, InterfaceError, TimeoutError)) or getattr(
        error, "connection_invalidated", False
    )
