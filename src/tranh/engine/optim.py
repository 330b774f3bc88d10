"""Optimisers of a phase: AdamW and Muon side by side, one schedule, and their state as plain tensors.

It knows nothing of losses, files or steps taken; the learning rate is a function of the step's number only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tranh.engine.muon import Muon
from tranh.types import Family, ParamGroup, Stage, TranhError


def rate(step: int, steps: int, warmup: int, decay: float) -> float:
    """Factor of the learning rate in [0, 1]: linear warm-up, constant, linear decay to 0 after the last step."""
    up = (step + 1) / warmup if warmup > 0 else 1.0
    length = decay * steps
    down = (steps - step) / length if length > 0 else 1.0
    return max(0.0, min(1.0, up, down))


def _adamw(groups: list[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
    # Fused: one kernel per group in place of a dozen per tensor; exists for CPU and CUDA.
    return torch.optim.AdamW(groups, lr=lr, fused=True)


def _muon(groups: list[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
    return Muon(groups, lr=lr)


MAKERS = {"adamw": _adamw, "muon": _muon}


class Optimizers:
    """All optimisers of one phase of a family.

    Args:
        family: whose ``param_groups(phase)`` says who is updated and how.
        phase: name of the phase.
        stage: gives the learning rates.

    Raises:
        TranhError: Muon is given something other than a matrix, a parameter is named twice, or nobody is updated.
    """

    def __init__(self, family: Family, phase: str, stage: Stage) -> None:
        groups = [group for group in family.param_groups(phase) if group.params]
        self.names = {id(p): name for name, p in family.named_parameters()}
        self.params: list[nn.Parameter] = [p for group in groups for p in group.params]
        self._check(type(family).__name__, phase, groups)
        self.peaks = {"adamw": stage.lr, "muon": stage.muon_lr}
        self.by_name: dict[str, torch.optim.Optimizer] = {}
        for kind, make in MAKERS.items():
            own = [
                {"params": list(g.params), "weight_decay": g.weight_decay, "lr_scale": g.lr_scale, "betas": g.betas}
                for g in groups
                if g.optimizer == kind
            ]
            if own:
                self.by_name[kind] = make(own, self.peaks[kind])
        self._kept: dict[str, Tensor] = {}

    def _check(self, family: str, phase: str, groups: list[ParamGroup]) -> None:
        if not self.params:
            raise TranhError(f"{family} updates nothing in phase {phase!r}: let param_groups name its parameters.")
        if len({id(p) for p in self.params}) < len(self.params):
            raise TranhError(f"{family}.param_groups({phase!r}) names a parameter twice: put each into one group.")
        for group in groups:
            if group.optimizer not in MAKERS:
                raise TranhError(f"optimiser {group.optimizer!r} is unknown; allowed: {', '.join(MAKERS)}.")
            for p in group.params:
                if group.optimizer == "muon" and p.ndim < 2:
                    raise TranhError(
                        f"Muon updates matrices and kernels, but {self.names.get(id(p), '?')} of {family} has shape "
                        f"{list(p.shape)}: put it into an adamw group."
                    )

    def set_rate(self, factor: float) -> None:
        """Use ``factor`` of every peak rate from now on."""
        for kind, optimizer in self.by_name.items():
            for group in optimizer.param_groups:
                group["lr"] = self.peaks[kind] * factor * group["lr_scale"]

    def zero_grad(self) -> None:
        for p in self.params:
            p.grad = None

    def step(self) -> None:
        for optimizer in self.by_name.values():
            optimizer.step()

    def tensors(self) -> dict[str, Tensor]:
        """The state by ``optimiser/parameter/entry``, not copied. Empty entries (never updated) are absent."""
        return {
            f"{kind}/{self.names[id(p)]}/{key}": value
            for kind, optimizer in self.by_name.items()
            for p, entries in optimizer.state.items()
            for key, value in sorted(entries.items())
        }

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what :meth:`tensors` gave, bit for bit.

        Raises:
            TranhError: it belongs to other optimisers or parameters.
        """
        left = dict(tensors)
        for kind, optimizer in self.by_name.items():
            packed = optimizer.state_dict()
            flat = [p for group in optimizer.param_groups for p in group["params"]]
            packed["state"] = {}
            for i, p in enumerate(flat):
                start = f"{kind}/{self.names[id(p)]}/"
                own = [name for name in left if name.startswith(start) and "/" not in name[len(start) :]]
                if own:
                    packed["state"][i] = {name[len(start) :]: left.pop(name) for name in own}
            optimizer.load_state_dict(packed)  # puts each entry on its parameter's device
        if left:
            raise TranhError(
                f"the saved optimiser state holds {next(iter(left))!r}, which this family does not train. "
                "Resume with the recipe the run began with."
            )

    def remember(self) -> None:
        """Keep a copy of parameters and state, to undo the next :meth:`step`."""
        live = self._live()
        if self._kept.keys() != live.keys():
            self._kept = {name: tensor.clone() for name, tensor in live.items()}
        else:
            torch._foreach_copy_(list(self._kept.values()), [live[name] for name in self._kept])

    def recall(self) -> None:
        """Return to what was last remembered."""
        for kind, optimizer in self.by_name.items():
            for p in list(optimizer.state):  # state born in the step that is undone
                if not any(f"{kind}/{self.names[id(p)]}/{key}" in self._kept for key in optimizer.state[p]):
                    del optimizer.state[p]
        live = self._live()
        torch._foreach_copy_([live[name] for name in self._kept], list(self._kept.values()))

    def _live(self) -> dict[str, Tensor]:
        return {**{self.names[id(p)]: p.detach() for p in self.params}, **self.tensors()}
