"""What every family must be able to do, as functions that doctor and the contract tests share."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from tranh.engine.source import on_device
from tranh.engine.step import Stepper, computing, make_accelerator, seed_of
from tranh.engine.weights import load_tensors, tensors_of
from tranh.files import read_tensors, write_tensors
from tranh.types import Batch, Family, Phase, Stage, TranhError


def overfit_one_batch(
    family: Family, batch: Batch, *, steps: int = 100, lr: float = 1e-3, muon_lr: float = 2e-3, seed: int = 0
) -> list[float]:
    """Learn one batch, with one draw of noise, by heart. The family is changed.

    Args:
        batch: with the parents' outputs in ``parts``.

    Returns:
        The figure ``family.overfit`` before the first and after every step, ``steps + 1`` values. The family keeps its
        promise if the last is below ``family.overfit_below`` of the first.

    Raises:
        TranhError: the figure is never given, or a step is not finite.
    """
    stage = Stage(
        "",
        steps=steps + 1,
        lr=lr,
        muon_lr=muon_lr,
        warmup=min(10, steps),
        decay=0.0,
        ema=(),
        precision="fp32",
        seed=seed,
    )
    stepper = Stepper(stage, family, make_accelerator())
    family.train()
    batch = on_device(batch, stepper.device)
    figures = []
    for step in range(steps + 1):  # a step's figures are those of the weights before it
        report = stepper(batch, step, noise=0)
        if report.bad:
            raise TranhError(
                f"{type(family).__name__}: {report.bad} is {report.figures[report.bad]} at step {step} (lr {lr:g})."
            )
        found = [v for k, v in report.figures.items() if k == family.overfit or k.endswith(f".{family.overfit}")]
        if not found:
            raise TranhError(
                f"{type(family).__name__} names {family.overfit!r} as its figure but gives {', '.join(report.figures)}."
            )
        figures.append(found[-1])
    return figures


def figures_of(family: Family, batch: Batch, seed: int = 0) -> dict[str, Tensor]:
    """What every phase's ``forward`` gives for a fixed noise, without gradients, by ``phase.figure``."""
    device = batch.images.device
    result: dict[str, Tensor] = {}
    for name in family.phases:
        phase = Phase(name, 0, 1, torch.Generator(device).manual_seed(seed_of(seed, name)))
        with torch.no_grad(), computing(device, "fp32"):
            result |= {f"{name}.{k}": v for k, v in family(batch, phase).items()}
    return result


def same_after_saving(family: Family, batch: Batch, folder: Path) -> None:
    """Save, build anew from ``config``, load, and compare weights and figures bit for bit.

    Raises:
        TranhError: something differs, with its name.
    """
    family.eval()
    file = folder / "model.safetensors"
    write_tensors(file, tensors_of(family))
    again = type(family)(**family.config).to(batch.images.device).eval()
    again.meet(family.met)
    load_tensors(again, read_tensors(file), str(file))
    pairs = [(tensors_of(family), tensors_of(again)), (figures_of(family, batch), figures_of(again, batch))]
    for before, after in pairs:
        for key in before:
            if not torch.equal(before[key], after[key]):
                raise TranhError(
                    f"{type(family).__name__}: {key} differs after saving and loading. Keep all that forward reads in "
                    "parameters or persistent buffers, and build them from config alone."
                )
