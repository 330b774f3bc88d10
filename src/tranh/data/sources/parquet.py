"""Parquet files as Hugging Face's hub serves them: an image column (a struct of bytes and path) and columns of text."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any

from tranh.data.item import Caption, Item, captions_in, split_of
from tranh.types import TranhError

NEEDED = "parquet files are read with pyarrow: pip install 'tranh[data]'"


def found(path: Path) -> str | None:
    """Why this is a table of pictures, or None."""
    files = files_of(path)
    return f"{len(files)} parquet file{'s' if len(files) > 1 else ''}: {files[0].name}, ..." if files else None


def files_of(path: Path) -> list[Path]:
    """The parquet files a path stands for."""
    if path.is_file():
        return [path] if path.suffix == ".parquet" else []
    return sorted(p for p in path.rglob("*.parquet") if not p.name.startswith(".")) if path.is_dir() else []


def read(path: Path) -> Table:
    """The rows of all files, in order."""
    return Table(path)


class Table:
    """Rows of parquet files; one group of rows is in memory at a time."""

    def __init__(self, path: Path) -> None:
        try:
            import pyarrow.parquet as pq
        except ImportError as error:
            raise TranhError(NEEDED) from error
        self.groups: list[tuple[Path, int]] = []
        sizes = []
        for file in files_of(path):
            try:
                about = pq.ParquetFile(file)
            except Exception as error:  # pyarrow has a dozen kinds
                raise TranhError(f"{file} is no parquet file: {error}") from error
            self.picture = _picture_column(about.schema_arrow, file)
            for group in range(about.num_row_groups):
                self.groups.append((file, group))
                sizes.append(about.metadata.row_group(group).num_rows)
        self.ends = list(accumulate(sizes))
        self.rows = lru_cache(maxsize=1)(self._rows)

    def __len__(self) -> int:
        return self.ends[-1] if self.ends else 0

    def __getitem__(self, index: int) -> Item:
        which = bisect_right(self.ends, index)
        file, group = self.groups[which]
        row = index - (self.ends[which - 1] if which else 0)
        record: Mapping[str, Any] = self.rows(file, group).slice(row, 1).to_pylist()[0]
        value = record[self.picture]
        data = value.get("bytes") if isinstance(value, Mapping) else value
        name = value.get("path") if isinstance(value, Mapping) else None
        broken = "" if data or name else f"its {self.picture} is empty"
        captions = captions_in({k: v for k, v in record.items() if k != self.picture})
        if any(isinstance(v, float) and v != v for k, v in record.items() if captions_in({k: "x"})):
            broken = broken or "its caption is NaN, no text"
        split = split_of([*file.parts[-3:-1], file.stem.split("-")[0], str(record.get("split", ""))])
        label = record.get("label")

        def bytes_of() -> bytes:
            if data:
                return bytes(data)
            return (file.parent / name).read_bytes() if name else b""

        return Item(
            f"{file.stem}/{index}",
            bytes_of,
            captions or _plain(record),
            split,
            None if label is None else str(label),
            broken,
        )

    def _rows(self, file: Path, group: int) -> Any:
        import pyarrow.parquet as pq

        return pq.ParquetFile(file).read_row_group(group)


def _plain(record: Mapping[str, Any]) -> tuple[Caption, ...]:
    """Where no column has a caption's name, the only column of text is one."""
    texts = [v for v in record.values() if isinstance(v, str)]
    return (Caption(texts[0]),) if len(texts) == 1 else ()


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
        raise TranhError(
            f"{file} has no column of pictures (a struct with bytes); its columns: {', '.join(schema.names)}"
        )
    return names[0]
