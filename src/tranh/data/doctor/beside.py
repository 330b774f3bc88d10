"""A folder as it lies on the disk: what its source does not tell, such as pictures nobody lists.

Names and text files are looked at here, no picture is opened.
"""

from __future__ import annotations

import csv
import os
import stat
import tarfile
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from tranh.data.detect import Found
from tranh.data.doctor.captions import Met
from tranh.data.doctor.pictures import PICTURES, what_is
from tranh.data.item import Item, captions_in, is_picture, split_of
from tranh.data.sources.shards import expand

SYSTEM = frozenset((".DS_Store", "Thumbs.db", "desktop.ini", "__MACOSX"))
NOT_READ = frozenset(
    (
        ".ai", ".arw", ".cr2", ".cr3", ".dng", ".eps", ".heic", ".heif", ".jxl", ".nef", ".pdf", ".psd", ".raw", ".svg",
        ".ico", ".mp4", ".mov", ".webm",
    )
)  # fmt: skip
"""Names of pictures, films and documents that are not read."""
BARE_TEXT = frozenset(
    (
        "readme", "license", "licence", "notice", "classes", "labels", "words", "synset_words", "credits", "names",
        "attribution", "sources", "notes", "requirements", "copying", "changelog",
    )
)  # fmt: skip
"""Text files that are no captions."""
BLOCK = 512  # bytes, of a tar
BY_PATH = frozenset(("folder", "classes", "coco", "cub"))
"""Kinds whose keys end like the paths of their pictures, and which may leave pictures out."""


@dataclass
class Beside:
    """What was seen on the disk.

    Attributes:
        pictures: files with a picture's name, relative to the folder; texts: ``.txt`` files.
        met: (kind, key, note) of what is odd.
        irregular: names that must not be opened, and why.
    """

    pictures: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    met: list[tuple[str, str, str]] = field(default_factory=list)
    irregular: dict[str, str] = field(default_factory=dict)

    def alike(self, key: str) -> str:
        """A picture whose name is the same but for case, Unicode form, slashes or spaces; empty if there is none."""
        if not hasattr(self, "_plain"):
            self._plain = {_plain(name): name for name in self.pictures}
        found = self._plain.get(_plain(key), "")
        return found if found != key else ""


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name.replace("\\", "/")).casefold().strip().replace("%20", " ")


class Bare:
    """Pictures that nothing speaks of, as a collection."""

    def __init__(self, root: Path, keys: Sequence[str]) -> None:
        self.root, self.keys = root, keys

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> Item:
        key = self.keys[index]
        return Item(key, (self.root / key).read_bytes, (), split_of(PurePosixPath(key).parts[:-1]))


def walk(root: Path) -> Beside:
    """Everything under a folder; links to folders are not followed."""
    place = Beside()

    def unreadable(error: OSError) -> None:
        name = os.path.relpath(error.filename, root) if error.filename else "."
        place.met.append(("unreadable file", name, f"a folder: {error.strerror}"))

    for folder_, folders, files in os.walk(root, onerror=unreadable):
        folders.sort()
        under = os.path.relpath(folder_, root)
        here = "" if under == "." else f"{under}/"
        for name in [d for d in folders if d in SYSTEM]:
            folders.remove(name)
            place.met.append(("system files", here + name, ""))
        for name in [d for d in folders if is_picture(d)]:
            place.irregular[here + name] = "it is a folder"
        for name in sorted(files):
            _file(place, Path(folder_) / name, here + name)
    return place


def _file(place: Beside, path: Path, key: str) -> None:
    if path.name in SYSTEM or path.name.startswith("._"):
        place.met.append(("system files", key, ""))
        return
    if not key.isprintable() or path.name != path.name.strip():
        place.met.append(("unusual file name", key, _unusual(path.name)))
    suffix = path.suffix.lower()
    if suffix == ".txt":
        place.texts.append(key)
    if is_picture(path):
        reason = irregular(path)
        if reason:
            place.irregular[key] = reason
        else:
            place.pictures.append(key)
    elif suffix in NOT_READ:
        place.met.append(("format not read", key, suffix[1:].upper()))
    elif not suffix and not path.name.startswith(".") and _starts(path) in PICTURES:
        place.met.append(("wrong extension", key, f"it is {_starts(path)} and its name does not say so"))


def _unusual(name: str) -> str:
    if any("\ud800" <= c <= "\udfff" for c in name):
        return "its bytes are no UTF-8"
    return "spaces at an end" if name != name.strip() else "control or invisible characters"


def _starts(path: Path) -> str:
    if irregular(path):
        return ""
    with path.open("rb") as file:
        return what_is(file.read(512))


