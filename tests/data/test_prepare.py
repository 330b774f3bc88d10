"""Preparing ends with the same bytes however often it is killed, loses no good picture, and accounts for every one."""

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from contextlib import closing
from pathlib import Path

import data_toys as lay
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from tranh.data import prepare as preparing
from tranh.data import workers
from tranh.data.detect import detect
from tranh.data.doubles import NEAR_BITS, alike, print_of
from tranh.data.item import Caption, Item
from tranh.data.ledger import Ledger
from tranh.data.ready import Options, Ready, Words, ready
from tranh.types import TranhError

laid = lay.laid
SMALL = Options(size=32, least=4)


def prepared(source, out, options=SMALL, **settings):
    *_, last = preparing.prepare(source, out, options, **{"workers": 2, **settings})
    return last.result


def files_of(out):
    return {path.name: path.read_bytes() for path in sorted(out.iterdir())}


def records(out):
    """(record, picture) of everything in the shards, by the standard library alone."""
    found = []
    for shard in sorted(out.glob("*.tar")):
        with tarfile.open(shard) as archive:
            members = archive.getmembers()
            for picture, said in zip(members[::2], members[1::2], strict=True):
                assert picture.name.partition(".")[0] == said.name.removesuffix(".json")
                image = Image.open(archive.extractfile(picture))
                image.load()
                found.append((json.loads(archive.extractfile(said).read()), image))
    return found


def left_out(out):
    return [json.loads(line) for line in (out / "left_out.jsonl").read_text("utf-8").splitlines()]


def make(root, count, text="picture {i}"):
    """A folder of pictures of which every ninth is broken, in one of several ways."""
    lines = []
    for i in range(count):
        data = lay.encoded(i, "JPEG" if i % 3 else "PNG")
        data = {4: data[:-200], 13: b"", 22: b"<html>"}.get(i % 27, data)
        lay.put(root / f"{i:05d}.{'jpg' if i % 3 else 'png'}", data)
        lines.append({"file_name": f"{i:05d}.{'jpg' if i % 3 else 'png'}", "text": text.format(i=i)})
    lay.put(root / "metadata.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    return root


@pytest.fixture
def many(tmp_path, monkeypatch):
    monkeypatch.setattr(preparing, "PER_SHARD", 20)
    monkeypatch.setattr(preparing, "CHUNK", 5)
    return make(tmp_path / "many", 90)


def test_every_kind_of_source_becomes_shards(laid, tmp_path):
    _, source, count = laid
    manifest = prepared(source, tmp_path / "out")
    assert (manifest["kept"], manifest["seen"], manifest["left"]) == (count, count, {})
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"manifest.json", "left_out.jsonl", "shard-00000.tar"}
    collection = detect(source).read()
    for i, (record, image) in enumerate(records(tmp_path / "out")):
        item = collection[i]
        assert set(record) == {"key", "captions", "split", "label", "sha256", "signs"} and len(record["signs"]) == 16
        assert image.size == (32, 32) and image.mode == "RGB"
        assert (record["key"], record["split"], record["label"]) == (item.key, item.split, item.label)
        assert {(c["text"], c["language"]) for c in record["captions"]} == {(c.text, c.language) for c in item.captions}
    # What was written is itself a source, with the same captions, languages and splits.
    again = detect(tmp_path / "out").read()
    assert [again[i].captions for i in range(count)] == [collection[i].captions for i in range(count)]
    assert [again[i].split for i in range(count)] == [collection[i].split for i in range(count)]


def test_broken_pictures_are_listed_and_none_is_fatal(many, tmp_path):
    manifest = prepared(many, tmp_path / "out")
    assert manifest["seen"] == 90 and manifest["kept"] == 80
    assert manifest["left"] == {"cut short": 4, "empty": 3, "no picture": 3}
    assert [one["key"] for one in left_out(tmp_path / "out")] == [
        f"{i:05d}.{'jpg' if i % 3 else 'png'}" for i in range(90) if i % 27 in (4, 13, 22)
    ]
    assert [s["pictures"] for s in manifest["shards"]] == [18, 18, 17, 18, 9]
    assert [r["key"] for r, _ in records(tmp_path / "out")] == sorted(r["key"] for r, _ in records(tmp_path / "out"))


