"""Files under a folder, in a zip or in a tar, by their names: listed once, read in place, never unpacked.

It does not know what the files hold. Archives are indexed by their headers, and only the index stays in memory, so a
place can be handed to other processes. Nothing outside the place is read, whatever a name says.
"""

from __future__ import annotations

import os
import posixpath
import stat
import tarfile
import zipfile
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import overload

from tranh.data.item import SPLITS
from tranh.types import TranhError

MOST_BYTES = 2**26
"""64 MiB: larger files are no pictures, and are not read into memory."""
MOST_TEXT = 2**31
"""2 GiB, for the tables that speak of all pictures."""
HIDDEN = ("__MACOSX",)
LOCAL_HEADER = 30  # bytes of a zip member's header before its name


class Strings(Sequence[str]):
    """Many strings in two blocks of memory: a tenth of what a list of them takes."""

    def __init__(self, strings: Iterable[str] = ()) -> None:
        text, ends = bytearray(), array("Q")
        for one in strings:
            text += one.encode("utf-8", "surrogatepass")
            ends.append(len(text))
        self.text, self.ends = bytes(text), ends

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        start = self.ends[index - 1] if index else 0
        return self.text[start : self.ends[index]].decode("utf-8", "surrogatepass")


class Place:
    """A folder.

    Names are relative, with ``/`` between folders. Links inside the folder are followed, as the hub's cache needs.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._all: Strings | None = None

    def names(self, wanted: Callable[[str], bool]) -> Strings:
        """The names wanted, in the order of their folders; hidden ones are passed over. They are listed once."""
        if self._all is None:
            self._all = Strings(self._walk(""))
        return Strings(name for name in self._all if wanted(name))

    def has(self, name: str) -> bool:
        """Is there such a file? A name that points outside is not there."""
        return bool(inside(name)) and (self.path / name).is_file()

    def has_folder(self, name: str) -> bool:
        """Is there such a folder?"""
        return bool(inside(name)) and (self.path / name).is_dir()

    def read(self, name: str, most: int = MOST_BYTES) -> bytes:
        """The whole file.

        Raises:
            OSError: it is not there, points outside, is no plain file, or has more than ``most`` bytes.
        """
        file = self._file(name)
        about = file.stat()
        if not stat.S_ISREG(about.st_mode):  # a pipe would be waited for, for ever
            raise OSError(f"{name} is no plain file")
        return read_at(file, 0, about.st_size, most)

    def slice(self, name: str, start: int, size: int) -> bytes:
        """``size`` bytes of a file from ``start`` on."""
        return read_at(self._file(name), start, size)

    def lines(self, name: str) -> Iterator[bytes]:
        """A file line by line, each with its end."""
        with self._file(name).open("rb") as file:
            yield from file

    def blocks(self, name: str, size: int = 2**20) -> Iterator[bytes]:
        """A file in blocks of ``size`` bytes."""
        with self._file(name).open("rb") as file:
            while block := file.read(size):
                yield block

    def _file(self, name: str) -> Path:
        if not inside(name):
            raise FileNotFoundError(f"{name} points outside {self.path}")
        return self.path / name

    def _walk(self, folder: str) -> Iterator[str]:
        here = os.path.realpath(self.path / folder)
        with os.scandir(self.path / folder) as found:
            shown = (entry for entry in found if not entry.name.startswith(".") and entry.name not in HIDDEN)
            entries = sorted(_seen(entry) for entry in shown)
        for name, is_folder, is_file, is_link in entries:
            full = f"{folder}/{name}" if folder else name
            if is_folder and not (is_link and f"{here}/".startswith(f"{os.path.realpath(self.path / full)}/")):
                yield from self._walk(full)  # a link to a folder above would lead round in a circle
            elif is_file:
                yield full


class Archive(Place):
    """Members of an archive; one top folder that holds everything is passed over unless it names a split.

    Attributes:
        where: offset in the archive, size there, size unpacked, method (0: as it is, 8: deflated) of every member.
    """

    def __init__(self, path: Path, members: Iterable[tuple[str, int, int, int, int]]) -> None:
        super().__init__(path)
        rows = sorted(row for row in members if _plain(row[0]))
        top = {row[0].partition("/")[0] + "/" for row in rows if "/" in row[0]}
        alone = len(top) == 1 and all("/" in row[0] for row in rows)
        self.top = next(iter(top)) if alone and next(iter(top))[:-1].lower() not in SPLITS else ""
        self._all: Strings = Strings(row[0].removeprefix(self.top) for row in rows)
        numbers = [row[1:] for row in rows]
        self.where = tuple(array("Q", [row[k] for row in numbers]) for k in range(4))
        self._kept = ("", b"")

    def has(self, name: str) -> bool:
        return self._index(name) is not None

    def has_folder(self, name: str) -> bool:
        start = name.rstrip("/") + "/"
        at = bisect_left(self._all, start)
        return at < len(self._all) and self._all[at].startswith(start)

    def read(self, name: str, most: int = MOST_BYTES) -> bytes:
        index = self._index(name)
        if index is None:
            raise FileNotFoundError(f"{self.path} holds no {name}")
        offset, packed, size, method = (column[index] for column in self.where)
        if size > most:
            raise OSError(f"{name} has {size >> 20} MiB; at most {most >> 20} are read")
        if self.path.suffix == ".zip":
            head = read_at(self.path, offset, LOCAL_HEADER)
            offset += LOCAL_HEADER + int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little")
        data = read_at(self.path, offset, packed, most)
        if method == 0:
            return data
        if method != zipfile.ZIP_DEFLATED:
            raise OSError(f"{name} is packed by method {method} or locked; deflated and plain members are read")
        try:
            return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, max(size, 1))
        except zlib.error as error:
            raise OSError(f"{name} cannot be unpacked: {error}") from error

    def slice(self, name: str, start: int, size: int) -> bytes:
        return self._whole(name)[start : start + size]

    def lines(self, name: str) -> Iterator[bytes]:
        yield from self._whole(name).splitlines(keepends=True)

    def blocks(self, name: str, size: int = 2**20) -> Iterator[bytes]:
        whole = self._whole(name)
        yield from (whole[i : i + size] for i in range(0, len(whole), size))

    def _whole(self, name: str) -> bytes:
        """A file of which many pieces are wanted: the last such one is kept."""
        if self._kept[0] != name:
            self._kept = (name, self.read(name, MOST_TEXT))
        return self._kept[1]

    def _index(self, name: str) -> int | None:
        at = bisect_left(self._all, name)
        return at if at < len(self._all) and self._all[at] == name else None


def place_of(path: Path) -> Place | None:
    """The files of a folder, a ``.zip`` or a ``.tar``; None if it is none of these.

    Raises:
        TranhError: an archive that cannot be read.
    """
    if path.is_dir():
        return Place(path)
    if path.suffix not in (".zip", ".tar") or not path.is_file():
        return None
    try:
        return Archive(path, _zipped(path) if path.suffix == ".zip" else _tarred(path))
    except (zipfile.BadZipFile, tarfile.TarError, OSError, ValueError) as error:
        raise TranhError(f"{path} cannot be read as an archive: {error}") from error


def inside(name: str) -> str:
    """A relative name in its shortest form, empty if it points outside (``/etc/x``, ``../x``, ``C:\\x``)."""
    short = posixpath.normpath(name.replace("\\", "/")) if name and "\0" not in name else ""
    return "" if short.startswith(("/", "../")) or short in ("..", ".") or short[1:2] == ":" else short


def read_at(file: Path, start: int, size: int, most: int = MOST_BYTES) -> bytes:
    """``size`` bytes of a file from ``start`` on.

    Raises:
        OSError: they are more than ``most``, or not all there.
    """
    if size > most:
        raise OSError(f"{file.name} has {size >> 20} MiB; at most {most >> 20} are read")
    with file.open("rb", buffering=0) as opened:
        opened.seek(start)
        data = opened.read(size) or b""
        while len(data) < size and (more := opened.read(size - len(data))):
            data += more
    if len(data) < size:
        raise OSError(f"{file.name} is cut short: {len(data)} of {size} bytes are there")
    return data


def tar_members(file: Path) -> Iterator[tuple[str, int, int]]:
    """(name, offset, size) of the plain files of a tar, by its headers; one cut short gives those before the cut.

    Raises:
        TarError: it is no tar.
    """
    with tarfile.open(file, "r:") as archive:
        while True:
            try:
                info = archive.next()
            except tarfile.TarError:
                return
            if info is None:
                return
            archive.members = []  # type: ignore[attr-defined]  # tarfile keeps every header it has seen
            if info.isreg() and not info.issparse():
                yield info.name.removeprefix("./"), info.offset_data, info.size


def _tarred(path: Path) -> Iterator[tuple[str, int, int, int, int]]:
    return ((name, offset, size, size, 0) for name, offset, size in tar_members(path))


def _zipped(path: Path) -> Iterator[tuple[str, int, int, int, int]]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if not info.is_dir() and not stat.S_ISLNK(info.external_attr >> 16):
                method = 99 if info.flag_bits & 1 else info.compress_type  # 1: encrypted
                yield info.filename, info.header_offset, info.compress_size, info.file_size, method


def _seen(entry: os.DirEntry[str]) -> tuple[str, bool, bool, bool]:
    """Its name; is it a folder, a file, a link? A link to itself is neither of the first two."""
    try:
        return entry.name, entry.is_dir(), entry.is_file(), entry.is_symlink()
    except OSError:
        return entry.name, False, False, True


def _plain(name: str) -> bool:
    parts = name.split("/")
    return inside(name) == name and not any(part.startswith(".") or part in HIDDEN for part in parts)
