"""The hierarchy of DALL-E 2: caption -> CLIP -> prior -> decoder -> upsampler, as a recipe and as a system.

``recipe`` says how its stages are trained; ``assemble`` puts trained parts together into what users hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from tranh.data.scenes.labels import PATCH_SIZES, PICTURE_SIZES, THING_SIZES
from tranh.diffusion.sample import Step, euler, seeded
from tranh.diffusion.schedule import linear
from tranh.engine.step import computing
from tranh.engine.weights import fingerprint
from tranh.families.ar_prior import ArPrior
from tranh.families.clip import Clip
from tranh.families.decoder import Decoder
from tranh.families.prior import Prior, best_of
from tranh.families.upsampler import Upsampler
from tranh.nn.pixels import to_pixels
from tranh.recipes.memory import MEMORY, Check, Memory
from tranh.recipes.own import TOKENIZER, WORDS
from tranh.text.lexicon import Lexicon
from tranh.text.prompt import Prompt, understand
from tranh.text.tokenizer import Tokenizer
from tranh.text.words import Words
from tranh.types import Denoiser, Event, Family, Recipe, Request, Stage, TranhError

LAST = 0.08
"""Last time of the sampling grid: from there the decoder's estimate is the picture. Above the loss's floor of 0.05."""

AUGMENT = 0.03
"""Share of noise added to the decoder's picture before it is enlarged."""

PARTS = ("clip", "prior", "ar_prior", "decoder", "upsampler")
"""Stages that are part of the system, as far as they were trained; a draft only helped the decoder."""

SCENES = {"source": "scenes"}
ALL = {"one": 0.25, "two": 0.35, "full": 0.4}


def recipe(data: Mapping[str, Any] | None = None) -> Recipe:
    """The hierarchy on all levels of Scenes, what ``tranh-1`` is trained with; or on own pictures.

    Args:
        data: of own pictures, ``{"source": PATH}``; None for Scenes.
    """
    if data is not None:
        return of_pictures("unclip", stages_of_pictures(data))
    return Recipe(
        name="unclip",
        stages=stages(SCENES | {"levels": ALL}, longer=5),
        system="tranh.recipes.unclip:assemble",
        parts=PARTS,
        cost="two cores: about 10 hours, by the speed of each stage; not yet run in one go",
        expected="see the table of tranh-1 in the README",
    )


def stages(data: Mapping[str, Any], *, longer: float = 1, upsample: bool = True) -> dict[str, Stage]:
    """The stages of the hierarchy on some data, in the order they train: two hours of two cores, ``longer`` times.

    A ``reader`` learns the words first. From it the decoder begins as a ``draft``, told by dense captions alone, on
    some of the patches. Then it gets the CLIP embedding, every caption, every patch, and large batches.
    """
    small, on_clip = dict(data), {"clip": "clip"}
    with_labels, labels = small | {"patches": 8}, {"label_sizes": list(PATCH_SIZES)}
    out = {
        "clip": Stage("clip", data=small, steps=250, batch=256, share=0.07),
        "prior": Stage("prior", data=small, parents=on_clip, steps=250, batch=128, share=0.04),
        "ar_prior": Stage("ar_prior", data=small, parents=on_clip, steps=200, batch=64, share=0.03),
        "reader": Stage(
            "reader",
            model={"thing_sizes": list(THING_SIZES), "picture_sizes": list(PICTURE_SIZES)},
            data=small,
            steps=600,
            batch=128,
            muon_lr=4e-3,
            decay=0.5,
            share=0.05,
        ),
        "draft": Stage(
            "decoder",
            model=labels | {"clip_dim": None, "keep": 24, "label_until": 2.0, "time_mean": 0.8},
            data=with_labels | {"dense": 1.0},
            init="reader",
            steps=750,
            batch=96,
            muon_lr=4e-3,
            decay=0.1,
            share=0.2,
        ),
        "decoder": Stage(
            "decoder",
            model=labels,
            data=with_labels,
            parents=on_clip,
            init="draft",
            steps=1100,
            batch=128,
            muon_lr=4e-3,
            decay=0.6,
            share=0.61,
        ),
    }
    if upsample:
        out["upsampler"] = Stage(
            "upsampler",
            model={"augment": 0.1},
            data=small | {"size": 256, "count": 3000},
            steps=800,
            batch=16,
            share=0.12,
        )
    return {name: replace(stage, steps=round(longer * stage.steps)) for name, stage in out.items()}