def test_more_broken_than_is_borne_stops(tmp_path, monkeypatch):
    source = make(tmp_path / "x", 120)
    for i in range(0, 120, 4):
        (source / f"{i:05d}.{'jpg' if i % 3 else 'png'}").write_bytes(b"nothing")
    said = r"(?s)of the first 100 pictures are broken \(.* no picture.*more than 20%.*00000"
    with pytest.raises(TranhError, match=said):
        prepared(source, tmp_path / "out")
    assert prepared(source, tmp_path / "out", Options(size=32, least=4, broken=0.5))["seen"] == 120  # and it goes on


def test_nothing_to_keep_is_said(tmp_path):
    lay.folder(tmp_path / "x")
    with pytest.raises(TranhError, match=r"none of the 5 pictures could be kept \(5 too small\).*--least"):
        prepared(tmp_path / "x", tmp_path / "out", Options(size=32, least=500))


KILLED = """
import os, signal, sys
from contextlib import closing
from pathlib import Path
from tranh.data import ledger, prepare as preparing
from tranh.data.ready import Options
preparing.PER_SHARD, preparing.CHUNK = 20, 5
where, times = sys.argv[3].split(":")
def dying(owner, name, after):
    before, left = getattr(owner, name), [int(times)]
    def method(*args, **kwargs):
        done = before(*args, **kwargs) if after else None
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return done if after else before(*args, **kwargs)
    setattr(owner, name, method)
if where == "picture": dying(preparing, "_keep", True)
if where == "listed": dying(ledger.Ledger, "commit", False)
if where == "committed": dying(ledger.Ledger, "add_shard", True)
if where == "rewritten": dying(preparing, "_take_out", True)
if where == "manifest": dying(preparing.files, "write_json", True)
for event in preparing.prepare(sys.argv[1], Path(sys.argv[2]), Options(size=32, least=4), workers=2): pass
"""


def doubled(source):
    """Some pictures of the training split come again in the test split, after it."""
    lines = []
    for i in range(8):
        (source / "z").mkdir(exist_ok=True)
        data = (source / f"{i * 3:05d}.png").read_bytes()
        lay.put(source / "z" / f"{i}.png", data)
        lines.append(json.dumps({"file_name": f"{i}.png", "text": "again", "split": "test"}))
    lay.put(source / "z" / "metadata.jsonl", "\n".join(lines))


@pytest.mark.parametrize(
    "where", ["picture:1", "picture:50", "listed:1", "listed:3", "committed:2", "rewritten:1", "manifest:1"]
)
def test_killed_and_taken_up_again_it_ends_with_the_same_bytes(many, tmp_path, where):
    doubled(many)
    whole = prepared(many, tmp_path / "whole")
    assert whole["left"]["double across splits"] > 3
    command = [sys.executable, "-c", KILLED, str(many), str(tmp_path / "out"), where]
    killed = subprocess.run(command, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    prepared(many, tmp_path / "out")
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")


def test_a_killed_parent_takes_its_workers_along(many, tmp_path):
    waiting = "preparing._keep = lambda *a: (print(flush=True), __import__('time').sleep(60))"
    script = KILLED.replace("for event in", f"{waiting}\nfor event in")
    command = [sys.executable, "-c", script, str(many), str(tmp_path / "out"), "never:1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        parent.stdout.readline()
        children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(parent.pid)], capture_output=True, text=True)
        workers_of = [int(pid) for pid in children.stdout.split()]
        assert len(workers_of) == 2
        parent.kill()
    deadline = time.monotonic() + 20
    while any(os.path.exists(f"/proc/{pid}") for pid in workers_of):
        assert time.monotonic() < deadline, "workers outlive their parent"
        time.sleep(0.05)


def test_what_is_done_is_not_done_again(many, tmp_path):
    out = tmp_path / "out"
    first = prepared(many, out)
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    events = list(preparing.prepare(many, out, SMALL))
    assert len(events) == 1 and events[0].result == first
    assert before == {path: path.stat().st_mtime_ns for path in out.iterdir()}
    with pytest.raises(TranhError, match="other options"):
        prepared(many, out, Options(size=64))


def test_folders_that_hold_something_else_are_left_alone(many, tmp_path):
    lay.put(tmp_path / "out" / "thesis.txt", "mine")
    with pytest.raises(TranhError, match=r"is not empty \(thesis.txt is there\)"):
        prepared(many, tmp_path / "out")
    with pytest.raises(TranhError, match="lies inside"):
        prepared(many, many / "out")


def test_two_runs_do_not_share_a_folder(many, tmp_path):
    first = preparing.prepare(many, tmp_path / "out", SMALL, workers=1)
    next(first)
    with pytest.raises(TranhError, match="another run"):
        prepared(many, tmp_path / "out")
    assert list(first)[-1].result["kept"] == 80


