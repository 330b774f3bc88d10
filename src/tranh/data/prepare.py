"""Captioned pictures as they lie, made ready by several processes: tar shards of square pictures, and a manifest.

A shard holds what became of one range of the source, so a run that was stopped goes on with the next range. Memory does
not grow with the number of pictures: doubles are looked up in a file, reports are counters.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

from tranh.data.detect import Found, detect
from tranh.data.doubles import Double, Seen
from tranh.data.item import Collection
from tranh.data.ready import Left, Options, Ready, Words, as_dict, ready
from tranh.files import replacing, write_json
from tranh.types import Event, TranhError

FORMAT = 1
MANIFEST, LEFT, STATE, SEEN = "manifest.json", "left_out.jsonl", "state.json", "seen.sqlite"
PER_SHARD = 1000
"""Items of the source that a shard stands for."""
CHUNK = 50
"""Items that a worker is given at once."""
ENOUGH = 100
"""Items seen before their share of broken ones says anything."""
FAULTY = frozenset(
    ("cut short", "damaged", "no picture", "empty", "missing file", "broken entry", "too large", "empty box")
)
"""Kinds that mean the source is broken; others (too small, a double, no caption) are a matter of choice."""

Results = tuple[list[Ready | Left], Words]
Mapper = Callable[[Found, Options, Iterable[range]], Iterator[Results]]


@dataclass
class State:
    """What is done so far; all of it is written with every shard."""

    seen: int = 0
    kept: int = 0
    left: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)
    odd: Counter[str] = field(default_factory=Counter)
    splits: Counter[str] = field(default_factory=Counter)
    shards: list[dict[str, Any]] = field(default_factory=list)
    words: Words = field(default_factory=Words)


def prepare(
    source: str | Path,
    out: Path,
    options: Options | None = None,
    *,
    kind: str | None = None,
    workers: int | None = None,
    mapper: Mapper | None = None,
) -> Iterator[Event]:
    """Make every picture of a source ready for training.

    Args:
        source: a folder, shards, ... (see ``detect``); kind: what it is read as.
        out: a folder for shards, ``manifest.json`` and ``left_out.jsonl``; the same call goes on where it was stopped.
        workers: processes, all cores if None.
        mapper: who runs ``ready`` on ranges of the source; processes of this machine if None.

    Yields:
        Progress; the last event's ``result`` is the manifest.

    Raises:
        TranhError: nothing to read, more broken pictures than ``options.broken``, or ``out`` holds something else.
    """
    options = options or Options()
    found = detect(source, kind)
    collection = found.read()
    total = len(collection)
    if total == 0:
        raise TranhError(f"{source} ({found.why}) holds no pictures")
    about = {"source": {"kind": found.kind, "path": str(source), "items": total}, "options": as_dict(options)}
    state = _begin(out, about)
    if (out / MANIFEST).exists():
        yield Event("prepare", total, total, result=json.loads((out / MANIFEST).read_text("utf-8")))
        return
    seen = Seen(out / SEEN)
    try:
        starts = range(len(state.shards) * PER_SHARD, total, PER_SHARD)
        chunks = [
            range(i, min(i + CHUNK, s + PER_SHARD, total))
            for s in starts
            for i in range(s, min(s + PER_SHARD, total), CHUNK)
        ]
        results = (mapper or processes(workers))(found, options, chunks)
        for start in starts:
            items = range(start, min(start + PER_SHARD, total))
            yield from _shard(out, items, state, seen, results, options, total)
            seen.base.commit()
            write_json(out / STATE, {"about": about, "state": _plain(state)})
    finally:
        seen.close()
    manifest = _finish(out, about, state)
    yield Event("prepare", total, total, result=manifest)


def _begin(out: Path, about: dict[str, Any]) -> State:
    """The state of an earlier call, or a new one.

    Raises:
        TranhError: the folder holds something else.
    """
    out.mkdir(parents=True, exist_ok=True)
    if (out / STATE).exists():
        kept = json.loads((out / STATE).read_text("utf-8"))
        if kept["about"] != about:
            raise TranhError(f"{out} was begun from another source or with other options: choose another folder")
        return _state(kept["state"])
    others = [p.name for p in out.iterdir() if p.name not in (SEEN, LEFT) and not p.name.startswith("shard-")]
    if others:
        raise TranhError(f"{out} is not empty ({others[0]}): choose a new folder")
    for old in (SEEN, LEFT):
        (out / old).unlink(missing_ok=True)
    return State()


_reading: Collection | None = None


def _open(found: Found) -> None:
    """What a worker does once."""
    global _reading
    _reading = found.read()


def _work(options: Options, indices: range) -> Results:
    assert _reading is not None
    words = Words()
    return [_one(_reading, i, options, words) for i in indices], words


def _one(collection: Collection, index: int, options: Options, words: Words) -> Ready | Left:
    try:
        item = collection[index]
    except (OSError, ValueError, KeyError, TranhError) as error:
        return Left(f"item {index}", "broken entry", f"the source cannot be read there: {error}")
    return ready(item, options, words)


def processes(workers: int | None = None) -> Mapper:
    """The mapper of one machine: several processes, results in the order of the source, a few chunks ahead."""

    def run(found: Found, options: Options, chunks: Iterable[range]) -> Iterator[Results]:
        waiting: deque[Future[Results]] = deque()
        todo = iter(chunks)
        with ProcessPoolExecutor(workers, initializer=_open, initargs=(found,)) as pool:
            try:
                for chunk in islice(todo, 2 * (pool._max_workers + 1)):
                    waiting.append(pool.submit(_work, options, chunk))
                while waiting:
                    yield waiting.popleft().result()
                    for chunk in islice(todo, 1):
                        waiting.append(pool.submit(_work, options, chunk))
            finally:
                for future in waiting:
                    future.cancel()

    return run


def _shard(
    out: Path, items: range, state: State, seen: Seen, results: Iterator[Results], options: Options, total: int
) -> Iterator[Event]:
    """Write the shard of a range, and the list of what was left out of it."""
    name = f"shard-{len(state.shards):05d}.tar"
    left: list[Left] = []
    kept = 0
    with replacing(out / name) as temporary, tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as archive:
        done = items.start
        while done < items.stop:
            made, words = next(results)
            state.words.add(words)
            for one in made:
                state.seen += 1
                done += 1
                bad = one if isinstance(one, Left) else _double(one, seen, options.near)
                if bad is not None:
                    left.append(bad)
                    state.left[bad.kind] += 1
                    continue
                assert isinstance(one, Ready)
                _add(archive, f"{state.kept:09d}", one)
                state.kept, kept = state.kept + 1, kept + 1
                state.splits[one.split or "unsaid"] += 1
                state.changed.update(one.changed)
                state.odd.update(one.odd)
            _check_broken(state, options)
            yield Event("prepare", done, total, {"kept": state.kept, "left out": state.seen - state.kept})
    with (out / LEFT).open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in left)
    with (out / name).open("rb") as file:
        digest = _digest(file)
    state.shards.append({"name": name, "pictures": kept, "left_out": len(left), "sha256": digest})


def _double(one: Ready, seen: Seen, near: bool) -> Left | None:
    found: Double | None = seen.find(one.print, near)
    if found is None:
        seen.add(one.key, one.split, one.print)
        return None
    across = f", in split {found.split}" if one.split != found.split else ""
    kind = ("double" if found.exact else "near double") + (" across splits" if across else "")
    return Left(
        one.key, kind, f"the same picture as {found.key}{across}" if found.exact else f"nearly {found.key}{across}"
    )


def _check_broken(state: State, options: Options) -> None:
    broken = sum(n for kind, n in state.left.items() if kind in FAULTY)
    if state.seen >= ENOUGH and broken > options.broken * state.seen:
        kinds = ", ".join(f"{n} {kind}" for kind, n in state.left.most_common() if kind in FAULTY)
        raise TranhError(
            f"{broken} of the first {state.seen} pictures are broken ({kinds}), more than {options.broken:.0%}. Is this "
            "the right folder? `tranh data doctor` lists them; --broken allows a larger share."
        )


def _add(archive: tarfile.TarFile, name: str, one: Ready) -> None:
    record = {
        "key": one.key,
        "captions": [asdict(c) for c in one.captions],
        "split": one.split,
        "label": one.label,
        "sha256": one.print.sha256,
    }
    for suffix, data in ((one.suffix, one.data), ("json", json.dumps(record, ensure_ascii=False).encode())):
        info = tarfile.TarInfo(f"{name}.{suffix}")
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))


def _digest(file: Any) -> str:
    hashed = sha256()
    while block := file.read(2**20):
        hashed.update(block)
    return hashed.hexdigest()


def _finish(out: Path, about: dict[str, Any], state: State) -> dict[str, Any]:
    """The manifest; working files go."""
    plain = _plain(state)
    manifest = {"format": FORMAT, **about, **plain}
    manifest["hash"] = sha256(json.dumps([s["sha256"] for s in state.shards]).encode()).hexdigest()
    write_json(out / MANIFEST, manifest)
    for name in (STATE, SEEN):
        (out / name).unlink(missing_ok=True)
    return manifest


COUNTERS: Sequence[str] = ("left", "changed", "odd", "splits")


def _plain(state: State) -> dict[str, Any]:
    report = state.words.report
    captions = {
        "seen": report.seen,
        "changed": dict(report.changed),
        "examples": report.examples,
        "forms": dict(state.words.forms),
    }
    counters = {name: dict(getattr(state, name)) for name in COUNTERS}
    return {"seen": state.seen, "kept": state.kept, **counters, "captions": captions, "shards": state.shards}


def _state(plain: dict[str, Any]) -> State:
    state = State(plain["seen"], plain["kept"], shards=plain["shards"])
    for name in COUNTERS:
        setattr(state, name, Counter(plain[name]))
    report = state.words.report
    report.seen, report.changed = plain["captions"]["seen"], Counter(plain["captions"]["changed"])
    report.examples = {k: [(a, b) for a, b in v] for k, v in plain["captions"]["examples"].items()}
    state.words.forms = Counter(plain["captions"]["forms"])
    return state
