"""A real PostgreSQL server, from this machine's packages."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

REMEDY = "these tests need PostgreSQL's server: apt-get install postgresql"


def program(name: str) -> list[str]:
    """How one of PostgreSQL's programs is called; not as root, which it refuses. Debian keeps them out of PATH."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    found = str(places[-1] / name) if places else shutil.which(name)
    assert found, REMEDY
    other = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    return [*(other if os.geteuid() == 0 else []), found]


class Postgres:
    """A server that listens on a socket in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._numbers = folder, itertools.count(1)

        self.url = f"postgresql://tranh@/postgres?host={folder}"

    def fresh(self) -> str:
        """A URL with tables of its own."""
        name = f"test{next(self._numbers)}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {name}")  # type: ignore[arg-type]
        return f"{self.url}&options=-csearch_path%3D{name}"


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Start a server; its data is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="tranh-pg-"))  # pytest's own folders are closed to other users
    folder.chmod(0o777)
    data, running = folder / "data", None
    begin = ["--no-sync", "--auth=trust", "--username=tranh", "--encoding=UTF8", "--no-locale", "-D", str(data)]
    settings = ["listen_addresses=", f"unix_socket_directories={folder}", "fsync=off", "max_connections=200"]
    try:
        subprocess.run([*program("initdb"), *begin], cwd=folder, check=True, capture_output=True)
        command = [*program("postgres"), "-D", str(data), *(word for one in settings for word in ("-c", one))]
        with (folder / "log").open("wb") as log:
            running = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        server, until = Postgres(folder), time.monotonic() + 30
        while True:
            try:
                psycopg.connect(server.url).close()
                break
            except psycopg.OperationalError:
                assert time.monotonic() < until and running.poll() is None, (folder / "log").read_text()
                time.sleep(0.05)
        yield server
    finally:
        if running is not None:
            running.send_signal(signal.SIGQUIT)  # at once: nobody needs its data
            running.wait(20)
        shutil.rmtree(folder, ignore_errors=True)
