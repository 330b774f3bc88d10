"""One pass over a collection: every picture and its captions looked at by several processes, all that was met in a ledger.

Memory does not grow with the pictures: what is kept of each is a row in a file. It draws no report.
"""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import accumulate, islice
from pathlib import Path

from tranh.data.detect import Found, detect
from tranh.data.doctor import balance, beside, captions, pictures
from tranh.data.doctor.captions import Counted, Met
from tranh.data.doctor.colours import Colours
from tranh.data.doctor.finding import Example, Finding, Ledger, shown
from tranh.data.doctor.pictures import Looked
from tranh.data.doctor.records import Records
from tranh.data.doctor.words import Bags
from tranh.data.item import Collection, Item
from tranh.text.tokenizer import Tokenizer
from tranh.types import Event, TranhError

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
class Opened:
    """A source that can be opened again by any process.

    Attributes:
        parts: what is read, one after another: sources, or names of pictures that nothing speaks of.
        kind, why: what it was seen to be.
    """

    root: Path
    parts: tuple[Found | tuple[str, ...], ...]
    kind: str
    why: str

    def read(self) -> Chain:
        made: list[Collection] = []
        for part in self.parts:
            made.append(beside.Bare(self.root, part) if isinstance(part, tuple) else part.read())
        return Chain(made)


class Chain:
    """Collections one after another."""

    def __init__(self, parts: Sequence[Collection]) -> None:
        self.parts, self.ends = parts, list(accumulate(len(part) for part in parts))

    def __len__(self) -> int:
        return self.ends[-1] if self.ends else 0

    def __getitem__(self, index: int) -> Item:
        for part, end in zip(self.parts, self.ends, strict=True):
            if index < end:
                return part[index - end + len(part)]
        raise IndexError(index)


@dataclass
class Tally:
    """Sums over pictures and captions.

    Attributes:
        lengths: language -> tokens in a caption -> captions; words, tokens: language -> sum.
        sides: log2 of the shorter side in eighths -> pictures; shapes: log2 of width by height in eighths.
    """

    captions: int = 0
    lengths: dict[str, Counter[int]] = field(default_factory=dict)
    words: Counter[str] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)
    forms: Counter[str] = field(default_factory=Counter)
    scripts: Counter[str] = field(default_factory=Counter)
    per_picture: Counter[int] = field(default_factory=Counter)
    formats: Counter[str] = field(default_factory=Counter)
    sides: Counter[int] = field(default_factory=Counter)
    shapes: Counter[int] = field(default_factory=Counter)
    bytes: int = 0
    colours: Colours = field(default_factory=Colours)
    languages: Bags = field(default_factory=Bags)
    classes: Bags = field(default_factory=Bags)

    def add(self, other: Tally) -> None:
        """Take in what another process counted."""
        self.captions += other.captions
        self.bytes += other.bytes
        for language, lengths in other.lengths.items():
            self.lengths.setdefault(language, Counter()).update(lengths)
        for name in ("words", "tokens", "forms", "scripts", "per_picture", "formats", "sides", "shapes"):
            getattr(self, name).update(getattr(other, name))
        for name in ("colours", "languages", "classes"):
            getattr(self, name).add(getattr(other, name))


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
    opened, place = _open(path, kind, ledger)
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


def _open(path: str | Path, kind: str | None, ledger: Ledger) -> tuple[Opened, beside.Beside]:
    """The source, as much of it as can be opened, and what lies beside it.

    Raises:
        TranhError: there is nothing to look at.
    """
    root = Path(path)
    place = beside.walk(root) if root.is_dir() else beside.Beside()
    try:
        found = detect(path, kind)
    except TranhError:
        if kind is not None or not place.pictures:
            raise
        found = None
    opened = _parts(root, found, place, ledger)
    for what, key, note in (*place.met, *(beside.of_files(found, place) if found else ())):
        ledger.note(what, key, note)
    for key, reason in place.irregular.items():
        ledger.note("unreadable file", key, reason)
    return opened, place


def _parts(root: Path, found: Found | None, place: beside.Beside, ledger: Ledger) -> Opened:
    bare = tuple(place.pictures)
    if found is None:
        return Opened(root, (bare,), "", "pictures, and nothing that speaks of them")
    parts: list[Found | tuple[str, ...]] = [found]
    try:
        collection: Collection = found.read()
    except Exception as error:  # a damaged source is a finding; its pictures can still be looked at
        sound = list(_sound_files(found, ledger, error))
        if not sound:
            if not bare:
                raise TranhError(f"nothing in {root} can be read: {error}") from error
            return Opened(root, (bare,), "", f"{found.why}, which cannot be read")
        parts, collection = [*sound], Chain([part.read() for part in sound])
    if len(collection) == 0:
        raise TranhError(f"{root} ({found.why}) holds no pictures")
    lost = beside.orphans(found, place, _keys(collection) if found.kind in beside.BY_PATH else set())
    return Opened(root, (*parts, tuple(lost)) if lost else tuple(parts), found.kind, found.why)


def _sound_files(found: Found, ledger: Ledger, error: Exception) -> Iterator[Found]:
    """Those of a source's files that can be read by themselves; the others are noted."""
    files = beside.files_of(found)
    for file in files:
        try:
            one = detect(file, found.kind)
            one.read()
        except Exception as fault:
            ledger.note("damaged source", file.name, str(fault))
            continue
        yield one
    if not files:
        ledger.note("damaged source", found.path.name, str(error))


def _keys(collection: Collection) -> set[str]:
    out = set()
    for index in range(len(collection)):
        try:
            out.add(collection[index].key)
        except Exception:  # said when it is looked at
            continue
    return out


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
        _count_captions(tally, item, told)
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
        _count_picture(tally, looked)
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


def _count_captions(tally: Tally, item: Item, told: Sequence[Counted]) -> None:
    tally.per_picture[len(told)] += 1
    for caption in told:
        language = caption.language
        tally.captions += 1
        tally.lengths.setdefault(language, Counter())[caption.tokens] += 1
        tally.words[language] += len(caption.words)
        tally.tokens[language] += caption.tokens - 2
        tally.languages.count(language, caption.words)
        if item.label is not None:
            tally.classes.count(item.label, caption.words, pairs=False)
        if caption.form:
            tally.forms[caption.form] += 1
        if caption.script:
            tally.scripts[caption.script] += 1


def _count_picture(tally: Tally, looked: Looked) -> None:
    width, height = looked.size
    tally.formats[looked.format] += 1
    tally.sides[eighth(min(width, height))] += 1
    tally.shapes[eighth(width / height)] += 1
    tally.colours.count(looked.small)


def eighth(value: float) -> int:
    """log2 of a value in eighths: a bin."""
    import math

    return round(8 * math.log2(value))


def _file(report: Report, place: beside.Beside, ledger: Ledger, records: Records, listed: bool, near: bool) -> None:
    """Write down what was met at one place, and whether its picture was there before."""
    for met in report.met:
        note = met.note
        if met.kind == "missing file" and (other := place.alike(report.key)):
            note = f"but there is {other}"
        ledger.note(met.kind, report.key, note, score=met.score, place=report.place)
    if not report.entry:
        return
    key = shown(report.key)  # a name need not be UTF-8
    earlier = records.earlier(key)
    if earlier is not None:
        ledger.note("listed twice", key, place=report.place, other=earlier)
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
