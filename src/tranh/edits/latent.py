"""Edits in the latent space of anything that encodes and decodes: walks, attribute directions, denoising, filling in.

They ask for ``Autoencodes`` and know no family. Pictures are (B, 3, S, S) in [-1, 1], latents (B, ...).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from tranh.edits.interpolate import slerp
from tranh.types import Autoencodes, TranhError, capabilities

FEW = 8
"""Fewest pictures with and without an attribute that give a direction."""


def able(model: object, name: str = "the model") -> Autoencodes:
    """The model, if it can.

    Raises:
        TranhError: it does not encode and decode pictures; says what it does instead.
    """
    if not isinstance(model, Autoencodes):
        does = ", ".join(capabilities(model)) or "does nothing"
        raise TranhError(
            f"{name} has no latent space of pictures (it {does}): name a model that encodes and decodes them, such as "
            "an export of `tranh train autoencoder` or `tranh train vae`"
        )
    return model


@torch.no_grad()
def rebuilt(model: Autoencodes, images: Tensor) -> Tensor:
    """Through the latents and back, clipped to [-1, 1]."""
    return model.decode(model.encode(images)).float().clamp(-1, 1)


@torch.no_grad()
def interpolate(model: Autoencodes, a: Tensor, b: Tensor, steps: int = 8) -> Tensor:
    """The way from the latent of one picture to that of another: straight, or along the sphere where the model says
    ``sphere``, that its latents are as many independent normal numbers and so all of about one length.

    Args:
        a, b: one picture each, (1, 3, S, S).

    Returns:
        (steps, 3, S, S); the first and last are the rebuilt pictures themselves.
    """
    za, zb = model.encode(a), model.encode(b)
    za, zb = (z.expand(steps, *z.shape[1:]) for z in (za, zb))
    weights = torch.linspace(0, 1, steps, device=za.device)
    if getattr(model, "sphere", False):
        z = slerp(za, zb, weights)
    else:
        z = torch.lerp(za, zb, weights.view(-1, *[1] * (za.ndim - 1)))
    return model.decode(z).float().clamp(-1, 1)


@torch.no_grad()
def latents_of(model: Autoencodes, batches: Iterable[Tensor]) -> Tensor:
    """Latents of many pictures, batch by batch, (N, ...)."""
    return torch.cat([model.encode(images).float() for images in batches])


def direction(latents: Tensor, has: Tensor) -> Tensor:
    """From pictures without an attribute to those with it: the difference of their mean latents (Larsen et al. 2016).

    Args:
        latents: (N, ...); has: (N,) bool.

    Raises:
        TranhError: fewer than ``FEW`` pictures with it, or without.
    """
    yes, no = int(has.sum()), int((~has).sum())
    if min(yes, no) < FEW:
        raise TranhError(
            f"{yes} pictures have the attribute and {no} have it not; a direction needs {FEW} of both. Choose another "
            "word, or look at more pictures."
        )
    return latents[has].mean(0) - latents[~has].mean(0)


@torch.no_grad()
def move(model: Autoencodes, image: Tensor, along: Tensor, strengths: Sequence[float]) -> Tensor:
    """One picture (1, 3, S, S) moved along a direction of its latent, (len(strengths), 3, S, S); 0 leaves it."""
    z = model.encode(image)
    amount = torch.tensor(list(strengths), device=z.device).view(-1, *[1] * along.ndim)
    return model.decode(z + amount * along.to(z.dtype)).float().clamp(-1, 1)


def denoise(model: Autoencodes, noisy: Tensor, rounds: int = 1) -> Tensor:
    """Noise is what does not fit through the latents: the picture rebuilt, ``rounds`` times."""
    for _ in range(rounds):
        noisy = rebuilt(model, noisy)
    return noisy


def fill(model: Autoencodes, images: Tensor, known: Tensor, rounds: int = 30) -> Tensor:
    """Missing parts by rebuilding again and again what is known beside what was made (Rezende et al. 2014, appendix F).

    Args:
        known: (B, 1, S, S) or (1, 1, S, S), 1 where a pixel is known, 0 where it is missing.

    Returns:
        the pictures, known pixels as they were.

    Raises:
        TranhError: nothing is known.
    """
    known = known.to(images.dtype)
    if not bool((known.flatten(1).sum(1) > 0).all()):
        raise TranhError("the mask covers the whole picture: leave some of it known (black in the mask)")
    rows = known.expand(len(images), 1, *images.shape[2:])
    mean = (images * rows).sum((2, 3), keepdim=True) / rows.sum((2, 3), keepdim=True)  # of what is known, per channel
    x = torch.where(rows > 0, images, mean)
    for _ in range(rounds):
        x = torch.where(rows > 0, images, rebuilt(model, x))
    return x


def surprise(model: Autoencodes, images: Tensor) -> Tensor:
    """How badly each picture is rebuilt, (B,): its mean squared error. What the model never saw, it cannot repeat."""
    return (rebuilt(model, images) - images).square().mean((1, 2, 3))
