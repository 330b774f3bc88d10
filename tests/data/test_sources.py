"""Every kind of source is told from the others by looking, and gives the same items in the same order."""

import io
import json
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