# Doubles


def split_folder(root, rows):
    """Pictures by number: (split, number of the picture)."""
    lines = []
    for k, (split, number) in enumerate(rows):
        lay.put(root / f"{k}.png", lay.encoded(number))
        lines.append(json.dumps({"file_name": f"{k}.png", "text": f"t {k}", "split": split}))
    lay.put(root / "metadata.jsonl", "\n".join(lines))
    return root


def test_of_doubles_the_first_stays_and_of_training_and_test_the_test(tmp_path):
    rows = [("train", 1), ("train", 2), ("train", 1), ("test", 2), ("train", 2)]
    rows += [("validation", 3), ("test", 3), ("", 4)]
    manifest = prepared(split_folder(tmp_path / "x", rows), tmp_path / "out")
    assert [r["key"] for r, _ in records(tmp_path / "out")] == ["0.png", "3.png", "5.png", "7.png"]
    assert manifest["splits"] == {"test": 1, "train": 1, "unsaid": 1, "validation": 1} and manifest["kept"] == 4
    assert manifest["left"] == {"double": 1, "double across splits": 3}
    assert manifest["shards"][0]["pictures"] == 4
    reasons = {one["key"]: one["reason"] for one in left_out(tmp_path / "out")}
    assert reasons["1.png"] == "the same picture as 3.png, test and train"
    assert reasons["6.png"] == "the same picture as 5.png, test and validation"


def test_near_doubles_are_left_out_unless_they_are_wanted(tmp_path):
    root = split_folder(tmp_path / "x", [("train", 1), ("train", 2)])
    lay.pixels(1, (400, 320)).save(root / "1.png")
    assert prepared(root, tmp_path / "a")["left"] == {"near double": 1}
    assert prepared(root, tmp_path / "b", Options(size=32, least=4, near=False))["kept"] == 2


# Workers


class Deadly:
    """A collection of which some items kill whoever reads them."""

    def __init__(self, deadly):
        self.deadly = deadly

    def __len__(self):
        return 30

    def __getitem__(self, index):
        return Item(f"{index}", lambda: self.read(index), (Caption(f"c {index}"),))

    def read(self, index):
        if index in self.deadly:
            os.kill(os.getpid(), self.deadly[index]) if self.deadly[index] != signal.SIGALRM else time.sleep(30)
        return lay.encoded(index)


def test_a_picture_that_kills_its_process_is_found_out(monkeypatch):
    monkeypatch.setattr(workers, "SECONDS", 1)
    deadly = {3: signal.SIGSYS, 4: signal.SIGKILL, 17: signal.SIGALRM, 29: signal.SIGTERM}
    job = workers.Job(Deadly(deadly), SMALL)
    ranges = [range(i, i + 5) for i in range(0, 30, 5)]
    made = [one for results, _ in workers.processes(2)(job, ranges) for one in results]
    assert [one.key for one in made] == [str(i) for i in range(30)]
    assert {int(one.key): one.kind for one in made if not hasattr(one, "data")} == {
        3: "crashed the decoder", 4: "crashed the decoder", 17: "too slow", 29: "crashed the decoder",
    }  # fmt: skip
    assert "Bad system call" in made[3].reason


def test_words_are_counted_once_though_processes_die():
    whole, words = Words(), Words()
    for i in range(30):
        workers.one(workers.Job(Deadly({}), SMALL), i, whole)
    job = workers.Job(Deadly({7: signal.SIGKILL}), SMALL)
    for _, said in workers.processes(2)(job, [range(15), range(15, 30)]):
        words.add(said)
    assert words.report.seen == whole.report.seen - 1 and words.dropped == 0


@pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.*")
def test_on_ray_the_shards_are_the_same(many, tmp_path, monkeypatch):
    import ray

    from tranh.data.cluster import on_ray

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    prepared(many, tmp_path / "here")
    prepared(many, tmp_path / "there", mapper=on_ray(2))
    assert files_of(tmp_path / "here") == files_of(tmp_path / "there")
    assert not ray.is_initialized()


def test_without_ray_it_is_said(monkeypatch):
    from tranh.data.cluster import on_ray

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(TranhError, match=r"pip install 'tranh\[cluster\]'"):
        on_ray()


# One item


def item(data, *captions, key="x.png", **more):
    return Item(key, lambda: data, tuple(Caption(text) for text in captions or ("a cat",)), **more)


