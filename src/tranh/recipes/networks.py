"""Feature networks that measures are taken in: the project's own frozen one, or Inception from a file of weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from tranh.engine.weights import fingerprint
from tranh.families.verifier import Verifier
from tranh.metrics.network import Network
from tranh.nn.pixels import resized
from tranh.recipes import inception, models
from tranh.types import TranhError

BATCH = 64
SIDE = 64


def network(name_or_file: str | Path = models.JUDGE) -> Network:
    """The feature network of a name, ``verifier-1``, or of a file that ``tranh import-inception`` wrote.

    Raises:
        TranhError: there is none of that name, or the file does not hold an Inception.
    """
    if str(name_or_file) == models.JUDGE:
        return own()
    path = Path(name_or_file)
    if path.is_file():
        return inception.load(path)
    raise TranhError(
        f"no feature network is called {str(name_or_file)!r}: use {models.JUDGE}, or the path of Inception weights as "
        "`tranh import-inception FILE.pth OUT.safetensors` writes them."
    )


def tiled(function: Callable[[Tensor], Tensor], side: int) -> Callable[[Tensor], Tensor]:
    """A function of resized pictures, a few at a time, its rows on the CPU."""

    @torch.no_grad()
    def run(images: Tensor) -> Tensor:
        return torch.cat([function(resized(tile.float(), side)).float().cpu() for tile in images.split(BATCH)])

    return run


@cache
def own() -> Network:
    """The verifier, as a feature network: trained on Scenes, frozen, shipped with the package.

    Its features are normalised in every picture, as its own answers read them: as they are they are hundreds large.
    """
    verifier = models.verifier()

    def features(images: Tensor) -> Tensor:
        x = verifier.features(images)
        return F.layer_norm(x, x.shape[1:])

    return Network(
        models.JUDGE,
        fingerprint(verifier.state_dict()),
        f"antialiased bilinear to {SIDE} px, features of each picture normalised",
        tiled(features, SIDE),
        tiled(lambda images: looks(verifier, images), SIDE),
    )


def looks(verifier: Verifier, images: Tensor) -> Tensor:
    """(B, K) probabilities of every combination of what the verifier reads of a whole picture.

    Its fields (of Scenes: setting, light, style) are answered apart, so a combination has the product of their
    probabilities.
    """
    answers = verifier.maps(images)[1].split(verifier.picture_sizes, dim=1)
    joint = torch.ones(len(images), 1, device=images.device)
    for logits in answers:
        joint = (joint[:, :, None] * logits.softmax(1)[:, None]).flatten(1)
    return joint
