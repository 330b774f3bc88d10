"""The words of the project: what flows between its parts, and what a model can do.

This module knows no family, no file format and no command. Everything else imports it, so it imports only torch.
Conventions: pictures are float32 NCHW in [-1, 1]; captions are ``str``; time t is 1 at pure noise and 0 at the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import torch
from PIL.Image import Image
from torch import Tensor, nn


class TranhError(Exception):
    """A fault the user can mend. The message says what was given, what is allowed and what to do."""


@dataclass(frozen=True)
class Batch:
    """Captioned pictures on their way to a network.

    Attributes:
        images: (B, 3, H, W) float32 in [-1, 1].
        captions: B captions, already normalised.
        tokens: (B, T) int64, padded; ``mask`` (B, T) bool is True where a token is real.
        ids: (B,) int64, the same for the same example at any time; keys the cache of frozen outputs.
        labels: what is known beyond the caption (Scenes: facts per token and per picture), by name; ``language`` is
            the caption's, as its place among the names the source has in ``spoken``.
        parts: outputs of frozen parent stages for these examples, by name (``clip.image``: (B, D)).
    """

    images: Tensor
    captions: Sequence[str]
    tokens: Tensor
    mask: Tensor
    ids: Tensor
    labels: Mapping[str, Tensor] = field(default_factory=dict)
    parts: Mapping[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def replace(self, **changes: Any) -> Batch:
        return replace(self, **changes)


@dataclass(frozen=True)
class Phase:
    """Where training stands when a loss is asked for.

    Attributes:
        name: one of the family's ``phases``; most have only ``"train"``, a GAN has two.
        step, steps: optimiser steps done, and the number the schedules are made for.
        generator: the only source of randomness a loss may use.
    """

    name: str
    step: int
    steps: int
    generator: torch.Generator

    @property
    def progress(self) -> float:
        """Share of the run behind us, in [0, 1]."""
        return self.step / max(1, self.steps)


@dataclass(frozen=True)
class ParamGroup:
    """Parameters that share an optimiser. ``lr_scale`` multiplies the recipe's learning rate for that optimiser.

    ``betas`` are AdamW's; the short second moment is that of transformers trained with large batches.
    """

    params: Sequence[nn.Parameter]
    optimizer: Literal["adamw", "muon"] = "adamw"
    lr_scale: float = 1.0
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.95)


class _Shared(dict[str, Any]):
    """Modules that are another's: not registered, so neither trained nor saved, and not copied with who holds them."""

    def __deepcopy__(self, memo: object) -> _Shared:
        return self


