"""Families and sources small enough for tests of the engine."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tranh.types import Batch, Family, ParamGroup, Phase, Stage

SIDE = 4
PIXELS = 3 * SIDE * SIDE


def make_batch(seed: int, size: int) -> Batch:
    g = torch.Generator().manual_seed(seed)
    return Batch(
        images=torch.rand(size, 3, SIDE, SIDE, generator=g) * 2 - 1,
        captions=["a red ball"] * size,
        tokens=torch.randint(0, 9, (size, 5), generator=g),
        mask=torch.ones(size, 5, dtype=torch.bool),
        ids=torch.randint(0, 40, (size,), generator=g),
    )


class Source:
    """Random pictures; those of ``bad`` steps are NaN."""

    def __init__(self, bad: Iterable[int] = ()) -> None:
        self.bad = set(bad)

    def batch(self, step: int, size: int, seed: int) -> Batch:
        batch = make_batch(seed * 1_000_003 + step, size)
        return batch.replace(images=batch.images * float("nan")) if step in self.bad else batch

    def validation(self, step: int, size: int) -> Batch:
        return make_batch(-1 - step, size)


class Shelf:
    """Forty pictures with fixed ids, drawn with repetition: what a cache is for."""

    def __init__(self) -> None:
        self.all = make_batch(7, 40).images

    def pick(self, ids: Tensor) -> Batch:
        return make_batch(0, len(ids)).replace(images=self.all[ids], ids=ids)

    def batch(self, step: int, size: int, seed: int) -> Batch:
        g = torch.Generator().manual_seed(seed * 7919 + step)
        return self.pick(torch.randint(0, 40, (size,), generator=g))

    def validation(self, step: int, size: int) -> Batch:
        return self.pick((torch.arange(size) + step) % 40)


class Toy(Family):
    """Removes noise. Has what is hard to resume: running buffers, dropout, tied weights, two optimisers."""

    def __init__(self, width: int = 16, dropout: float = 0.1) -> None:
        super().__init__()
        self.config = {"width": width, "dropout": dropout}
        self.first = nn.Linear(PIXELS, width)
        self.norm = nn.BatchNorm1d(width)
        self.middle = nn.Linear(width, width)
        self.again = nn.Linear(width, width)
        self.again.weight = self.middle.weight
        self.drop = nn.Dropout(dropout)
        self.last = nn.Linear(width, PIXELS)
        self.register_buffer("mean", torch.zeros(PIXELS))
        self.mean: Tensor
        self.prepared = 0

    def prepare(self, batches: Iterable[Batch]) -> None:
        self.prepared += 1
        self.mean.copy_(torch.cat([b.images.flatten(1) for b in batches]).mean(0) + 1e-3 * torch.randn(PIXELS))

    def param_groups(self, phase: str) -> list[ParamGroup]:
        matrices = [self.middle.weight]
        rest = [p for p in self.parameters() if p is not self.middle.weight]
        return [ParamGroup(matrices, "muon", weight_decay=0.01), ParamGroup(rest, lr_scale=0.5)]

    def net(self, x: Tensor) -> Tensor:
        h = self.drop(F.gelu(self.norm(self.first(x - self.mean))))
        return self.last(self.again(F.gelu(self.middle(h))))

    def forward(self, batch: Batch, phase: Phase) -> dict[str, Tensor]:
        x = batch.images.flatten(1)
        noise = torch.randn(x.shape, generator=phase.generator)
        loss = F.mse_loss(self.net(x + 0.1 * noise).float(), x)
        return {"loss": loss, "rms": loss.sqrt()}

    def outputs(self, batch: Batch) -> dict[str, Tensor]:
        return {"words": batch.tokens.float().mean(1)}

    def image_outputs(self, images: Tensor) -> dict[str, Tensor]:
        return {"hidden": self.first(images.flatten(1)), "brightness": images.mean((1, 2, 3))}


class Child(Family):
    """Reads what a frozen Toy gave."""

    parents = ("toy",)

    def __init__(self) -> None:
        super().__init__()
        self.config = {}
        self.head = nn.Linear(16, 1)

    def forward(self, batch: Batch, phase: Phase) -> dict[str, Tensor]:
        return {"loss": F.mse_loss(self.head(batch.parts["toy.hidden"])[:, 0], batch.parts["toy.brightness"])}


class Duel(Family):
    """Two phases. ``fail`` makes the second one not finite at a step."""

    phases = ("judge", "painter")
    overfit = "distance"

    def __init__(self, fail: int = -1) -> None:
        super().__init__()
        self.config = {"fail": fail}
        self.fail = fail
        self.judge = nn.Linear(PIXELS, 1)
        self.painter = nn.Linear(4, PIXELS)
        self.register_buffer("seen", torch.zeros(1))
        self.seen: Tensor

    def param_groups(self, phase: str) -> list[ParamGroup]:
        return [ParamGroup(list(getattr(self, phase).parameters()))]

    def forward(self, batch: Batch, phase: Phase) -> dict[str, Tensor]:
        real = batch.images.flatten(1)
        fake = self.painter(torch.randn(len(batch), 4, generator=phase.generator))
        if phase.name == "judge":
            self.seen += 1
            return {"loss": F.softplus(-self.judge(real)).mean() + F.softplus(self.judge(fake.detach())).mean()}
        bad = float("inf") if phase.step == self.fail else 0.0
        return {"loss": F.softplus(-self.judge(fake)).mean() + bad, "distance": (fake.mean(0) - real.mean(0)).norm()}


def stage(**changes: object) -> Stage:
    settings = {"family": "toy", "steps": 24, "batch": 8, "warmup": 3, "save_every": 5, "sample_every": 1000}
    return Stage(**{**settings, "lr": 3e-3, "muon_lr": 3e-3, **changes})  # type: ignore[arg-type]
