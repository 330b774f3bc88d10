"""Finished runs that other stages stand on: frozen, asked for their outputs; about a picture they are asked only once.

What an output means is between two families. An example's output is a pure function of the example: rows are computed
in tiles of one fixed size, and one by one where a network's rows were seen to depend on their neighbours, so a resumed
run with an empty cache reads the same bits.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from tranh.engine import find
from tranh.engine.rundir import RunDir
from tranh.engine.source import on_device
from tranh.engine.step import computing
from tranh.engine.weights import load_tensors
from tranh.files import read_tensors
from tranh.types import Batch, Family, TranhError

TILE = 16


def select(batch: Batch, rows: Sequence[int]) -> Batch:
    """The examples at the given rows; a row may come several times."""
    B, index = len(batch), torch.tensor(rows, device=batch.images.device)

    def pick(tensor: Tensor) -> Tensor:
        return tensor[index.to(tensor.device)] if tensor.ndim and len(tensor) == B else tensor

    return Batch(
        images=pick(batch.images),
        captions=[batch.captions[i] for i in rows],
        tokens=pick(batch.tokens),
        mask=pick(batch.mask),
        ids=pick(batch.ids),
        labels={k: pick(v) for k, v in batch.labels.items()},
        parts={k: pick(v) for k, v in batch.parts.items()},
    )


class Frozen:
    """A trained family that is only read.

    Args:
        family: its networks, with the trained weights; put into evaluation mode, without gradients.
        hash: of the run, what its children record.
        precision: dtype it computes in, ``Stage.precision`` of its own run.
        cache_bytes: memory its remembered outputs may take; those not used for longest go first. 0 remembers nothing.
    """

    def __init__(self, family: Family, hash: str, precision: str = "fp32", cache_bytes: int = 2**30) -> None:
        self.family, self.hash, self.precision, self.cache_bytes = family.eval(), hash, precision, cache_bytes
        for p in family.parameters():
            p.requires_grad_(False)
        self.tile = 1
        self.device = next(iter(family.state_dict().values()), torch.empty(0)).device
        self._slots: OrderedDict[int, int] = OrderedDict()  # example id -> row of the slabs, longest unused first
        self._slabs: dict[str, Tensor] = {}

    def to(self, device: torch.device) -> Frozen:
        """Move it; what it remembers is forgotten."""
        self.family.to(device)
        self.device = device
        self._slots.clear()
        self._slabs.clear()
        return self

    def settle(self, batch: Batch) -> None:
        """Find out with some examples whether rows are independent of their tile; decides how rows are computed.

        Matrix products and attention give a row the same bits wherever it stands in a tile; some convolutions do not.
        """
        batch = on_device(batch, self.device)
        here = [i % len(batch) for i in range(TILE)]
        turned = here[5:] + here[:5]
        crowd = [here[0]] * (TILE // 2) + here[TILE // 2 :]
        a, b, c = (self._seen(select(batch, rows)) for rows in (here, turned, crowd))
        same = all(
            torch.equal(torch.cat([a[k][5:], a[k][:5]]), b[k]) and torch.equal(a[k][TILE // 2 :], c[k][TILE // 2 :])
            for k in a
        )
        self.tile = TILE if same else 1

    def outputs(self, batch: Batch) -> dict[str, Tensor]:
        """``family.outputs`` and ``image_outputs`` of a batch, one row per example, float32 where floating.

        Those of the picture are remembered by the example's id; its caption may be another each time it is seen.

        Raises:
            TranhError: an output has another number of rows than the batch.
        """
        ids: list[int] = batch.ids.tolist()
        known = [(row, self._slots[i]) for row, i in enumerate(ids) if i in self._slots]
        new = [row for row, i in enumerate(ids) if i not in self._slots]
        made = self._tiled(on_device(batch, self.device), new) if new else {}
        if not known:
            result = made
        else:
            rows, slots = (torch.tensor(x, device=self.device) for x in zip(*known, strict=True))
            result = {}
            for k, slab in self._slabs.items():
                result[k] = slab.new_empty((len(ids), *slab.shape[1:]))
                result[k][rows] = slab[slots]
                if new:
                    result[k][torch.tensor(new, device=self.device)] = made[k]
        for i in ids:
            if i in self._slots:
                self._slots.move_to_end(i)
        self._keep([ids[row] for row in new], made)
        return {**self._said(on_device(batch, self.device)), **result}

    def _seen(self, batch: Batch) -> dict[str, Tensor]:
        with torch.no_grad(), computing(self.device, self.precision):
            return self._checked(batch, self.family.image_outputs(batch.images))

    def _said(self, batch: Batch) -> dict[str, Tensor]:
        with torch.no_grad(), computing(self.device, self.precision):
            return self._checked(batch, self.family.outputs(batch))

    def _checked(self, batch: Batch, found: Mapping[str, Tensor]) -> dict[str, Tensor]:
        for name, value in found.items():
            if value.ndim == 0 or len(value) != len(batch):
                raise TranhError(
                    f"an output of {type(self.family).__name__}, {name!r} of shape {list(value.shape)}, came for "
                    f"{len(batch)} examples; each output needs one row per example."
                )
        return {k: v.float() if v.is_floating_point() else v for k, v in found.items()}

    def _tiled(self, batch: Batch, rows: list[int]) -> dict[str, Tensor]:
        pieces = []
        for start in range(0, len(rows), self.tile):
            tile = rows[start : start + self.tile]
            full = tile + [tile[0]] * (self.tile - len(tile))  # every call has the same shape
            pieces.append({k: v[: len(tile)] for k, v in self._seen(select(batch, full)).items()})
        return {k: torch.cat([piece[k] for piece in pieces]) for k in pieces[0]}

    def _keep(self, ids: list[int], made: dict[str, Tensor]) -> None:
        row_bytes = sum(v[0].numel() * v.element_size() for v in made.values()) if ids else 0
        capacity = self.cache_bytes // row_bytes if row_bytes else 0
        for row, i in enumerate(ids):
            if i in self._slots or capacity == 0:
                continue
            slot = len(self._slots) if len(self._slots) < capacity else self._slots.popitem(last=False)[1]
            self._grow(slot, capacity, made)
            for k, slab in self._slabs.items():
                slab[slot] = made[k][row]
            self._slots[i] = slot

    def _grow(self, slot: int, capacity: int, made: dict[str, Tensor]) -> None:
        for k, value in made.items():
            old = self._slabs.get(k)
            if old is not None and slot < len(old):
                continue
            size = min(capacity, max(256, 2 * slot))
            self._slabs[k] = value.new_empty((size, *value.shape[1:]))
            if old is not None:
                self._slabs[k][: len(old)] = old


def load(run: RunDir, kind: type[Family] | None = None, cache_bytes: int = 2**30) -> Frozen:
    """A finished run, frozen.

    Args:
        kind: the family's class; None finds it by the name in the recipe.

    Raises:
        TranhError: the run is not finished, or its weights do not fit the family.
    """
    stage = run.stage()
    family = find.build(stage, kind)
    key = run.hash()
    load_tensors(family, read_tensors(run.weights), str(run.weights))
    return Frozen(family, key, stage.precision, cache_bytes)


def attach(batch: Batch, parents: Mapping[str, Frozen]) -> Batch:
    """The batch with every parent's outputs in ``parts`` as ``name.key``; later parents may read earlier ones'."""
    for name, parent in parents.items():
        found = parent.outputs(batch)
        batch = batch.replace(parts={**batch.parts, **{f"{name}.{k}": v for k, v in found.items()}})
    return batch
