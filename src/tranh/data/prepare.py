"""Captioned pictures as they lie, made ready by several processes: tar shards of square pictures, and a manifest.

A shard holds what became of one range of the source, so a run that was stopped or killed goes on with the next range
and ends with the same bytes. Memory does not grow with the number of pictures. Who makes them ready is a mapper: the
processes of this machine (``workers``) or a cluster (``cluster``).
"""

from __future__ import annotations

import json
import tarfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

from tranh import files
from tranh.data.detect import detect
from tranh.data.item import Collection
from tranh.data.ledger import LEFT, MANIFEST, Ledger, as_json, remove
from tranh.data.ready import Left, Options, Ready
from tranh.data.spelling import count_words, repairs
from tranh.data.workers import Job, Mapper, Results, processes
from tranh.types import Event, TranhError

FORMAT = 1
PER_SHARD = 1000
"""Items of the source that a shard stands for."""
CHUNK = 50
"""Items that a worker is given at once."""
ENOUGH = 100
"""Items seen before their share of broken ones says anything."""
FAULTY = frozenset(
    (
        "broken entry", "crashed the decoder", "cut short", "damaged", "empty", "empty box", "missing file",
        "no picture", "too large", "too slow",
    )
)  # fmt: skip
"""Kinds that mean the source is broken; others (too small, a double, no caption) are a matter of choice."""
HELD_OUT = ("validation", "test")
"""Splits that keep their picture when the training split has it too."""


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
        source: a folder, shards, ... (see ``detect``).
        out: a folder for shards, ``manifest.json`` and ``left_out.jsonl``; the same call goes on where it was stopped,
            and does nothing where all is done.
        kind: what the source is read as; None looks.
        workers: processes; None for all cores.
        mapper: who runs ``ready`` on ranges of the source; None for processes of this machine.

    Yields:
        Progress; the last event's ``result`` is the manifest.

    Raises:
        TranhError: nothing to read, nothing left to keep, more broken pictures than ``options.broken``, or ``out``
            holds something else.
    """
    options = options or Options()
    found = detect(source, kind)
    collection = found.read()
    total = len(collection)
    if total == 0:
        raise TranhError(f"{source} ({found.why}) holds no pictures")
    if Path(source).is_dir() and out.resolve().is_relative_to(Path(source).resolve()):
        raise TranhError(f"{out} lies inside {source} and would be read as a part of it: choose a folder elsewhere")
    about = {"source": {"kind": found.kind, "path": str(source), "items": total}, "options": options.as_dict()}
    if (out / MANIFEST).is_file():
        yield Event("prepare", total, total, result=_finished(out, about))
        return
    with closing(Ledger(out, _what_counts(about))) as ledger:
        yield from _learn_words(collection, options, ledger)
        job = Job(collection, options, ledger.state.repairs or {})
        starts = range(ledger.count() * PER_SHARD, total, PER_SHARD)
        mapped = (mapper or processes(workers))(job, _ranges(starts, total))
        with closing(mapped) as results:  # type: ignore[type-var]  # mappers are generators
            began, before = time.monotonic(), ledger.state.seen
            for start in starts:
                for done in _shard(ledger, min(start + PER_SHARD, total) - start, results, options):
                    rate = (ledger.state.seen - before) / max(time.monotonic() - began, 1e-9)
                    figures = {
                        "images_per_second": rate,
                        "kept": ledger.state.kept,
                        "left out": done - ledger.state.kept,
                    }
                    yield Event("prepare", done, total, figures)
        manifest = _finish(ledger, about)
    remove(out)
    yield Event("prepare", total, total, result=manifest)


def _what_counts(about: dict[str, Any]) -> dict[str, Any]:
    """What must be the same for a run to go on; how many broken pictures are borne changes none that are kept."""
    return {**about, "options": {k: v for k, v in about["options"].items() if k != "broken"}}


def _finished(out: Path, about: dict[str, Any]) -> dict[str, Any]:
    manifest: dict[str, Any] = files.read_json(out / MANIFEST)
    if _what_counts({key: manifest[key] for key in about}) != _what_counts(about):
        raise TranhError(f"{out} holds what was made of another source or with other options: choose another folder")
    remove(out)
    return manifest


def _ranges(starts: range, total: int) -> Iterator[range]:
    for start in starts:
        stop = min(start + PER_SHARD, total)
        yield from (range(i, min(i + CHUNK, stop)) for i in range(start, stop, CHUNK))


def _learn_words(collection: Collection, options: Options, ledger: Ledger) -> Iterator[Event]:
    """For the step ``spelling``: the words of all captions, counted once before anything else."""
    if "spelling" not in options.clean or ledger.state.repairs is not None:
        return
    counts: Counter[str] = Counter()
    for index in range(len(collection)):
        try:
            count_words((caption.text for caption in collection[index].captions), counts)
        except Exception:
            continue  # it will be left out and listed
        if index % PER_SHARD == 0:
            yield Event("words", index, len(collection), {"words": len(counts)})
    ledger.state.repairs = repairs(counts)
    ledger.commit()
    yield Event("words", len(collection), len(collection), {"words": len(counts), "slips": len(ledger.state.repairs)})


def _shard(ledger: Ledger, items: int, results: Iterator[Results], options: Options) -> Iterator[int]:
    """Write the shard of the next ``items`` of the source and commit it; gives the items seen so far."""
    state = ledger.state
    name = f"shard-{ledger.count():05d}.tar"
    left: list[Left] = []
    first, stop = state.written, state.seen + items
    with files.replacing(ledger.out / name) as temporary:
        with temporary.open("wb", buffering=2**20) as archive:
            while state.seen < stop:
                made, words = next(results)
                state.words.add(words)
                for one in made:
                    state.seen += 1
                    bad = one if isinstance(one, Left) else _double(one, ledger, options.near, left)
                    if bad is not None:
                        left.append(bad)
                        state.left[bad.kind] += 1
                    elif isinstance(one, Ready):
                        _keep(archive, one, ledger)
                _check_broken(ledger, left, options)
                yield state.seen
            archive.write(bytes(-(archive.tell() + 2 * tarfile.BLOCKSIZE) % tarfile.RECORDSIZE + 2 * tarfile.BLOCKSIZE))
        digest = files.sha256(temporary)
    ledger.add_shard(first, name, state.written - first, digest, left)


def _double(one: Ready, ledger: Ledger, near: bool, left: list[Left]) -> Left | None:
    """Why a picture is left out, if it was seen before.

    Where it is a picture of the training split that one held out repeats, it is the earlier that goes: a data set
    keeps the pictures it is judged by.
    """
    while found := ledger.seen.find(one.print, near):
        across = f", {one.split or 'no split'} and {found.split or 'no split'}" if one.split != found.split else ""
        kind = ("double" if found.exact else "near double") + (" across splits" if across else "")
        same = "the same picture as" if found.exact else "nearly the same picture as"
        if one.split not in HELD_OUT or found.split in HELD_OUT:
            return Left(one.key, kind, f"{same} {found.key}{across}")
        ledger.withdraw(found.number)
        left.append(Left(found.key, kind, f"{same} {one.key}{across}"))
        ledger.state.left[kind] += 1
        ledger.state.kept -= 1
        ledger.state.splits[found.split or "unsaid"] -= 1
    return None


def _keep(archive: BinaryIO, one: Ready, ledger: Ledger) -> None:
    """Write a picture and what is known of it."""
    state = ledger.state
    ledger.seen.add(one.key, one.split, one.print, state.written)
    record = {
        "key": one.key,
        "captions": [{"text": caption.text, "language": caption.language} for caption in one.captions],
        "split": one.split,
        "label": one.label,
        "sha256": one.print.sha256,
        "signs": f"{one.print.signs:016x}",
    }
    for suffix, data in ((one.suffix, one.data), ("json", as_json(record))):
        archive.write(_header(f"{state.written:09d}.{suffix}", len(data)))
        archive.write(data)
        archive.write(bytes(-len(data) % tarfile.BLOCKSIZE))
    state.written += 1
    state.kept += 1
    state.splits[one.split or "unsaid"] += 1
    state.changed.update(one.changed)
    state.odd.update(one.odd)


_HEADER = tarfile.TarInfo().tobuf(tarfile.USTAR_FORMAT)


def _header(name: str, size: int) -> bytes:
    """What ``tarfile`` writes before a file of this name and size, in a fifth of its time."""
    header = bytearray(_HEADER)
    header[: len(name)] = name.encode("ascii")
    header[124:136] = b"%011o\0" % size
    header[148:156] = b" " * 8  # the sum counts itself as spaces
    header[148:155] = b"%06o\0" % sum(header)
    return bytes(header)


def _check_broken(ledger: Ledger, left: list[Left], options: Options) -> None:
    """Stop where more is broken than is borne.

    Raises:
        TranhError: with the kinds and a few examples.
    """
    state = ledger.state
    broken = sum(count for kind, count in state.left.items() if kind in FAULTY)
    if state.seen < ENOUGH or broken <= options.broken * state.seen:
        return
    kinds = ", ".join(f"{count} {kind}" for kind, count in state.left.most_common() if kind in FAULTY)
    examples = "".join(f"\n  {one.key}: {one.reason}" for one in [x for x in left if x.kind in FAULTY][:3])
    raise TranhError(
        f"{broken} of the first {state.seen} pictures are broken ({kinds}), more than {options.broken:.0%}. Is this "
        f"the right folder? --broken allows a larger share. For example:{examples}"
    )


def _finish(ledger: Ledger, about: dict[str, Any]) -> dict[str, Any]:
    """Take what was withdrawn out of the shards, and write the manifest."""
    state = ledger.state
    if state.kept == 0:
        kinds = ", ".join(f"{count} {kind}" for kind, count in state.left.most_common())
        hint = " Small pictures are kept with a smaller --least." if state.left["too small"] else ""
        raise TranhError(f"none of the {state.seen} pictures could be kept ({kinds}); see {ledger.out / LEFT}.{hint}")
    shards = ledger.shards()
    for shard, stop in zip(shards, [*(after["first"] for after in shards[1:]), state.written], strict=True):
        if gone := ledger.withdrawn(shard["first"], stop):
            _take_out(ledger.out / shard["name"], gone)
            pictures = stop - shard["first"] - len(gone)
            ledger.replace_shard(shard["name"], pictures, files.sha256(ledger.out / shard["name"]))
    ledger.commit()
    listed = [{key: shard[key] for key in ("name", "pictures", "sha256")} for shard in ledger.shards()]
    manifest = {"format": FORMAT, **about, **state.report(), "shards": listed}
    manifest["hash"] = sha256(json.dumps([shard["sha256"] for shard in listed]).encode()).hexdigest()
    files.write_json(ledger.out / MANIFEST, manifest)
    return manifest


def _take_out(shard: Path, gone: set[int]) -> None:
    """Write a shard anew without some of its pictures; doing so twice is doing it once."""
    with (
        files.replacing(shard) as temporary,
        tarfile.open(shard, "r:") as old,
        tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as new,
    ):
        for info in old:
            if int(info.name.partition(".")[0]) not in gone:
                new.addfile(info, old.extractfile(info))