class Family(nn.Module):
    """One system that is trained: networks, their loss, and how it makes pictures.

    ``forward(batch, phase)`` *is* the loss: a dict of scalars whose ``"loss"`` is minimised. A family's name is the
    name of its file. Its constructor takes plain keyword arguments (JSON values); ``config`` keeps them, so that
    ``type(family)(**family.config)`` builds the same networks again.

    Attributes:
        phases: names of the updates made, in order, in every step.
        overfit: the key of ``forward``'s result that must fall when one batch is learned by heart.
        overfit_below: the share of its first value that the overfitted figure must fall below.
        samplers: names that its ``draw`` takes as ``sampler``; empty for one that draws in one way.
        shared: what of it answers rows of many requests in one call, see :mod:`tranh.recipes.served`: methods, and
            networks whose ``forward`` is meant, with dots where they lie deeper. Row k of an answer depends on row k
            of the tensors alone.
        parents: names of the frozen stages whose outputs it reads from ``batch.parts``.
        met: those stages themselves, see :meth:`meet`; no part of its own weights.
    """

    phases: tuple[str, ...] = ("train",)
    overfit: ClassVar[str] = "loss"
    overfit_below: ClassVar[float] = 0.5
    samplers: ClassVar[tuple[str, ...]] = ()
    shared: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    met: Mapping[str, Family] = MappingProxyType({})
    config: dict[str, Any]

    def forward(self, batch: Batch, phase: Phase) -> dict[str, Tensor]:
        raise TypeError(f"{type(self).__name__} does not say its loss: define forward(batch, phase)")

    def param_groups(self, phase: str) -> list[ParamGroup]:
        """Who is updated in a phase, and by which optimiser: by default everything, by AdamW."""
        return [ParamGroup([p for p in self.parameters() if p.requires_grad])]

    def meet(self, parents: Mapping[str, Family]) -> None:
        """Be handed the frozen stages it stands on, by part name, before training and before drawing.

        For what their outputs cannot give: a gradient through one (a matching loss), or a way back (latents to pixels).
        """
        self.met = _Shared(parents)

    def prepare(self, batches: Iterable[Batch]) -> None:
        """Fill the buffers that are learned before training (means, PCA, codebooks); called once, saved by the run."""

    def adopt(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Weights to begin from, given those of another run of this family; by default they must fit as they are."""
        return tensors

    def fitting(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Its own weights, with those of ``tensors`` in their places that have a name and a shape of its own."""
        own = self.state_dict()
        return own | {k: v for k, v in tensors.items() if k in own and own[k].shape == v.shape}

    def outputs(self, batch: Batch) -> dict[str, Tensor]:
        """What a child stage may read of this one once it is frozen, by name; one row per example."""
        return {}

    def image_outputs(self, images: Tensor) -> dict[str, Tensor]:
        """The same for what depends on the picture alone; remembered per example: captions change, pictures do not."""
        return {}

    def shown(self, x0: Tensor) -> Tensor:
        """Pictures (B, 3, S, S) of the estimates its steps carry before the last; by default these are pictures."""
        return x0


@dataclass(frozen=True)
class Stage:
    """One training run inside a recipe.

    Attributes:
        family: name of a file in ``families``.
        model: keyword arguments of the family.
        data: keyword arguments of the source of captioned pictures; ``source`` names it.
        parents: part name -> stage name whose frozen run it stands on.
        steps: optimiser steps; ``--minutes`` replaces it after measuring the speed. 0 takes ``init`` over as it is.
        batch: pictures per step.
        lr: peak learning rate of AdamW; ``muon_lr`` of Muon.
        warmup: steps of linear warm-up; ``decay``: share of the steps at the end in which the rate falls linearly to 0.
        clip: largest norm of the gradient.
        ema: widths of the weight averages kept, as a share of the steps so far (EDM2); one is chosen after training.
        precision: dtype of the computation; weights are always kept in float32.
        sample_every, save_every: steps between sample grids and between checkpoints.
        metrics_every: steps between points of the measures' curves, and one at the end; 0 for none.
        metrics_count: held-out examples each point rests on.
        init: a run, or a part of an exported model, whose weights are the start; or None.
        share: share of the recipe's minutes given to this stage when ``--minutes`` is used.
        seed: of weights, data order and noise.
    """

    family: str
    model: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    parents: Mapping[str, str] = field(default_factory=dict)
    steps: int = 1000
    batch: int = 64
    lr: float = 1e-3
    muon_lr: float = 2e-3
    warmup: int = 50
    decay: float = 0.3
    clip: float = 1.0
    ema: Sequence[float] = (0.05, 0.15)
    precision: Literal["bf16", "fp32"] = "bf16"
    sample_every: int = 500
    save_every: int = 100
    metrics_every: int = 0
    metrics_count: int = 128
    init: str | None = None
    share: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class Recipe:
    """One value that repeats a run: its stages (a small DAG, in the order they train) and what they cost.

    Attributes:
        name: as typed after ``tranh train``.
        stages: stage name -> stage; a stage's parents come before it.
        system: dotted path ``module:function`` that assembles the trained stages into a system, or None.
        parts: the stages the system is made of; others only helped to train them.
        cost, expected: one line each for people: what it takes and what it reaches.
    """

    name: str
    stages: Mapping[str, Stage]
    system: str | None = None
    parts: Sequence[str] = ()
    cost: str = ""
    expected: str = ""


@dataclass(frozen=True)
class Region:
    """A part of a picture with a prompt of its own: a box whose edges are shares of the side, from 0 to 1."""

    prompt: str
    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True)
class Request:
    """What a user asks of a system: one value that Python, command line and HTTP share.

    Picture k of a request equals the single picture of the same request with ``seed + k``.

    Attributes:
        prompt, negative_prompt: sentences, any language the system knows.
        count: pictures wanted.
        seed: of the first picture.
        seeds: one per picture, in the place of ``count`` and ``seed``.
        steps: denoising steps; guidance: classifier-free guidance scale; None means the system's own.
        size: side of the picture in pixels; None means the system's own.
        guidance_interval: times (0: the picture, 1: pure noise) between which guidance acts; None means always.
        regions: parts of the picture that have prompts of their own.
        image, mask, strength: for edits.
        other: a second picture: a reference, the end of a walk.
        source: what ``image`` shows, in words.
        frames: pictures of a walk; None means the edit's own number.
        temperature, top_k, top_p: of systems that draw codes. Scores are divided by the first (0 takes the likeliest),
            the likeliest k are left (0: all), and of these those that hold the share p. None means the system's own.
        prior: which prior of the hierarchy, ``diffusion`` or ``autoregressive``; ``none`` draws from the caption
            alone; None means the system's own.
        allow_unknown: draw although the prompt has words the model was never taught.
        refuse_copies: give no picture that is a near copy of one the model was trained on.
        candidates: drawn for each picture; the one whose CLIP embedding is nearest to the caption is kept.
        expand: draw what the prompt becomes when all it leaves open is said; the expanded prompt is returned.
        sampler: how noise is walked down to a picture, for systems that have several; None means the system's own.
        extend: how far a picture is drawn on to the left, top, right and bottom, in sides of it.
    """

    prompt: str
    negative_prompt: str = ""
    count: int = 1
    seed: int = 0
    steps: int | None = None
    guidance: float | None = None
    size: int | None = None
    image: Image | None = None
    mask: Image | None = None
    strength: float | None = None
    other: Image | None = None
    source: str = ""
    frames: int | None = None
    regions: Sequence[Region] = ()
    guidance_interval: tuple[float, float] | None = None
    seeds: Sequence[int] = ()
    prior: str | None = None
    allow_unknown: bool = False
    refuse_copies: bool = False
    candidates: int = 1
    expand: bool = False
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    sampler: str | None = None
    extend: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)

    def replace(self, **changes: Any) -> Request:
        return replace(self, **changes)


@dataclass(frozen=True)
class Event:
    """One report of long work: ``done`` of ``total`` in ``stage``, with the figures worth showing.

    ``preview`` makes the picture as it would be if work ended here; it costs nothing until somebody calls it.
    """

    stage: str
    done: int
    total: int
    figures: Mapping[str, float] = field(default_factory=dict)
    result: Any = None
    preview: Callable[[], Image] | None = None


@dataclass(frozen=True)
class Step:
    """One finished step of drawing: ``index`` of ``steps`` (from 1), the state ``x`` at time ``t``, and the picture it
    would be if it ended here (a denoiser's last x_0 estimate), ``x0``. All (B, C, H, W)."""

    index: int
    steps: int
    t: float
    x: Tensor
    x0: Tensor


Denoiser = Callable[[Tensor, Tensor], Tensor]
"""(x_t (B, C, H, W), t (B,)) -> x_0 estimate of the same shape as x_t."""


@runtime_checkable
class Generates(Protocol):
    """Makes pictures from a request. Yields progress; the last event carries the list of PIL pictures."""

    def generate_events(self, request: Request) -> Iterator[Event]: ...


@runtime_checkable
class Draws(Protocol):
    """A family that makes pictures of captions by itself, once it has met the stages it stands on.

    ``config["image_size"]`` is their side. Row k depends on caption k and seed k alone.
    """

    def draw(
        self,
        tokens: Tensor,
        mask: Tensor,
        seeds: Sequence[int],
        *,
        steps: int | None = None,
        guidance: float | None = None,
        away: tuple[Tensor, Tensor] | None = None,
    ) -> Iterator[Step]:
        """Pictures of B captions; the last step's ``x`` is (B, 3, S, S) in [-1, 1].

        Args:
            tokens, mask: captions, (B, T).
            seeds: one per picture.
            steps, guidance: the family's own if None; one that has no use for them ignores them.
            away: tokens and mask (1, T') of a caption to move away from; None for the empty one.
        """
        ...


@runtime_checkable
class Walks(Protocol):
    """A family that draws by walking a denoiser down: it gives that of captions, and walks any other as well."""

    def guided(
        self, tokens: Tensor, mask: Tensor, guidance: float, away: tuple[Tensor, Tensor] | None = None
    ) -> Denoiser:
        """The denoiser of B captions, with classifier-free guidance in it; arguments of :meth:`Draws.draw`."""
        ...

    def walk(
        self, denoiser: Denoiser, seeds: Sequence[int], steps: int | None = None, sampler: str | None = None
    ) -> Iterator[Step]:
        """From the noise of each seed to pictures, as :meth:`Draws.draw` yields them."""
        ...


@runtime_checkable
class Fills(Protocol):
    """A family that draws what belongs into the holes of pictures; outside, every pixel stays as it is."""

    def fill(
        self,
        tokens: Tensor,
        mask: Tensor,
        seeds: Sequence[int],
        images: Tensor,
        holes: Tensor,
        *,
        steps: int | None = None,
        guidance: float | None = None,
        away: tuple[Tensor, Tensor] | None = None,
        sampler: str | None = None,
    ) -> Iterator[Step]:
        """As :meth:`Draws.draw`, with pictures (B, 3, S, S) in [-1, 1] and holes bool (B, 1, S, S), True to draw."""
        ...


@runtime_checkable
class Follows(Protocol):
    """A family that changes pictures as instructions say, and knows which instructions it cannot follow."""

    def follow(
        self,
        tokens: Tensor,
        mask: Tensor,
        seeds: Sequence[int],
        images: Tensor,
        *,
        steps: int | None = None,
        guidance: float | None = None,
        moment: Tensor | None = None,
    ) -> Iterator[Step]:
        """As :meth:`Draws.draw`, of instructions (B, T) and the pictures they are about, (B, 3, S, S) in [-1, 1].

        Args:
            moment: of moving pictures, when: (B,) in [0, 1]; ``images`` are then their first frames.
        """
        ...

    def faults(self, tokens: Tensor, mask: Tensor, images: Tensor) -> Tensor:
        """Shares (B, 1 + K) that sum to 1: the instruction can be done, or has fault 1 to K of :data:`FAULTS`."""
        ...


FAULTS = ("missing", "ambiguous")
"""Why an instruction cannot be followed: what it speaks of is not in the picture, or is there more than once."""


@runtime_checkable
class Denoises(Protocol):
    """Gives the denoiser of a request, with guidance in it; samplers and edits run it."""

    def denoiser(self, request: Request) -> Denoiser: ...


@runtime_checkable
class Autoencodes(Protocol):
    """Pictures (B, 3, H, W) to latents and back."""

    def encode(self, images: Tensor) -> Tensor: ...

    def decode(self, latents: Tensor) -> Tensor: ...


@runtime_checkable
class Embeds(Protocol):
    """Pictures and captions into one space, rows of unit length, (B, D)."""

    def embed_images(self, images: Tensor) -> Tensor: ...

    def embed_texts(self, tokens: Tensor, mask: Tensor) -> Tensor: ...


@runtime_checkable
class Layers(Protocol):
    """Sees which parts of pictures lie before others."""

    def depth(self, images: Tensor) -> Tensor:
        """Ranks (B, 1, S, S) int64 of what pictures (B, 3, S, S) in [-1, 1] show: 0 is furthest away."""
        ...


@runtime_checkable
class Enlarges(Protocol):
    """Makes pictures four times as wide, of any size that it says it takes."""

    def enlarge(self, images: Tensor, seeds: Sequence[int], steps: int = 1) -> Iterator[Step]:
        """Larger pictures; the last step's ``x`` is (B, 3, 4 H, 4 W).

        Args:
            images: (B, 3, H, W) in [-1, 1].
            seeds: one per picture.
            steps: 1 gives the posterior mean; more draw one of the pictures that the small one may show.
        """
        ...


@runtime_checkable
class Unclips(Protocol):
    """Draws what an embedding of a picture means, beside what words say: the decoder of unCLIP (Ramesh et al. 2022)."""

    def embed_images(self, images: Tensor) -> Tensor: ...

    def embed_texts(self, tokens: Tensor, mask: Tensor) -> Tensor: ...

    def unclip(self, embeddings: Tensor, prompts: Sequence[str], guidance: float | None = None) -> Denoiser:
        """The denoiser of B pictures, at the decoder's side.

        Args:
            embeddings: of pictures, (B, D), unit length; a row of zeros means none.
            prompts: B of them, as understood; empty for none.
            guidance: towards both, away from neither; 1 is none, None the system's own.
        """
        ...


@runtime_checkable
class Restores(Protocol):
    """Mends poor pictures, and sees where the corners of one that was not held straight lie."""

    def restore(self, images: Tensor) -> Tensor: ...

    def corners(self, images: Tensor) -> Tensor: ...


@runtime_checkable
class Completes(Protocol):
    """Completes a picture whose first part is given, as autoregressive systems do."""

    def complete(self, request: Request) -> Iterator[Event]: ...


@runtime_checkable
class Answers(Protocol):
    """Reads pictures: what is in each of them. The reading's type belongs to the world it was trained on."""

    def read(self, images: Tensor) -> Sequence[Any]: ...


CAPABILITIES: Mapping[str, type] = {
    "generates": Generates,
    "draws": Draws,
    "walks": Walks,
    "fills": Fills,
    "follows": Follows,
    "denoises": Denoises,
    "autoencodes": Autoencodes,
    "embeds": Embeds,
    "layers": Layers,
    "enlarges": Enlarges,
    "unclips": Unclips,
    "restores": Restores,
    "completes": Completes,
    "answers": Answers,
}
"""Every capability by the name users read; contract tests check each one a system claims."""


def capabilities(model: object) -> tuple[str, ...]:
    """Names of the capabilities a model has, in the order of :data:`CAPABILITIES`."""
    return tuple(name for name, protocol in CAPABILITIES.items() if isinstance(model, protocol))
