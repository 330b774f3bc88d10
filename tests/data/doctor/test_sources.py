"""Faults planted into sources other than a folder with JSON lines: shards, tables, text files, tables of text."""

from __future__ import annotations

import csv
import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_planted import READING, alarms, encoded, examined, picture

from tranh.data.doctor import scan
from tranh.data.item import Item
from tranh.types import TranhError

COUNT = 14
WORDS = ("a boat", "a hill", "two birds", "the moon", "a lamp", "some bread", "an old door")


def said(i: int) -> str:
    return f"a drawing of {WORDS[i % 7]} beside {WORDS[i // 7]} on its own ground"


def keys(root: Path | str, finding: str) -> list[str]:
    *_, last = scan(root, READING)
    return [example.key for example in last.result.all_examples(finding)]


# Shards


def shard(path: Path, samples: list[tuple[str, dict[str, bytes]]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, files in samples:
            for suffix, data in files.items():
                info = tarfile.TarInfo(f"{name}.{suffix}")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))


def samples(start: int = 0, count: int = COUNT) -> list[tuple[str, dict[str, bytes]]]:
    return [
        (f"{i:05d}", {"jpg": encoded(picture(i), "JPEG"), "txt": said(i).encode(), "json": b'{"status": "success"}'})
        for i in range(start, start + count)
    ]


def test_clean_shards(tmp_path: Path) -> None:
    shard(tmp_path / "x" / "00000.tar", samples())
    shard(tmp_path / "x" / "00001.tar", samples(20))
    diagnosis = examined(tmp_path / "x")
    assert diagnosis.opened.kind == "shards" and diagnosis.total == 2 * COUNT
    assert alarms(diagnosis) == set(), diagnosis.findings


def no_caption(one: list[Any]) -> None:
    del one[3][1]["txt"]


def empty_caption(one: list[Any]) -> None:
    one[3][1]["txt"] = b" \n"


def cut_short(one: list[Any]) -> None:
    one[3][1]["jpg"] = one[3][1]["jpg"][:-300]


def missing_file(one: list[Any]) -> None:
    del one[3][1]["jpg"]


def not_utf8(one: list[Any]) -> None:
    one[3][1]["txt"] = "một hình tròn đỏ".encode("utf-16")


def bad_line(one: list[Any]) -> None:
    one[3][1]["json"] = b'{"caption": '


@pytest.mark.parametrize(
    ("plant", "wanted"),
    [
        (no_caption, {"no caption"}),
        (empty_caption, {"empty caption"}),
        (cut_short, {"cut short"}),
        (missing_file, {"missing file"}),
        (not_utf8, {"not UTF-8", "garbled letters"}),
        (bad_line, {"bad line"}),
    ],
)
def test_faults_in_shards(plant: Callable[[list[Any]], None], wanted: set[str], tmp_path: Path) -> None:
    one = samples()
    plant(one)
    shard(tmp_path / "x" / "00000.tar", one)
    diagnosis = examined(tmp_path / "x")
    found = alarms(diagnosis)
    assert found == wanted
    for finding in found:
        assert "00000/00003" in {example.key for example in diagnosis.all_examples(finding)}


def test_a_shard_cut_short(tmp_path: Path) -> None:
    shard(tmp_path / "x" / "00000.tar", samples())
    whole = tmp_path / "x" / "00001.tar"
    shard(whole, samples(20))
    data = whole.read_bytes()
    for size in (20_000, 20_480, len(data) - 11_000):
        whole.write_bytes(data[:size])
        assert keys(tmp_path / "x", "damaged shard") == ["00001.tar"], size


def test_a_shard_that_is_none(tmp_path: Path) -> None:
    shard(tmp_path / "x" / "00000.tar", samples())
    (tmp_path / "x" / "00001.tar").write_bytes(b"nothing of a tar " * 200)
    *_, last = scan(tmp_path / "x", READING)
    assert last.result.total == COUNT
    assert [e.key for e in last.result.all_examples("damaged source")] == ["00001.tar"]


