"""Who makes items ready: several processes of this machine, results in the order of the source.

A picture that kills its process (a fault in a decoder, too little memory, a minute gone by) is found out and left out;
the rest goes on. It knows nothing of shards.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing.connection import Connection

from tranh.data.item import Collection
from tranh.data.ready import Left, Options, Ready, Words, ready

SECONDS = 60
"""A picture that takes longer is given up."""

# Forking costs nothing; importing torch anew would cost every process a second and 200 MB. Children use Pillow alone.
CONTEXT = multiprocessing.get_context("fork" if sys.platform == "linux" else None)


@dataclass(frozen=True)
class Job:
    """What every worker needs: where the items are, what to do with them."""

    collection: Collection
    options: Options
    repairs: Mapping[str, str] = field(default_factory=dict)


Results = tuple[list[Ready | Left], Words]
Mapper = Callable[[Job, Iterable[range]], Iterator[Results]]
"""(job, ranges of the source) -> what became of each range, in order."""


def work(job: Job, indices: range) -> Results:
    """Make a range of the source ready."""
    words = Words()
    return [one(job, index, words) for index in indices], words


def one(job: Job, index: int, words: Words) -> Ready | Left:
    """Make one item ready; an entry of the source that cannot be read is left out."""
    try:
        item = job.collection[index]
    except Exception as error:  # whatever its library raises there; too many of them stop the run
        return Left(f"item {index}", "broken entry", f"the source cannot be read there: {error!r}")
    return ready(item, job.options, words, job.repairs)


def processes(workers: int | None = None) -> Mapper:
    """The mapper of one machine.

    Args:
        workers: processes; None for as many as this one may use cores.
    """
    count = workers or available()

    def run(job: Job, ranges: Iterable[range]) -> Iterator[Results]:
        todo, waiting = iter(ranges), deque[tuple[range, Future[Results]]]()
        pool = _pool(job, count)
        try:
            while True:
                waiting.extend((r, _submit(pool, r)) for r in islice(todo, 2 * count + 2 - len(waiting)))
                if not waiting:
                    return
                indices, future = waiting.popleft()
                try:
                    results = future.result()
                except BrokenExecutor:  # some process died, of this range or another
                    pool.shutdown(cancel_futures=True)
                    results = _carefully(job, indices)
                    pool = _pool(job, count)
                    waiting = deque((r, f if _done(f) else _submit(pool, r)) for r, f in waiting)
                yield results
        finally:
            pool.shutdown(cancel_futures=True)

    return run


def available() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_job: Job | None = None


def _begin(job: Job) -> None:
    """What a process does first."""
    global _job
    _job = job
    gc.freeze()  # what the parent made is neither looked through nor, so, copied
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A parent that is killed tells nobody; its children would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _pool(job: Job, count: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(count, CONTEXT, _begin, (job,))


def _submit(pool: ProcessPoolExecutor, indices: range) -> Future[Results]:
    try:
        return pool.submit(_work, indices)
    except BrokenExecutor as error:
        failed: Future[Results] = Future()
        failed.set_exception(error)
        return failed


def _done(future: Future[Results]) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None


def _work(indices: range) -> Results:
    assert _job is not None
    words = Words()
    return [_timed(_job, index, words) for index in indices], words


def _timed(job: Job, index: int, words: Words) -> Ready | Left:
    """One item, or the end of this process: no decoder can be interrupted otherwise."""
    if not hasattr(signal, "setitimer"):
        return one(job, index, words)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        return one(job, index, words)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _carefully(job: Job, indices: range) -> Results:
    """The same in a process that reports every item, so that the one it dies of is known; then another one goes on."""
    made: list[Ready | Left] = []
    words = Words()
    while len(made) < len(indices):
        here, there = CONTEXT.Pipe(duplex=False)
        process = CONTEXT.Process(target=_report, args=(job, indices[len(made) :], there), daemon=True)
        process.start()
        there.close()
        try:
            while len(made) < len(indices):
                result, said = here.recv()
                made.append(result)
                words.add(said)
        except EOFError:
            process.join()
            made.append(_killed(job, indices[len(made)], process.exitcode))
        finally:
            here.close()
            process.join()
    return made, words


def _report(job: Job, indices: range, there: Connection) -> None:
    _begin(job)
    for index in indices:
        words = Words()
        there.send((_timed(job, index, words), words))


def _killed(job: Job, index: int, code: int | None) -> Left:
    try:
        key = job.collection[index].key
    except Exception:  # it may be what the process died of
        key = f"item {index}"
    if code == -getattr(signal, "SIGALRM", 0):
        return Left(key, "too slow", f"it was not unpacked in {SECONDS} seconds")
    why = signal.strsignal(-code) if code is not None and code < 0 else f"exit code {code}"
    return Left(key, "crashed the decoder", f"the process that unpacked it died: {why}")
