"""Doors: methods of shared networks that answer everybody who waits at them in one batched call.

They know neither samplers nor requests. Each guest runs its own code in its own thread, as if it were alone; whoever
waits at the same door is answered together, at whatever step each one is. Guests come and go between any two calls.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from tranh.types import TranhError

ROWS = 16
"""Most rows of one call: on a CPU more make a call longer and hardly cheaper, and everybody waits for it."""

PATIENCE = 0.002
"""Seconds a call waits for others that may still come."""

KEYS = 4096
"""Kinds of calls that are remembered by name, so that two are compared in no time."""

YIELDS = 0.2
"""Seconds a call that could take more rows lets full ones go before it: alone it would use the machine badly."""

AGEING = 0.2
"""Share of a second of service that a second of waiting outweighs, so that nobody waits for ever."""


class Left(TranhError):
    """A guest that is no longer wanted: it was cancelled, or its time is over."""


class Guest:
    """One request on its way through the doors.

    Attributes:
        deadline: on the clock of :func:`time.monotonic`; None for no end.
        needs: seconds of computing it is expected to take in all; 0 where nothing is known of it.
        served: seconds of computing it has had, those of shared calls by rows.
        calls: network calls it took part in.
    """

    def __init__(self, deadline: float | None = None) -> None:
        self.deadline, self.needs, self.served, self.calls = deadline, 0.0, 0.0, 0
        self._why: str | None = None
        self._waits: threading.Event | None = None

    def cancel(self, why: str = "cancelled") -> None:
        """It leaves at the next door, or at once where it waits."""
        self._why = why
        if (waits := self._waits) is not None:
            waits.set()

    def check(self) -> None:
        """Raises:
        Left: it was cancelled, or its time is over.
        """
        if self._why is None and self.deadline is not None and time.monotonic() > self.deadline:
            self._why = "its time is over"
        if self._why is not None:
            raise Left(self._why)


Within = Callable[[], AbstractContextManager[Any]]

_guest: ContextVar[Guest | None] = ContextVar("guest", default=None)


@dataclass(eq=False)
class _Call:
    """Somebody at a door: rows of tensors, and what has to be equal for others to join."""

    door: _Door
    key: Any
    tensors: list[Tensor]
    rows: int
    context: _Context
    guest: Guest
    arrived: float = field(default_factory=time.monotonic)
    woken: threading.Event = field(default_factory=threading.Event)
    answered: bool = False
    result: Any = None
    error: BaseException | None = None


class _Door:
    """One method of one object, and how it is called."""

    def __init__(
        self, doors: Doors, owner: object, name: str, method: Callable[..., Any], tile: int | None, within: Within
    ) -> None:
        self.doors, self.owner, self.name, self.method, self.tile, self.within = (
            doors, owner, name, method, tile, within
        )  # fmt: skip
        self.own = name in vars(owner)  # else the method is its class's
        self.whole = False  # what it gives cannot be divided among guests
        self.even: dict[Any, bool] = {}  # by shapes: rows do not depend on their place in a tile

    def remove(self) -> None:
        if self.own:
            setattr(self.owner, self.name, self.method)
        else:
            delattr(self.owner, self.name)  # the method of its class is seen again

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        guest = _guest.get()
        if guest is None:
            return self.method(*args, **kwargs)
        return self.doors.ask(self, guest, args, kwargs)


class Doors:
    """The doors of some networks, and the one thread that computes behind them.

    Args:
        rows: most rows of one call; patience: seconds a call waits for others that may still come.
        tile: rows of every call of a door whose pictures must not depend on their company (exact mode); smaller calls
            are filled up. None: rows are computed in whatever company there is.
        threads: that torch computes with behind the doors; None for as many as everywhere.

    Attributes:
        calls, answered, spent: calls computed, guests answered by them, and the seconds that took.
    """

    def __init__(
        self, rows: int = ROWS, patience: float = PATIENCE, tile: int | None = None, threads: int | None = None
    ) -> None:
        if rows < 1 or (tile is not None and tile < 1):
            raise ValueError(f"rows {rows}, tile {tile}: give at least 1 of each")
        self.rows, self.patience, self.tile, self._threads = rows, patience, tile, threads
        self.calls = self.answered = 0
        self.spent = 0.0
        self._changed = threading.Condition()
        self._waiting: list[_Call] = []
        self._running: set[Guest] = set()
        self._doors: list[_Door] = []
        self._closed, self._free = False, 0.0
        self._keys: dict[Any, Any] = {}
        begun = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(begun,), name="doors", daemon=True)
        self._thread.start()
        begun.wait()

    def put(self, owner: object, *methods: str, tile: int | None = None, within: Within = nullcontext) -> None:
        """Doors before methods of an object that all guests share, ``forward`` if none are named.

        Args:
            tile: of these doors, in the place of the doors' own.
            within: what their calls are computed inside.

        Raises:
            ValueError: the object has no such method.
        """
        for name in methods or ("forward",):
            method = getattr(owner, name, None)
            if not callable(method):
                raise ValueError(f"{type(owner).__name__} has no method {name!r} to put a door before")
            if not isinstance(method, _Door):
                door = _Door(self, owner, name, method, tile or self.tile, within)
                self._doors.append(door)
                setattr(owner, name, door)

    def close(self) -> None:
        """Take the doors away; whoever still waits is answered with :class:`Left`."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()
        for door in self._doors:
            door.remove()
        self._doors.clear()

    @contextmanager
    def inside(self, guest: Guest) -> Iterator[Guest]:
        """The code inside runs for a guest: the networks it calls are shared. Calls are waited for while it may still
        reach one."""
        token = _guest.set(guest)
        self._enter(guest)
        try:
            yield guest
        finally:
            self._leave(guest)
            _guest.reset(token)

    @contextmanager
    def outside(self, guest: Guest) -> Iterator[None]:
        """For a while the guest is busy with something else (a file, a client): nobody waits for it."""
        self._leave(guest)
        try:
            yield
        finally:
            self._enter(guest)

    def ask(self, door: _Door, guest: Guest, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What the method answers to one guest."""
        call = self._call(door, guest, args, kwargs)
        guest._waits = call.woken
        guest.check()
        with self._changed:
            if self._closed:
                raise Left("the engine was closed")
            self._running.discard(guest)
            self._waiting.append(call)
            self._changed.notify_all()
        wanted = True
        while True:
            call.woken.wait(None if guest.deadline is None or not wanted else max(0, guest.deadline - time.monotonic()))
            with self._changed:
                call.woken.clear()
                if call.answered:
                    break
                try:
                    guest.check()
                except Left:
                    wanted = False
                    if call in self._waiting:  # else it is being computed: the answer comes, and is thrown away
                        self._waiting.remove(call)
                        self._running.add(guest)
                        self._changed.notify_all()
                        raise
        guest._waits = None
        if call.error is not None:
            raise call.error
        guest.check()
        return call.result

    def _call(self, door: _Door, guest: Guest, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Call:
        call = _call(door, guest, args, kwargs)
        if isinstance(call.key, _Key):
            if len(self._keys) > KEYS:
                self._keys.clear()
            call.key.told = self._keys.setdefault(call.key.told, call.key.told)
        return call

    def _enter(self, guest: Guest) -> None:
        with self._changed:
            self._running.add(guest)

    def _leave(self, guest: Guest) -> None:
        with self._changed:
            self._running.discard(guest)
            self._changed.notify_all()

    def _serve(self, begun: threading.Event) -> None:
        if self._threads is not None:
            torch.get_num_threads()  # else what is said first is forgotten at the first product
            torch.set_num_threads(self._threads)  # of this thread, and of those that begin after it
        begun.set()
        while True:
            with self._changed:
                batch = self._next()
                if not batch:
                    for call in self._waiting:
                        call.error, call.answered = Left("the engine was closed"), True
                        call.woken.set()
                    self._waiting.clear()
                    return
            started = time.perf_counter()
            _answer(batch)
            spent, rows = time.perf_counter() - started, sum(call.rows for call in batch)
            with self._changed:
                self._free = time.monotonic()
                self.calls += 1
                self.answered += len(batch)
                self.spent += spent
                for call in batch:
                    call.guest.served += spent * call.rows / rows
                    call.guest.calls += 1
                    self._running.add(call.guest)  # before it wakes, so that the next call waits for it
                    call.answered = True
                    call.woken.set()

    def _next(self) -> list[_Call]:
        """The calls that are answered next, once nobody else can join them or patience is over; none when closed."""
        while not self._closed:
            if not self._waiting:
                self._changed.wait()
                continue
            now = time.monotonic()
            batch, full = chosen(self._waiting, self.rows, now)
            # Patience begins when the last call is answered: those it answered come back within it and join those who
            # waited meanwhile. Otherwise two guests out of step would be answered one by one for ever.
            begun = max(min(call.arrived for call in self._waiting), self._free)
            left = begun + self.patience - now
            if full or not self._running or left <= 0:
                for call in batch:
                    self._waiting.remove(call)
                return batch
            self._changed.wait(left)
        return []


def chosen(waiting: Sequence[_Call], rows: int, now: float) -> tuple[list[_Call], bool]:
    """The calls that are answered together next, and whether no more fit.

    Whoever needs the least goes first (or has had the least, where that is more or all that is known), with those at
    the same door in the same order. A call that is not full lets one that is go before it, for a while: it may still
    fill.
    """
    order = sorted(waiting, key=lambda call: max(call.guest.needs, call.guest.served) - AGEING * (now - call.arrived))
    batches: list[tuple[list[_Call], int]] = []
    for call in order:
        for k, (batch, filled) in enumerate(batches):
            if call.key == batch[0].key and not call.door.whole:
                if filled + call.rows <= rows:
                    batch.append(call)
                    batches[k] = batch, filled + call.rows
                break
        else:
            batches.append(([call], call.rows))
    full = [batch for batch, filled in batches if filled + batch[0].rows > rows]
    first = batches[0][0]
    if full and (first is full[0] or now - first[0].arrived < YIELDS):
        return full[0], True
    return first, False


_Context = tuple[str, bool, torch.dtype, bool]


def _context(device: str) -> _Context:
    """How the guest's own thread computes: the executor does the same, since these settings belong to a thread."""
    return device, torch.is_autocast_enabled(device), torch.get_autocast_dtype(device), torch.is_grad_enabled()


def _call(door: _Door, guest: Guest, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Call:
    """Rows and rest of a call. Scalars and tensors of one row stand for every row."""
    leaves, spec = pytree.tree_flatten((args, kwargs))
    tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    rows = max((len(t) for t in tensors if t.ndim), default=1)
    context = _context(tensors[0].device.type if tensors else "cpu")
    if any(t.ndim and len(t) not in (1, rows) for t in tensors) or context[-1]:
        shape: Any = object()  # not made of rows, or a gradient is wanted: nobody can join
        return _Call(door, (door, shape, spec, leaves), tensors, rows, context, guest)
    told: list[Any] = []
    shared: list[Tensor] = []
    for leaf in leaves:
        if not isinstance(leaf, Tensor):
            told.append(leaf if isinstance(leaf, (str, int, float, bool, type(None))) else id(leaf))
            continue
        each = leaf.expand(rows) if leaf.ndim == 0 else leaf.expand(rows, *leaf.shape[1:])
        told.append((each.shape[1:], each.dtype, each.device))
        shared.append(each)
    rest = [None if isinstance(leaf, Tensor) else leaf for leaf in leaves]
    key = _Key((id(door), spec, tuple(told), context), spec, rest)
    return _Call(door, key, shared, rows, context, guest)


class _Key:
    """Equal where calls can be answered together; holds what is the same for all of them."""

    def __init__(self, told: Any, spec: Any, rest: list[Any]) -> None:
        self.told, self.spec, self.rest = told, spec, rest

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.told is other.told  # each kind is kept once, see Doors

    __hash__ = None  # type: ignore[assignment]

    def arguments(self, tensors: Sequence[Tensor]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        found = iter(tensors)
        told = self.told[2]
        leaves = [next(found) if isinstance(one, tuple) else rest for one, rest in zip(told, self.rest, strict=True)]
        args, kwargs = pytree.tree_unflatten(leaves, self.spec)
        return args, kwargs


def _answer(batch: list[_Call]) -> None:
    """Compute a call for all of its guests; if it fails for several, each alone, so that only whose fault it is sees
    it."""
    first = batch[0]
    try:
        if not isinstance(first.key, _Key):
            door, _, spec, leaves = first.key
            args, kwargs = pytree.tree_unflatten(leaves, spec)
            with _computing(first):
                first.result = door.method(*args, **kwargs)
            return
        alone = len(batch) == 1
        tensors = first.tensors
        if not alone:
            tensors = [torch.cat(rows) for rows in zip(*(call.tensors for call in batch), strict=True)]
        with _computing(first):
            results = _tiled(first, tensors, sum(call.rows for call in batch))
        divided = [results] if alone else _divided(results, [call.rows for call in batch])
        if divided is None:
            raise _Undivided
        for call, result in zip(batch, divided, strict=True):
            call.result = result
    except BaseException as error:
        if len(batch) == 1 and not isinstance(error, _Undivided):
            first.error = error
            return
        if isinstance(error, _Undivided):
            first.door.whole = True
        for call in batch:
            if call.door.whole:
                _whole(call)
            else:
                _answer([call])


class _Undivided(Exception):
    """What a method gives cannot be divided into rows."""


def _whole(call: _Call) -> None:
    try:
        args, kwargs = call.key.arguments(call.tensors)
        with _computing(call):
            call.result = call.door.method(*args, **kwargs)
    except BaseException as error:
        call.error = error


@contextmanager
def _computing(call: _Call) -> Iterator[None]:
    device, autocast, dtype, grad = call.context
    with call.door.within(), torch.set_grad_enabled(grad), torch.autocast(device, dtype=dtype, enabled=autocast):
        yield


def _tiled(call: _Call, tensors: list[Tensor], rows: int) -> Any:
    """The method's answer for all rows; with a tile in calls of that many rows, filled up with copies of the first."""
    tile = call.door.tile
    if tile is None or call.door.whole:
        args, kwargs = call.key.arguments(tensors)
        return call.door.method(*args, **kwargs)
    tile = tile if _even(call, tensors, tile) else 1
    parts = []
    for start in range(0, rows, tile):
        index = torch.arange(start, start + tile)
        index = torch.where(index < rows, index, start)
        args, kwargs = call.key.arguments([t[index.to(t.device)] for t in tensors])
        parts.append(call.door.method(*args, **kwargs))
    leaves, spec = zip(*(pytree.tree_flatten(part) for part in parts), strict=True)
    joined = []
    for one in zip(*leaves, strict=True):
        if not _has_rows(one[0], tile):
            raise _Undivided
        joined.append(torch.cat(one)[:rows])
    return pytree.tree_unflatten(joined, spec[0])


def _even(call: _Call, tensors: list[Tensor], tile: int) -> bool:
    """Does a row give the same wherever in the tile it stands? Small products are summed in another order at the edge
    of a tile; what is asked in such shapes is then computed row by row. Looked at once for every shape."""
    shapes = (*((t.shape[1:], t.dtype) for t in tensors), call.context)
    if shapes not in call.door.even:
        args, kwargs = call.key.arguments([t[:1].expand(tile, *t.shape[1:]).contiguous() for t in tensors])
        leaves, _ = pytree.tree_flatten(call.door.method(*args, **kwargs))
        rows = [leaf for leaf in leaves if _has_rows(leaf, tile)]
        call.door.even[shapes] = all(torch.equal(one, rest) for leaf in rows for one in leaf[:1] for rest in leaf[1:])
    return call.door.even[shapes]


def _has_rows(leaf: Any, rows: int) -> bool:
    return isinstance(leaf, Tensor) and leaf.ndim > 0 and len(leaf) == rows


def _divided(result: Any, rows: Sequence[int]) -> list[Any] | None:
    """A result for every call, or None where something in it has no rows."""
    leaves, spec = pytree.tree_flatten(result)
    total = sum(rows)
    if not all(leaf is None or _has_rows(leaf, total) for leaf in leaves):
        return None
    parts = [[None] * len(rows) if leaf is None else leaf.split(list(rows)) for leaf in leaves]
    return [pytree.tree_unflatten([part[k] for part in parts], spec) for k in range(len(rows))]