def test_what_needs_nothing_is_kept_byte_for_byte():
    for format, suffix in (("PNG", "png"), ("JPEG", "jpg"), ("WEBP", "webp")):
        data = lay.encoded(1, format, (32, 32))
        made = ready(item(data, key=f"x.{suffix}"), SMALL)
        assert (made.data, made.suffix, made.changed, made.odd) == (data, suffix, (), ())


@pytest.mark.parametrize(("format", "suffix"), [("PNG", "png"), ("GIF", "png"), ("JPEG", "jpg"), ("AVIF", "jpg")])
def test_what_came_without_loss_stays_so(format, suffix):
    made = ready(item(lay.encoded(1, format, (64, 48))), SMALL)
    assert made.suffix == suffix and "crop" in made.changed


def test_where_and_what_of_a_picture_stay_behind():
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "secret camera"
    assert b"secret" not in ready(item(lay.encoded(1, "JPEG", (64, 64), exif=exif)), SMALL).data


@pytest.mark.parametrize(
    ("made", "kind"),
    [
        (item(b"x", broken="line 3 is no JSON"), "broken entry"),
        (item(lay.encoded(1), " <br> ", "NaN"), "empty caption"),
        (Item("x", lambda: b"", ()), "no caption"),
        (item(b""), "empty"),
        (item(b"GIF89a"), "damaged"),
        (item(lay.encoded(1, size=(40, 3))), "too small"),
        (item(lay.encoded(1), box=(900, 0, 5, 5)), "empty box"),
        (Item("x", Path("/nowhere/x.png").read_bytes, (Caption("c"),)), "missing file"),
    ],
)
def test_kinds_of_what_is_left_out(made, kind):
    assert ready(made, SMALL).kind == kind


def test_blurred_pictures_are_left_out_when_asked():
    blurred = Image.new("RGB", (64, 64), "red")
    blurred.paste("blue", (0, 0, 32, 64))
    soft = blurred.filter(ImageFilter.GaussianBlur(8))
    out = io.BytesIO()
    soft.save(out, "PNG")
    assert ready(item(out.getvalue()), Options(size=64, blurred_below=20)).kind == "blurred"
    assert ready(item(lay.encoded(1, size=(64, 64))), Options(size=64, blurred_below=1)).data


def test_enhancing_is_done_in_one_order():
    made = ready(item(lay.encoded(1)), Options(size=32, least=4, enhance=("contrast", "denoise", "white_balance")))
    assert made.changed == ("crop", "denoise", "white_balance", "contrast")


def test_captions_are_cleaned_once_and_kept_with_their_language():
    said = (Caption("a  <b>cat</b>", "en"), Caption("a cat", "en"), Caption("một con me\u0300o", "vi"), Caption("none"))
    words = Words()
    made = ready(Item("x", lambda: lay.encoded(1), said), SMALL, words)
    assert made.captions == (Caption("a cat", "en"), Caption("một con mèo", "vi"))
    assert words.report.changed["nfc"] == 1 and words.dropped == 2 and words.forms == {"NFC": 0, "NFD": 0}


TEXT = st.text(max_size=30)


@settings(max_examples=40)
@given(
    TEXT,
    st.lists(st.tuples(TEXT.filter(str.strip), st.sampled_from(["", "en", "vi"])), min_size=1, max_size=4),
    st.sampled_from(["", "train", "validation", "test"]),
    st.none() | TEXT,
)
def test_what_is_written_is_read_again(key, captions, split, label):
    said = tuple(Caption(text.strip(), language) for text, language in captions)
    made = ready(Item(key, lambda: lay.encoded(1), said, split, label), Options(size=32, least=4, clean=()))
    if not isinstance(made, Ready):
        assert made.kind == "empty caption"
        return
    with tempfile.TemporaryDirectory() as folder, closing(Ledger(Path(folder) / "out", {})) as ledger:
        shard = Path(folder) / "out" / "shard-00000.tar"
        with shard.open("wb") as archive:
            preparing._keep(archive, made, ledger)
            archive.write(bytes(2 * tarfile.BLOCKSIZE))
        again = detect(shard).read()[0]
        assert (again.captions, again.split, again.label, again.read()) == (made.captions, split, label, made.data)
        record, _ = records(shard.parent)[0]
        assert record["key"] == key and int(record["signs"], 16) == made.print.signs