def irregular(path: Path) -> str:
    """Why reading a path would fail or never end, or empty; a missing file is not said to be irregular."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return "a link to nothing" if path.is_symlink() else ""
    except (OSError, ValueError) as error:
        return str(getattr(error, "strerror", None) or error)
    if stat.S_ISDIR(mode):
        return "it is a folder"
    if not stat.S_ISREG(mode):
        return "it is no file but a pipe, socket or device"
    return "" if os.access(path, os.R_OK) else "permission denied"


def of_files(found: Found, place: Beside) -> Iterator[tuple[str, str, str]]:
    """(kind, key, note) of what only the files of a source themselves say."""
    path = found.path
    if found.kind == "folder" and path.is_dir():
        for file in sorted(path.rglob("metadata.csv")):
            yield from _csv(file, file.relative_to(path).as_posix())
    if found.kind == "sidecars":
        stems = {_stem(name) for name in (*place.pictures, *place.irregular)}
        for text in place.texts:
            stem = text.removesuffix(".txt")
            bare = PurePosixPath(stem).name.lower() in BARE_TEXT
            if stem not in stems and stem.rpartition(".")[0] not in stems and not bare:
                yield "text without a picture", text, ""
    if found.kind == "shards":
        for file in files_of(found):
            note = _shard(file)
            if note:
                yield "damaged shard", file.name, note


def files_of(found: Found) -> list[Path]:
    """The shards or tables that a source is made of; none for other kinds."""
    suffix = {"shards": ".tar", "parquet": ".parquet"}.get(found.kind)
    if suffix is None:
        return []
    if found.path.is_dir():
        return sorted(f for f in found.path.rglob(f"*{suffix}") if f.is_file() and not f.name.startswith("."))
    return [path for name in expand(str(found.path)) if (path := Path(name)).is_file()]


def _stem(name: str) -> str:
    return name.rpartition(".")[0]


def _csv(file: Path, key: str) -> Iterator[tuple[str, str, str]]:
    with file.open("rb") as lines:
        head = b""
        for number, line in enumerate(lines, 1):
            head = head or line
            try:
                line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                yield "not UTF-8", f"{key}:{number}", f"byte {error.start + 1} of the line, 0x{line[error.start]:02x}"
    try:
        names = next(csv.reader([head.decode("utf-8-sig", "replace")]), [])
    except csv.Error:
        return
    for name in sorted({n for n in names if n and names.count(n) > 1}):
        yield "doubled column", f"{key}: {name}", ""


def _shard(file: Path) -> str:
    """What is wrong with a tar as a whole: its last file or its end is missing."""
    end = 0
    try:
        with tarfile.open(file, "r:") as archive:
            for info in archive:
                archive.members = []  # type: ignore[attr-defined]  # tarfile keeps every header it has seen
                end = info.offset_data + info.size
    except (tarfile.TarError, OSError, EOFError) as error:
        return str(error)
    with file.open("rb") as raw:  # headers that are cut are passed over; the mark after the last file is then missing
        raw.seek(-(-end // BLOCK) * BLOCK)
        return "" if raw.read(BLOCK) == bytes(BLOCK) else "it has no end mark"


def null_captions(parts: Sequence[Found | tuple[str, ...]]) -> bool:
    """Is it a table with a column of captions, so that a row without one has an empty cell?"""
    files = [
        file for part in parts if not isinstance(part, tuple) and part.kind == "parquet" for file in files_of(part)
    ]
    if not files:
        return False
    import pyarrow.parquet as pq

    return any(captions_in({name: "x"}) for file in files for name in pq.ParquetFile(file).schema_arrow.names)


def orphans(found: Found, place: Beside, listed: set[str]) -> list[str]:
    """Pictures on the disk that the source does not list."""
    if found.kind not in BY_PATH:
        return []
    exact = found.kind in ("folder", "classes")

    def is_listed(name: str) -> bool:
        parts = name.split("/")
        return any("/".join(parts[i:]) in listed for i in range(1 if exact else len(parts)))

    return [name for name in place.pictures if not is_listed(name)]


def broken_entry(reason: str) -> Met:
    """The kind of what a source says of a broken item."""
    low = reason.lower()
    for mark, kind in (
        ("outside", "outside the folder"), ("utf-8", "not UTF-8"), ("no json", "bad line"), ("no object", "bad line"),
        ("cannot be read", "bad line"), ("file_name", "no file name"), ("(nan)", "caption is NaN"),
        ("is nan", "caption is NaN"),
        ("no picture", "missing file"), ("is empty", "missing file"), ("is a number", "no caption"),
    ):  # fmt: skip
        if mark in low:
            return Met(kind, reason)
    return Met("broken entry", reason)