def of_pictures(name: str, stages: Mapping[str, Stage]) -> Recipe:
    """A recipe on own pictures."""
    return Recipe(
        name=name,
        stages=stages,
        system="tranh.recipes.unclip:assemble",
        parts=PARTS,
        cost="as long as you like: --minutes shares the time among the stages; `tranh plan` measures this machine",
        expected="it depends on the pictures: `tranh plan` says how often each is seen, `tranh evaluate --data` judges",
    )


def stages_of_pictures(data: Mapping[str, Any], *, upsample: bool = True) -> dict[str, Stage]:
    """The stages on own pictures. Nothing is known of them beyond their captions, so no reader and no labels."""
    small, on_clip = dict(data), {"clip": "clip"}
    out = {
        "clip": Stage("clip", data=small, steps=2000, batch=256, share=0.15),
        "prior": Stage("prior", data=small, parents=on_clip, steps=2000, batch=128, share=0.06),
        "ar_prior": Stage("ar_prior", data=small, parents=on_clip, steps=1000, batch=64, share=0.04),
        "decoder": Stage(
            "decoder", data=small, parents=on_clip, steps=20000, batch=64, muon_lr=4e-3, decay=0.5, share=0.65
        ),
    }
    if upsample:
        large = small | {"size": 256}
        out["upsampler"] = Stage("upsampler", model={"augment": 0.1}, data=large, steps=4000, batch=8, share=0.1)
    return out


@dataclass(frozen=True)
class Pictures:
    """What a request gave: the pictures, what the user should know, each picture's settings, and why some are missing.

    ``refused`` has one sentence per picture that was a near copy; its seed has neither picture nor settings.
    """

    images: list[Image.Image]
    notices: list[str]
    settings: list[dict[str, Any]]
    refused: list[str] = field(default_factory=list)


def pictures(x: Tensor) -> list[Image.Image]:
    """(B, 3, H, W) in [-1, 1] -> PIL pictures."""
    return [Image.fromarray(pixels) for pixels in to_pixels(x)]


