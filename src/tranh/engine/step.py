"""One optimiser step of any family: its phases in order, and the undoing of a step that went wrong.

It does not know which batch this is, where the run is kept or who watches.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from tranh.engine.ema import Averages
from tranh.engine.optim import Optimizers, rate
from tranh.types import Batch, Family, Phase, Stage, TranhError

if TYPE_CHECKING:
    from accelerate import Accelerator  # type: ignore[import-untyped]


def seed_of(*parts: int | str) -> int:
    """A 63-bit seed that is a pure function of its parts; neighbouring steps get unrelated ones."""
    text = "/".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 1


def make_accelerator() -> Accelerator:
    """The device: a GPU if there is one, else the CPU.

    Mixed precision is left to :func:`computing`, since accelerate fixes it once per process and stages differ in it.

    Raises:
        TranhError: started as one of several processes.
    """
    from accelerate import Accelerator  # seconds to import: only when something is trained

    accelerator = Accelerator(cpu=not torch.cuda.is_available(), mixed_precision="no")
    if accelerator.num_processes > 1:
        raise TranhError(
            f"{accelerator.num_processes} processes were started; a stage trains in one. "
            "Start it without a launcher, or train independent stages side by side."
        )
    return accelerator


@contextmanager
def computing(device: torch.device, precision: str) -> Iterator[None]:
    """Matrix products in bf16 if asked; weights, losses and norms stay in float32."""
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
        yield


@contextmanager
def global_seed(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the global generators inside the block only: dropout draws from them, and must repeat on resuming."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


@dataclass(frozen=True)
class Report:
    """What a step gave: every figure of every phase (several phases: ``phase.figure``), norms and rates.

    ``bad`` names the figure that was not finite; the step was then undone.
    """

    figures: dict[str, float]
    bad: str | None = None


class _Buffers:
    """Undoes what a forward pass did to buffers (running means, codebooks).

    All are copied in every step: batch norm writes its own without counting it in ``Tensor._version``.
    """

    def __init__(self, module: nn.Module) -> None:
        self.places = [(m._buffers, name) for m in module.modules() for name in m._buffers]
        self.kept: list[Tensor | None] = [None] * len(self.places)

    @torch.no_grad()
    def remember(self) -> None:
        for i, (buffers, name) in enumerate(self.places):
            now, copy = buffers[name], self.kept[i]
            if now is None:
                self.kept[i] = None
            elif copy is None or copy.shape != now.shape or copy.dtype != now.dtype:
                self.kept[i] = now.detach().clone()
            else:
                copy.copy_(now)

    @torch.no_grad()
    def recall(self) -> None:
        for (buffers, name), copy in zip(self.places, self.kept, strict=True):
            now = buffers[name]
            if now is not None and copy is not None and now.shape == copy.shape:
                now.copy_(copy)  # in place: others may hold it
            else:
                buffers[name] = None if copy is None else copy.clone()


class Stepper:
    """A family in training: optimisers of each phase, averages, and the step.

    Args:
        stage: rates, clip, precision, seed.
        family: the networks; moved to the accelerator's device.
        accelerator: device and backward pass.
    """

    def __init__(self, stage: Stage, family: Family, accelerator: Accelerator) -> None:
        self.stage, self.family, self.accelerator = stage, family.to(accelerator.device), accelerator
        self.device = accelerator.device
        self.averages = Averages(family, stage.ema)
        self.phases = {name: Optimizers(family, name, stage) for name in family.phases}
        self.updates = 0  # steps taken and not undone
        self.trainable = [p for p in family.parameters() if p.requires_grad]
        self._buffers = _Buffers(family)
        self._generator = torch.Generator(self.device)

    def __call__(self, batch: Batch, step: int, noise: int | None = None) -> Report:
        """Take step number ``step`` (from 0), or leave everything as it was if a loss or gradient is not finite.

        Args:
            noise: number that seeds the randomness in place of the step's (to learn one batch with its noise by heart).

        Raises:
            TranhError: the family's result has no ``loss``.
        """
        stage = self.stage
        factor = rate(step, stage.steps, stage.warmup, stage.decay)
        figures: dict[str, float] = {}
        done: list[Optimizers] = []
        self._buffers.remember()
        for i, (name, optimizers) in enumerate(self.phases.items()):
            seed = seed_of(stage.seed, step if noise is None else noise, name)
            with self._only(optimizers), global_seed(seed, self.device):
                phase = Phase(name, step, stage.steps, self._generator.manual_seed(seed))
                found = self._differentiate(batch, phase, optimizers)
            lead = f"{name}." if len(self.phases) > 1 else ""
            figures |= {lead + key: value for key, value in found.items()}
            bad = next((k for k in ("loss", "grad_norm") if not math.isfinite(found[k])), None)
            if bad:
                for optimizers in reversed(done):
                    optimizers.recall()
                self._buffers.recall()
                self._forget_gradients()
                return Report(figures | self._rates(factor), lead + bad)
            if i + 1 < len(self.phases):  # a later phase may still fail; then this one is undone as well
                optimizers.remember()
                done.append(optimizers)
            optimizers.set_rate(factor)
            optimizers.step()
        self._forget_gradients()
        self.updates += 1
        self.averages.update(self.updates)
        return Report(figures | self._rates(factor))

    def _differentiate(self, batch: Batch, phase: Phase, optimizers: Optimizers) -> dict[str, float]:
        """Loss and gradients of one phase; one wait for the device."""
        with computing(self.device, self.stage.precision):
            result = self.family(batch, phase)
        if "loss" not in result:
            raise TranhError(
                f"{type(self.family).__name__}.forward gave {', '.join(result) or 'nothing'} in phase {phase.name!r}, "
                "but no 'loss': return it under that name."
            )
        self.accelerator.backward(result["loss"])
        norm = self.accelerator.clip_grad_norm_(optimizers.params, self.stage.clip)
        values = [*(v.detach().to(self.device, torch.float32).reshape(()) for v in result.values()), norm.float()]
        return dict(zip([*result, "grad_norm"], torch.stack(values).tolist(), strict=True))

    def _rates(self, factor: float) -> dict[str, float]:
        kinds = {kind for optimizers in self.phases.values() for kind in optimizers.by_name}
        peaks = {"adamw": ("lr", self.stage.lr), "muon": ("muon_lr", self.stage.muon_lr)}
        return {peaks[kind][0]: peaks[kind][1] * factor for kind in sorted(kinds)}

    @contextmanager
    def _only(self, optimizers: Optimizers) -> Iterator[None]:
        """In a step of several phases, gradients are made only for those who are updated in this one."""
        if len(self.phases) == 1:
            yield
            return
        own = {id(p) for p in optimizers.params}
        for p in self.trainable:
            p.requires_grad_(id(p) in own)
        try:
            yield
        finally:
            for p in self.trainable:
                p.requires_grad_(True)

    def _forget_gradients(self) -> None:
        for p in self.trainable:
            p.grad = None

    def state(self) -> dict[str, Tensor]:
        """Optimiser state of all phases by ``phase/optimiser/parameter/entry``."""
        return {f"{phase}/{k}": v for phase, o in self.phases.items() for k, v in o.tensors().items()}

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what :meth:`state` gave."""
        for phase, optimizers in self.phases.items():
            start = f"{phase}/"
            optimizers.load({k[len(start) :]: v for k, v in tensors.items() if k.startswith(start)})

    def finite(self) -> bool:
        """Whether weights, optimiser state and averages hold finite numbers, and buffers (masks may be -inf) no NaN."""
        tensors = [*self.trainable, *self.state().values(), *(t for k in self.averages.tracks.values() for t in k)]
        found = [torch.isfinite(t).all() for t in tensors]
        found += [~torch.isnan(b).any() for b in self.family.buffers() if b.is_floating_point()]
        return bool(torch.stack([f.to(self.device) for f in found]).all())