def test_a_double_in_another_shard(tmp_path: Path) -> None:
    one, two = samples(), samples(20)
    two[4][1]["jpg"] = one[2][1]["jpg"]
    shard(tmp_path / "x" / "train-0.tar", one)
    shard(tmp_path / "x" / "test-0.tar", two)
    assert len(keys(tmp_path / "x", "duplicate")) + len(keys(tmp_path / "x", "duplicate across splits")) == 1


# Parquet


def table(path: Path, rows: list[dict[str, Any]], **columns: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    made = pa.Table.from_pylist(rows)
    for name, values in columns.items():
        made = made.append_column(name, values)
    pq.write_table(made, path, row_group_size=5)


def rows(start: int = 0) -> list[dict[str, Any]]:
    return [
        {"image": {"bytes": encoded(picture(i)), "path": f"{i}.png"}, "text": said(i - start)}
        for i in range(start, start + COUNT)
    ]


def test_clean_parquet(tmp_path: Path) -> None:
    table(tmp_path / "x" / "train-00000-of-00001.parquet", rows())
    diagnosis = examined(tmp_path / "x")
    assert diagnosis.opened.kind == "parquet" and alarms(diagnosis) == set(), diagnosis.findings


def test_an_empty_cell_is_a_nan(tmp_path: Path) -> None:
    one = rows()
    one[6]["text"] = None
    table(tmp_path / "x" / "train.parquet", one)
    *_, last = scan(tmp_path / "x", READING)
    assert alarms(last.result) == {"caption is NaN"}
    assert [e.key for e in last.result.all_examples("caption is NaN")] == ["train/6"]


def test_nan_in_a_column_of_numbers(tmp_path: Path) -> None:
    one = [{**row, "text": float("nan") if i == 6 else float(i)} for i, row in enumerate(rows())]
    table(tmp_path / "x" / "train.parquet", one)
    *_, last = scan(tmp_path / "x", READING)
    assert "train/6" in {e.key for e in last.result.all_examples("caption is NaN")}


def test_a_picture_of_a_table_is_broken(tmp_path: Path) -> None:
    one = rows()
    one[6]["image"]["bytes"] = one[6]["image"]["bytes"][:500]
    one[7]["image"] = {"bytes": None, "path": None}
    table(tmp_path / "x" / "train.parquet", one)
    *_, last = scan(tmp_path / "x", READING)
    assert alarms(last.result) == {"cut short", "missing file"}, last.result.findings


def test_a_table_that_is_none(tmp_path: Path) -> None:
    table(tmp_path / "x" / "a.parquet", rows())
    (tmp_path / "x" / "b.parquet").write_bytes(b"PAR1 and nothing more")
    *_, last = scan(tmp_path / "x", READING)
    assert last.result.total == COUNT
    assert [e.key for e in last.result.all_examples("damaged source")] == ["b.parquet"]


# Text files


def sidecars(root: Path) -> None:
    root.mkdir(parents=True)
    for i in range(COUNT):
        (root / f"{i:03d}.png").write_bytes(encoded(picture(i)))
        (root / f"{i:03d}.txt").write_text(said(i), "utf-8")


def test_clean_text_files(tmp_path: Path) -> None:
    sidecars(tmp_path / "x")
    (tmp_path / "x" / "README.txt").write_text("what this is")
    assert alarms(examined(tmp_path / "x")) == set()


def test_faults_of_text_files(tmp_path: Path) -> None:
    sidecars(tmp_path / "x")
    (tmp_path / "x" / "001.txt").unlink()
    (tmp_path / "x" / "002.txt").write_text("")
    (tmp_path / "x" / "003.txt").write_bytes("một hình tròn".encode("utf-16"))
    (tmp_path / "x" / "stray.txt").write_text("a caption of nothing")
    (tmp_path / "x" / "004.png").unlink()
    diagnosis = examined(tmp_path / "x")
    found = {f.name: {e.key for e in diagnosis.all_examples(f.name)} for f in diagnosis.findings}
    assert found["no caption"] == {"001.png"} and found["empty caption"] == {"002.png"}
    assert found["not UTF-8"] == {"003.png"} and found["text without a picture"] == {"stray.txt", "004.txt"}


# Tables of text


def listed(root: Path, encoding: str = "utf-8", head: str = "file_name,text") -> Path:
    root.mkdir(parents=True)
    out = io.StringIO()
    lines = csv.writer(out)
    for i in range(COUNT):
        (root / f"{i:03d}.png").write_bytes(encoded(picture(i)))
        lines.writerow([f"{i:03d}.png", "một tấm tranh, “vẽ” " + said(i), *([""] * (head.count(",") - 1))])
    (root / "metadata.csv").write_bytes(f"{head}\r\n{out.getvalue()}".encode(encoding))
    return root


def test_a_mark_at_the_start_is_no_fault(tmp_path: Path) -> None:
    assert alarms(examined(listed(tmp_path / "x", "utf-8-sig"))) == set()


def test_a_table_of_text_in_another_encoding(tmp_path: Path) -> None:
    found = examined(listed(tmp_path / "x", "utf-8"))
    assert alarms(found) == set()
    raw = (tmp_path / "x" / "metadata.csv").read_bytes().replace("vẽ".encode(), b"v\xe9")
    (tmp_path / "x" / "metadata.csv").write_bytes(raw)
    assert "not UTF-8" in alarms(examined(tmp_path / "x"))


def test_a_column_twice(tmp_path: Path) -> None:
    assert keys(listed(tmp_path / "x", head="file_name,text,note,note"), "doubled column") == ["metadata.csv: note"]


# Nothing is fatal


def test_pictures_that_nothing_speaks_of(tmp_path: Path) -> None:
    for i in range(4):
        (tmp_path / f"{i}.png").write_bytes(encoded(picture(i)))
    diagnosis = examined(tmp_path)
    assert alarms(diagnosis) == {"no caption"} and diagnosis.total == 4


def test_metadata_that_is_empty(tmp_path: Path) -> None:
    for i in range(4):
        (tmp_path / f"{i}.png").write_bytes(encoded(picture(i)))
    (tmp_path / "metadata.jsonl").write_text("")
    assert {"no caption", "damaged source"} <= alarms(examined(tmp_path))


def test_a_name_that_is_no_utf8(tmp_path: Path) -> None:
    sidecars(tmp_path / "x")
    raw = os.fsencode(tmp_path / "x") + b"/caf\xe9"
    with open(raw + b".png", "wb") as file:
        file.write(encoded(picture(50)))
    with open(raw + b".txt", "wb") as file:
        file.write(b"a drawing")
    assert keys(tmp_path / "x", "unusual file name") == ["caf\\udce9.png", "caf\\udce9.txt"]


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a source that is refused: who runs tests may be allowed to read everything."""

    def refused() -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tranh.data.doctor.beside.Bare.__getitem__", lambda self, i: Item(self.keys[i], refused))
    (tmp_path / "a.png").write_bytes(encoded(picture(0)))
    assert keys(tmp_path, "unreadable file") == ["a.png"]


def test_nothing_to_look_at(tmp_path: Path) -> None:
    with pytest.raises(TranhError, match="holds no pictures"):
        examined(tmp_path)
    with pytest.raises(TranhError, match="there is nothing"):
        examined(tmp_path / "nowhere")


def test_only_some_are_looked_at(tmp_path: Path) -> None:
    sidecars(tmp_path / "x")
    *_, last = scan(tmp_path / "x", READING, limit=5)
    assert (last.result.looked, last.result.total) == (5, COUNT)


def test_several_processes_find_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sidecars(tmp_path / "x")
    (tmp_path / "x" / "002.txt").write_text("")
    monkeypatch.setattr("tranh.data.doctor.scanning.ALONE", 1)
    monkeypatch.setattr("tranh.data.doctor.scanning.CHUNK", 4)
    *_, many = scan(tmp_path / "x", READING, workers=2)
    *_, one = scan(tmp_path / "x", READING, workers=0)
    assert many.result.findings == one.result.findings
    assert json.dumps(many.result.tally.lengths) == json.dumps(one.result.tally.lengths)
