"""What users hold: trained parts that make pictures of prompts, whichever family draws them.

``System`` reads prompts, keeps seeds, settings and the guard against copies; how a batch is drawn, its subclasses say.
``Alone`` is that of every family that draws by itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from math import gcd
from typing import Any, ClassVar

import torch
from PIL import Image
from torch import Tensor

from tranh.engine.step import computing
from tranh.engine.weights import fingerprint
from tranh.recipes.beside import Beside
from tranh.recipes.caption_judge import PARTS, CaptionJudge, judge_of
from tranh.recipes.control import Control, control_of, settings_of
from tranh.recipes.expander import Expansion, for_words_of
from tranh.recipes.memory import MEMORY, Check, Memory
from tranh.recipes.own import TOKENIZER, WORDS
from tranh.recipes.pictures import Pictures, check, pictures, seeds_of, seen
from tranh.text.lexicon import Lexicon
from tranh.text.prompt import Prompt, understand
from tranh.text.tokenizer import Tokenizer
from tranh.text.words import Words
from tranh.types import Denoiser, Draws, Event, Family, Region, Request, Step, TranhError, Walks

ROOM = 32
"""Tokens that captions are padded to, longer ones to the next multiple: a picture then does not depend on how long the
captions beside it are, and captions of many requests go into one call. Padding costs hardly anything where a network
packs (:mod:`tranh.nn.packed`); a prior reads all of it in the rows without a caption, so there is not more of it."""


class System:
    """Trained parts that make pictures. It has no loss and is never trained.

    Args:
        parts: by name.
        assets: tokenizer and known words; the index of the training pictures, if the run made one.
        card: what people should know; ``name``, ``steps``, ``guidance`` and ``precision`` (fp32, or bf16 for matrix
            products: twice as fast) are read from it.

    Attributes:
        size: side of its pictures in pixels, where none is asked for; ``sizes`` are all it makes.
        steps, guidance: its own, None for what the family thinks best.
        beside: parts that help it to edit, before those shipped; see :mod:`tranh.recipes.beside`.
        writes_codes: it draws code by code, and has a use for temperature, top-k and top-p.
        takes_away: what a negative prompt would add is taken away as well, see :meth:`Control.denoiser`.
    """

    writes_codes: ClassVar[bool] = False
    takes_away: ClassVar[bool] = False

    def __init__(self, parts: Mapping[str, Family], assets: Mapping[str, bytes], card: Mapping[str, Any]) -> None:
        self.tokenizer, self.words = Tokenizer.load(assets[TOKENIZER]), Words.load(assets[WORDS])
        self.lexicons = [Lexicon.load(language) for language in ("en", "vi")]
        lengths = [int(part.config["max_len"]) for part in parts.values() if part.config.get("max_len")]
        self.tokenizer.room = gcd(ROOM, *lengths)  # never beyond what a part reads
        self.card, self.name = dict(card), str(card.get("name", "system"))
        self.steps: int | None = card.get("steps")
        self.guidance: float | None = card.get("guidance")
        self.precision = str(card.get("precision", "fp32"))
        self.parts, self._memory = dict(parts), assets.get(MEMORY)
        self.beside: Beside | None = None
        self._tokenizer, self.size = assets[TOKENIZER], 0

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
    def ranker(self) -> CaptionJudge:
        """What chooses among candidates: its own CLIP. Another may be put in its place.

        Raises:
            TranhError: it has none.
        """
        if not any(part in self.parts for part in PARTS):
            raise TranhError(
                f"{self.name} has no CLIP to choose among candidates by: ask for one candidate, or name a model that "
                "has a CLIP, --ranker tranh-1 or an export of `tranh train clip` (in Python: system.ranker = "
                "tranh.recipes.caption_judge.load(MODEL))"
            )
        return judge_of(self)

    @cached_property
    def expander(self) -> Expansion:
        """What says more than a prompt does; the shipped one unless another is put here.

        Raises:
            TranhError: the shipped one does not know this model's words.
        """
        return for_words_of(self._tokenizer, self.name)

    @cached_property
    def hash(self) -> str:
        """Names the weights, in the settings of every picture; computed when first asked for, not on loading."""
        tensors = ((f"{n}.{k}", v) for n, part in self.parts.items() for k, v in part.state_dict().items())
        return fingerprint(dict(tensors))

    @property
    def written(self) -> bytes:
        """Its tokenizer: parts that know the same words can help it."""
        return self._tokenizer

    @property
    def side(self) -> int:
        """Side of the pictures its denoiser walks down to, in pixels."""
        return self.size

    @property
    def device(self) -> torch.device:
        """Where its parts are."""
        return next(p.device for part in self.parts.values() for p in part.parameters())

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sides of the pictures it makes, in pixels."""
        return (self.size,)

    @property
    def samplers(self) -> tuple[str, ...]:
        """Names of the samplers it can be asked to draw with; none if it draws in one way."""
        return ()

    def understand(self, prompt: str, allow_unknown: bool = False) -> Prompt:
        """Read a prompt; a word the model was never taught is refused with what it knows."""
        return understand(prompt, self.lexicons, self.words, allow_unknown=allow_unknown)

    def computing(self) -> AbstractContextManager[None]:
        """Products in the precision of the card."""
        return computing(self.device, self.precision)

    @torch.no_grad()
    def computed(self, drawn: Iterator[Step]) -> Iterator[Step]:
        """The same steps, computed in the precision of the card."""
        while True:
            with self.computing():  # never while a generator rests: others compute in between
                step = next(drawn, None)
            if step is None:
                return
            yield Step(step.index, step.steps, step.t, step.x.float(), step.x0.float())

    def quickly(self, denoise: Denoiser) -> Denoiser:
        """The same denoiser in the precision of the card; pictures stay float32."""

        def inside(x: Tensor, t: Tensor) -> Tensor:
            with self.computing():
                return denoise(x, t).float()

        return inside

    def negative(self, request: Request) -> str:
        """The negative prompt as the model reads it; empty for none."""
        return self.understand(request.negative_prompt, request.allow_unknown).text if request.negative_prompt else ""

    def steps_of(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        size: int | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        prior: str | None = None,
        negative: str = "",
        sampler: str | None = None,
    ) -> Iterator[Step]:
        """Every step of drawing a batch; the last one's ``x`` is the result.

        Args:
            prompts: as understood, B of them; seeds: one per picture.
            size: side of the pictures, one of ``sizes``.
            prior: for a hierarchy.
            sampler: one of ``samplers``, None for its own.
        """
        raise TypeError(f"{type(self).__name__} does not say how it draws: define steps_of")

    def steered(
        self,
        control: Control,
        seeds: Sequence[int],
        size: int | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        prior: str | None = None,
        sampler: str | None = None,
    ) -> Iterator[Step]:
        """Every step of drawing what a control says; the other arguments are those of :meth:`steps_of`."""
        raise TypeError(f"{type(self).__name__} says that it can be steered and not how: define steered")

    @property
    def can_be_steered(self) -> bool:
        """Does it draw by denoising, so that estimates can be weighed and joined on the way?"""
        return False

    def checked_control(self, request: Request) -> Control:
        """What is said beyond one prompt.

        Raises:
            TranhError: it cannot be meant, or this system has no use for it.
        """
        control = control_of(request, self)
        if control.names and not self.can_be_steered:
            raise TranhError(
                f"{self.name} does not draw by denoising captions, so it has no use for {', '.join(control.names)}: "
                "leave that out, or take a system that does (tranh-1, unclip, glide, latent)"
            )
        if control.names and request.expand:
            raise TranhError(f"an expanded prompt has no {', '.join(control.names)}: leave them or --expand out")
        return control

    def checked(self, request: Request) -> Control:
        """What is said, if pictures can be drawn of it; nothing is drawn.

        Raises:
            TranhError: they cannot, and why.
        """
        check(request)
        self.checked_sampler(request.sampler)
        self.checked_size(request.size)
        if not self.writes_codes:
            _refuse_codes(self.name, request)
        if request.refuse_copies:
            self.memory  # noqa: B018
        if request.candidates > 1:
            self.ranker  # noqa: B018
        return self.checked_control(request)

    def seen(self, step: Step) -> Callable[[], Image.Image]:
        """Makes the picture that a step's estimate is, once somebody wants to see it."""
        return seen(step)

    def checked_size(self, size: int | None) -> int:
        """The side that is meant.

        Raises:
            TranhError: it makes no such pictures.
        """
        size = size or self.size
        if size not in self.sizes:
            raise TranhError(f"{self.name} makes pictures of {' or '.join(map(str, self.sizes))} px, {size} was asked")
        return size

    def checked_sampler(self, sampler: str | None) -> str | None:
        """The sampler that is meant, None for its own.

        Raises:
            TranhError: it has no such sampler.
        """
        if sampler is None or sampler in self.samplers:
            return sampler
        if not self.samplers:
            raise TranhError(f"{self.name} draws in one way and has no samplers to choose from: leave --sampler out")
        raise TranhError(f"{self.name} has no sampler {sampler!r}; choose one of {', '.join(self.samplers)}")

    @torch.no_grad()
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

        Of several candidates the one nearest to the prompt is kept; its settings say by which seed it is drawn alone.

        Yields:
            One event per denoising step; the last one's ``result`` is :class:`Pictures`.
        """
        control, seeds, sampler = self.checked(request), seeds_of(request), request.sampler
        memory = self.memory if request.refuse_copies else None
        ranker = self.ranker if request.candidates > 1 else None
        steered = bool(control.names or (control.negative and self.takes_away))
        prompt, how = control.whole.prompt, (request.size, request.steps, request.guidance, request.prior)
        images, settings, refused = [], [], []
        for k, seed in enumerate(seeds):
            x, total = torch.empty(0), 1
            text = self.expander.expand(prompt.text, seed) if request.expand else prompt.text
            drawn: list[tuple[float, int, Image.Image]] = []
            for n, tried in enumerate(candidates(seed, request.candidates)):
                if steered:
                    drawing = self.steered(control, [tried], *how, sampler)
                else:
                    drawing = self.steps_of([text], [tried], *how, control.negative, sampler)
                for step in drawing:
                    x, total = step.x, step.steps * request.candidates
                    done = k * total + n * step.steps + step.index
                    yield Event("draw", done, len(seeds) * total, preview=self.seen(step))
                image = pictures(x)[0]
                drawn.append((ranker.similarity(image, prompt.text) if ranker is not None else 0.0, tried, image))
            similarity, tried, image = max(drawn, key=lambda one: one[0])
            told = self.settings(request, prompt, seed) | settings_of(request, control)
            told |= {"expanded": text} if request.expand else {}
            if ranker is not None:
                told |= {"candidates": request.candidates, "chosen_seed": tried, "similarity": similarity}
                told["ranker"] = ranker.name
            if memory is not None:
                found = memory.check(image)
                if found.is_copy:
                    refused.append(_refusal(seed, found))
                    continue
                told["refuse_copies"] = {"ratio": found.ratio, "limit": found.limit}
            images.append(image)
            settings.append(told)
        notices = [notice for said in control.said for notice in said.prompt.notices]
        result = Pictures(images, list(dict.fromkeys(notices)), settings, refused)
        yield Event("draw", len(seeds) * total, len(seeds) * total, result=result)

    def settings(self, request: Request, prompt: Prompt, seed: int) -> dict[str, Any]:
        """What repeats one picture."""
        chosen = {"sampler": request.sampler} if request.sampler is not None else {}
        return {
            "prompt": prompt.original,
            "understood": prompt.text,
            "language": prompt.language,
            "negative_prompt": request.negative_prompt,
            "seed": seed,
            "steps": request.steps or self.steps,
            "guidance": self.guidance if request.guidance is None else request.guidance,
            "size": request.size or self.size,
            "model": self.name,
            "hash": self.hash,
        } | chosen

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
        candidates: int = 1,
        expand: bool = False,
        sampler: str | None = None,
        seeds: Sequence[int] = (),
        regions: Sequence[Region] = (),
        guidance_interval: tuple[float, float] | None = None,
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
            candidates=candidates,
            expand=expand,
            sampler=sampler,
            seeds=seeds,
            regions=regions,
            guidance_interval=guidance_interval,
        )
        *_, last = self.generate_events(request)
        if last.result.refused:
            raise TranhError("\n".join(last.result.refused))
        images: list[Image.Image] = last.result.images
        return images


class Alone(System):
    """A system whose pictures one part draws; the others are what it stands on."""

    def __init__(self, parts: Mapping[str, Family], assets: Mapping[str, bytes], card: Mapping[str, Any]) -> None:
        super().__init__(parts, assets, {"name": list(parts)[-1] if parts else "system", **card})
        able = [name for name, part in parts.items() if isinstance(part, Draws)]
        if not able:
            raise TranhError(f"none of the parts {', '.join(parts) or '(there are none)'} draws pictures")
        self.drawer: Any = parts[able[-1]]
        self.drawer.meet({name: part for name, part in parts.items() if name != able[-1]})
        self.size = int(self.drawer.config["image_size"])

    @property
    def samplers(self) -> tuple[str, ...]:
        return tuple(type(self.drawer).samplers)

    def seen(self, step: Step) -> Callable[[], Image.Image]:
        def made() -> Image.Image:
            with torch.no_grad(), self.computing():
                shown = self.drawer.shown(step.x0[:1]) if step.index < step.steps else step.x0[:1]
            return pictures(shown.float())[0]

        return made

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
        sampler: str | None = None,
    ) -> Iterator[Step]:
        if prior is not None:
            raise TranhError(f"{self.name} has no prior: leave --prior out, or take a hierarchy (unclip)")
        self.checked_size(size)
        tokens, mask = self.tokenizer.encode(prompts, multiple=8)
        away = self.tokenizer.encode([negative]) if negative else None
        guidance = self.guidance if guidance is None else guidance
        how = {"sampler": sampler} if sampler is not None else {}
        drawn = self.drawer.draw(tokens, mask, seeds, steps=steps or self.steps, guidance=guidance, away=away, **how)
        yield from self.computed(drawn)

    @property
    def can_be_steered(self) -> bool:
        return isinstance(self.drawer, Walks)

    def steered(
        self,
        control: Control,
        seeds: Sequence[int],
        size: int | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        prior: str | None = None,
        sampler: str | None = None,
    ) -> Iterator[Step]:
        if prior is not None:
            raise TranhError(f"{self.name} has no prior: leave --prior out, or take a hierarchy (unclip)")
        self.checked_size(size)

        def told(words: str, _: bool) -> Denoiser:
            tokens, mask = self.tokenizer.encode([words] * len(seeds), multiple=8)
            with torch.no_grad(), self.computing():
                denoiser: Denoiser = self.drawer.guided(tokens, mask, 1.0)
            return denoiser

        own = self.drawer.config.get("guidance", 1.0) if self.guidance is None else self.guidance
        denoiser = control.denoiser(told, own if guidance is None else guidance)
        yield from self.computed(self.drawer.walk(denoiser, seeds, steps or self.steps, sampler))


def assemble(parts: dict[str, Family], assets: dict[str, bytes], card: dict[str, Any]) -> Alone:
    """What ``load`` returns for the export of a family that draws by itself."""
    return Alone(parts, assets, card)


def candidates(seed: int, count: int) -> list[int]:
    """Seeds of the pictures among which that of ``seed`` is chosen: itself, then what its hash gives.

    Of more candidates the first are the same.
    """
    digests = (hashlib.sha256(f"{seed} {n}".encode()).digest() for n in range(1, count))
    return [seed, *(int.from_bytes(digest[:6], "big") for digest in digests)]


def _refusal(seed: int, found: Check) -> str:
    return (
        f"seed {seed} is refused: a near copy of the training picture {found.nearest} (ratio {found.ratio:.3f}, near "
        f"copies are below {found.limit:.3f}). Use another seed or prompt."
    )


def _refuse_codes(name: str, request: Request) -> None:
    told = {"temperature": request.temperature, "top_k": request.top_k, "top_p": request.top_p}
    useless = [key for key, value in told.items() if value is not None]
    if useless:
        raise TranhError(
            f"{name} draws no codes, so it has no use for {', '.join(useless)}: leave them out, or take a system that "
            "draws code by code (dalle)"
        )
