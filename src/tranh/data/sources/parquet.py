"""Parquet files as the Hugging Face hub has them: a column of pictures (a struct with bytes) and columns of text."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

from tranh.data.item import CAPTIONS, Caption, Item, captions_in, is_picture, label_of, split_of
from tranh.data.look import Look
from tranh.data.place import Place
from tranh.types import TranhError

NEEDED = "parquet files are read with pyarrow: pip install 'tranh[data]'"


def found(look: Look) -> str | None:
    """Why this is a table of pictures, or None."""
    files = files_of(look.path)
    if files and look.path.is_dir() and look.pictures and not _has_pictures(files[0]):
        return None  # a table beside pictures, as img2dataset writes
    more = ", ..." if len(files) > 1 else ""
    return f"{len(files)} parquet file{'s' if len(files) > 1 else ''}: {files[0].name}{more}" if files else None


def files_of(path: Path) -> list[Path]:
    """The parquet files a path stands for."""
    if path.is_dir():
        return [path / name for name in Place(path).names(lambda name: name.endswith(".parquet"))]
    return [path] if path.suffix == ".parquet" and path.is_file() else []


def read(look: Look) -> Table:
    """The rows of all files, in order."""
    return Table(files_of(look.path))


class Table:
    """Rows of parquet files; one group of rows is in memory at a time."""

    def __init__(self, files: list[Path]) -> None:
        try:
            import pyarrow.parquet as pq
        except ImportError as error:
            raise TranhError(NEEDED) from error
        self.groups: list[tuple[Path, int, str]] = []  # file, group of rows, column of pictures
        sizes = []
        for file in files:
            try:
                about = pq.ParquetFile(file)
                schema, metadata = about.schema_arrow, about.metadata
            except Exception as error:  # pyarrow has a dozen kinds
                raise TranhError(f"{file} is no parquet file: {error}") from error
            picture = _picture_column(schema, file)
            for group in range(metadata.num_row_groups):
                self.groups.append((file, group, picture))
                sizes.append(metadata.row_group(group).num_rows)
        self.ends = list(accumulate(sizes))
        self._last: tuple[int, Any] = (-1, None)

    def __len__(self) -> int:
        return self.ends[-1] if self.ends else 0

    def __getitem__(self, index: int) -> Item:
        which = bisect_right(self.ends, index)
        file, _, picture = self.groups[which]
        row = index - (self.ends[which - 1] if which else 0)
        record: dict[str, Any] = self._rows(which).slice(row, 1).to_pylist()[0]
        value = record.pop(picture)
        data, name = (value.get("bytes"), value.get("path")) if isinstance(value, Mapping) else (value, None)
        nothing = [k for k, v in record.items() if CAPTIONS.fullmatch(k) and isinstance(v, float)]
        broken = f"its {nothing[0]} is a number ({record[nothing[0]]}), no text" if nothing else ""
        split = split_of([*file.parts[-3:-1], *re.split(r"[-_.]", file.stem), str(record.get("split", ""))])
        read = partial(_bytes, file.parent, picture, data, name)
        return Item(
            f"{file.stem}/{index}", read, captions_in(record) or _plain(record), split, label_of(record), broken
        )

    def _rows(self, which: int) -> Any:
        import pyarrow.parquet as pq

        if self._last[0] != which:
            self._last = (-1, None)  # two groups at once would be twice the memory
            file, group, _ = self.groups[which]
            self._last = which, pq.ParquetFile(file).read_row_group(group)
        return self._last[1]


def _bytes(folder: Path, column: str, data: bytes | None, name: str | None) -> bytes:
    if data:
        return data
    if name and is_picture(name):
        return Place(folder).read(name)
    raise FileNotFoundError(f"its {column} is empty")


def _plain(record: Mapping[str, Any]) -> tuple[Caption, ...]:
    """Where no column has a caption's name, the only column of text is one."""
    texts = [v for k, v in record.items() if isinstance(v, str) and k not in ("split", "label")]
    return (Caption(texts[0]),) if len(texts) == 1 else ()


def _has_pictures(file: Path) -> bool:
    try:
        import pyarrow.parquet as pq

        return bool(_picture_column(pq.read_schema(file), file))
    except TranhError:
        return False
    except Exception:  # reading it will say what is wrong
        return True


def _picture_column(schema: Any, file: Path) -> str:
    import pyarrow as pa

    names: list[str] = []
    for column in schema:
        kind = column.type
        if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            names.append(column.name)
        elif pa.types.is_struct(kind) and "bytes" in {kind.field(i).name for i in range(kind.num_fields)}:
            names.insert(0, column.name)
    if not names:
        columns = ", ".join(schema.names)
        raise TranhError(f"{file} has no column of pictures (a struct with bytes); its columns: {columns}")
    return names[0]
