"""Every kind of source is told from the others by looking, and gives the same items in the same order."""

import io
import json
import os
import pickle
import tarfile
import zipfile
from pathlib import Path

import data_toys as lay
import pytest
from PIL import Image

from tranh.data.detect import SOURCES, detect
from tranh.data.item import Caption
from tranh.data.sources import shards
from tranh.types import TranhError

laid = lay.laid


def test_is_told_by_looking_and_every_picture_opens(laid):
    kind, path, count = laid
    found = detect(path)
    assert found.kind == kind and found.why
    first, again = found.read(), detect(path, kind).read()
    assert len(first) == len(again) == count
    keys = [first[i].key for i in range(count)]
    assert len(set(keys)) == count and keys == [again[i].key for i in reversed(range(count))][::-1]
    for i in range(count):
        item = first[i]
        assert item.captions and all(c.text for c in item.captions) and not item.broken
        Image.open(io.BytesIO(item.read())).load()


@pytest.mark.parametrize(
    ("build", "index", "captions", "split", "label"),
    [
        (lay.folder, 0, {('one, "two"', "")}, "test", None),
        (lay.sidecars, 2, {("first 2", ""), ("second 2", ""), ("tiếng Việt", "vi")}, "", None),
        (lay.classes, 0, {("dog", ""), ("domestic dog", ""), ("Canis familiaris", "")}, "train", "n02084071"),
        (lay.shards, 4, {("caption 000010001", "")}, "", None),
        (lay.coco, 1, {(f"caption 1 {k}", "") for k in range(5)}, "validation", None),
        (lay.cub, 1, {("Laysan Albatross", "en")}, "test", "Laysan Albatross"),
        (lay.idx, 6, {("one", "en"), ("một", "vi")}, "test", "1"),
        (lay.genome, 1, {("thing 1", "en")}, "", None),
        (lay.parquet, 3, {("row 3", "")}, "train", None),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_an_item_says(build, index, captions, split, label, tmp_path):
    build(tmp_path / "x")
    item = detect(tmp_path / "x").read()[index]
    assert {(c.text, c.language) for c in item.captions} == captions
    assert (item.split, item.label) == (split, label)


def test_languages_of_columns(tmp_path):
    lay.folder(tmp_path / "x")
    item = detect(tmp_path / "x").read()[3]
    assert set(item.captions) == {Caption("picture 2", "en"), Caption("tranh 2", "vi")}


def test_the_digits_are_built_in():
    digits = detect("digits").read()
    assert len(digits) == 1797 and Image.open(io.BytesIO(digits[0].read())).size == (8, 8)
    assert {c.text for c in digits[0].captions} == {"zero", "không"}


def test_braces():
    assert shards.expand("a-{08..11}.tar") == [f"a-{n}.tar" for n in ("08", "09", "10", "11")]
    assert shards.expand("{x,y}-{0..1}.tar") == ["x-0.tar", "x-1.tar", "y-0.tar", "y-1.tar"]
    assert shards.expand("plain.tar") == ["plain.tar"]


def test_shards_by_a_list_in_braces(tmp_path):
    lay.shards(tmp_path / "x")
    assert len(detect(f"{tmp_path}/x/{{00000..00001}}.tar").read()) == 6
    assert len(detect(tmp_path / "x" / "00001.tar").read()) == 3
    with pytest.raises(TranhError, match="1 of 3 shards are not there: .*00002.tar"):
        detect(f"{tmp_path}/x/{{00000..00002}}.tar").read()


def test_a_shard_cut_short_gives_what_is_there(tmp_path):
    lay.shards(tmp_path / "x")
    file = tmp_path / "x" / "00000.tar"
    data = file.read_bytes()
    file.write_bytes(data[: data.index(b"000000002.")])
    assert 4 <= len(detect(tmp_path / "x").read()) < 6
    assert detect(file).kind == "shards" and 1 <= len(detect(file).read()) < 3


def test_lines_that_cannot_be_read_are_items_that_say_so(tmp_path):
    lay.folder(tmp_path / "x")
    with (tmp_path / "x" / "train" / "metadata.jsonl").open("a") as file:
        file.write('{"file_name": \n{"text": "no name"}\n[1]\n{"file_name": "../../secret.png", "text": "out"}\n')
    items = detect(tmp_path / "x").read()
    broken = [items[i].broken for i in range(len(items)) if items[i].broken]
    assert len(items) == 9 and len(broken) == 4
    assert "is no JSON" in broken[0] and "names no file_name" in broken[1] and "is no object" in broken[2]
    assert "outside the folder" in broken[3]


def test_a_synset_that_nobody_explains(tmp_path):
    lay.classes(tmp_path / "x")
    (tmp_path / "x" / "synset_words.txt").unlink()
    items = detect(tmp_path / "x").read()
    assert "no mapping file says what n02084071 is" in items[0].broken


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: root / "nowhere", "there is nothing"),
        (lambda root: root, "holds no pictures"),
        (lambda root: lay.put(root / "a.png", lay.encoded(0)).parent, "nothing that says what they show"),
    ],
)
def test_what_cannot_be_read_is_said(make, message, tmp_path):
    with pytest.raises(TranhError, match=message):
        detect(make(tmp_path))


