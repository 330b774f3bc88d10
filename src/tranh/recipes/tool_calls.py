"""Edits whose own call takes more than a system and a request, called by these alone; and who can do them.

It knows no table of tools; see :mod:`tranh.recipes.tools`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from tranh.diffusion.sample import seeded
from tranh.edits import complete as completing
from tranh.edits import enhance as mending
from tranh.edits import enlarge
from tranh.edits import latent as latents
from tranh.recipes import beside, instruct, latent_edits, toolbox, walks
from tranh.recipes import upscale as making
from tranh.recipes.enhancer import Enhancing, within
from tranh.recipes.pictures import Pictures, check, pictures, tensor_of
from tranh.recipes.reconstruct import Coder
from tranh.recipes.reconstruct import coder as found_coder
from tranh.types import Completes, Event, Generates, Request, TranhError, Unclips, capabilities


def generates(system: Any) -> None:
    """Refuse what makes no pictures of prompts."""
    if not isinstance(system, Generates):
        does = ", ".join(capabilities(system)) or "does nothing"
        raise TranhError(f"{_name(system)} makes no pictures of prompts (it {does}): name another model")


def generate(system: Any, request: Request) -> Iterator[Event]:
    generates(system)
    yield from system.generate_events(request)


def sweeps(system: Any) -> None:
    """Refuse what has no principal components to go along."""
    toolbox.known(toolbox.able(system))


def restyles(system: Any) -> None:
    """Refuse what neither follows instructions nor draws embeddings."""
    if not isinstance(system, Unclips):
        instruct.able_part(system)


def enhancer(system: Any) -> Any:
    """Who enlarges and mends for a system: a part of its own, one beside it, or the system itself."""
    own = within(system)
    if isinstance(own, Enhancing):
        return own
    near = (getattr(system, "beside", None), beside.shipped())
    helpers = (within(one) for one in near if one is not None)
    return next((one for one in helpers if isinstance(one, Enhancing)), system)


def enlarges(system: Any) -> None:
    enlarge.able(enhancer(system), _name(system))


def mends(system: Any) -> None:
    mending.able(enhancer(system), _name(system))


def upscale(system: Any, request: Request, factor: int | None = None, sampled: bool = False) -> Iterator[Event]:
    enlarges(system)
    if request.size is not None and factor is not None:
        raise TranhError("give either a size or a factor")
    if request.steps is not None and not sampled:
        raise TranhError("steps are those of a sampled picture: ask for that, or leave them out")
    yield from making.upscale(enhancer(system), request, factor, sampled, system)


def enhance(system: Any, request: Request, straighten: bool = True) -> Iterator[Event]:
    mends(system)
    yield from making.enhance(enhancer(system), request, straighten, system)


def completes(system: Any) -> None:
    """Refuse what does not draw from top to bottom."""
    if not isinstance(system, Completes):
        next(completing.complete(system, Image.new("RGB", (1, 1)), Request(""), name=_name(system)), None)


def complete(system: Any, request: Request, rows: float = 0.5) -> Iterator[Event]:
    image = _given(request)
    yield from completing.complete(system, image, request, rows, _name(system))


def animate(
    system: Any, request: Request, keys: Sequence[walks.Key] = (), even: bool = True, loop: bool = True
) -> Iterator[Event]:
    alone = request.replace(seeds=())  # here they are the keys', not the pictures'
    yield from walks.animate(system, alone, keys, request.seeds, loop=loop, rounds=2 if even else 0)


def coder(system: Any) -> Coder:
    """What encodes and decodes pictures in a system.

    Raises:
        TranhError: nothing does.
    """
    return found_coder(system, _name(system))


def latent(system: Any, request: Request, attribute: str | None = None, level: str = "one") -> Iterator[Event]:
    """From ``request.image`` to ``request.other`` in ``frames`` pictures, or with less and more of an attribute of
    Scenes."""
    found, image = coder(system), _given(request)
    if (request.other is None) == (not attribute):
        raise TranhError("give either another picture to walk to, or an attribute")
    start = tensor_of(image, found.size)
    yield Event("walk", 0, 1)
    if request.other is not None:
        made = latents.interpolate(found.part, start, tensor_of(request.other, found.size), request.frames or 8)
        told: list[dict[str, Any]] = [{"share": k / (len(made) - 1)} for k in range(len(made))]
    else:
        made = latent_edits.attribute(found, start, {"source": "scenes", "levels": {level: 1.0}}, str(attribute))
        told = [{"attribute": attribute, "amount": amount} for amount in latent_edits.STRENGTHS]
    yield _made(system, request, made, "latent", told)


def denoise(system: Any, request: Request, noise: float = 0.0, rounds: int = 1) -> Iterator[Event]:
    """``request.image`` through the latents, after noise was added."""
    found, image = coder(system), _given(request)
    x = tensor_of(image, found.size)
    yield Event("denoise", 0, 1)
    noisy = (x + noise * seeded([request.seed], x.shape[1:])()).clamp(-1, 1)
    made = latents.denoise(found.part, noisy, rounds)
    yield _made(system, request, made, "denoise", [{"noise": noise, "rounds": rounds}])


def fill(
    system: Any, request: Request, box: Sequence[float] = (0.5, 0, 1, 1), rounds: int = latent_edits.ROUNDS
) -> Iterator[Event]:
    """The white part of ``request.mask``, or a box, made of what is around it."""
    found, image = coder(system), _given(request)
    x = tensor_of(image, found.size)
    if request.mask is not None:
        known = (tensor_of(request.mask, found.size).mean(1, keepdim=True) < 0).float()
    else:
        known = latent_edits.missing(found.size, box)
    yield Event("fill", 0, 1)
    made = latents.fill(found.part, x, known, rounds)
    yield _made(system, request, made, "fill", [{"rounds": rounds}])


def _made(system: Any, request: Request, x: Tensor, edit: str, told: Sequence[dict[str, Any]]) -> Event:
    common: dict[str, Any] = {"prompt": "", "edit": edit, "seed": request.seed, "size": x.shape[-1]}
    common |= {"model": _name(system), "hash": getattr(system, "hash", None)}
    with torch.no_grad():
        return Event(edit, 1, 1, result=Pictures(pictures(x), [], [common | one for one in told]))


def _given(request: Request) -> Image.Image:
    check(request)
    if request.image is None:
        raise TranhError("there is no picture to begin from: give one")
    return request.image


def _name(system: Any) -> str:
    return str(getattr(system, "name", type(system).__name__))
