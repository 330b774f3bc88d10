"""One pass over a collection: several processes look at every picture and its captions, a ledger keeps what was met.

Memory does not grow with the pictures: what is kept of each is a row in a file. It draws no report.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from tranh.data.doctor import balance, beside, captions, pictures
from tranh.data.doctor.captions import Counted, Met
from tranh.data.doctor.finding import Example, Finding, Ledger, shown
from tranh.data.doctor.opening import Opened, opened_from
from tranh.data.doctor.pictures import Looked
from tranh.data.doctor.records import Records
from tranh.data.doctor.tally import Tally, count_captions, count_picture
from tranh.data.item import Collection, Item
from tranh.text.tokenizer import Tokenizer
from tranh.types import Event

CHUNK = 32
"""Pictures that a process is given at once."""
ALONE = 512
"""Fewer pictures than this are looked at in this process: starting others takes longer."""

CLASSES = ("classes", "idx", "digits")
"""Kinds whose captions are the names of classes."""

Matcher = Callable[[Collection, Sequence[int], Ledger], Iterator[Event]]
"""Looks for captions that do not fit their pictures, at the places of sound ones; see ``match``."""


@dataclass(frozen=True)
class Reading:
    """How the tokens of a caption are counted.

    Attributes:
        tokenizer: as saved; name: of the model it belongs to; chosen: did the user name it?
    """

    tokenizer: bytes
    name: str
    chosen: bool = False


@dataclass(frozen=True)
class Report:
    """What was met at one place; ``entry`` is false where nothing can be known of it."""

    place: int
    key: str
    split: str
    label: str | None
    captions: tuple[Counted, ...]
    met: tuple[Met, ...]
    looked: Looked | None
    boxed: bool
    entry: bool = True


@dataclass
class Diagnosis:
    """The result of a scan; the ledger and the rows live as long as it does (``close``).

    Attributes:
        total: pictures there are; looked: pictures looked at.
        findings: the worst first, each with a few examples.
        splits, labels: pictures in each.
        sample: places of sound pictures, spread evenly.
    """

    opened: Opened
    collection: Collection
    reading: Reading
    most_tokens: int
    total: int
    looked: int
    tally: Tally
    findings: list[Finding]
    splits: dict[str, int]
    labels: dict[str, int]
    sample: list[int]
    ledger: Ledger
    records: Records

    @property
    def faults(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity == "fault"]

    def all_examples(self, name: str) -> Iterator[Example]:
        """Everything that was met of one kind."""
        return self.ledger.examples(name)

    def close(self) -> None:
        self.ledger.close()
        self.records.close()


def scan(
    path: str | Path,
    reading: Reading,
    *,
    kind: str | None = None,
    limit: int | None = None,
    workers: int | None = None,
    matcher: Matcher | None = None,
    near: bool = True,
    work: Path | None = None,
) -> Iterator[Event]:
    """Look at every picture and every caption of a source.

    Args:
        path: a folder, shards, ... (see ``detect``); kind: what it is read as.
        limit: most pictures looked at, spread evenly; None for all.
        workers: processes, all cores if None; 0 for none beside this one.
        matcher: looks for captions that do not fit.
        near: look for nearly equal pictures too, not only for equal bytes.
        work: an empty folder for what is kept of each picture; None keeps it in memory.

    Yields:
        Progress; the last event's ``result`` is the :class:`Diagnosis`.

    Raises:
        TranhError: there is nothing at the path, or nothing that has to do with pictures.
    """
    ledger, records = Ledger(work / "ledger.sqlite" if work else ":memory:"), Records(work)
    opened, place = opened_from(path, kind, ledger)
    collection = opened.read()
    total = len(collection)
    places = range(total) if not limit or limit >= total else [i * total // limit for i in range(limit)]
    last = opened.parts[-1]
    unlisted = total - len(last) if isinstance(last, tuple) and opened.kind else total
    tally = Tally()
    setting = _Setting(opened, reading, place.irregular, beside.null_captions(opened.parts), unlisted)
    done = 0
    for reports, counted in _results(setting, places, workers):
        tally.add(counted)
        for report in reports:
            _file(report, place, ledger, records, listed=report.place < unlisted, near=near)
        done += len(reports)
        yield Event("look", done, len(places), {f"{k}s": n for k, n in ledger.counts().items()})
    _conclude(opened, tally, ledger, records)
    if matcher is not None:
        yield from matcher(collection, _sound(records), ledger)
    result = _diagnosis(opened, collection, reading, total, len(places), tally, ledger, records)
    yield Event("look", len(places), len(places), result=result)


@dataclass(frozen=True)
class _Setting:
    """What every process needs to know."""

    opened: Opened
    reading: Reading
    irregular: dict[str, str]
    null: bool
    unlisted: int


_working: tuple[_Setting, Collection, Tokenizer] | None = None


def _begin(setting: _Setting) -> None:
    """What a process does once."""
    global _working
    _working = setting, setting.opened.read(), Tokenizer.load(setting.reading.tokenizer)


def _work(places: Sequence[int]) -> tuple[list[Report], Tally]:
    assert _working is not None
    tally = Tally()
    return [_look(*_working, place, tally) for place in places], tally


def _results(setting: _Setting, places: Sequence[int], workers: int | None) -> Iterator[tuple[list[Report], Tally]]:
    chunks = [places[i : i + CHUNK] for i in range(0, len(places), CHUNK)]
    if workers == 0 or len(places) < ALONE:
        _begin(setting)
        yield from map(_work, chunks)
        return
    many = workers or os.cpu_count() or 1
    waiting: deque[Future[tuple[list[Report], Tally]]] = deque()
    todo = iter(chunks)
    with ProcessPoolExecutor(many, initializer=_begin, initargs=(setting,)) as pool:
        try:
            waiting.extend(pool.submit(_work, chunk) for chunk in islice(todo, 2 * many + 2))
            while waiting:
                yield waiting.popleft().result()
                waiting.extend(pool.submit(_work, chunk) for chunk in islice(todo, 1))
        finally:
            for future in waiting:
                future.cancel()


def _look(setting: _Setting, collection: Collection, tokenizer: Tokenizer, place: int, tally: Tally) -> Report:
    """Everything about one picture."""
    try:
        item = collection[place]
    except Exception as error:  # whatever a source trips over, it is this entry that is wrong
        met = Met("broken entry", f"{type(error).__name__}: {error}")
        return Report(place, f"entry {place}", "", None, (), (met,), None, False, entry=False)
    listed = place < setting.unlisted
    found: list[Met] = [] if listed else [Met("unlisted picture")]
    if item.broken:
        found.append(beside.broken_entry(item.broken))
    told = tuple(captions.counted(caption, tokenizer) for caption in item.captions)
    unread = {"outside the folder"}  # entries that name no picture, or none that may be opened
    unread |= {"bad line", "no file name", "not UTF-8", "broken entry"} if setting.opened.kind == "folder" else set()
    readable = not any(met.kind in unread for met in found)
    if listed and readable:
        found += _of_captions(item, told, tokenizer, setting)
        count_captions(tally, item, told)
    looked = None
    if readable and not any(met.kind == "missing file" for met in found):
        data, refused = _bytes(item, setting.irregular)
        if refused is not None:
            found.append(refused)
        else:
            tally.bytes += len(data)
            looked, met_ = pictures.look(item.key, data, item.box)
            found += met_
    if looked is not None:
        count_picture(tally, looked)
    kept = tuple(dict.fromkeys(found))
    return Report(place, item.key, item.split, item.label, told, kept, looked, item.box is not None, readable)


def _bytes(item: Item, irregular: dict[str, str]) -> tuple[bytes, Met | None]:
    """A picture's bytes, or why there are none."""
    if item.key in irregular:
        return b"", Met("unreadable file", irregular[item.key])
    try:
        return item.read(), None
    except FileNotFoundError as error:
        return b"", Met("missing file", error.strerror or str(error))
    except Exception as error:  # OSError mostly; a name may be too long, or hold what no name can
        said = str(getattr(error, "strerror", None) or error)
        if "MiB" in said:
            return b"", Met("too large", said)
        kind = "cut short" if "cut short" in said or "ends inside" in said else "unreadable file"
        return b"", Met(kind, said)


def _of_captions(item: Item, told: Sequence[Counted], tokenizer: Tokenizer, setting: _Setting) -> Iterator[Met]:
    if not told and not any(word in item.broken.lower() for word in ("nan", "number")):
        if setting.null:
            yield Met("caption is NaN", "null in the table")
        else:
            yield Met("no caption")
    yield from captions.of_picture(item.key, told, tokenizer.max_length, setting.reading.chosen)
    for caption in told:
        if caption.form == "NFD":
            yield Met("mixed NFC and NFD", f"NFD: {caption.text[:60]}")
        if caption.script not in ("LATIN", "") and not caption.said:
            yield Met("other script", f"{caption.script.title()}: {caption.text[:60]}")
    if item.label is not None and item.label.strip().lower() in ("", *captions.NO_VALUE):
        yield Met("no label", repr(item.label))


def _file(report: Report, place: beside.Beside, ledger: Ledger, records: Records, listed: bool, near: bool) -> None:
    """Write down what was met at one place, and whether its picture was there before."""
    seen = report.place if report.looked is not None else None  # what cannot, or must not, be opened is not drawn
    for met in report.met:
        note = met.note
        if met.kind == "missing file" and (other := place.alike(report.key)):
            note = f"but there is {other}"
        ledger.note(met.kind, report.key, note, score=met.score, place=seen)
    if not report.entry:
        return
    key = shown(report.key)  # a name need not be UTF-8
    earlier = records.earlier(key)
    if earlier is not None:
        ledger.note("listed twice", key, place=seen)
        return
    records.add(report.place, key, report.split, report.label, report.captions, report.looked, listed)
    blank = any(met.kind == "blank" for met in report.met)  # all blank ones are alike, and that was said
    if report.looked is not None:
        records.repeated(report.place, report.looked, ledger, near=near and not report.boxed and not blank)


def _conclude(opened: Opened, tally: Tally, ledger: Ledger, records: Records) -> None:
    """What is only known at the end."""
    balance.forms(tally.forms, ledger)
    balance.scripts(tally.scripts, ledger)
    balance.balance(records, ledger, opened.kind in CLASSES)
    cast = balance.cast(tally.colours)
    if cast is not None:
        ledger.note(cast.kind, "all pictures", cast.note)


def _sound(records: Records) -> list[int]:
    """Places of the pictures that can be opened and have captions."""
    rows = records.base.execute("SELECT place FROM items WHERE good AND captions > 0 AND listed ORDER BY place")
    return [place for (place,) in rows]


def _diagnosis(
    opened: Opened,
    collection: Collection,
    reading: Reading,
    total: int,
    looked: int,
    tally: Tally,
    ledger: Ledger,
    records: Records,
) -> Diagnosis:
    labels = dict(
        records.base.execute(
            "SELECT label, COUNT(*) FROM items WHERE label IS NOT NULL GROUP BY label ORDER BY 2 DESC, 1"
        ).fetchall()
    )
    splits = dict(records.base.execute("SELECT split, COUNT(*) FROM items GROUP BY split ORDER BY 2 DESC").fetchall())
    totals = {"pictures": looked, "captions": tally.captions, "labels": len(labels), "pairs": looked}
    good = _sound(records) or [p for (p,) in records.base.execute("SELECT place FROM items WHERE good")]
    sample = [good[i * len(good) // min(24, len(good))] for i in range(min(24, len(good)))]
    findings = ledger.findings(totals)
    most = Tokenizer.load(reading.tokenizer).max_length
    return Diagnosis(opened, collection, reading, most, total, looked, tally, findings, splits, labels, sample, ledger,
                     records)  # fmt: skip