def test_a_wrong_extension_is_noted_and_used():
    assert ready(item(lay.encoded(1, "JPEG"), key="x.png"), SMALL).odd == ("wrong extension",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 4}, "size is 4; allowed is 8 to 4096"),
        ({"shape": "round"}, "crop or letterbox"),
        ({"enhance": ("polish",)}, "no enhancement is called polish; there are: denoise"),
        ({"clean": ("polish",)}, "no step is called polish"),
        ({"broken": 0.0}, "broken is 0.0"),
        ({"quality": 0}, "quality is 0"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(TranhError, match=message):
        Options(**options)


def test_odd_names_and_letters_are_written(tmp_path):
    root = tmp_path / "x"
    root.mkdir()
    (root / os.fsdecode(b"caf\xe9.png")).write_bytes(lay.encoded(1))
    (root / os.fsdecode(b"caf\xe9.txt")).write_text("một con mèo \x00")
    manifest = prepared(root, tmp_path / "out")
    assert manifest["kept"] == 1
    record, _ = records(tmp_path / "out")[0]
    assert os.fsencode(record["key"]) == b"caf\xe9.png" and record["captions"][0]["text"] == "một con mèo"


def test_slips_are_repaired_when_asked(tmp_path, monkeypatch):
    root = tmp_path / "x"
    lines = [{"file_name": f"{i}.png", "text": "a yellow star" if i else "a Yelow star"} for i in range(110)]
    for i in range(110):
        lay.put(root / f"{i}.png", lay.encoded(i))
    lay.put(root / "metadata.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    manifest = prepared(root, tmp_path / "out", Options(size=32, least=4, clean=("spelling",)))
    assert manifest["captions"]["repairs"] == {"yelow": "yellow"} and manifest["captions"]["changed"] == {"spelling": 1}
    assert records(tmp_path / "out")[0][0]["captions"][0]["text"] == "a Yellow star"


def test_numbers_in_a_row_do_not_matter_to_pictures(many, tmp_path):
    """Any number of workers gives the same bytes."""
    prepared(many, tmp_path / "one", workers=1)
    prepared(many, tmp_path / "three", workers=3)
    assert files_of(tmp_path / "one") == files_of(tmp_path / "three")
    assert np.asarray(records(tmp_path / "one")[0][1]).shape == (32, 32, 3)


@given(st.integers(0, 10**9 - 1), st.sampled_from(("jpg", "png", "webp", "json")), st.integers(0, 8**11 - 1))
def test_headers_are_those_of_tarfile(number, suffix, size):
    info = tarfile.TarInfo(f"{number:09d}.{suffix}")
    info.size = size
    assert preparing._header(info.name, size) == info.tobuf(tarfile.USTAR_FORMAT)


def test_a_shard_ends_as_tarfile_ends_one(tmp_path):
    lay.folder(tmp_path / "source")
    prepared(tmp_path / "source", tmp_path / "out")
    (shard,) = (tmp_path / "out").glob("*.tar")
    with tarfile.open(shard) as old, tarfile.open(tmp_path / "again.tar", "w", format=tarfile.USTAR_FORMAT) as new:
        for info in old:
            new.addfile(info, old.extractfile(info))
    assert shard.read_bytes() == (tmp_path / "again.tar").read_bytes()


def as_jpeg(image, **options):
    out = io.BytesIO()
    image.save(out, "JPEG", **options)
    return out.getvalue()


@pytest.mark.parametrize("side", [32, 64, 256])
def test_a_jpeg_that_needs_nothing_is_only_glanced_at(side):
    """Its bytes are kept, it is known as its full picture is, and a cut one is found as before."""
    rng = np.random.default_rng(side)
    image = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize((side, side))
    data = as_jpeg(image, quality=90)
    options = Options(size=side, near=True)
    made = ready(Item("a.jpg", lambda: data, (Caption("a"),)), options)
    assert made.data == data and made.changed == ()
    full = print_of(Image.open(io.BytesIO(data)).convert("RGB"), made.print.sha256)
    assert alike(made.print.thumb, full.thumb) and (made.print.signs ^ full.signs).bit_count() <= NEAR_BITS
    cut = ready(Item("a.jpg", lambda: data[: len(data) * 2 // 3], (Caption("a"),)), options)
    assert cut.kind == "cut short"
    other = ready(Item("a.jpg", lambda: as_jpeg(image, quality=90, exif=turned()), (Caption("a"),)), options)
    assert other.changed == ("turned",)
    assert ready(Item("a.jpg", lambda: as_jpeg(image.convert("L")), (Caption("a"),)), options).changed == ("grey",)


def turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif
