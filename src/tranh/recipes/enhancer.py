"""The recipe of what makes pictures larger and mends poor ones, and the system that users hold.

It knows neither files nor verbs. On Scenes every stage sees windows of pictures drawn at several sizes, so that one
network enlarges 64 px to 256 and 256 px to 1024.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tranh.diffusion.sample import euler, seeded
from tranh.edits.enlarge import Conditioned, tiled
from tranh.engine.step import computing
from tranh.engine.weights import fingerprint
from tranh.families.enhancer import Enhancer
from tranh.families.straightener import Straightener
from tranh.types import Family, Recipe, Stage, Step, TranhError

PARTS = ("upscaler", "restorer", "straightener")
"""Stages, and parts of the system."""

SIDE = 128
"""Of tiles, in pixels of the small picture."""

SCENES = {"source": "scenes", "levels": {"one": 0.4, "full": 0.6}}


def recipe(data: Mapping[str, Any] | None = None) -> Recipe:
    """One network that enlarges, one that mends, one that finds the corners of a skewed picture.

    Args:
        data: of own pictures, ``{"source": PATH}``; None for Scenes.
    """
    if data is None or data["source"] == "scenes":
        scenes = SCENES | dict(data or {})
        large = scenes | {"lessons": "windows", "windows": [256, 512, 1024], "size": 128, "count": 4000}
        near, small = (
            scenes | {"lessons": "windows", "windows": [64, 128, 256], "size": 64, "count": 8000},
            scenes | {"size": 64},
        )
    else:
        large = near = small = dict(data)
        large = large | {"size": 128}
    mending = {"scale": 1, "fold": 2, "spread": 0.2, "means": 1.0}
    stages = {
        "upscaler": Stage("enhancer", data=large, steps=2400, batch=16, share=0.55),
        "restorer": Stage("enhancer", model=mending, data=near, steps=1500, batch=16, share=0.33),
        "straightener": Stage("straightener", data=small, steps=600, batch=64, share=0.12),
    }
    return Recipe(
        name="enhancer",
        stages={name: replace(stage, muon_lr=4e-3, decay=0.6) for name, stage in stages.items()},
        system="tranh.recipes.enhancer:assemble",
        parts=PARTS,
        cost="two cores: 30 minutes",
        expected="docs/edits/upscale.md says how to measure it against Lanczos",
    )


class Enhancing:
    """What users hold: larger pictures, and mended ones.

    Args:
        parts: ``upscaler`` and ``restorer`` (enhancers of scale 4, and of 1), ``straightener``; as far as trained.
        card: ``name`` and ``precision`` (fp32, or bf16 for matrix products) are read from it.
    """

    def __init__(self, parts: Mapping[str, Family], assets: Mapping[str, bytes], card: Mapping[str, Any]) -> None:
        self.parts, self.card = dict(parts), {"name": "enhancer", **card}
        self.name, self.precision = str(self.card["name"]), str(self.card.get("precision", "fp32"))
        self.upscaler, self.restorer = self._part("upscaler", Enhancer), self._part("restorer", Enhancer)
        self.straightener = self._part("straightener", Straightener)

    def _part(self, name: str, kind: type[Any]) -> Any:
        part = self.parts.get(name)
        if part is not None and not isinstance(part, kind):
            raise TranhError(f"part {name!r} is a {type(part).__name__}; it should be a {kind.__name__}")
        return part

    def _need(self, part: Any, name: str, stage: str) -> Any:
        if part is None:
            raise TranhError(f"{self.name} has no part that {name}: train its stage {stage} (tranh train enhancer)")
        return part

    @property
    def hash(self) -> str:
        """Names the weights, in the settings of every picture."""
        tensors = ((f"{n}.{k}", v) for n, part in self.parts.items() for k, v in part.state_dict().items())
        return fingerprint(dict(tensors))

    @property
    def device(self) -> torch.device:
        """Where its parts are."""
        return next(p.device for part in self.parts.values() for p in part.parameters())

    @property
    def tile(self) -> tuple[int, int]:
        """Side of the tiles that pictures are enlarged in, and their overlap, in pixels of the small picture. What
        counts most in a tile sees nothing of its edge."""
        return SIDE, 0 if self.upscaler is None else -(-self.upscaler.reach // self.upscaler.scale)

    @torch.no_grad()
    def enlarge(self, images: Tensor, seeds: Sequence[int], steps: int = 1) -> Iterator[Step]:
        """Pictures of any size four times as wide; see :class:`tranh.types.Enlarges`."""
        part: Enhancer = self._need(self.upscaler, "enlarges pictures", "upscaler")
        start = seeded(seeds, (3, *(part.scale * n for n in images.shape[-2:])), self.device)()
        side, overlap = self.tile
        denoise = tiled(self._denoiser(part), images, part.scale, side, overlap)
        for step in euler(denoise, start, part.grid(steps), floor=0.0):
            last = step.index == step.steps  # there x is x_0 but for rounding, which would leave a trace of the seed
            yield replace(step, x=step.x0) if last else step

    @torch.no_grad()
    def restore(self, images: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) as they were before they were worn: the mean of what they may have been."""
        part: Enhancer = self._need(self.restorer, "mends pictures", "restorer")
        H, W = images.shape[-2:]
        whole = F.pad(images, (0, -W % part.fold, 0, -H % part.fold), mode="replicate")
        denoise = tiled(self._denoiser(part), whole, 1, side=256, overlap=part.reach)
        return denoise(torch.zeros_like(whole), whole.new_ones(len(whole)))[..., :H, :W].clamp(-1, 1)

    def _denoiser(self, part: Enhancer) -> Conditioned:
        def denoise(x: Tensor, t: Tensor, poor: Tensor) -> Tensor:
            with computing(self.device, self.precision):
                return part.denoise(x, t, poor, torch.zeros_like(t)).float()

        return denoise

    @torch.no_grad()
    def corners(self, images: Tensor) -> Tensor:
        """Where the corners of pictures lie in their frames, (B, 4, 2), see :mod:`tranh.nn.degrade`."""
        part: Straightener = self._need(self.straightener, "finds corners", "straightener")
        with computing(self.device, self.precision):
            return part.corners(images).float()


def within(system: Any) -> Any:
    """The enhancer among the parts of a system, such as those shipped beside tranh-1; the system if there is none."""
    parts = {name: part for name, part in getattr(system, "parts", {}).items() if name in PARTS}
    return Enhancing(parts, {}, getattr(system, "card", {})) if parts else system


def assemble(parts: dict[str, Family], assets: dict[str, bytes], card: dict[str, Any]) -> Enhancing:
    """What ``load`` returns for an exported enhancer."""
    return Enhancing(parts, assets, card)
