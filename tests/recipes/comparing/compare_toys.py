"""Recipes and families that train in seconds: one that paints, one that copies, one that breaks. And a clock."""

from __future__ import annotations

import sys
import time
import types
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import nn

from tranh.diffusion.sample import seeded
from tranh.engine import find, fit, run_report, train
from tranh.recipes import run
from tranh.types import Autoencodes, Draws, Family, Recipe, Stage, Step

SIDE = 64


class Painter(Family):
    """A bag of words becomes eight by eight colours, ``slow`` is what a step takes."""

    def __init__(self, *, vocab: int, width: int = 16, slow: float = 0.0, side: int = SIDE) -> None:
        super().__init__()
        self.config = {"vocab": vocab, "width": width, "slow": slow, "image_size": side}
        self.words = nn.EmbeddingBag(vocab, width, mode="mean")
        self.out = nn.Linear(width, 3 * 64)
        self.unused = nn.Linear(7, 11)  # trained, and not read in drawing

    def paint(self, tokens, mask, noise):
        bags = [row[m] for row, m in zip(tokens, mask)]
        offsets = torch.tensor([0, *[len(b) for b in bags[:-1]]]).cumsum(0)
        small = self.out(self.words(torch.cat(bags), offsets)).view(-1, 3, 8, 8) + 0.1 * noise
        return F.interpolate(small.tanh().float(), self.config["image_size"], mode="bilinear")

    def forward(self, batch, phase):
        CLOCK.tick(self.config["slow"])
        noise = torch.randn(len(batch), 3, 8, 8, generator=phase.generator)
        x = self.paint(batch.tokens, batch.mask, noise)
        return {"loss": F.mse_loss(x, batch.images) + 0.1 * sum(p.square().mean() for p in self.unused.parameters())}

    def draw(self, tokens, mask, seeds, *, steps=None, guidance=None, away=None):
        x = self.paint(tokens, mask, seeded(seeds, (3, 8, 8))()).clamp(-1, 1)
        yield Step(1, 1, 0.0, x, x)


class Mirror(Family):
    """Takes pictures apart and puts them together again; knows no captions and draws nothing."""

    def __init__(self, *, slow: float = 0.0) -> None:
        super().__init__()
        self.config = {"slow": slow}
        self.down, self.up = nn.Conv2d(3, 8, 4, 4), nn.ConvTranspose2d(8, 3, 4, 4)

    def encode(self, images):
        return self.down(images)

    def decode(self, latents):
        return self.up(latents)

    def forward(self, batch, phase):
        CLOCK.tick(self.config["slow"])
        return {"loss": F.mse_loss(self.decode(self.encode(batch.images)).float(), batch.images)}


class Broken(Mirror):
    """Falls over when it has begun to train."""

    def forward(self, batch, phase):
        if phase.step >= 3:
            raise RuntimeError("the roof fell in")
        return super().forward(batch, phase)


class Clock:
    """Time that passes when a network is asked, and not otherwise."""

    def __init__(self) -> None:
        self.now = 0.0

    def tick(self, seconds: float) -> None:
        self.now += seconds


CLOCK = Clock()
FAMILIES = {"painter": Painter, "mirror": Mirror, "broken": Broken}


def stages(**given: str) -> dict[str, Stage]:
    return {name: Stage(family) for name, family in given.items()}


def recipe(name: str, slow: float, **given: str):
    """A recipe of a shape: stages by name, the last the system's own; ``slow`` seconds a step by the fake clock."""

    def make(data=None) -> Recipe:
        told = dict(data or {"source": "scenes", "levels": {"one": 1.0}})
        told |= {"count": 64} if told["source"] == "scenes" else {}
        made = {
            k: Stage(v, model={"slow": slow}, data=told, steps=6, batch=4, save_every=50, sample_every=1000,
                     warmup=1, share=1 / len(given), precision="fp32")
            for k, v in given.items()
        }  # fmt: skip
        draws = issubclass(FAMILIES[list(given.values())[-1]], Painter)
        return Recipe(name, made, system="tranh.recipes.system:assemble" if draws else None, parts=list(given)[-1:])

    return make


def small(data=None) -> Recipe:
    """A painter of small pictures."""
    made = RECIPES["toy_paint"](data).stages["paint"]
    paint = replace(made, model={**made.model, "side": 16}, data={**made.data, "size": 16})
    return replace(RECIPES["toy_paint"](data), name="toy_dot", stages={"paint": paint})


RECIPES = {
    "toy_paint": recipe("toy_paint", 0.4, paint="painter"),
    "toy_two": recipe("toy_two", 0.2, help="mirror", paint="painter"),
    "toy_mirror": recipe("toy_mirror", 0.4, mirror="mirror"),
    "toy_dot": small,
    "toy_bad": recipe("toy_bad", 0.5, mirror="broken"),
}


def install(patch) -> None:
    """Let the toys be found where recipes and families are found."""
    for name, make in RECIPES.items():
        module = types.ModuleType(f"{run.PACKAGE}.{name}")
        module.recipe = make
        patch.setitem(sys.modules, module.__name__, module)
    real = find.family
    patch.setattr(find, "family", lambda name: FAMILIES.get(name) or real(name))
    patch.setattr(run, "names", lambda: sorted(RECIPES))
    patch.setattr(run_report, "panels", lambda log, measured: {})  # half of the time, and tested elsewhere
    patch.setattr(train, "draw_loss", lambda log, path, title: None)
    assert issubclass(Painter, Draws) and issubclass(Mirror, Autoencodes)


def fake_clock(patch) -> None:
    def now() -> float:
        return CLOCK.now

    patch.setattr(time, "perf_counter", now)
    patch.setitem(fit.measure.__kwdefaults__, "clock", now)  # a default is bound once