def test_kinds_are_checked(tmp_path):
    with pytest.raises(TranhError, match="'tape' is no kind of source; there are: digits"):
        detect(tmp_path, "tape")
    with pytest.raises(TranhError, match="cannot be read as coco"):
        detect(tmp_path, "coco")


def test_every_file_of_the_folder_is_asked():
    here = Path(shards.__file__).parent
    assert {p.stem for p in here.glob("*.py")} - {"__init__"} == set(SOURCES)


def test_coco_by_its_file_and_what_is_no_coco(tmp_path):
    lay.coco(tmp_path / "x")
    assert len(detect(tmp_path / "x" / "annotations" / "captions_val2017.json").read()) == 2
    lay.put(tmp_path / "y" / "captions_bad.json", json.dumps({"images": []}))
    with pytest.raises(TranhError, match="is no COCO caption file"):
        detect(tmp_path / "y").read()


def test_tables_beside_pictures_and_tars_beside_metadata_mislead_nobody(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    lay.sidecars(tmp_path / "files")  # img2dataset's output format "files"
    pq.write_table(pa.table({"url": ["http://a"], "status": ["success"]}), tmp_path / "files" / "00000.parquet")
    assert detect(tmp_path / "files").kind == "sidecars"
    lay.shards(tmp_path / "tars")
    pq.write_table(pa.table({"url": ["http://a"]}), tmp_path / "tars" / "00000.parquet")
    assert detect(tmp_path / "tars").kind == "shards"
    lay.folder(tmp_path / "folder")
    (tmp_path / "folder" / "backup.tar").write_bytes((tmp_path / "tars" / "00000.tar").read_bytes())
    assert detect(tmp_path / "folder").kind == "folder"


# Archives: the same folder, packed


def zipped(root, file, top=""):
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("__MACOSX/._0.png", b"junk")
        for path in sorted(root.rglob("*")):
            if path.is_file():
                archive.write(path, f"{top}{path.relative_to(root)}")
    return file


def tarred(root, file):
    with tarfile.open(file, "w") as archive:
        archive.add(root, "pictures")
    return file


PACKED = (lay.folder, lay.sidecars, lay.classes, lay.coco, lay.cub, lay.genome, lay.idx)


@pytest.mark.parametrize("build", PACKED, ids=lambda build: build.__name__)
@pytest.mark.parametrize("how", ["zip", "zip in a folder", "tar"])
def test_an_archive_of_a_folder_gives_what_the_folder_gives(build, how, tmp_path):
    count = build(tmp_path / "x")
    if how == "tar":
        file = tarred(tmp_path / "x", tmp_path / "x.tar")
    else:
        file = zipped(tmp_path / "x", tmp_path / "x.zip", "pictures/" if "folder" in how else "")
    found, plain = detect(file), detect(tmp_path / "x").read()
    packed = found.read()
    if how == "tar" and build is lay.sidecars:
        assert found.kind == "shards"  # a picture and a text of one name are a sample
        plain_keys = [f"x/pictures/{i}" for i in range(3)]
    else:
        assert found.kind == build.__name__
        plain_keys = [plain[i].key for i in range(count)]
    assert len(packed) == count and [packed[i].key for i in range(count)] == plain_keys
    for i in range(count):
        assert packed[i].read() == plain[i].read()
        assert found.kind == "shards" or packed[i].captions == plain[i].captions
        assert (packed[i].split, packed[i].label) == (plain[i].split, plain[i].label)


def test_a_zip_bomb_and_a_locked_member_are_not_unpacked(tmp_path):
    file = tmp_path / "x.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("dog/a.png", bytes(2**26 + 1))
        archive.writestr("cat/b.png", lay.encoded(0))
        archive.writestr("../cat/c.png", lay.encoded(0))
        archive.writestr("/cat/d.png", lay.encoded(0))
    items = detect(file).read()
    assert [items[i].key for i in range(len(items))] == ["cat/b.png", "dog/a.png"]
    with pytest.raises(OSError, match="at most 64 are read"):
        items[1].read()
    data = bytearray(file.read_bytes())
    at = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 1)
    data[at + 8] |= 1  # the flag of a password
    file.write_bytes(data)
    with pytest.raises(OSError, match="locked"):
        detect(file).read()[0].read()


def test_packed_as_a_whole_is_said(tmp_path):
    with pytest.raises(TranhError, match="packed as a whole"):
        detect(lay.put(tmp_path / "x.tar.gz", b""))
    with pytest.raises(TranhError, match="cannot be read as an archive"):
        detect(lay.put(tmp_path / "x.zip", b"PK"))


def test_nothing_outside_is_read(tmp_path):
    secret = lay.put(tmp_path / "secret.png", lay.encoded(0))
    root = tmp_path / "x"
    names = ["../secret.png", str(secret), "a/../../secret.png", "..\\secret.png", "a\u0000b.png"]
    lay.put(root / "metadata.jsonl", "".join(json.dumps({"file_name": n, "text": "t"}) + "\n" for n in names))
    items = detect(root).read()
    for i in range(len(names)):
        assert "outside the folder" in items[i].broken
        with pytest.raises(OSError):
            items[i].read()


def test_links_are_followed_but_not_in_circles(tmp_path):
    blob = lay.put(tmp_path / "blobs" / "abc", lay.encoded(0))
    root = tmp_path / "x"
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        (root / name / "a.png").symlink_to(blob)
    (root / "cat" / "up").symlink_to(root)
    os.mkfifo(root / "dog" / "pipe.png")
    items = detect(root).read()
    assert [items[i].key for i in range(len(items))] == ["cat/a.png", "dog/a.png"]
    assert items[0].read() == lay.encoded(0)


def test_csv_records_may_have_line_ends_in_them(tmp_path):
    rows = 'file_name,text,text_vi\r\na.png,"one\ntwo ""three""",một\r\n\r\nb.png,plain,"hai, ba"\r\nc.png\r\n'
    lay.put(tmp_path / "x" / "metadata.csv", "\ufeff" + rows)
    items = detect(tmp_path / "x").read()
    assert len(items) == 3
    assert items[0].key == "a.png" and items[0].captions == (Caption('one\ntwo "three"'), Caption("một", "vi"))
    assert items[1].captions == (Caption("plain"), Caption("hai, ba", "vi")) and items[2].captions == ()


@pytest.mark.parametrize(
    ("record", "captions"),
    [
        ({"text": "a"}, [("a", "")]),
        ({"captions": ["a", "b"]}, [("a", ""), ("b", "")]),
        ({"caption_0": "a", "caption_1": "b"}, [("a", ""), ("b", "")]),
        ({"text_en": "a", "text-vi": "b"}, [("a", "en"), ("b", "vi")]),
        ({"caption": {"en": "a", "vi": ["b", "c"]}}, [("a", "en"), ("b", "vi"), ("c", "vi")]),
        ({"captions": [{"text": "a", "language": "vi"}, {"raw": "b"}]}, [("a", "vi"), ("b", "")]),
        ({"caption_id": 7, "caption_url": "http://x", "texture": "rough", "text": 3.0}, []),
    ],
)
def test_fields_of_captions(record, captions):
    from tranh.data.item import captions_in

    assert [(c.text, c.language) for c in captions_in(record)] == captions


def test_regions_are_found_without_holding_the_file(tmp_path):
    from tranh.data.place import Place
    from tranh.data.sources.genome import elements

    values = [{"id": i, "regions": [], "é": "một ]},{[ \\" * (i % 5)} for i in range(3000)]
    for indent in (None, 1):
        data = json.dumps(values, ensure_ascii=False, indent=indent).encode()
        lay.put(tmp_path / "a.json", data)
        found = list(elements(Place(tmp_path), "a.json"))
        assert [json.loads(data[start : start + size]) for start, size, _ in found] == values
    lay.put(tmp_path / "a.json", data[:-5])
    with pytest.raises(ValueError, match="ends before"):
        list(elements(Place(tmp_path), "a.json"))


def test_collections_can_be_handed_to_other_processes(laid):
    _, path, count = laid
    first = detect(path).read()
    again = pickle.loads(pickle.dumps(first))  # noqa: S301  # ours
    for i in (0, count - 1):
        assert again[i].key == first[i].key and again[i].read() == first[i].read()


# The hub


@pytest.fixture
def hub(monkeypatch):
    """What ``datasets`` would load, of real ``datasets.Dataset``s."""
    import datasets

    classes = datasets.ClassLabel(names=["cat", "dog"])
    kinds = datasets.Features(image=datasets.Image(), text_en=datasets.Value("string"), label=classes)
    splits = {}
    for k, split in enumerate(("train", "test")):
        rows = [
            {"image": {"bytes": lay.encoded(10 * k + i), "path": None}, "text_en": f"{split} {i}", "label": i % 2}
            for i in range(3)
        ]
        splits[split] = datasets.Dataset.from_list(rows, features=kinds)
    monkeypatch.setattr(datasets, "load_dataset", lambda name: datasets.DatasetDict(splits))


def test_a_data_set_of_the_hub(hub):
    found = detect("someone/cats-and-dogs")
    items = found.read()
    assert found.kind == "hub" and len(items) == 6
    assert items[4].key == "test/1" and items[4].captions == (Caption("test 1", "en"),)
    assert (items[4].split, items[4].label) == ("test", "dog") and items[4].read() == lay.encoded(11)
    assert detect("hf:mnist").kind == "hub"


def test_a_data_set_that_cannot_be_loaded(monkeypatch):
    import datasets

    def fail(name):
        raise ConnectionError("no network")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(
        TranhError, match="someone/cats is nothing on this disk, and could not be loaded .*: no network"
    ):
        detect("someone/cats").read()


def test_parquet_faults(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "x").mkdir()
    table = pa.table(
        {
            "image": pa.array([{"bytes": None, "path": "../../secret.png"}, {"bytes": None, "path": None}]),
            "text": pa.array([float("nan"), 1.0]),
        }
    )
    pq.write_table(table, tmp_path / "x" / "a.parquet")
    items = detect(tmp_path / "x").read()
    assert "its text is a number (nan), no text" in items[0].broken
    for i in (0, 1):
        with pytest.raises(OSError, match="outside|empty"):
            items[i].read()
    lay.put(tmp_path / "y" / "b.parquet", b"PAR1 not really")
    with pytest.raises(TranhError, match="is no parquet file"):
        detect(tmp_path / "y").read()
