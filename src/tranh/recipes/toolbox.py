"""The toolbox of DALL-E 2 put together: files and words to embeddings and noise, walks among them, and pictures again.

It knows systems that ``Unclips``, whatever family draws them; what is done to embedding and noise, ``edits`` knows.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from tranh.data.decode import BrokenPicture, decode
from tranh.data.fit import square
from tranh.data.look import Look
from tranh.diffusion.sample import seeded
from tranh.edits import interpolate as walks
from tranh.edits import invert, sweep, textdiff, variation
from tranh.families.ar_prior import ArPrior
from tranh.metrics.psnr import psnr
from tranh.nn.pixels import to_images
from tranh.recipes.larger import computed, drawn, larger, side_of
from tranh.recipes.pictures import Pictures, check, pictures, seeds_of, tensor_of
from tranh.recipes.system import candidates
from tranh.text.prompt import Prompt
from tranh.text.tokenizer import Tokenizer
from tranh.types import Denoiser, Event, Request, Step, TranhError, Unclips, capabilities

FOREIGN = 25.0
"""Decibels: a picture that the decoder's own rendering is further from is not of the model's world."""

KEPT_SEED = (1 << 40) + 29
"""Of what inversion adds where seeds are for what follows: it must not make two pictures of one."""

FRAMES = 8
REACH = 3.0
"""Standard deviations of a sweep, both ways."""

BATCH = 64
Found = TypeVar("Found")


class Hierarchy(Unclips, Protocol):
    """What is asked of a system beside the capability: what every system of ours has."""

    name: str
    tokenizer: Tokenizer

    @property
    def sizes(self) -> tuple[int, ...]: ...

    @property
    def guidance(self) -> float | None: ...

    @property
    def parts(self) -> Any: ...

    def checked_size(self, size: int | None) -> int: ...

    def understand(self, prompt: str, allow_unknown: bool = False) -> Prompt: ...

    def settings(self, request: Request, prompt: Prompt, seed: int) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Latent:
    """A picture (1, 3, S, S) as its embedding (1, D) and the noise (1, 3, S, S) it is drawn from, told ``words``."""

    image: Tensor
    embedding: Tensor
    noise: Tensor
    words: str


@dataclass(frozen=True)
class Asked:
    """A request that can be met: the system, the pictures (1, 3, S, S), and the words of both as understood."""

    system: Hierarchy
    request: Request
    images: tuple[Tensor, ...]
    source: Prompt
    prompt: Prompt
    ts: Tensor
    size: int
    notices: tuple[str, ...]


def reconstruct(system: object, request: Request) -> Iterator[Event]:
    """``request.image`` from its embedding and its noise alone; the settings have the figures of both.

    Yields:
        Progress; the last event's ``result`` is :class:`Pictures`, as everywhere here.

    Raises:
        TranhError: the system cannot, there is no picture, a word is unknown, as everywhere here.
    """
    asked = _asked(system, request)
    (seed, *_), image = seeds_of(request), asked.images[0]
    latent = yield from _told("invert", latent_of(asked.system, image, asked.source.text, seed, asked.ts))
    x = yield from drawn(invert.decode(_as_it_is(asked, latent), latent.noise, asked.ts))
    told = {"edit": "reconstruct", **figures(x, image, latent.noise)}
    yield from _given(asked, [(seed, x, told)])


def vary(system: object, request: Request) -> Iterator[Event]:
    """Variations of ``request.image``; ``strength`` 0 gives it back, 1 keeps its embedding alone (default 0.5).

    Of several candidates that is kept whose own embedding is nearest to the picture's.
    """
    asked = _asked(system, request)
    strength = _strength(request, 0.5)
    guidance = asked.system.guidance if request.guidance is None else request.guidance
    found = latent_of(asked.system, asked.images[0], asked.source.text, KEPT_SEED, asked.ts)
    latent = yield from _told("invert", found)

    def made(seed: int) -> Iterator[Step]:
        fresh = seeded([seed], latent.noise.shape[1:])()
        yield from variation.variation(
            asked.system, latent.embedding, latent.noise, fresh, strength, asked.ts, latent.words, guidance or 1.0
        )

    told = {"edit": "variation", "strength": strength, "guidance": guidance}
    yield from _best(asked, made, latent.embedding, told)


def diff(system: object, request: Request) -> Iterator[Event]:
    """``request.image`` moved from the caption ``source`` (or the empty one) to ``prompt``, by ``strength`` (1).

    Of several candidates, which begin from other noise, that is kept whose own embedding is nearest to the new caption.
    """
    if not request.prompt:
        raise TranhError("a text diff needs the caption that the picture is moved towards: what it should show")
    asked = _asked(system, request)
    strength = _strength(request, 1.0)
    guidance = textdiff.GUIDANCE if request.guidance is None else request.guidance
    words = (asked.source.text, asked.prompt.text)
    texts = asked.system.embed_texts(*asked.system.tokenizer.encode(words))

    def made(seed: int) -> Iterator[Step]:
        latent = yield from latent_of(asked.system, asked.images[0], words[0], seed, asked.ts)
        yield from textdiff.textdiff(
            asked.system, latent.embedding, (texts[:1], texts[1:]), latent.noise, strength, asked.ts, words, guidance
        )

    told = {"edit": "textdiff", "strength": strength, "guidance": guidance}
    yield from _best(asked, made, texts[1:], told)


def interpolate(system: object, request: Request) -> Iterator[Event]:
    """A walk of ``frames`` pictures from ``request.image`` to ``request.other``.

    ``source`` says what the first shows, ``prompt`` what the second does, as far as anything is to be said.
    """
    asked = _asked(system, request, other=True)
    frames, seed = _frames(request), seeds_of(request)[0]
    words, ends = (asked.source.text, asked.prompt.text), []
    for image, said in zip(asked.images, words, strict=True):
        ends.append((yield from _told("invert", latent_of(asked.system, image, said, seed, asked.ts))))
    a, b = ends
    made = []
    for k in range(frames):
        share = k / (frames - 1)
        walk = walks.interpolate(asked.system, (a.embedding, b.embedding), (a.noise, b.noise), share, asked.ts, words)
        made.append((seed, (yield from drawn(walk)), {"edit": "interpolate", "share": share}))
    yield from _given(asked, made)


def likened(system: object, request: Request) -> Iterator[Event]:
    """``request.image`` with its embedding brought nearer to that of ``request.other``, by ``strength`` (0.5), drawn
    from its own noise: the layout stays as far as noise decides it."""
    asked = _asked(system, request, other=True)
    strength, (image, other) = _strength(request, 0.5), asked.images
    towards = asked.system.embed_images(other)

    def made(seed: int) -> Iterator[Step]:
        latent = yield from latent_of(asked.system, image, asked.source.text, seed, asked.ts)
        embedding = walks.slerp(latent.embedding, towards, strength)
        yield from invert.decode(asked.system.unclip(embedding, [latent.words], 1.0), latent.noise, asked.ts)

    yield from _best(asked, made, towards, {"edit": "restyle", "strength": strength})


def swept(system: object, request: Request, component: int = 1, folder: Path | None = None) -> Iterator[Event]:
    """``request.image`` with less and more of a principal component of the embeddings: ``frames`` pictures.

    Args:
        component: from 1, the strongest.
        folder: of pictures whose embeddings are looked through; None for the components that the system's
            autoregressive prior keeps.
    """
    asked = _asked(system, request)
    frames, seed = _frames(request), seeds_of(request)[0]
    embedding = asked.system.embed_images(asked.images[0])
    if not 1 <= component <= embedding.shape[-1]:  # before a folder is looked through
        raise TranhError(f"component is {component}; allowed: 1 to {embedding.shape[-1]}")
    found = known(asked.system) if folder is None else (yield from _looked_through(asked, folder))
    amounts = torch.linspace(-REACH, REACH, frames).tolist()
    embeddings = sweep.sweep(embedding, found, component, amounts)
    told = [{"edit": "sweep", "component": component, "amount": amount} for amount in amounts]
    yield from _each(asked, embeddings, seed, told)


def slid(system: object, request: Request, along: Tensor, amounts: Sequence[float]) -> Iterator[Event]:
    """``request.image`` with its embedding moved along a direction (D,) by each of some amounts of it."""
    asked = _asked(system, request)
    embeddings = sweep.slide(asked.system.embed_images(asked.images[0]), along, amounts)
    told = [{"edit": "latent", "amount": amount} for amount in amounts]
    yield from _each(asked, embeddings, seeds_of(request)[0], told)


def _each(asked: Asked, embeddings: Tensor, seed: int, told: Sequence[Mapping[str, Any]]) -> Iterator[Event]:
    """The picture with each of some embeddings (K, D) in the place of its own, drawn from its own noise."""
    latent = yield from _told("invert", latent_of(asked.system, asked.images[0], asked.source.text, seed, asked.ts))
    made = []
    for k, how in enumerate(told):
        denoiser = asked.system.unclip(embeddings[k : k + 1], [latent.words], 1.0)
        x = yield from drawn(invert.decode(denoiser, latent.noise, asked.ts))
        made.append((seed, x, how))
    yield from _given(asked, made)


def figures(rebuilt: Tensor, image: Tensor, noise: Tensor) -> dict[str, float]:
    """How good an inversion is: PSNR in dB of a picture (1, 3, S, S), mean and variance of the noise found."""
    return {
        "psnr": float(psnr(rebuilt, image)), "noise_mean": float(noise.mean()), "noise_variance": float(noise.var())
    }  # fmt: skip


def latent_of(system: Unclips, image: Tensor, words: str, seed: int, ts: Tensor) -> Generator[Step, None, Latent]:
    """Find the noise of a picture (1, 3, S, S); every step is yielded, the latent returned.

    Args:
        words: what it shows, empty if unknown; seed: of the noise that inversion adds; ts: of ``invert.times``.
    """
    embedding = system.embed_images(image)
    denoiser, start, x = system.unclip(embedding, [words], 1.0), seeded([seed], image.shape[1:])(), image
    start = (start - start.mean()) / start.std()  # what is put in shall not be what makes the noise found uneven
    for step in computed(invert.invert(denoiser, image, start, ts)):
        x = step.x
        yield step
    return Latent(image, embedding, x, words)


def able(system: Any) -> Hierarchy:
    """The system, if it draws what embeddings mean.

    Raises:
        TranhError: it does not; says what it does instead.
    """
    name = getattr(system, "name", type(system).__name__)
    if getattr(system, "clip", system) is None:
        raise TranhError(f"{name} has no CLIP, so it knows no embeddings of pictures: name a whole hierarchy")
    if not isinstance(system, Unclips):
        does = ", ".join(capabilities(system)) or "does nothing"
        raise TranhError(
            f"{name} cannot draw what an embedding means (it {does}); a hierarchy can: tranh-1, or an export of "
            "`tranh train unclip`"
        )
    found: Hierarchy = system  # type: ignore[assignment]
    return found


def _asked(system: Any, request: Request, other: bool = False) -> Asked:
    """What is asked, checked before any long work."""
    check(request)
    found = able(system)
    wanted = (request.image, request.other) if other else (request.image,)
    given = [image for image in wanted if image is not None]
    if len(given) < len(wanted):
        raise TranhError("two pictures are needed to walk between" if other else "there is no picture to begin from")
    size = side_of(found, request, found.sizes[0])
    ts = invert.times(request.steps)
    source, prompt = (
        found.understand(text, request.allow_unknown) if text else Prompt("", "", "und")
        for text in (request.source, request.prompt)
    )
    images, notices = [], [*source.notices, *prompt.notices]
    for image in given:
        if image.width != image.height:
            notices.append(f"the picture is {image.width} x {image.height}: its middle square is taken")
        images.append(tensor_of(image, found.sizes[0]))
    with torch.no_grad():
        for x in images:
            near = float(psnr(_own(found, x).clamp(-1, 1), x))
            if near < FOREIGN:
                notices.append(
                    f"the picture is not of {found.name}'s world (drawn by itself it is {near:.1f} dB off, {FOREIGN:g} "
                    "and more is usual): what comes will be something of its own"
                )
    return Asked(found, request, tuple(images), source, prompt, ts, size, tuple(dict.fromkeys(notices)))


def _own(system: Hierarchy, image: Tensor) -> Tensor:
    """The picture as the system would draw it."""
    return invert.seen(system.unclip(system.embed_images(image), [""], 1.0), image)


def _strength(request: Request, default: float) -> float:
    strength = default if request.strength is None else request.strength
    if not 0 <= strength <= 1:
        raise TranhError(f"strength is {strength}; allowed: 0 (the picture as it is) to 1")
    return strength


def _frames(request: Request) -> int:
    frames = FRAMES if request.frames is None else request.frames
    if not 2 <= frames <= 1000:
        raise TranhError(f"frames is {frames}; allowed: 2 to 1000")
    return frames


def _as_it_is(asked: Asked, latent: Latent) -> Denoiser:
    return asked.system.unclip(latent.embedding, [latent.words], 1.0)


def _best(
    asked: Asked, made: Callable[[int], Iterator[Step]], goal: Tensor, told: Mapping[str, Any]
) -> Iterator[Event]:
    """Draw every picture of a request from its seed; of several candidates the nearest to ``goal`` (1, D) is kept."""
    out, many = [], asked.request.candidates
    for seed in seeds_of(asked.request):
        found = []
        for tried in candidates(seed, many):
            x = yield from drawn(made(tried))
            near = float((asked.system.embed_images(x) * goal).sum()) if many > 1 else 0.0
            found.append((near, tried, x))
        near, tried, x = max(found, key=lambda one: one[0])
        chosen = {"candidates": many, "chosen_seed": tried, "similarity": near} if many > 1 else {}
        out.append((seed, x, {**told, **chosen}))
    yield from _given(asked, out)


def _given(asked: Asked, made: Sequence[tuple[int, Tensor, Mapping[str, Any]]]) -> Iterator[Event]:
    """The end of every edit: pictures (1, 3, S, S) at the size asked for, with what repeats them."""
    system, images, settings = asked.system, [], []
    for seed, x, told in made:
        x = yield from larger(system, x, asked.size)
        images += pictures(x)
        how = {"steps": len(asked.ts) - 1, "size": asked.size, "prior": None, "source": asked.source.original}
        settings.append(system.settings(asked.request, asked.prompt, seed) | how | dict(told))
    yield Event("draw", 1, 1, result=Pictures(images, list(asked.notices), settings))


def _told(stage: str, steps: Generator[Step, None, Found]) -> Generator[Event, None, Found]:
    """Progress of a walk; what it returns is returned."""
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            found: Found = end.value
            return found
        yield Event(stage, step.index, step.steps)


def known(system: Hierarchy) -> sweep.Components:
    """The components that the autoregressive prior cuts embeddings along."""
    part = system.parts.get("ar_prior")
    if not isinstance(part, ArPrior):
        raise TranhError(
            f"{system.name} keeps no principal components (it has no autoregressive prior): give a folder of pictures "
            "to find them in, --folder PATH"
        )
    pca = part.pca
    total = 1 - pca.mean.square().sum()  # embeddings have unit length
    return sweep.Components(pca.components, (pca.explained * total).clamp(min=0).sqrt())


def _looked_through(asked: Asked, folder: Path) -> Generator[Event, None, sweep.Components]:
    """The components of the embeddings of a folder's pictures; what cannot be read is passed over."""
    look, side, found = Look(folder), asked.system.sizes[0], []
    place, names = look.files(), list(look.pictures)
    for start in range(0, len(names), BATCH):
        pixels = []
        for name in names[start : start + BATCH]:
            try:
                pixels.append(np.asarray(square(decode(place.read(name)).image, side)))
            except BrokenPicture:
                continue
        if pixels:
            found.append(asked.system.embed_images(to_images(np.stack(pixels))))
        yield Event("embed", min(start + BATCH, len(names)), len(names))
    return sweep.components(torch.cat(found) if found else torch.empty(0, 1))