class UnClip:
    """The assembled hierarchy. It has no loss and is never trained.

    Args:
        parts: ``clip`` and ``prior`` (both or neither), ``decoder``; ``ar_prior`` and ``upsampler`` if trained.
        assets: tokenizer and known words; the index of the training pictures, if the run made one.
        card: what people should know; ``name``, ``steps``, ``guidance``, ``prior_steps``, ``upsampler_steps`` and
            ``precision`` (fp32, or bf16 for matrix products: twice as fast) are read from it.
    """

    def __init__(self, parts: Mapping[str, Family], assets: Mapping[str, bytes], card: Mapping[str, Any]) -> None:
        self.decoder = _part(parts, "decoder", Decoder)
        if self.decoder is None:
            raise TranhError("this folder has no decoder: export a run whose decoder is trained")
        self.clip, self.upsampler = _part(parts, "clip", Clip), _part(parts, "upsampler", Upsampler)
        both = {"diffusion": _part(parts, "prior", Prior), "autoregressive": _part(parts, "ar_prior", ArPrior)}
        self.priors: dict[str, Prior | ArPrior] = {name: part for name, part in both.items() if part is not None}
        self.prior = next(iter(self.priors), None)
        self.tokenizer, self.words = Tokenizer.load(assets[TOKENIZER]), Words.load(assets[WORDS])
        self.lexicons = [Lexicon.load(language) for language in ("en", "vi")]
        self.card, self.name = dict(card), str(card.get("name", "unclip"))
        self.steps, self.guidance = int(card.get("steps", 16)), float(card.get("guidance", 2.0))
        self.prior_steps, self.upsampler_steps = int(card.get("prior_steps", 8)), int(card.get("upsampler_steps", 4))
        self.precision = str(card.get("precision", "fp32"))
        self.size = 256 if self.upsampler is not None else self.decoder.image_size
        self.parts, self._memory = dict(parts), assets.get(MEMORY)

    @cached_property
    def memory(self) -> Memory:
        """The index of the pictures it was trained on.

        Raises:
            TranhError: it was exported without one.
        """
        if self._memory is None:
            raise TranhError(
                f"{self.name} has no index of its training pictures, so near copies cannot be refused. A run on "
                "pictures of your own makes one (tranh train unclip data=PATH), and `tranh export` takes it along."
            )
        return Memory.load(self._memory)

    @cached_property
    def hash(self) -> str:
        """Names the weights, in the settings of every picture; computed when first asked for, not on loading."""
        tensors = ((f"{n}.{k}", v) for n, part in self.parts.items() for k, v in part.state_dict().items())
        return fingerprint(dict(tensors))

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sides of the pictures it makes, in pixels."""
        small = self.decoder.image_size
        return (small,) if self.upsampler is None else (small, small * self.upsampler.scale)

    def understand(self, prompt: str, allow_unknown: bool = False) -> Prompt:
        """Read a prompt; a word the model was never taught is refused with what it knows."""
        return understand(prompt, self.lexicons, self.words, allow_unknown=allow_unknown)

    def embed(self, tokens: Tensor, mask: Tensor, seeds: Sequence[int], prior: str | None = None) -> Tensor | None:
        """CLIP image embeddings for captions: of two candidates the prior draws, the one nearer to the caption.

        Args:
            tokens, mask: (B, T).
            seeds: one per row.
            prior: ``diffusion`` or ``autoregressive``; ``none`` for no embedding; None takes the first there is.

        Returns:
            (B, D), or None for a system without CLIP.
        """
        if prior not in (None, "none", *self.priors):
            raise TranhError(f"{self.name} has no prior {prior!r}; it has: {', '.join((*self.priors, 'none'))}")
        if self.clip is None or self.prior is None or prior == "none":
            return None
        chosen = self.priors[prior or self.prior]
        with self.computing():
            text = self.clip.embed_texts(tokens, mask).float()
            noise = seeded([seed ^ 0x5EED for seed in seeds], (text.shape[-1],))
            candidates = [chosen.sample(tokens, mask, text, noise(), steps=self.prior_steps).float() for _ in range(2)]
        return best_of(torch.stack(candidates), text)

    def guided(
        self, tokens: Tensor, mask: Tensor, clip: Tensor | None, guidance: float, negative: str = ""
    ) -> Denoiser:
        """The decoder for some captions, with classifier-free guidance in it: towards them, away from ``negative``."""
        away = self.tokenizer.encode([negative])  # the empty one is the null caption of training
        with self.computing():
            denoise = self.decoder.guided(tokens, mask, clip, guidance, away)
        return self.quickly(denoise)

    def computing(self) -> AbstractContextManager[None]:
        """Products in the precision of the card."""
        return computing(next(self.decoder.parameters()).device, self.precision)

    def quickly(self, denoise: Denoiser) -> Denoiser:
        """The same denoiser in the precision of the card; pictures stay float32."""

        def inside(x: Tensor, t: Tensor) -> Tensor:
            with self.computing():
                return denoise(x, t).float()

        return inside

    def negative(self, request: Request) -> str:
        """The negative prompt as the model reads it; empty for none."""
        return self.understand(request.negative_prompt, request.allow_unknown).text if request.negative_prompt else ""

    def denoiser(self, request: Request) -> Denoiser:
        """The guided denoiser of one picture of a request, for samplers and edits."""
        tokens, mask = self.tokenizer.encode([self.understand(request.prompt).text], multiple=8)
        with torch.no_grad():
            clip = self.embed(tokens, mask, [request.seed], request.prior)
            guidance = self.guidance if request.guidance is None else request.guidance
            return self.guided(tokens, mask, clip, guidance, self.negative(request))

    @torch.no_grad()
    def steps_of(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        size: int | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        prior: str | None = None,
        negative: str = "",
    ) -> Iterator[Step]:
        """Every denoising step of a batch, decoder first, then the upsampler; the last one's ``x`` is the result.

        Args:
            prompts: as understood, B of them; seeds: one per picture.
            size: side of the pictures, one of ``sizes``.
        """
        size = size or self.size
        if size not in self.sizes:
            raise TranhError(f"{self.name} makes pictures of {' or '.join(map(str, self.sizes))} px, {size} was asked")
        tokens, mask = self.tokenizer.encode(prompts, multiple=8)
        clip = self.embed(tokens, mask, seeds, prior)
        denoise = self.guided(tokens, mask, clip, self.guidance if guidance is None else guidance, negative)
        small = self.decoder.image_size
        noise = seeded(seeds, (3, small, small))
        count = steps or self.steps
        total = count + (self.upsampler_steps if size > small else 0)
        x = noise()
        for step in euler(denoise, x, linear(count, last=LAST if count > 1 else 1.0)):
            x = step.x.clamp(-1, 1) if step.index == count else step.x
            yield Step(step.index, total, step.t, x, step.x0)
        if size > small and self.upsampler is not None:
            upsampler, level = self.upsampler, torch.full((len(prompts),), AUGMENT)
            low = (1 - AUGMENT) * x + AUGMENT * noise()
            start = seeded([seed ^ 0xB16 for seed in seeds], (3, size, size))()
            enlarge = self.quickly(lambda xt, t: upsampler.denoise(xt, t, low, level))
            for step in euler(enlarge, start, linear(self.upsampler_steps, last=LAST)):
                yield Step(count + step.index, total, step.t, step.x, step.x0)

    def generate_batch(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        size: int | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        prior: str | None = None,
    ) -> Tensor:
        """Pictures (B, 3, size, size) in [-1, 1] for prompts that are already normalised; quick, for evaluation."""
        result = torch.empty(0)
        for step in self.steps_of(prompts, seeds, size, steps, guidance, prior):
            result = step.x
        return result.clamp(-1, 1)

    def generate_events(self, request: Request) -> Iterator[Event]:
        """Make the pictures of a request, one after another, each from its own seed.

        Yields:
            One event per denoising step; the last one's ``result`` is :class:`Pictures`.
        """
        check(request)
        memory = self.memory if request.refuse_copies else None
        prompt, negative = self.understand(request.prompt, request.allow_unknown), self.negative(request)
        images, settings, refused = [], [], []
        for k in range(request.count):
            seed, x, total = request.seed + k, torch.empty(0), 1
            for step in self.steps_of(
                [prompt.text], [seed], request.size, request.steps, request.guidance, request.prior, negative
            ):
                x, total = step.x, step.steps
                yield Event("draw", k * total + step.index, request.count * total)
            image, told = pictures(x)[0], self.settings(request, prompt, seed)
            if memory is not None:
                found = memory.check(image)
                if found.is_copy:
                    refused.append(_refusal(seed, found))
                    continue
                told["refuse_copies"] = {"ratio": found.ratio, "limit": found.limit}
            images.append(image)
            settings.append(told)
        result = Pictures(images, list(prompt.notices), settings, refused)
        yield Event("draw", request.count * total, request.count * total, result=result)

    def settings(self, request: Request, prompt: Prompt, seed: int) -> dict[str, Any]:
        """What repeats one picture."""
        return {
            "prompt": prompt.original,
            "understood": prompt.text,
            "language": prompt.language,
            "negative_prompt": request.negative_prompt,
            "seed": seed,
            "steps": request.steps or self.steps,
            "guidance": self.guidance if request.guidance is None else request.guidance,
            "size": request.size or self.size,
            "prior": request.prior or self.prior if self.clip is not None else None,
            "model": self.name,
            "hash": self.hash,
        }

    def generate(
        self,
        prompt: str,
        *,
        count: int = 1,
        seed: int = 0,
        steps: int | None = None,
        guidance: float | None = None,
        size: int | None = None,
        prior: str | None = None,
        negative_prompt: str = "",
        allow_unknown: bool = False,
        refuse_copies: bool = False,
    ) -> list[Image.Image]:
        """Pictures for a prompt; see :class:`tranh.types.Request` for the arguments.

        Raises:
            TranhError: the request cannot be met, or ``refuse_copies`` and a picture is a near copy (the others are in
                the result of :meth:`generate_events`).
        """
        request = Request(
            prompt,
            negative_prompt,
            count=count,
            seed=seed,
            steps=steps,
            guidance=guidance,
            size=size,
            prior=prior,
            allow_unknown=allow_unknown,
            refuse_copies=refuse_copies,
        )
        *_, last = self.generate_events(request)
        if last.result.refused:
            raise TranhError("\n".join(last.result.refused))
        images: list[Image.Image] = last.result.images
        return images


def _refusal(seed: int, found: Check) -> str:
    return (
        f"seed {seed} is refused: a near copy of the training picture {found.nearest} (ratio {found.ratio:.3f}, near "
        f"copies are below {found.limit:.3f}). Use another seed or prompt."
    )


def check(request: Request) -> None:
    """Refuse a request that cannot be meant.

    Raises:
        TranhError: says what was given and what is allowed.
    """
    if not 1 <= request.count <= 1000:
        raise TranhError(f"count is {request.count}; allowed: 1 to 1000")
    if request.steps is not None and not 1 <= request.steps <= 1000:
        raise TranhError(f"steps is {request.steps}; allowed: 1 to 1000")
    if request.guidance is not None and not 0 <= request.guidance <= 100:
        raise TranhError(f"guidance is {request.guidance}; allowed: 0 to 100 (1 is none)")
    if not 0 <= request.seed < 2**62:
        raise TranhError(f"seed is {request.seed}; allowed: 0 to 2^62 - 1")


def _part(parts: Mapping[str, Family], name: str, kind: type[Any]) -> Any:
    part = parts.get(name)
    if part is not None and not isinstance(part, kind):
        raise TranhError(f"part {name!r} is a {type(part).__name__}; it should be a {kind.__name__}")
    return part


def assemble(parts: dict[str, Family], assets: dict[str, bytes], card: dict[str, Any]) -> UnClip:
    """What ``load`` returns for an exported hierarchy (also for ``direct``, which is the decoder alone)."""
    return UnClip(parts, assets, card)
